"""Transformers of numbers that scikit-learn has not, or not for sparse or missing ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from scipy import sparse
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

from tasks.tabular.transformers.base import GapTransformer
from tasks.tabular.transformers.expressions import evaluate, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ScalingMethod = Literal["standard", "min_max", "max_abs", "robust", "power", "quantile"]
Function = Literal["sin", "cos", "tan"]

_FUNCTIONS = {"sin": np.sin, "cos": np.cos, "tan": np.tan}


class Numeric(GapTransformer):
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
