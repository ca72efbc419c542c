"""What stands between learners and what they cannot take: labels, sparse rows, wide targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.utils import Tags


class CodedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn is untyped
    """Let a classifier that knows only class codes 0…k-1 learn and answer any labels."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(
        self,
        X: Any,  # noqa: N803 - sklearn's name
        y: Any,
        sample_weight: Any = None,
        validation: tuple[Any, Any] | None = None,
        stop_at: float | None = None,
    ) -> Self:
        """Fit a clone on the codes of `y`; watched rows of other classes are left out."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        given: dict[str, Any] = {}
        if stop_at is not None:
            given["stop_at"] = stop_at
        if validation is not None:
            given["validation"] = self._coded(*validation)
        self.estimator_ = clone(self.estimator).fit(X, codes, sample_weight=sample_weight, **given)
        return self

    def _coded(self, rows: Any, y: Any) -> tuple[Any, NDArray[np.intp]] | None:
        known = np.isin(y, self.classes_)
        if not known.any():
            return None
        kept = rows if known.all() else rows[known]
        return kept, np.searchsorted(self.classes_, np.asarray(y)[known])

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803 - sklearn's name
        """Return labels, shape (n_rows,)."""
        labels: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.floating]:  # noqa: N803 - sklearn's name
        """Return probabilities in the order of `classes_`, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        scores: NDArray[np.floating] = self.estimator_.predict_proba(X)
        return scores


class Dense(BaseEstimator):  # type: ignore[misc]  # sklearn is untyped
    """Give a learner that reads no sparse rows dense ones."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def __sklearn_tags__(self) -> Tags:
        """Be the classifier or regressor that the wrapped one is."""
        tags = get_tags(self.estimator)
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any, **given: Any) -> Self:  # noqa: N803 - sklearn's name
        """Fit a clone."""
        self.estimator_ = clone(self.estimator).fit(_dense(X), y, **given)
        if hasattr(self.estimator_, "classes_"):
            self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803 - sklearn's name
        """Return labels or values, shape (n_rows,)."""
        check_is_fitted(self)
        return np.asarray(self.estimator_.predict(_dense(X)))

    def predict_proba(self, X: Any) -> NDArray[np.floating]:  # noqa: N803 - sklearn's name
        """Return probabilities, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        return np.asarray(self.estimator_.predict_proba(_dense(X)))


def takes_weights(estimator: Any) -> bool:
    """Say whether a learner can count some rows for more than others."""
    inner = estimator.estimator if isinstance(estimator, Dense) else estimator
    return bool(has_fit_parameter(inner, "sample_weight"))


def scaled_target(regressor: Any) -> TransformedTargetRegressor:
    """Fit a regressor on a target of unit spread."""
    return TransformedTargetRegressor(regressor, transformer=StandardScaler(), check_inverse=False)


def _dense(rows: Any) -> Any:
    return rows.toarray() if sparse.issparse(rows) else rows
