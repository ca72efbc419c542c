"""What is to be predicted: regression, or one of two or more classes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pandas.api import types

from tasks.tabular.errors import TargetError, UnknownColumnError
from tasks.tabular.schema import infer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tasks.tabular.schema import Schema

Kind = Literal["binary", "multiclass", "regression"]

ProblemType = Literal["classification", "regression"]

Said = Literal["auto", "classification", "regression"]
"""What somebody says that a target holds; auto: what its values look like."""

MAX_CLASSES = 50
"""Whole numbers with more distinct values than this are a quantity, not classes."""

MOST_CLASSES = 1_000
"""Where somebody says that a column holds classes."""

MIN_CLASS_ROWS = 5
"""Rows a class needs, so that training, validation and holdout can each have one."""

MIN_ROWS = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """The target column and, for classification, its classes in the order of the scores."""

    kind: Kind
    target: str
    classes: tuple[str | int | float | bool, ...] = ()

    def encode(self, y: pd.Series[Any]) -> NDArray[Any]:
        """Return class codes in the order of `classes`, or the values in regression."""
        if self.kind == "regression":
            return y.to_numpy(dtype=float)
        codes: NDArray[Any] = np.searchsorted(np.asarray(self.classes), y.to_numpy())
        return codes

    def to_json(self) -> dict[str, Any]:
        """Return the problem as JSON-ready values; `from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Problem:
        """Read what `to_json` wrote."""
        return cls(content["kind"], content["target"], tuple(content["classes"]))


def identify(
    frame: pd.DataFrame,
    target: str,
    said: Said = "auto",
    *,
    class_rows: int = MIN_CLASS_ROWS,
) -> Problem:
    """Say what kind of problem predicting `target` is, or why it cannot be learned.

    What the values look like decides, unless it is `said`. Rows without a target do not count;
    a class needs `class_rows` of them.

    Raises
    ------
    UnknownColumnError
        If there is no such column; the nearest names are suggested.
    TargetError
        If there is one value, a class is too rare, rows are too few, or texts are too many;
        if the values cannot be what is said.
    """
    if target not in frame.columns:
        raise UnknownColumnError(target, tuple(map(str, frame.columns)))
    values = frame[target].dropna()
    counts = values.value_counts()
    if len(counts) < 2:  # noqa: PLR2004 - one value cannot be told from another
        only = f"it is always {counts.index[0]!r}" if len(counts) else "it has no values"
        raise TargetError(target, only)
    if not infer(frame.loc[values.index]).features(target).columns:
        raise TargetError(target, "no other column holds more than one value")
    if len(values) < MIN_ROWS:
        raise TargetError(target, f"{len(values)} rows have a value, {MIN_ROWS} are needed")
    if infer(values.to_frame()).columns[0].kind == "datetime":
        raise TargetError(target, "it is a date")
    if said == "regression" or (said == "auto" and is_quantity(values)):
        if not types.is_numeric_dtype(values.infer_objects().dtype):
            raise TargetError(target, "it holds no numbers")
        return Problem("regression", target)
    if types.is_float_dtype(values.dtype) and (values % 1 != 0).any() and len(counts) > 2:  # noqa: PLR2004 - as in `is_quantity`
        raise TargetError(target, "fractions are no classes")
    most = MAX_CLASSES if said == "auto" else MOST_CLASSES
    if len(counts) > most:
        raise TargetError(target, f"it has {len(counts)} different values, {most} at most")
    if counts.iloc[-1] < class_rows:
        rarest = counts.index.tolist()[-1]
        raise TargetError(
            target, f"class {rarest!r} has {counts.iloc[-1]} rows, {class_rows} are needed"
        )
    kind: Kind = "binary" if len(counts) == 2 else "multiclass"  # noqa: PLR2004 - bi-nary
    return Problem(kind, target, tuple(sorted(counts.index.tolist())))


def identify_file(path: Path, schema: Schema, target: str, said: Said = "auto") -> Problem:
    """Say what `identify` says of the table in a Parquet file, reading only two of its columns."""
    if target not in schema.names:
        raise UnknownColumnError(target, schema.names)
    others = [each.name for each in schema.features(target).columns][:1]
    return identify(pd.read_parquet(path, columns=[*others, target]), target, said)


def is_quantity(values: pd.Series[Any]) -> bool:
    """Whether values are to be predicted as a quantity, and not as classes."""
    if infer(values.to_frame()).columns[0].kind != "numeric":
        return False
    fractional = bool((values % 1 != 0).any())
    distinct = values.nunique()
    rare = bool((values.value_counts() < MIN_CLASS_ROWS).any())
    return (fractional and distinct > 2) or distinct > MAX_CLASSES or (distinct > 10 and rare)  # noqa: PLR2004 - two codes are classes, ten small counts may be
