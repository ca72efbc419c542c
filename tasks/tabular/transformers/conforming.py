"""The first step of every model: raw rows in the columns, types and order it was fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from tasks.tabular.schema import Schema, conform, infer

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ConformColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Turn raw columns into the types and order a model is fitted on.

    The first step of every model: training, serving and whoever loads the model elsewhere
    hand it raw rows. `schema` is the JSON of a `Schema`, so that models stay readable; without
    one the rows it is fitted on say what they are.
    """

    def __init__(self, schema: dict[str, Any] | None = None) -> None:
        self.schema = schema

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn the schema where none is given."""
        rows = self._rows(X, reset=True)
        self.schema_ = self.schema or infer(rows).to_json()
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803 - sklearn's name
        """Return the schema's columns, shape (n_rows, n_columns); others are left out."""
        check_is_fitted(self)
        rows = conform(self._rows(X, reset=False), Schema.from_json(self.schema_))
        return rows if isinstance(X, pd.DataFrame) else rows.to_numpy()

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:  # noqa: ARG002 - sklearn's name
        """Name the columns."""
        check_is_fitted(self)
        return np.asarray([each["name"] for each in self.schema_["columns"]], dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Texts and missing values pass."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _rows(self, X: Any, *, reset: bool) -> pd.DataFrame:  # noqa: N803 - sklearn's name
        if isinstance(X, pd.DataFrame):  # raw rows may have more columns, in any order
            if reset:
                self.n_features_in_ = X.shape[1]
            return X
        array = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
        return pd.DataFrame(array, columns=[f"x{place}" for place in range(array.shape[1])])
