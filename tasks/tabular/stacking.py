"""A small model that learns how much each of several models is to be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FOLDS = 5
ROWS = 10_000
"""Out-of-fold rows a stacker is fitted on, at most."""

CELLS = 500_000
"""Rows times features times classes up to which a search stacks unasked."""

_LEAST = 1e-6
"""Least probability: the logarithm of zero is no feature."""


@dataclass(frozen=True, slots=True)
class Stacker:
    """A fitted stacker: the scores of several models in, scores out.

    `classes` is the number of classes, 0 in regression.
    """

    model: Any
    classes: int

    def apply(self, scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Score rows from the scores that each model gives them, in the models' order.

        Returns
        -------
        array of float, shape (n_rows, n_classes), or (n_rows,) in regression
        """
        if self.model is None:  # there was one class: nothing says who is right
            return np.asarray(np.mean(scores, axis=0))
        features = _features(scores)
        if not self.classes:
            return np.asarray(self.model.predict(features), dtype=float)
        found = np.zeros((len(features), self.classes))
        found[:, self.model.classes_] = self.model.predict_proba(features)
        return found


def fit_stacker(scores: Sequence[NDArray[np.float64]], y: NDArray[Any], *, seed: int) -> Stacker:
    """Fit ridge regression, or logistic on log-probabilities, on out-of-fold scores [1]_.

    References
    ----------
    .. [1] Wolpert (1992), "Stacked generalization", Neural Networks 5.
    """
    classes = scores[0].shape[1] if scores[0].ndim > 1 else 0
    rows = np.arange(len(y))
    if len(rows) > ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, ROWS, replace=False))
    features = _features([each[rows] for each in scores])
    if not classes:
        return Stacker(RidgeCV(np.logspace(-3, 3, 13)).fit(features, y[rows]), 0)
    if len(np.unique(y[rows])) < 2:  # noqa: PLR2004 - one class is none to tell apart
        return Stacker(None, classes)
    model = LogisticRegression(C=0.3, max_iter=300).fit(features, y[rows].astype(np.intp))
    return Stacker(model, classes)


def crossed_scores(
    scores: Sequence[NDArray[np.float64]], y: NDArray[Any], *, seed: int
) -> NDArray[np.float64]:
    """Return what stackers say of rows they were not fitted on, to judge stacking by."""
    classes = scores[0].ndim > 1
    kind = StratifiedKFold if classes else KFold
    least = int(np.bincount(y.astype(np.intp)).clip(1).min()) if classes else FOLDS
    cut = kind(max(2, min(FOLDS, least)), shuffle=True, random_state=seed)
    found = np.zeros_like(scores[0])
    for training, judged in cut.split(np.zeros(len(y)), y):
        fitted = fit_stacker([each[training] for each in scores], y[training], seed=seed)
        found[judged] = fitted.apply([each[judged] for each in scores])
    return found


def _features(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return one row of features per row: values, log-odds, or log-probabilities."""
    if scores[0].ndim == 1:
        return np.column_stack(scores)
    logs = [np.log(np.clip(each, _LEAST, 1.0)) for each in scores]
    if scores[0].shape[1] == 2:  # noqa: PLR2004 - bi-nary
        return np.column_stack([each[:, 1] - each[:, 0] for each in logs])
    return np.hstack(logs)
