"""How much two columns have to do with each other, whatever their kinds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.tabular.schema import Kind, Schema

Measure = Literal["Spearman", "Cramér", "correlation ratio"]

MAX_COLUMNS = 60
"""Columns of which all pairs are compared: 1,770 pairs."""

LEAK = 0.95
"""Share of the target's variation that one column explains and no honest column does."""

_CODES = 50
"""Texts that are told apart; the rarer ones are one."""

_MIN_ROWS = 30
_LEAVES = 64
_LARGEST = float(np.finfo(np.float32).max)
"""What trees compare with; beyond, numbers keep their order no more."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two columns and their association: 0 for none, 1 for full; Spearman's has a sign."""

    first: str
    second: str
    measure: Measure
    strength: float


def pairs(frame: pd.DataFrame, schema: Schema) -> tuple[Pair, ...]:
    """Compare all pairs of the first informative columns of `frame`, strongest first.

    Numbers and dates by rank correlation, texts by Cramér's V with Bergsma's correction [1]_,
    a number and a text by the correlation ratio.

    References
    ----------
    .. [1] Bergsma (2013), "A bias-correction for Cramér's V and Tschuprow's T", Journal of the
       Korean Statistical Society 42(3).
    """
    kinds = {e.name: e.kind for e in schema.columns if e.informative and e.kind != "text"}
    kinds = dict(list(kinds.items())[:MAX_COLUMNS])
    columns = [_Coded(name, kind, _codes(frame[name], kind)) for name, kind in kinds.items()]
    found = [_pair(first, second) for first, second in combinations(columns, 2)]
    known = [each for each in found if each is not None]
    return tuple(sorted(known, key=lambda each: -abs(each.strength)))


class _Coded:
    """A column as numbers; its ranks hold for every pair in which nothing is missing."""

    def __init__(self, name: str, kind: Kind, codes: NDArray[Any]) -> None:
        self.name = name
        self.is_text = kind == "categorical"
        self.codes = codes
        self.missing = np.isnan(codes)
        self.whole = not self.missing.any()
        self.ranks = None if self.is_text else _ranks(codes)


def _pair(first: _Coded, second: _Coded) -> Pair | None:
    present = ~(first.missing | second.missing)
    if present.sum() < _MIN_ROWS:
        return None
    a, b = (
        (first.codes, second.codes)
        if first.whole and second.whole
        else (first.codes[present], second.codes[present])
    )
    measure: Measure
    if first.is_text and second.is_text:
        measure, strength = "Cramér", _cramer(a, b)
    elif first.is_text or second.is_text:
        measure, strength = "correlation ratio", _ratio(*((a, b) if first.is_text else (b, a)))
    elif first.whole and second.whole:
        measure, strength = "Spearman", _correlation(first.ranks, second.ranks)
    else:
        measure, strength = "Spearman", _correlation(_ranks(a), _ranks(b))
    return (
        Pair(first.name, second.name, measure, round(strength, 4))
        if np.isfinite(strength)
        else None
    )


def leaks(frame: pd.DataFrame, schema: Schema, target: str | None) -> dict[str, float]:
    """Return the columns from which alone a small tree foretells `target`, with its score.

    The score is the share of the target's variation explained, in cross-validation: R² of
    numbers, and Cohen's kappa of classes, which is 0 for guessing.
    """
    kinds = {each.name: each.kind for each in schema.columns}
    if target is None or target not in kinds:
        return {}
    rows = frame[frame[target].notna()]
    classes = kinds[target] in ("categorical", "text", "boolean") or rows[target].nunique() <= 20  # noqa: PLR2004 - as few whole numbers are classes
    y = pd.factorize(rows[target])[0] if classes else _codes(rows[target], kinds[target])
    if len(rows) < _MIN_ROWS or len(np.unique(y)) < 2:  # noqa: PLR2004 - nothing to foretell
        return {}
    if classes and np.bincount(y.astype(int)).min() < 3:  # noqa: PLR2004 - one a fold
        kept = np.isin(y, np.flatnonzero(np.bincount(y.astype(int)) >= 3))  # noqa: PLR2004
        rows, y = rows[kept], y[kept]
        if len(np.unique(y)) < 2:  # noqa: PLR2004 - nothing to foretell
            return {}
    found = {}
    for column in schema.columns:
        if column.name == target or not column.informative:
            continue
        score = _foretold(_codes(rows[column.name], column.kind), y, classes=classes)
        if score >= LEAK:
            found[column.name] = round(score, 4)
    return found


