"""Transformers of numbers that scikit-learn has not, or not for sparse or missing ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from tasks.tabular.transformers.expressions import evaluate, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ScalingMethod = Literal["standard", "min_max", "max_abs", "robust", "power", "quantile"]
Function = Literal["sin", "cos", "tan"]

_FUNCTIONS = {"sin": np.sin, "cos": np.cos, "tan": np.tan}


class Numeric(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """What the transformers below share: they read numbers, missing ones included."""

    def _numbers(self, X: Any, *, reset: bool) -> Any:  # noqa: N803 - sklearn's name
        return validate_data(
            self,
            X,
            reset=reset,
            accept_sparse=self.__sklearn_tags__().input_tags.sparse and "csr",
            dtype=np.float64,
            ensure_all_finite="allow-nan",
        )

    def _inputs(self, input_features: Any) -> list[str]:
        """Return the names of the columns fitted on."""
        check_is_fitted(self)
        known = getattr(self, "feature_names_in_", input_features)
        if known is None:
            return [f"x{place}" for place in range(self.n_features_in_)]
        return [str(name) for name in known]

    def __sklearn_tags__(self) -> Any:
        """Missing values pass."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class Scaler(Numeric):
    """Scale columns; sparse ones are not centred, so that they stay sparse.

    On sparse columns `min_max` divides by the greatest magnitude, which maps zero to zero.
    """

    def __init__(self, method: ScalingMethod = "standard", random_state: int = 0) -> None:
        self.method = method
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn centre and scale of every column."""
        numbers = self._numbers(X, reset=True)
        self.scaler_ = self._scaler(numbers).fit(numbers)
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803 - sklearn's name
        """Return the scaled columns; sparse stays sparse."""
        check_is_fitted(self)
        return self.scaler_.transform(self._numbers(X, reset=False))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names stay."""
        return np.asarray(self._inputs(input_features), dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Sparse columns pass, but where they would become dense."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.method != "power"
        return tags

    def _scaler(self, numbers: Any) -> Any:
        dense = not sparse.issparse(numbers)
        if self.method == "standard":
            return StandardScaler(with_mean=dense)
        if self.method == "robust":
            return RobustScaler(with_centering=dense)
        if self.method == "quantile":
            return QuantileTransformer(
                n_quantiles=min(1000, numbers.shape[0]),
                output_distribution="normal" if dense else "uniform",  # maps zero to zero
                ignore_implicit_zeros=not dense,
                random_state=self.random_state,
            )
        if self.method == "power":
            return PowerTransformer()
        return MinMaxScaler() if self.method == "min_max" and dense else MaxAbsScaler()


class Clipper(Numeric):
    """Bring values beyond limits back to them.

    Parameters
    ----------
    method : {"quantile", "iqr", "fixed"}, default "quantile"
        Whether `lower` and `upper` are shares of the rows, multiples of the interquartile
        range beyond the quartiles, or the limits themselves.
    lower, upper : float or None
        None leaves that side open.
    """

    def __init__(
        self,
        method: Literal["quantile", "iqr", "fixed"] = "quantile",
        lower: float | None = 0.01,
        upper: float | None = 0.99,
    ) -> None:
        self.method = method
        self.lower = lower
        self.upper = upper

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn the limits of every column, shape (n_features,) each."""
        numbers = self._numbers(X, reset=True)
        empty = np.isnan(numbers).all(axis=0)
        known = np.where(empty, 0.0, numbers) if empty.any() else numbers
        self.lower_ = np.where(empty, -np.inf, self._limits(known, self.lower, -1.0))
        self.upper_ = np.where(empty, np.inf, self._limits(known, self.upper, 1.0))
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return the clipped columns; missing values stay missing."""
        check_is_fitted(self)
        clipped: NDArray[np.float64] = np.clip(
            self._numbers(X, reset=False), self.lower_, self.upper_
        )
        return clipped

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names stay."""
        return np.asarray(self._inputs(input_features), dtype=object)

    def _limits(self, known: NDArray[np.float64], asked: float | None, side: float) -> Any:
        if asked is None:
            return np.full(known.shape[1], side * np.inf)
        if self.method == "fixed":
            return np.full(known.shape[1], float(asked))
        if self.method == "quantile":
            return np.nanquantile(known, asked, axis=0)
        low, high = np.nanquantile(known, [0.25, 0.75], axis=0)
        return (high if side > 0 else low) + side * asked * (high - low)


class Functions(Numeric):
    """Functions of every column, named `sin(x)`."""

    def __init__(self, functions: tuple[Function, ...] = ("sin", "cos", "tan")) -> None:
        self.functions = functions

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn the names."""
        self._numbers(X, reset=True)
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return shape (n_rows, n_functions * n_features), function by function."""
        check_is_fitted(self)
        numbers = self._numbers(X, reset=False)
        return np.hstack([_FUNCTIONS[name](numbers) for name in self.functions])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Name the features."""
        inputs = self._inputs(input_features)
        named = [f"{function}({name})" for function in self.functions for name in inputs]
        return np.asarray(named, dtype=object)


class Cycles(Numeric):
    """Sine and cosine of numbers that come round again, an hour or a direction.

    `period` is in the unit of the columns: 24 for hours.
    """

    def __init__(self, period: float = 1.0) -> None:
        self.period = period

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn the names."""
        self._numbers(X, reset=True)
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return shape (n_rows, 2 * n_features): the sines, then the cosines."""
        check_is_fitted(self)
        angles = self._numbers(X, reset=False) * (2 * np.pi / self.period)
        return np.hstack([np.sin(angles), np.cos(angles)])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Name the features."""
        inputs = self._inputs(input_features)
        named = [f"{name}_{part}" for part in ("sin", "cos") for name in inputs]
        return np.asarray(named, dtype=object)


class Products(Numeric):
    """Powers and products of columns, named `a*b` and `a^2`; without the columns themselves.

    Parameters
    ----------
    degree : int, default 2
    interaction_only : bool, default False
        Only products of different columns.
    max_features : int, default 500
        More than these are refused.
    """

    def __init__(
        self, degree: int = 2, *, interaction_only: bool = False, max_features: int = 500
    ) -> None:
        self.degree = degree
        self.interaction_only = interaction_only
        self.max_features = max_features

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Choose the products; scikit-learn's `PolynomialFeatures` enumerates them."""
        numbers = self._numbers(X, reset=True)
        self.powers_ = np.empty((0, numbers.shape[1]), dtype=np.int64)
        if self.interaction_only and numbers.shape[1] == 1:  # nothing to multiply it with
            return self
        polynomial = PolynomialFeatures(
            (2, max(2, self.degree)), interaction_only=self.interaction_only, include_bias=False
        ).fit(np.zeros_like(numbers[:1]))
        if polynomial.n_output_features_ > self.max_features:
            raise ValueError(
                f"{polynomial.n_output_features_} products are more than max_features = "
                f"{self.max_features}; name fewer columns, lower the degree or raise the cap"
            )
        self.powers_ = polynomial.powers_
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return shape (n_rows, n_products); what has no finite value is missing."""
        check_is_fitted(self)
        numbers = self._numbers(X, reset=False)
        products = np.ones((len(numbers), len(self.powers_)))
        with np.errstate(over="ignore", invalid="ignore"):
            for place, powers in enumerate(self.powers_):
                for column in np.repeat(np.arange(len(powers)), powers):
                    products[:, place] *= numbers[:, column]
        products[~np.isfinite(products)] = np.nan
        return products

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Name the products."""
        inputs = self._inputs(input_features)
        return np.asarray([_product_name(each, inputs) for each in self.powers_], dtype=object)


def _product_name(powers: NDArray[Any], inputs: list[str]) -> str:
    return "*".join(
        f"{name}^{power}" if power > 1 else name
        for name, power in zip(inputs, powers, strict=True)
        if power
    )


class Expressions(Numeric):
    """New columns from formulas over the given ones, as `expressions.parse` reads them."""

    def __init__(self, formulas: Mapping[str, str] | None = None) -> None:
        self.formulas = formulas

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Read the formulas; they name columns fitted on."""
        self._numbers(X, reset=True)
        known = tuple(self._inputs(None))
        for formula in (self.formulas or {}).values():
            parse(formula, known)
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return shape (n_rows, n_formulas); what has no finite value is missing."""
        check_is_fitted(self)
        numbers = self._numbers(X, reset=False)
        columns = dict(zip(self._inputs(None), numbers.T, strict=True))
        values = np.empty((len(numbers), len(self.formulas or {})))
        for place, formula in enumerate((self.formulas or {}).values()):
            values[:, place] = evaluate(parse(formula, tuple(columns)), columns)
        return values

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:  # noqa: ARG002 - sklearn's name
        """Name the formulas."""
        check_is_fitted(self)
        return np.asarray(list(self.formulas or {}), dtype=object)


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
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = pd.DataFrame(numbers).corr().to_numpy(copy=True)
        correlation[~np.isfinite(correlation)] = 0.0
        np.fill_diagonal(correlation, 1.0)
        kept = list(range(numbers.shape[1]))
        self.decisions_: dict[str, float] = {}
        names = self._inputs(None)
        while len(kept) > 1:
            within = correlation[np.ix_(kept, kept)]
            # the ridge makes copies a large factor instead of a singular matrix
            factors = np.diag(np.linalg.inv(within + 1e-9 * np.eye(len(kept))))
            worst = len(kept) - 1 - int(np.argmax(factors[::-1]))  # of copies the later goes
            if factors[worst] <= self.max_factor:
                break
            self.decisions_[names[kept[worst]]] = round(float(min(factors[worst], 1e9)), 3)
            del kept[worst]
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
