"""Rows repeated, left out or made up, so that rare classes weigh more in training.

Everything happens on raw rows in the types of `conform`, inside the training part of a fold:
every learner can be given the result, and which row a row came from is always known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from tasks.tabular.errors import ResamplingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tasks.tabular.schema import Schema

Method = Literal[
    "none",
    "class_weights",
    "threshold",
    "random_over",
    "random_under",
    "smote",
    "smote_nc",
    "borderline_smote",
    "adasyn",
    "vae",
]

MADE = -1
"""The origin of a row that was made up."""

MAX_VOTED = 100
"""Different values up to which neighbours vote on a made-up row's category."""

_DISCRETE = ("categorical", "text", "boolean")


ADDING: tuple[Method, ...] = (
    "random_over",
    "random_under",
    "smote",
    "smote_nc",
    "borderline_smote",
    "adasyn",
    "vae",
)
"""Methods that change which rows there are; the others change how a model is fitted."""


class Balancing(BaseModel):
    """What is done about rare classes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "none"
    ratio: float = Field(
        default=1.0, gt=0, le=1, description="Rows of a rare class per row of the most frequent"
    )
    neighbors: int = Field(default=5, ge=1, le=100, description="Of the SMOTE family and ADASYN")


@dataclass(frozen=True, slots=True)
class Resampled:
    """Rows to train on: `origins` are positions in the rows given, `MADE` for synthetic ones."""

    rows: pd.DataFrame
    y: pd.Series[Any]
    origins: NDArray[np.intp]


def resample(
    rows: pd.DataFrame, y: pd.Series[Any], schema: Schema, balancing: Balancing, *, seed: int
) -> Resampled:
    """Balance the classes of training rows.

    Parameters
    ----------
    rows : frame, shape (n_rows, n_columns)
        In the types of `conform`.
    y : series, shape (n_rows,)
        Class labels.

    Returns
    -------
    Resampled
        Synthetic rows come last. They are valid under `schema`: known categories, no gaps
        where there were none, whole numbers where all were, within the range seen.

    Raises
    ------
    ResamplingError
        If the method does not suit the columns, a class is too rare, or a package is missing.
    """
    rows = rows.reset_index(drop=True)
    y = y.reset_index(drop=True)
    if balancing.method in ("none", "class_weights", "threshold"):
        return Resampled(rows, y, np.arange(len(rows)))
    if balancing.method in ("random_over", "random_under"):
        return _redrawn(rows, y, balancing, seed)
    wanted = lacking(y, balancing.ratio)
    if not wanted:
        return Resampled(rows, y, np.arange(len(rows)))
    made, labels = _made(rows, y, schema, balancing, wanted=wanted, seed=seed)
    return Resampled(
        pd.concat([rows, made], ignore_index=True),
        pd.concat([y, labels.astype(y.dtype)], ignore_index=True).rename(y.name),
        np.concatenate([np.arange(len(rows)), np.full(len(made), MADE)]),
    )


def lacking(y: pd.Series[Any], ratio: float) -> dict[Any, int]:
    """Return how many rows each class lacks to `ratio` times the most frequent one."""
    counts = y.value_counts()
    target = round(ratio * counts.iloc[0])
    return {label: int(target - count) for label, count in counts.items() if count < target}


def _redrawn(rows: pd.DataFrame, y: pd.Series[Any], balancing: Balancing, seed: int) -> Resampled:
    """Repeat rare rows, or leave out frequent ones."""
    from imblearn.over_sampling import RandomOverSampler  # noqa: PLC0415 - training only
    from imblearn.under_sampling import RandomUnderSampler  # noqa: PLC0415 - training only

    codes = pd.Series(pd.factorize(y)[0])
    counts = codes.value_counts()
    if balancing.method == "random_over":
        most = round(balancing.ratio * counts.iloc[0])
        targets = {label: max(int(count), most) for label, count in counts.items()}
        sampler = RandomOverSampler(sampling_strategy=targets, random_state=seed)
    else:
        most = max(1, round(counts.iloc[-1] / balancing.ratio))
        targets = {label: min(int(count), most) for label, count in counts.items()}
        sampler = RandomUnderSampler(sampling_strategy=targets, random_state=seed)
    sampler.fit_resample(np.arange(len(rows)).reshape(-1, 1), codes.to_numpy())
    origins = np.sort(np.asarray(sampler.sample_indices_, dtype=np.intp))
    return Resampled(
        rows.iloc[origins].reset_index(drop=True), y.iloc[origins].reset_index(drop=True), origins
    )


def _made(
    rows: pd.DataFrame,
    y: pd.Series[Any],
    schema: Schema,
    balancing: Balancing,
    *,
    wanted: Mapping[Any, int],
    seed: int,
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Make up rows of the classes that lack them."""
    if balancing.method == "vae":
        return _generated(rows, y, schema, wanted, seed)
    coding = _Coding(rows, schema)
    codes, classes = pd.factorize(y)
    lacks = {list(classes).index(label): count for label, count in wanted.items()}
    rare = y.value_counts().iloc[-1:]
    if rare.iloc[0] < 2:  # noqa: PLR2004 - it has no neighbour
        raise ResamplingError(balancing.method, f"class {rare.index[0]!r} has one row")
    sampler = _interpolator(balancing, coding, pd.Series(codes), lacks, seed)
    try:
        matrix, found = sampler.fit_resample(coding.encode(rows), codes)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ResamplingError(balancing.method, reason) from error
    added = np.asarray(found)[len(rows) :]
    if not len(added):
        raise ResamplingError(balancing.method, "no rare row lies near another class; use smote")
    made = coding.decode(np.asarray(matrix)[len(rows) :])
    rng = np.random.default_rng(seed)
    for name in coding.copied:  # too many different values to vote on
        made[name] = _copies(rows[name], codes, added, rng)
    gaps = rows[coding.interpolated].isna()
    if gaps.to_numpy().any():  # rows without any gap would tell that they are made up
        masks = _copies(gaps, codes, added, rng)
        made[coding.interpolated] = made[coding.interpolated].mask(masks)
    return made[list(rows.columns)], pd.Series(classes.take(added).to_numpy())


