"""Transformers that leave fewer columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.utils.validation import check_is_fitted, validate_data

from tasks.tabular.transformers.numbers import Numeric

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Projection(Numeric):
    """Principal components; of sparse columns a truncated SVD, which does not centre them.

    Parameters
    ----------
    components : int or float, default 0.95
        How many, or the share of variance to keep.
    """

    _MOST = 100
    """Components a sparse decomposition looks at to find a share of variance."""

    def __init__(self, components: float = 0.95, random_state: int = 0) -> None:
        self.components = components
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn the components."""
        numbers = self._numbers(X, reset=True)
        most = min(numbers.shape)
        share = isinstance(self.components, float) and self.components < 1
        count = int(self.components) if not share else most
        if sparse.issparse(numbers):
            count = max(1, min(count, most - 1, self._MOST if share else count))
            fitted = TruncatedSVD(count, random_state=self.random_state).fit(numbers)
            kept = np.searchsorted(np.cumsum(fitted.explained_variance_ratio_), self.components) + 1
            self.n_components_ = int(min(count, kept)) if share else count
        else:
            asked = self.components if share else min(count, most)
            fitted = PCA(asked, svd_solver="auto", random_state=self.random_state).fit(numbers)
            self.n_components_ = int(fitted.n_components_)
        self.projection_ = fitted
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return shape (n_rows, n_components_)."""
        check_is_fitted(self)
        projected = self.projection_.transform(self._numbers(X, reset=False))
        kept: NDArray[np.float64] = projected[:, : self.n_components_]
        return kept

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:  # noqa: ARG002 - sklearn's name
        """Name the components."""
        check_is_fitted(self)
        return np.asarray([f"pca{place}" for place in range(self.n_components_)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Sparse columns pass, missing values do not."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = False
        return tags

    def _numbers(self, X: Any, *, reset: bool) -> Any:  # noqa: N803 - sklearn's name
        return validate_data(self, X, reset=reset, accept_sparse="csr", dtype=np.float64)


class AtMost:
    """A count that is lower where there are fewer columns, for `SelectFromModel`."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, X: Any) -> int:  # noqa: N803 - sklearn's name
        """Return how many columns of `X` may stay."""
        return min(self.count, int(X.shape[1]))


_EXACT = 1e6
"""Factor from which a column is the others' to the last digits."""


class PruneCollinear(Numeric):
    """Leave out, one after the other, the columns that the others explain best.

    A column's variance inflation factor is 1 / (1 - R²) of its regression on the others: the
    diagonal of the inverted correlation matrix. `decisions_` maps every column that went to
    its factor at that moment.
    """

    def __init__(self, max_factor: float = 10.0) -> None:
        self.max_factor = max_factor

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Choose the columns that stay."""
        numbers = self._numbers(X, reset=True)
        correlation = _correlation(numbers)
        kept = list(range(numbers.shape[1]))
        self.decisions_: dict[str, float] = {}
        names = self._inputs(None)
        inverse = _inverted(correlation)
        while len(kept) > 1:
            factors = np.diag(inverse)
            worst = len(kept) - 1 - int(np.argmax(factors[::-1]))  # of copies the later goes
            if factors[worst] <= self.max_factor:
                break
            self.decisions_[names[kept[worst]]] = round(float(min(factors[worst], 1e9)), 3)
            del kept[worst]
            if factors[worst] > _EXACT:  # what is left of such numbers is rounding
                inverse = _inverted(correlation[np.ix_(kept, kept)])
                continue
            rest = np.delete(np.arange(len(inverse)), worst)
            bordering = inverse[rest, worst]
            inverse = inverse[np.ix_(rest, rest)] - (
                np.outer(bordering, bordering) / inverse[worst, worst]
            )
        self.kept_ = np.asarray(kept, dtype=np.intp)
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return the columns that stay."""
        check_is_fitted(self)
        kept: NDArray[np.float64] = self._numbers(X, reset=False)[:, self.kept_]
        return kept

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Name the columns that stay."""
        return np.asarray(self._inputs(input_features), dtype=object)[self.kept_]


def _inverted(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert correlations; a ridge makes copies a large factor instead of a singular matrix."""
    return np.asarray(np.linalg.inv(correlation + 1e-9 * np.eye(len(correlation))))


def _correlation(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return correlations, gaps at the mean, which keeps the matrix positive; 0 if constant."""
    centred = np.nan_to_num(numbers - _means(numbers))
    scale = np.abs(centred).max(axis=0)
    centred /= np.where(scale > 0, scale, 1.0)  # squares of huge numbers stay finite
    lengths = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(lengths > 0, lengths, 1.0)
    correlation: NDArray[np.float64] = unit.T @ unit
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _means(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.maximum((~np.isnan(numbers)).sum(axis=0), 1)
    return np.asarray(np.nansum(numbers / counts, axis=0))


class PruneCorrelated(Numeric):
    """Of columns that say nearly the same keep the one that says most of the target.

    feature-engine's `SmartCorrelatedSelection` does it; without a target the column of
    greatest variance stays. `decisions_` maps every column that went to the one it resembles.
    """

    def __init__(self, threshold: float = 0.9) -> None:
        self.threshold = threshold

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - sklearn's name
        """Choose the columns that stay."""
        from feature_engine.selection import SmartCorrelatedSelection  # noqa: PLC0415 - only here

        numbers = self._numbers(X, reset=True)
        names = self._inputs(None)
        self.decisions_: dict[str, str] = {}
        self.kept_ = np.arange(len(names))
        if len(names) < 2:  # noqa: PLR2004 - one column resembles no other
            return self
        frame = pd.DataFrame(numbers, columns=[str(place) for place in range(len(names))])
        selection = SmartCorrelatedSelection(
            threshold=self.threshold,
            selection_method="variance" if y is None else "corr_with_target",
        )
        if y is not None and not np.issubdtype(np.asarray(y).dtype, np.number):
            y = np.unique(np.asarray(y), return_inverse=True)[1]
        target: Any = None if y is None else pd.Series(np.asarray(y, dtype=float))
        with np.errstate(all="ignore"):  # of constant and of huge columns
            selection.fit(frame, target)
        for kept, alike in selection.correlated_feature_dict_.items():
            self.decisions_ |= {
                names[int(each)]: names[int(kept)] for each in sorted(alike, key=int)
            }
        gone = {int(each) for each in selection.features_to_drop_}
        self.kept_ = np.asarray([p for p in range(len(names)) if p not in gone], dtype=np.intp)
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return the columns that stay."""
        check_is_fitted(self)
        kept: NDArray[np.float64] = self._numbers(X, reset=False)[:, self.kept_]
        return kept

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Name the columns that stay."""
        return np.asarray(self._inputs(input_features), dtype=object)[self.kept_]
