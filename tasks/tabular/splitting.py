"""Which rows train, which validate, which are held out."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

from tasks.tabular.errors import SplitError, UnknownColumnError
from tasks.tabular.resampling import numeric
from tasks.tabular.schema import instants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tasks.tabular.problem import Problem

HOLDOUT_SHARE = 0.2
FOLDS = 5

_FINE_FOLDS = 20
"""Folds that are cut so that any share of them can be held out."""

MIN_PART = 10
"""Rows every part of a split needs."""

Fold = tuple["NDArray[np.intp]", "NDArray[np.intp]"]

TRAINING, VALIDATION, HOLDOUT = "training", "validation", "holdout"
SYNTHETIC = "synthetic"
"""Rows that were made from training rows: they train, and nothing else."""

PART_WORDS = {
    "train": TRAINING,
    "training": TRAINING,
    "synthetic": SYNTHETIC,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": HOLDOUT,
    "testing": HOLDOUT,
    "holdout": HOLDOUT,
}
"""What a predefined column may call the parts, whatever its case."""


class SplitPolicy(BaseModel):
    """How rows are dealt out to training, validation and holdout."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["random", "grouped", "time", "predefined"] = Field(
        default="random",
        description="At random and alike in every class; groups whole; the newest rows held "
        "out; or as a column says (train, validation, test)",
    )
    column: str = Field(default="", description="Of the groups, the time or the parts")
    holdout_share: float = Field(default=HOLDOUT_SHARE, ge=0.05, le=0.5)

    @model_validator(mode="after")
    def _names_a_column(self) -> Self:
        if (self.kind == "random") == bool(self.column):
            raise ValueError(
                "a `column` belongs to grouped, time and predefined splits, not random"
            )
        return self

    @property
    def hidden(self) -> tuple[str, ...]:
        """Columns that are no features: they say which part or group a row is in."""
        return (self.column,) if self.kind in ("predefined", "grouped") else ()


class Split:
    """A table's rows dealt out.

    `training` and `holdout` are positions, sorted. `crossed` are the pairs of positions
    *within training* of a cross-validation. Nothing of the holdout is in any fold.
    """

    def __init__(
        self, training: NDArray[np.intp], holdout: NDArray[np.intp], crossed: list[Fold]
    ) -> None:
        self.training = training
        self.holdout = holdout
        self.crossed = crossed

    def table(self, rows: pd.Index[Any], folds: Sequence[Fold] | None = None) -> pd.DataFrame:
        """Return what is kept with a model: of every row its part and the fold it validates.

        `fold` is -1 for rows that validate in none; `folds` are those used if not the usual.
        """
        part = np.full(len(rows), "unused", dtype=object)
        fold = np.full(len(rows), -1, dtype=np.int64)
        part[self.training], part[self.holdout] = TRAINING, HOLDOUT
        for number, (_, validation) in enumerate(self.crossed if folds is None else folds):
            fold[self.training[validation]] = number
        return pd.DataFrame({"row": rows, "part": part, "fold": fold})


