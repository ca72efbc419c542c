"""Find personal data in the columns of a table, by their values and by their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow.parquet as pq
from pandas.api import types

from tasks.tabular import personal
from tasks.tabular.personal import KINDS, Kind, Policy
from tasks.tabular.sampling import even_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

By = Literal["values", "name", "name and values", "texts"]

THRESHOLD = 0.5
"""Confidence from which a finding keeps a version from being trained on."""

_GLANCE, _LOOK = 40, 300
"""Different values that are tried for every kind, and for kinds that a glance suggests."""

_MOST = 0.5
"""Share of a column's values that must be of a kind; the rest may be junk."""

_LONG = 1_000
"""Characters of a value that are looked at: patterns take long over long texts."""

_SURE = 0.05
"""Share of texts in which a language model must see a person: it sees some in products too."""

_MARKS = 5
"""Places of a text that are looked at."""

_RARE, _TIMES = 0.002, 2
"""Share, and number, of longer texts with personal data inside from which their column counts:
a single number that looks like one does not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Personal data in a column: its kind, how sure that is (0 to 1), and what tells it.

    `share` is the share of the sampled values that are, or contain, such data. `policy` is what
    would be done about it by default, `masked` what was done.
    """

    column: str
    kind: str
    confidence: float
    share: float
    by: By
    policy: Policy
    masked: str | None = None


