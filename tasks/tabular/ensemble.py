"""Several models that answer as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from tasks.tabular.scoring import learner_scores, len_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tasks.tabular.calibrations import Calibration
    from tasks.tabular.problem import Problem
    from tasks.tabular.stacking import Stacker


@dataclass(frozen=True, slots=True)
class Member:
    """A fitted learner of an ensemble.

    `preparation` is the place of its features' preparation in the ensemble, `weight` its share
    in the mean; all weights sum to 1. `candidate` says which candidate it belongs to, and
    `coded` that it was fitted on class codes instead of labels.
    """

    candidate: str
    preparation: int
    estimator: Any
    weight: float
    coded: bool = True


class _Ensemble(BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """The weighted mean of what several models answer.

    Parameters
    ----------
    models : sequence of pairs of str and Pipeline
        Names and unfitted whole models, raw rows in.
    weights : sequence of float
        Of the models; their sum is 1.

    Notes
    -----
    `fit` fits every model on all rows. An ensemble that a search assembles (`assembled`) has for
    every model those of its folds instead, which saw different rows each: a bag, fitted already.
    Rows are prepared once for all members that share a preparation. A search may leave a stacker,
    which then takes the place of the weights; fitting again has no out-of-fold scores to make one.
    """

    def __init__(self, models: Sequence[tuple[str, Pipeline]], weights: Sequence[float]) -> None:
        self.models = models
        self.weights = weights

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - sklearn's name
        """Fit every model on all rows."""
        codes = self._codes(y)
        self.stacker_: Stacker | None = None
        self.preparations_: list[Any] = []
        self.members_: list[Member] = []
        for (name, model), weight in zip(self.models, self.weights, strict=True):
            fitted = clone(model).fit(X, codes)
            self.preparations_.append(fitted[:-1])
            place = len(self.preparations_) - 1
            self.members_.append(Member(name, place, fitted[-1], float(weight)))
        return self

    def _codes(self, y: Any) -> NDArray[Any]:
        return np.asarray(y, dtype=float)

    def _mean(self, X: Any, classes: NDArray[Any] | None) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        features: dict[int, Any] = {}
        codes = None if classes is None else np.arange(len(classes))
        found: dict[str, NDArray[np.float64]] = {}
        weights: dict[str, float] = {}
        for member in self.members_:
            if member.preparation not in features:
                features[member.preparation] = self.preparations_[member.preparation].transform(X)
            given = features[member.preparation]
            known = codes if member.coded else classes
            scores = member.weight * learner_scores(member.estimator, given, known)
            name = member.candidate
            found[name] = found[name] + scores if name in found else scores
            weights[name] = weights.get(name, 0.0) + member.weight
        if self.stacker_ is not None:
            return self.stacker_.apply([found[name] / weights[name] for name in found])
        return np.asarray(sum(found.values()))

    @property
    def candidates(self) -> dict[str, float]:
        """The weight of every candidate, the heaviest first."""
        found: dict[str, float] = {}
        for member in self.members_:
            found[member.candidate] = found.get(member.candidate, 0.0) + member.weight
        return dict(sorted(found.items(), key=lambda item: -item[1]))


class EnsembleClassifier(ClassifierMixin, _Ensemble):  # type: ignore[misc]  # sklearn is untyped
    """Classifiers that answer as one; `calibration_` corrects what they are too sure of.

    `best_threshold_` is the probability of the second of two classes from which `predict` says
    so.
    """

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - sklearn's name
        """Fit every model on all rows."""
        self.classes_ = np.unique(np.asarray(y))
        self.calibration_: Calibration | None = None
        self.best_threshold_ = 0.5
        super().fit(X, y)
        return self

    @classmethod
    def assembled(
        cls,
        models: Sequence[tuple[str, Pipeline]],
        weights: Mapping[str, float],
        preparations: Sequence[Any],
        members: Sequence[Member],
        *,
        problem: Problem,
        stacker: Stacker | None = None,
        calibration: Calibration | None = None,
        threshold: float = 0.5,
    ) -> Self:
        """Make one of members that are fitted already."""
        made = cls(models, [weights[name] for name, _ in models])
        made.preparations_, made.members_ = list(preparations), list(members)
        made.stacker_ = stacker
        made.classes_ = np.asarray(problem.classes)
        made.calibration_ = calibration
        made.best_threshold_ = threshold
        return made

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return probabilities in the order of `classes_`, shape (n_rows, n_classes)."""
        check_is_fitted(self, "members_")
        if not len_of(X):
            return np.empty((0, len(self.classes_)))
        found = self._mean(X, self.classes_)
        total = found.sum(axis=1, keepdims=True)
        found = found / np.where(total > 0, total, 1.0)
        return found if self.calibration_ is None else self.calibration_.apply(found)

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803 - sklearn's name
        """Return labels, shape (n_rows,)."""
        found = self.predict_proba(X)
        if len(self.classes_) == 2:  # noqa: PLR2004 - bi-nary
            chosen = (found[:, 1] >= self.best_threshold_).astype(np.intp)
        else:
            chosen = found.argmax(axis=1)
        labels: NDArray[Any] = self.classes_[chosen]
        return labels

    def _codes(self, y: Any) -> NDArray[Any]:
        return np.searchsorted(self.classes_, np.asarray(y))


class EnsembleRegressor(RegressorMixin, _Ensemble):  # type: ignore[misc]  # sklearn is untyped
    """Regressors that answer as one; `residuals_` say how far they are off.

    `residuals_` are absolute residuals of rows the answering models had not seen, sorted; None
    where a search has left none.
    """

    @classmethod
    def assembled(
        cls,
        models: Sequence[tuple[str, Pipeline]],
        weights: Mapping[str, float],
        preparations: Sequence[Any],
        members: Sequence[Member],
        *,
        stacker: Stacker | None = None,
        residuals: NDArray[np.float64] | None = None,
    ) -> Self:
        """Make one of members that are fitted already."""
        made = cls(models, [weights[name] for name, _ in models])
        made.preparations_, made.members_ = list(preparations), list(members)
        made.stacker_ = stacker
        made.residuals_ = residuals
        return made

    def predict(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - sklearn's name
        """Return values, shape (n_rows,)."""
        check_is_fitted(self, "members_")
        return self._mean(X, None) if len_of(X) else np.empty(0)

    def predict_interval(
        self,
        X: Any,  # noqa: N803 - sklearn's name
        coverage: float = 0.9,
    ) -> NDArray[np.float64]:
        """Return where values lie, shape (n_rows, 2): below and above, in the target's unit.

        A share of `coverage` of rows like those of the training lies inside, whatever the
        models: the width is a quantile of what they were off by on rows they had not seen [1]_.

        References
        ----------
        .. [1] Vovk (2015), "Cross-conformal predictors", Annals of Mathematics and Artificial
           Intelligence 74.
        """
        if getattr(self, "residuals_", None) is None:
            raise NotFittedError("no residuals were kept; search for the model to have some")
        kept = self.residuals_
        place = int(np.ceil(coverage * (len(kept) + 1))) - 1
        width = kept[place] if place < len(kept) else np.inf
        middle = self.predict(X)
        return np.column_stack([middle - width, middle + width])
