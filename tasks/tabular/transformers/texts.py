"""Transformers of free texts."""

from __future__ import annotations

from copy import copy
from typing import Any

import pandas as pd
from skrub import StringEncoder


class TextEncoder(StringEncoder):  # type: ignore[misc]  # skrub is untyped
    """skrub's encoder of a text column, made to bear columns without words.

    Fitted twice on the same texts, its pickle is the same to the byte.
    """

    def fit_transform(self, X: Any, y: Any = None) -> Any:  # noqa: N803 - sklearn's name
        """Fit and return a frame, shape (n_rows, n_components)."""
        try:
            return super().fit_transform(X, y)
        except ValueError as error:
            if "empty vocabulary" not in str(error):
                raise
            self.wordless_ = f"{X.name}_0"
            return pd.DataFrame({self.wordless_: 0.0}, index=X.index)

    def transform(self, X: Any) -> Any:  # noqa: N803 - sklearn's name
        """Return a frame, shape (n_rows, n_components)."""
        if hasattr(self, "wordless_"):
            return pd.DataFrame({self.wordless_: 0.0}, index=X.index)
        return super().transform(X)

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Name the components."""
        if hasattr(self, "wordless_"):
            return [self.wordless_]
        return super().get_feature_names_out(input_features)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out where in memory the stop words lay, which scikit-learn notes."""
        state = dict(super().__getstate__())
        if "vectorizer_" in state:
            state["vectorizer_"] = _without_address(state["vectorizer_"])
        return state


def _without_address(part: Any) -> Any:
    part = copy(part)
    part.__dict__.pop("_stop_words_id", None)
    if hasattr(part, "steps"):
        part.steps = [(name, _without_address(each)) for name, each in part.steps]
    return part