def child_seed(seed: int, purpose: str) -> int:
    """Return the seed of one purpose: a tree of seeds grows from the run's.

    Two purposes never share a stream of random numbers, and a new one moves none of the others.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def split(
    y: pd.Series[Any],
    problem: Problem,
    *,
    seed: int,
    policy: SplitPolicy | None = None,
    keys: pd.Series[Any] | None = None,
) -> Split:
    """Deal out the positions of `y` by a policy.

    Parameters
    ----------
    keys : series, optional
        The policy's column, in the order of `y`.

    Raises
    ------
    SplitError
        If the column does not allow such a split.
    """
    policy = policy or SplitPolicy()
    try:
        if policy.kind == "random":
            training, holdout = hold_out(y, problem, seed=seed, share=policy.holdout_share)
            within = crossed(y.iloc[training], problem, FOLDS, seed=seed)
            return Split(training, holdout, within)
        dealt = {"grouped": _grouped, "time": _by_time, "predefined": _predefined}[policy.kind](
            y, _given(keys, policy).set_axis(y.index), problem, seed, policy.holdout_share
        )
    except SplitError:
        raise
    except ValueError as error:  # scikit-learn's words for too few rows of a class
        raise SplitError(policy.kind, " ".join(str(error).split())) from error
    _require(dealt, y, problem, policy)
    return dealt


def _given(keys: pd.Series[Any] | None, policy: SplitPolicy) -> pd.Series[Any]:
    if keys is None:
        raise SplitError(policy.kind, f"the column {policy.column!r} is not given")
    return keys


def keys_of(frame: pd.DataFrame, policy: SplitPolicy) -> pd.Series[Any] | None:
    """Return the column a policy splits by, or raise `UnknownColumnError`."""
    if not policy.column:
        return None
    if policy.column not in frame.columns:
        raise UnknownColumnError(policy.column, tuple(map(str, frame.columns)))
    return frame[policy.column]


def hold_out(
    y: pd.Series[Any], problem: Problem, *, seed: int, share: float = HOLDOUT_SHARE
) -> Fold:
    """Split the positions of `y` into training and holdout, stratified by class.

    Returns
    -------
    training, holdout : arrays of int
        Positions, sorted; the same seed and target give the same rows.
    """
    positions = np.arange(len(y))
    classes = None if problem.kind == "regression" else y
    training, holdout = train_test_split(
        positions, test_size=share, random_state=seed, stratify=classes
    )
    return np.sort(training), np.sort(holdout)


def crossed(y: pd.Series[Any], problem: Problem, count: int, *, seed: int) -> list[Fold]:
    """Return the folds of a cross-validation, stratified by class."""
    splitter = KFold if problem.kind == "regression" else StratifiedKFold
    found = splitter(n_splits=count, shuffle=True, random_state=seed).split(np.zeros(len(y)), y)
    return list(found)


def row_hashes(frame: pd.DataFrame) -> NDArray[np.uint64]:
    """Hash each row by its values, shape (n_rows,): rows of equal content get equal hashes.

    Types count: hash rows of different tables only in the types of one schema (`conform`).
    """
    return np.asarray(pd.util.hash_pandas_object(frame, index=False), dtype=np.uint64)


def _grouped(
    y: pd.Series[Any], keys: pd.Series[Any], problem: Problem, seed: int, share: float
) -> Split:
    """Keep groups whole; rows without a group are groups of their own."""
    groups = pd.factorize(keys)[0]
    alone = groups < 0
    groups[alone] = groups.max(initial=-1) + 1 + np.arange(alone.sum())
    count = len(np.unique(groups))
    if count < 2 * FOLDS:
        raise SplitError("grouped", f"{count} groups are too few, {2 * FOLDS} are needed")
    if problem.kind == "regression":
        cut = GroupShuffleSplit(1, test_size=share, random_state=seed)
        training, holdout = next(cut.split(y, groups=groups))
    else:  # some of many folds: groups stay whole and classes alike
        many = min(_FINE_FOLDS, count, int(y.value_counts().iloc[-1]))
        cutter = StratifiedGroupKFold(many, shuffle=True, random_state=seed)
        parts = [part for _, part in cutter.split(np.zeros(len(y)), y, groups)]
        holdout = np.concatenate(parts[: max(1, round(share * many))])
        training = np.setdiff1d(np.arange(len(y)), holdout)
    training, holdout = np.sort(training), np.sort(holdout)
    return Split(training, holdout, _group_folds(y.iloc[training], groups[training], problem, seed))


def _group_folds(
    y: pd.Series[Any], groups: NDArray[np.intp], problem: Problem, seed: int
) -> list[Fold]:
    kind = GroupKFold if problem.kind == "regression" else StratifiedGroupKFold
    cutter = kind(n_splits=FOLDS, shuffle=True, random_state=seed)
    return list(cutter.split(np.zeros(len(y)), y, groups))


def _by_time(
    y: pd.Series[Any], keys: pd.Series[Any], problem: Problem, seed: int, share: float
) -> Split:
    """Hold out the newest rows; every fold validates on what comes after what it trains on.

    Rows of one moment are never parted, and rows without a time train.
    """
    del y, problem, seed  # nothing is drawn
    times = _times(keys)
    undated = np.flatnonzero(np.isnan(times))
    dated = np.argsort(times, kind="stable")[: len(times) - len(undated)]
    moments = times[dated]
    end = _start_of(moments, len(dated) - round(share * len(dated)))
    training = np.sort(np.concatenate([undated, dated[:end]]))
    places = np.empty(len(times), dtype=np.intp)
    places[training] = np.arange(len(training))
    found = [
        (
            np.sort(places[np.concatenate([undated, dated[:start]])]),
            np.sort(places[dated[start:stop]]),
        )
        for start, stop in _spans(moments[:end])
    ]
    return Split(training, np.sort(dated[end:]), found)


def _times(keys: pd.Series[Any]) -> NDArray[np.float64]:
    """Return points in time as numbers in their order; NaN where there is none."""
    if pd.api.types.is_datetime64_any_dtype(keys.dtype):
        return numeric(instants(keys))
    if pd.api.types.is_numeric_dtype(keys.dtype):
        return np.asarray(keys.to_numpy(dtype=float, na_value=np.nan))
    raise SplitError("time", f"{keys.name!r} holds neither dates nor numbers")


def _spans(moments: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return where the validation part of each fold starts and stops, in whole moments."""
    rows = len(moments)
    width = rows // (FOLDS + 1)
    spans: dict[int, int] = {}
    for number in range(1, FOLDS + 1):
        start = _start_of(moments, rows - (FOLDS + 1 - number) * width)
        if 0 < start < rows:
            stop = _start_of(moments, start + width)
            spans[start] = stop if stop > start else _end_of(moments, start)
    return list(spans.items())


