"""From raw columns to features: the first half of every model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

from tasks.tabular.schema import Schema, conform

if TYPE_CHECKING:
    from numpy.typing import NDArray

Family = Literal["linear", "tree"]

MAX_CATEGORIES = 50
"""Categories encoded one by one; the rarer ones share a column (linear) or a code (tree)."""

_PARTS = ("year", "month", "day", "dayofweek", "hour")


class ConformColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Turn raw columns into the types and order a model is fitted on.

    The first step of every model: training, serving and whoever loads the model elsewhere
    hand it raw rows. `schema` is the JSON of a `Schema`, so that models stay readable.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn nothing: the schema says all."""
        self.n_features_in_ = len(self.schema["columns"])
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803 - sklearn's name
        """Return the schema's columns, shape (n_rows, n_columns); others are left out."""
        check_is_fitted(self)
        return conform(X, Schema.from_json(self.schema))


class DateParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Split dates into year, month, day, weekday, hour and the days since 1970.

    A missing date gives missing parts.
    """

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Remember the columns."""
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = len(X.columns)
        return self

    def transform(self, X: pd.DataFrame) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return the parts, shape (n_rows, 6 * n_columns)."""
        check_is_fitted(self)
        parts = [self._parts(pd.to_datetime(X[name], utc=True)) for name in X.columns]
        return np.column_stack(parts)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[Any]:  # noqa: ARG002 - sklearn's name
        """Name the parts `column_part`."""
        names = [f"{c}_{part}" for c in self.feature_names_in_ for part in (*_PARTS, "days")]
        return np.asarray(names, dtype=object)

    @staticmethod
    def _parts(dates: pd.Series[Any]) -> NDArray[np.float64]:
        columns = [
            getattr(dates.dt, part).to_numpy(dtype=float, na_value=np.nan) for part in _PARTS
        ]
        days = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
        return np.column_stack([*columns, days.to_numpy(dtype=float)])


def make_features(schema: Schema, family: Family) -> ColumnTransformer:
    """Build the unfitted preparation of `schema` for a family of learners.

    Linear models get imputed, scaled numbers and one-hot categories; trees get numbers as
    they are, missing ones included, and categories as codes. Unseen categories are allowed.
    """
    numeric = schema.of_kind("numeric", "boolean")
    categorical = schema.of_kind("categorical")
    datetime = schema.of_kind("datetime")
    if family == "linear":
        scaled = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True), StandardScaler()
        )
        dates = make_pipeline(DateParts(), SimpleImputer(strategy="median"), StandardScaler())
        encoder: BaseEstimator = OneHotEncoder(
            handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, min_frequency=5
        )
    else:
        scaled, dates = "passthrough", DateParts()
        encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, max_categories=MAX_CATEGORIES
        )
    return ColumnTransformer(
        [
            (name, step, columns)
            for name, step, columns in (
                ("numeric", scaled, numeric),
                ("categorical", encoder, categorical),
                ("datetime", dates, datetime),
            )
            if columns
        ],
        remainder="drop",
    )