def _copies(values: Any, codes: NDArray[Any], added: NDArray[Any], rng: np.random.Generator) -> Any:
    """Draw values for made-up rows, of a series or frame, from real rows of their class."""
    places = np.empty(len(added), dtype=np.intp)
    for code in np.unique(added):
        of_class = added == code
        places[of_class] = rng.choice(np.flatnonzero(codes == code), of_class.sum())
    return values.iloc[places].reset_index(drop=True)


def _interpolator(
    balancing: Balancing, coding: _Coding, y: pd.Series[Any], wanted: Mapping[Any, int], seed: int
) -> Any:
    from imblearn import over_sampling  # noqa: PLC0415 - training only

    counts = y.value_counts()
    rarest = int(counts.iloc[-1])
    if not coding.names:
        raise ResamplingError(balancing.method, "no column has distances; use random_over")
    neighbors = min(balancing.neighbors, rarest - 1)
    given = {
        "sampling_strategy": {label: int(counts[label]) + more for label, more in wanted.items()},
        "random_state": seed,
    }
    method, discrete = balancing.method, coding.discrete
    if method in ("borderline_smote", "adasyn") and discrete:
        raise ResamplingError(
            method, f"column {coding.names[discrete[0]]!r} holds categories; use smote_nc"
        )
    if method == "smote_nc" and not discrete and not coding.copied:
        raise ResamplingError(method, "no column holds categories; use smote")
    if method == "adasyn":
        return over_sampling.ADASYN(n_neighbors=neighbors, **given)
    if method == "borderline_smote":
        return over_sampling.BorderlineSMOTE(k_neighbors=neighbors, **given)
    if not discrete:
        return over_sampling.SMOTE(k_neighbors=neighbors, **given)
    if len(discrete) == len(coding.names):
        return over_sampling.SMOTEN(k_neighbors=neighbors, **given)
    return over_sampling.SMOTENC(discrete, k_neighbors=neighbors, **given)


