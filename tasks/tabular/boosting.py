"""CatBoost on frames with categories."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd
from catboost import CatBoostClassifier, CatBoostRegressor


class _Categorical:
    """Tell CatBoost which columns of a frame hold categories; it does not look itself."""

    def fit(self, X: Any, y: Any = None, **given: Any) -> Self:  # noqa: N803 - sklearn's name
        """Fit with the frame's categories."""
        if isinstance(X, pd.DataFrame):
            given.setdefault("cat_features", list(X.select_dtypes("category").columns))
        super().fit(X, y, **given)  # type: ignore[misc]  # CatBoost's, which this is mixed into
        return self


class CategoricalCatBoostClassifier(_Categorical, CatBoostClassifier):  # type: ignore[misc]  # untyped
    """CatBoost's classifier on frames with categories."""


class CategoricalCatBoostRegressor(_Categorical, CatBoostRegressor):  # type: ignore[misc]  # untyped
    """CatBoost's regressor on frames with categories."""
