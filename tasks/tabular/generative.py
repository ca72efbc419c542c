"""Columns as a generator of rows sees them: codes, and places within a component of numbers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture

from tasks.tabular.resampling import as_stored, numeric, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CATEGORIES = 100
FEW_VALUES = 20
"""Different numbers up to which a column of numbers is generated as categories."""

_COMPONENTS = 8
_TAIL = 0.005
"""Share of a column at either end that has no say in how it is coded: sentinels, errors."""

_MIXTURE_ROWS = 5_000
_SPREAD = 4.0
"""Standard deviations of a mixture's component that are scaled to one."""


class CategoryCode:
    """A column of few values: each is a code, a gap too; rare ones share one."""

    has_place = False

    def __init__(self, values: pd.Series[Any]) -> None:
        self.name = str(values.name)
        self._like = values.iloc[:0]
        counts = values.value_counts(dropna=False)
        self._known = pd.Index(counts.index[:MAX_CATEGORIES])
        self._rare = counts.iloc[MAX_CATEGORIES:]
        self.size = len(self._known) + bool(len(self._rare))

    def encode(
        self, values: pd.Series[Any], _generator: np.random.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the code of every value, and its place within the code or NaN."""
        codes = self._known.get_indexer(values)
        codes[codes < 0] = self.size - 1
        return codes, np.full(len(values), np.nan)

    def decode(
        self, codes: NDArray[np.intp], _places: Any, generator: np.random.Generator
    ) -> pd.Series[Any]:
        """Return values of the column's type."""
        values = self._known.take(np.minimum(codes, len(self._known) - 1)).to_numpy(copy=True)
        rare = codes >= len(self._known)
        if rare.any():
            shares = (self._rare / self._rare.sum()).to_numpy()
            values[rare] = generator.choice(self._rare.index.to_numpy(), rare.sum(), p=shares)
        return pd.Series(values, dtype=self._like.dtype)


class NumberCode:
    """A column of numbers or dates: the code is a mixture's component, or that it is a gap."""

    has_place = True

    def __init__(self, values: pd.Series[Any], seed: int, generator: np.random.Generator) -> None:
        self.name = str(values.name)
        self._like = values.iloc[:0]
        numbers = numeric(values)
        present = numbers[~np.isnan(numbers)]
        self._range = (present.min(), present.max())
        self._whole = whole(numbers)
        low, high = np.quantile(present, [_TAIL, 1 - _TAIL], method="nearest")
        inner = present[(present >= low) & (present <= high)]
        self._centre, self._scale = inner.mean(), inner.std() or 1.0
        sample = generator.choice(inner, min(_MIXTURE_ROWS, len(inner)), replace=False)
        self._means, self._deviations, self._mixture = _mixture(self._scaled(sample), seed)
        self._gaps = len(present) < len(numbers)
        self.size = len(self._means) + self._gaps

    def encode(
        self, values: pd.Series[Any], generator: np.random.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the code of every value, and its place within the code or NaN."""
        numbers = numeric(values)
        there = ~np.isnan(numbers)
        codes = np.full(len(numbers), self.size - 1)
        places = np.full(len(numbers), np.nan)
        scaled = self._scaled(numbers[there])
        codes[there] = self._drawn(scaled, generator)
        own = codes[there]
        places[there] = np.clip(
            (scaled - self._means[own]) / (_SPREAD * self._deviations[own]), -0.99, 0.99
        )
        return codes, places

    def decode(
        self, codes: NDArray[np.intp], places: Any, _generator: np.random.Generator
    ) -> pd.Series[Any]:
        """Return values of the column's type."""
        own = np.minimum(codes, len(self._means) - 1)
        scaled = np.clip(places, -1, 1) * _SPREAD * self._deviations[own] + self._means[own]
        numbers = np.clip(scaled * self._scale + self._centre, *self._range)
        numbers = np.round(numbers) if self._whole else numbers
        if self._gaps:
            numbers = np.where(codes == self.size - 1, np.nan, numbers)
        return as_stored(numbers, self._like)

    def _scaled(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((numbers - self._centre) / self._scale)

    def _drawn(
        self, scaled: NDArray[np.float64], generator: np.random.Generator
    ) -> NDArray[np.intp]:
        """Draw the component of every number by its posterior probability."""
        apart = (scaled[:, None] - self._means) / self._deviations
        logs = np.log(self._mixture / self._deviations) - np.clip(apart, -1e6, 1e6) ** 2 / 2
        density = np.exp(logs - logs.max(axis=1, keepdims=True)).cumsum(axis=1)
        draws = generator.random(len(scaled))[:, None] * density[:, -1:]
        return np.asarray((density < draws).sum(axis=1).clip(0, len(self._means) - 1))


def code(
    values: pd.Series[Any], kind: str, seed: int, generator: np.random.Generator
) -> CategoryCode | NumberCode:
    """Choose how a column is coded."""
    few = values.nunique() <= FEW_VALUES
    return (
        CategoryCode(values)
        if kind in ("categorical", "text", "boolean") or few
        else NumberCode(values, seed, generator)
    )


def _mixture(
    sample: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return means, deviations and weights of the components that count, shape (n,) each."""
    mixture = BayesianGaussianMixture(
        n_components=min(_COMPONENTS, len(np.unique(sample))),
        weight_concentration_prior=1e-3,
        max_iter=60,
        tol=1e-2,
        random_state=seed % 2**31,
    )
    with warnings.catch_warnings():  # a mixture that has not converged codes numbers too
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = mixture.fit(sample.reshape(-1, 1))
    counts = fitted.weights_ > 5e-3  # noqa: PLR2004 - one row in two hundred
    deviations = np.sqrt(fitted.covariances_.ravel())
    return fitted.means_.ravel()[counts], deviations[counts], fitted.weights_[counts]
