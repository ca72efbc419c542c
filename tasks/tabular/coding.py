"""Class labels for learners that know only codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray


class CodedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Let a classifier that knows only class codes 0…k-1 learn and answer any labels."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803 - sklearn's name
        """Fit a clone on the codes of `y`."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.estimator_ = clone(self.estimator).fit(X, codes, sample_weight=sample_weight)
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803 - sklearn's name
        """Return labels, shape (n_rows,)."""
        labels: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.floating]:  # noqa: N803 - sklearn's name
        """Return probabilities in the order of `classes_`, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        scores: NDArray[np.floating] = self.estimator_.predict_proba(X)
        return scores