_FOLDS = 3
_FAR = 0.2
"""How much a score may differ between folds; what misses by more is not looked at again."""


def _foretold(x: NDArray[Any], y: NDArray[Any], *, classes: bool) -> float:
    """Return the mean score over folds of a small tree that knows one column only."""
    lowest = np.nanmin(x) if not np.isnan(x).all() else 0.0
    known = np.column_stack([np.nan_to_num(x, nan=lowest - 1), np.isnan(x)])
    fold = np.random.default_rng(0).integers(_FOLDS, size=len(y))
    scores: list[float] = []
    for held in range(_FOLDS):
        tree = (DecisionTreeClassifier if classes else DecisionTreeRegressor)(
            max_leaf_nodes=_LEAVES, random_state=0
        )
        tree.fit(known[fold != held], y[fold != held])
        foretold = tree.predict(known[fold == held])
        scores.append((_kappa if classes else _explained)(y[fold == held], foretold))
        if scores[0] < LEAK - _FAR:
            break
    return float(np.mean(scores))


def _kappa(y: NDArray[Any], foretold: NDArray[Any]) -> float:
    """Return Cohen's kappa: the agreement beyond what the classes' shares give by chance."""
    size = int(max(y.max(), foretold.max())) + 1
    chance = float(
        (np.bincount(y, minlength=size) * np.bincount(foretold, minlength=size)).sum() / len(y) ** 2
    )
    return (float((y == foretold).mean()) - chance) / (1 - chance) if chance < 1 else 0.0


def _explained(y: NDArray[Any], foretold: NDArray[Any]) -> float:
    """Return R², the share of the variation that is explained."""
    total = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - foretold) ** 2).sum()) / total if total else 0.0


def _codes(values: pd.Series[Any], kind: Kind) -> NDArray[Any]:
    """Return numbers that stand for the values, NaN where they are missing."""
    if kind in ("categorical", "text"):
        common = values.value_counts().index[:_CODES]
        codes = pd.Categorical(values, categories=common).codes.astype(float)
        codes[(codes < 0) & values.notna().to_numpy()] = len(common)
        codes[codes < 0] = np.nan
        return codes
    if kind == "datetime":
        dates = pd.to_datetime(values, utc=True)
        seconds = dates.astype("int64").to_numpy(dtype=float)
        seconds[dates.isna().to_numpy()] = np.nan
        return seconds
    return np.clip(values.astype("float64").to_numpy(), -_LARGEST, _LARGEST)


def _ranks(values: NDArray[Any]) -> NDArray[Any]:
    """Return centred ranks of unit length, which is none for a constant."""
    ranks = rankdata(values, nan_policy="omit")
    ranks = ranks - np.nanmean(ranks)
    length = np.sqrt(np.nansum(ranks**2))
    scaled: NDArray[Any] = ranks / length if length > 0 else np.full(len(ranks), np.nan)
    return scaled


def _correlation(a: NDArray[Any] | None, b: NDArray[Any] | None) -> float:
    return float("nan") if a is None or b is None else float(a @ b)


def _cramer(a: NDArray[Any], b: NDArray[Any]) -> float:
    wide = int(b.max()) + 1
    table = np.bincount((a * wide + b).astype(np.int64), minlength=(int(a.max()) + 1) * wide)
    table = table.reshape(-1, wide)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    n, (rows, columns) = table.sum(), table.shape
    if min(rows, columns) < 2:  # noqa: PLR2004 - a constant goes with nothing
        return float("nan")
    expected = np.outer(table.sum(1), table.sum(0)) / n
    phi = ((table - expected) ** 2 / expected).sum() / n
    corrected = max(0.0, phi - (rows - 1) * (columns - 1) / (n - 1))
    reach = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(min(1.0, corrected / reach))) if reach > 0 else float("nan")


def _ratio(groups: NDArray[Any], numbers: NDArray[Any]) -> float:
    total = ((numbers - numbers.mean()) ** 2).sum()
    if total == 0:
        return float("nan")
    sizes = np.bincount(groups.astype(np.int64))
    sums = np.bincount(groups.astype(np.int64), weights=numbers)[sizes > 0]
    sizes = sizes[sizes > 0]
    between = (sizes * (sums / sizes - numbers.mean()) ** 2).sum()
    return float(np.sqrt(min(1.0, between / total)))
