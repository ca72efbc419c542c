"""What our transformers share."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted


class GapTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """A transformer that takes missing values and knows what its columns were called."""

    def _inputs(self, input_features: Any) -> list[str]:
        """Return the names of the columns fitted on; x0, x1, … where they had none."""
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