def _start_of(moments: NDArray[np.float64], place: int) -> int:
    """Return where the moment that is at `place` begins."""
    if place >= len(moments):
        return len(moments)
    return int(np.searchsorted(moments, moments[place], side="left"))


def _end_of(moments: NDArray[np.float64], place: int) -> int:
    return int(np.searchsorted(moments, moments[place], side="right"))


def _predefined(
    y: pd.Series[Any], keys: pd.Series[Any], problem: Problem, seed: int, share: float
) -> Split:
    """Take the parts a column names; without a validation part the training rows are folded."""
    del share
    words = keys.astype(str).str.strip().str.casefold()
    parts = words.map(PART_WORDS).to_numpy()
    if keys.isna().any() or pd.isna(parts).any():
        strange = next(str(word) for word, part in zip(keys, parts, strict=True) if pd.isna(part))
        known = ", ".join(PART_WORDS)
        raise SplitError("predefined", f"{strange!r} is no part; the parts are {known}")
    holdout = np.flatnonzero(parts == HOLDOUT)
    training = np.flatnonzero(parts != HOLDOUT)
    within = parts[training]
    if (within == VALIDATION).any():
        fold = (np.flatnonzero(within != VALIDATION), np.flatnonzero(within == VALIDATION))
        return Split(training, holdout, [fold])
    real = np.flatnonzero(within != SYNTHETIC)
    made = np.flatnonzero(within == SYNTHETIC)
    if len(made):  # they were made from rows that would validate
        raise SplitError("predefined", "rows are synthetic and none is for validation")
    found = crossed(y.iloc[training].iloc[real], problem, FOLDS, seed=seed)
    return Split(training, holdout, found)


def _require(dealt: Split, y: pd.Series[Any], problem: Problem, policy: SplitPolicy) -> None:
    """Raise unless every part has rows, and the training parts every class."""
    parts = [("training", dealt.training), ("holdout", dealt.holdout)]
    for number, (training, validation) in enumerate(dealt.crossed):
        parts += [(f"training part of fold {number}", dealt.training[training])]
        parts += [(f"validation part of fold {number}", dealt.training[validation])]
    if not dealt.crossed:
        raise SplitError(policy.kind, "there are too few rows for a validation part")
    for name, positions in parts:
        if len(positions) < MIN_PART:
            raise SplitError(
                policy.kind, f"the {name} has {len(positions)} rows, {MIN_PART} needed"
            )
        if problem.kind == "regression":
            continue
        absent = set(problem.classes) - set(y.iloc[positions].unique().tolist())
        if absent and "training" in name:
            raise SplitError(policy.kind, f"the {name} has no row of class {min(absent)!r}")
        if len(problem.classes) - len(absent) < 2:  # noqa: PLR2004 - one class tells nothing
            raise SplitError(policy.kind, f"the {name} has rows of one class only")