@dataclass(frozen=True, slots=True)
class PersonalDataReport:
    """The findings, surest first.

    Names of people in texts are found only where a language model is installed:
    `names_looked_for` says whether one was.
    """

    findings: tuple[Finding, ...]
    columns: int
    sampled: int
    names_looked_for: bool

    @property
    def unmasked(self) -> tuple[str, ...]:
        """Columns whose findings count and were not masked."""
        return tuple(
            each.column
            for each in self.findings
            if each.masked is None and each.confidence >= THRESHOLD
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values; `from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> PersonalDataReport:
        """Read what `to_json` wrote."""
        findings = tuple(Finding(**each) for each in content["findings"])
        return cls(**{**content, "findings": findings})


def unmasked(findings: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the columns that recorded findings leave unmasked; none where nobody looked."""
    return () if findings is None else PersonalDataReport.from_json(dict(findings)).unmasked


def find(
    path: Path, *, language_model: str | None = None, masked: Mapping[str, str] | None = None
) -> PersonalDataReport:
    """Look for personal data in a sample of the rows of a Parquet file.

    Parameters
    ----------
    language_model : str, optional
        Installed spaCy model by which names of people are found in texts.
    masked : mapping of str to str, optional
        Policies by which columns were masked: their findings are what masking left visible.
    """
    with pq.ParquetFile(path) as file:
        frame = even_rows(file)
    model = language_model if language_model and _is_installed(language_model) else None
    findings = []
    for name in frame.columns:
        found = find_in_column(str(name), frame[name], _names_by(model) if model else None)
        policy = (masked or {}).get(str(name))
        if found is not None:
            findings.append(replace(found, masked=policy))
    return PersonalDataReport(
        findings=tuple(sorted(findings, key=lambda each: -each.confidence)),
        columns=frame.shape[1],
        sampled=len(frame),
        names_looked_for=model is not None,
    )


Namer = Callable[[str], bool]


def find_in_column(
    name: str, values: pd.Series[Any], has_name: Namer | None = None
) -> Finding | None:
    """Return the likeliest kind of personal data in a column, if any is likely."""
    texts = _texts(values)
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return None
    named = next((kind for kind in KINDS if personal.is_named(kind, name)), None)
    if types.is_float_dtype(values.dtype) and any("." in each for each in distinct):
        # no decimal is a number of somebody's, but two may be where somebody lives
        return _by_name(name, personal.BY_NAME["location"], distinct) if _is_place(name) else None
    found = [_by_values(name, kind, distinct, named) for kind in KINDS if kind.recognisers]
    candidates = [each for each in found if each is not None]
    if not candidates:
        candidates = [
            each
            for each in (
                _by_name(name, named, distinct),
                _by_language(name, distinct, has_name),
                _inside(name, texts),
            )
            if each is not None
        ]
    return max(candidates, key=lambda each: each.confidence, default=None)


def _is_place(name: str) -> bool:
    return personal.is_named(personal.BY_NAME["location"], name)


def _texts(values: pd.Series[Any]) -> list[str]:
    """Return the present values as a person would write them."""
    present = values.dropna()
    if types.is_bool_dtype(values.dtype):
        return []
    if types.is_float_dtype(values.dtype) and (present % 1 == 0).all():
        present = present[present.abs() < 2**63].astype(np.int64)
    if types.is_datetime64_any_dtype(values.dtype):
        present = present.dt.strftime("%Y-%m-%d")
    return [str(each).strip() for each in present]


def _by_values(name: str, kind: Kind, distinct: list[str], named: Kind | None) -> Finding | None:
    if _share(kind, _spread(distinct, _GLANCE)) < _MOST / 2:
        return None
    share = _share(kind, _spread(distinct, _LOOK))
    if share < _MOST:
        return None
    agrees = named is kind
    confidence = min(0.99, kind.strength * (0.7 + 0.3 * share) + 0.1 * agrees)
    by: By = "name and values" if agrees else "values"
    return _finding(name, kind, confidence, share, by)


def _spread(values: list[str], count: int) -> list[str]:
    """Return at most `count` values, from the first to the last."""
    step = max(1, -(-len(values) // count))
    return values[::step]


def _share(kind: Kind, values: list[str]) -> float:
    return sum(personal.is_one(kind, each[:_LONG]) for each in values) / len(values)


def _by_name(name: str, kind: Kind | None, distinct: list[str]) -> Finding | None:
    if kind is None:
        return None
    looked = _spread(distinct, _LOOK)
    share = sum(personal.is_plausible(kind, each[:_LONG]) for each in looked) / len(looked)
    if share < _MOST:
        return None
    return _finding(name, kind, min(kind.strength, 0.9) * (0.5 + 0.5 * share), share, "name")


def _by_language(name: str, distinct: list[str], has_name: Namer | None) -> Finding | None:
    if has_name is None:
        return None
    looked = _spread([each for each in distinct if any(map(str.isalpha, each))], _LOOK)
    hits = sum(map(has_name, looked))
    if hits < max(_TIMES, _SURE * len(looked)):
        return None
    share = hits / len(looked)
    by: By = "values" if share >= _MOST else "texts"
    return _finding(name, personal.BY_NAME["person_name"], 0.55 + 0.3 * share, share, by)


def _inside(name: str, texts: list[str]) -> Finding | None:
    """Look into texts for what may stand among other words."""
    suspects = [each for each in texts if personal.SUSPICIOUS.search(each)]
    wanted = max(_TIMES, _RARE * len(texts))
    if len(suspects) < wanted:
        return None
    best: Finding | None = None
    for kind in (each for each in KINDS if each.inside):
        looked = _spread(suspects, _LOOK)
        found = sum(_holds(kind, each) for each in looked)
        hits = found * len(suspects) / len(looked)
        if hits >= wanted and (best is None or hits / len(texts) > best.share):
            best = _finding(name, kind, 0.8 * kind.strength, hits / len(texts), "texts")
    return best


def _holds(kind: Kind, text: str) -> bool:
    return any(personal.spans(kind, part) for _, part in personal.parts(text, _MARKS))


def _finding(column: str, kind: Kind, confidence: float, share: float, by: By) -> Finding:
    policy: Policy = "redact" if by == "texts" else kind.policy
    return Finding(column, kind.name, round(confidence, 3), round(share, 4), by, policy)


def _is_installed(model: str) -> bool:
    from spacy.util import is_package  # noqa: PLC0415 - only where a model is named

    return bool(is_package(model))


@cache
def _names_by(model: str) -> Namer:
    """Return what says whether a text names a person, by a spaCy model."""
    import spacy  # noqa: PLC0415 - only where a model is installed

    language = spacy.load(model)
    return lambda text: any(
        each.label_ in {"PERSON", "PER"} for each in language(text[:1_000]).ents
    )
