"""Scores of fitted learners, whatever they were fitted on: labels, class codes or values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def learner_scores(
    estimator: Any, features: Any, classes: NDArray[Any] | None
) -> NDArray[np.float64]:
    """Score features with a fitted learner.

    Parameters
    ----------
    classes : array, shape (n_classes,), or None in regression
        What it was fitted on: sorted labels, or class codes.

    Returns
    -------
    array of float, shape (n_rows, n_classes), or (n_rows,) in regression
        A class that was not there when the learner was fitted has the probability 0.
    """
    if classes is None:
        return np.asarray(estimator.predict(features), dtype=float).reshape(len_of(features))
    found = np.asarray(estimator.predict_proba(features), dtype=float)
    if found.shape[1] == len(classes):
        return found
    scores = np.zeros((found.shape[0], len(classes)))
    scores[:, np.searchsorted(classes, np.asarray(estimator.classes_).reshape(-1))] = found
    return scores


def len_of(features: Any) -> int:
    """Return the number of rows; sparse matrices have no length."""
    return int(features.shape[0])
