"""The preparation as one scikit-learn transformer, for whoever builds pipelines by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from tasks.tabular.errors import ColumnValueError, StepError
from tasks.tabular.features import Family, prepare, usable
from tasks.tabular.problem import Problem, is_quantity
from tasks.tabular.schema import infer
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.steps.base import RowStep

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TARGET = "target"


class DataPreprocessor(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Turn raw columns into features that any estimator takes.

    Missing values are filled, categories encoded, dates split and numbers scaled, or whatever a
    specification says. What columns hold is inferred when it is fitted.

    Parameters
    ----------
    spec : PipelineSpec, mapping or str, optional
        Steps in order, as values or as YAML; its `remainder` is completed with the usual ones.
    family : {"linear", "tree", "native"}, default "linear"
        What the estimator needs: scaled numbers without gaps, numbers, or a frame with numbers
        and pandas categories.
    random_state : int, default 0

    Attributes
    ----------
    schema_ : Schema
        What the columns were found to hold.
    pipeline_ : Pipeline
        The fitted steps.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import Pipeline
    >>> rows = pd.DataFrame({"age": [20, None, 40, 60], "job": ["a", "b", None, "a"]})
    >>> model = Pipeline([("prep", DataPreprocessor()), ("model", LogisticRegression())])
    >>> model.fit(rows, [0, 0, 1, 1]).predict(pd.DataFrame({"job": ["unseen"], "age": [50]}))
    array([1])
    """

    def __init__(
        self,
        spec: PipelineSpec | dict[str, Any] | str | None = None,
        family: Family = "linear",
        random_state: int = 0,
    ) -> None:
        self.spec = spec
        self.family = family
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - sklearn's name
        """Learn what the columns hold and fit the steps."""
        self._fit(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:  # noqa: N803 - sklearn's name
        """Fit and transform at once: encodings by the target are cross-fitted."""
        return self._fit(X, y)

    def transform(self, X: Any) -> Any:  # noqa: N803 - sklearn's name
        """Return shape (n_rows, n_features).

        Raises
        ------
        MissingColumnsError, ColumnValueError
            If a frame lacks a column, or a value is not what its column holds.
        """
        check_is_fitted(self)
        return self.pipeline_.transform(self._rows(X, reset=False))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:  # noqa: ARG002 - sklearn's name
        """Name the features."""
        check_is_fitted(self)
        names: NDArray[Any] = self.pipeline_.get_feature_names_out()
        return names

    def __sklearn_tags__(self) -> Any:
        """Texts and missing values pass."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _fit(self, X: Any, y: Any) -> Any:  # noqa: N803 - sklearn's name
        rows = self._rows(X, reset=True)
        spec = _spec(self.spec)
        filters = [] if spec is None else [e for e in spec.steps if isinstance(e, RowStep)]
        if filters:
            raise StepError(
                filters[0].step, (), "a transformer cannot leave out rows; do it before fitting"
            )
        self.schema_ = usable(infer(rows), "", spec)
        if not self.schema_.columns:  # nothing informative is still something to transform
            self.schema_ = infer(rows)
        problem = None if y is None else _problem(y)
        self.pipeline_ = prepare(
            self.schema_, self.family, problem=problem, spec=spec, seed=self.random_state
        ).pipeline
        return self.pipeline_.fit_transform(rows, y)

    def _rows(self, X: Any, *, reset: bool) -> pd.DataFrame:  # noqa: N803 - sklearn's name
        if isinstance(X, pd.DataFrame):  # the schema finds its columns by name
            if reset:
                self.n_features_in_ = X.shape[1]
                if all(isinstance(name, str) for name in X.columns):
                    self.feature_names_in_ = np.asarray(X.columns, dtype=object)
            named = X.set_axis(X.columns.map(str), axis=1)
            for name in named.columns[named.columns.duplicated()]:
                raise ColumnValueError(name, "a second column of that name", "one column's")
            return named
        array = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
        return pd.DataFrame(array, columns=[f"x{place}" for place in range(array.shape[1])])


def _spec(given: PipelineSpec | dict[str, Any] | str | None) -> PipelineSpec | None:
    if isinstance(given, str):
        return PipelineSpec.read(given)
    return PipelineSpec.parse(given) if isinstance(given, dict) else given


def _problem(y: Any) -> Problem:
    """Say what kind of problem a target is: many or rare whole numbers are a quantity."""
    values = column_or_1d(y)
    kind = type_of_target(values, input_name="y")
    if kind not in ("binary", "multiclass") or is_quantity(pd.Series(values)):
        return Problem("regression", _TARGET)
    return Problem(kind, _TARGET, tuple(np.unique(values).tolist()))