def _generated(
    rows: pd.DataFrame, y: pd.Series[Any], schema: Schema, wanted: Mapping[Any, int], seed: int
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    try:
        from tasks.tabular.vae import TabularVae  # noqa: PLC0415 - torch is an extra
    except ModuleNotFoundError as error:
        raise ResamplingError("vae", "PyTorch is not installed; run `make torch`") from error
    vae = TabularVae(seed=seed).fit(rows, y, schema)
    made = [vae.sample(count, label) for label, count in wanted.items()]
    labels = [pd.Series([label] * count) for label, count in wanted.items()]
    return pd.concat(made, ignore_index=True), pd.concat(labels, ignore_index=True)


class _Coding:
    """Rows as numbers that distances can be taken of, and back.

    Numbers and dates are filled with their median and standardised; categories and truth
    values become codes, a gap being one of them. Texts, and categories of many values, have
    no place in distances: they are `copied`.
    """

    def __init__(self, rows: pd.DataFrame, schema: Schema) -> None:
        self._like = rows.iloc[:0]
        kinds = {each.name: each.kind for each in schema.columns}
        self.copied = [
            str(name)
            for name in rows.columns
            if kinds[str(name)] == "text"
            or (kinds[str(name)] == "categorical" and rows[name].nunique() > MAX_VOTED)
        ]
        self.names = [str(name) for name in rows.columns if name not in set(self.copied)]
        self.discrete = [p for p, name in enumerate(self.names) if kinds[name] in _DISCRETE]
        self._categories = {
            name: pd.Index(rows[name].unique())
            for place, name in enumerate(self.names)
            if place in set(self.discrete)
        }
        self.interpolated = [name for name in self.names if name not in self._categories]
        numbers = {name: numeric(rows[name]) for name in self.interpolated}
        self._medians = {name: _or_zero(np.nanmedian, each) for name, each in numbers.items()}
        self._scales = {name: _or_zero(np.nanstd, each) or 1.0 for name, each in numbers.items()}
        self._empty = {name for name, each in numbers.items() if np.isnan(each).all()}
        self._whole = {name for name, each in numbers.items() if whole(each)}
        self._ranges = {
            name: (_or_zero(np.nanmin, each), _or_zero(np.nanmax, each))
            for name, each in numbers.items()
        }

    def encode(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """Return shape (n_rows, n_columns)."""
        return np.column_stack([self._encoded(rows[name]) for name in self.names])

    def decode(self, matrix: NDArray[np.float64]) -> pd.DataFrame:
        """Return rows of the original types."""
        columns = {
            name: self._decoded(name, matrix[:, place]) for place, name in enumerate(self.names)
        }
        return pd.DataFrame(columns)

    def _encoded(self, values: pd.Series[Any]) -> NDArray[np.float64]:
        name = str(values.name)
        if name in self._categories:
            return self._categories[name].get_indexer(pd.Index(values)).astype(float)
        numbers = numeric(values)
        filled = np.where(np.isnan(numbers), self._medians[name], numbers)
        return (filled - self._medians[name]) / self._scales[name]

    def _decoded(self, name: str, values: NDArray[np.float64]) -> pd.Series[Any]:
        like = self._like[name]
        if name in self._categories:
            codes = values.round().astype(np.intp)
            return pd.Series(self._categories[name].take(codes).to_numpy(), dtype=like.dtype)
        if name in self._empty:
            return as_stored(np.full(len(values), np.nan), like)
        numbers = np.clip(values * self._scales[name] + self._medians[name], *self._ranges[name])
        return as_stored(numbers.round() if name in self._whole else numbers, like)


def numeric(values: pd.Series[Any]) -> NDArray[np.float64]:
    """Return numbers as they are and dates as microseconds since 1970, gaps as NaN."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        naive = values.dt.tz_convert(None) if values.dt.tz is not None else values
        since = naive.to_numpy().astype("datetime64[us]").astype(np.int64).astype(float)
        return np.where(values.isna(), np.nan, since)
    return values.to_numpy(dtype=float)


def as_stored(numbers: NDArray[np.float64], like: pd.Series[Any]) -> pd.Series[Any]:
    """Return what `numeric` read, in the type of `like`."""
    if pd.api.types.is_datetime64_any_dtype(like.dtype):
        gaps = np.isnan(numbers)
        stamps = np.where(gaps, 0, np.round(numbers)).astype(np.int64).astype("datetime64[us]")
        dates = pd.Series(stamps).mask(gaps)
        return dates.dt.tz_localize("UTC").astype(like.dtype)
    return pd.Series(numbers, dtype=like.dtype)


def whole(numbers: NDArray[np.float64]) -> bool:
    """Whether all that are there are whole numbers."""
    present = numbers[~np.isnan(numbers)]
    return bool(len(present)) and bool((present == np.round(present)).all())


def _or_zero(statistic: Any, values: NDArray[np.float64]) -> float:
    """Return a statistic of the values that are there; 0 where there are none."""
    return float(statistic(values)) if np.isfinite(values).any() else 0.0
