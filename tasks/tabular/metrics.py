"""Metrics by scikit-learn's names, all turned so that greater is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn import metrics

from tasks.tabular.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tasks.tabular.problem import Problem

MetricName = Literal[
    "roc_auc",
    "average_precision",
    "neg_log_loss",
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "neg_root_mean_squared_error",
    "neg_mean_absolute_error",
    "r2",
]
"""The names of `METRICS`, for forms (a test compares them)."""

Needs = Literal["scores", "labels"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of merit.

    `function(y, predicted)` gets class codes 0…k-1 (or the target, in regression) and either
    the probabilities, shape (n_rows, n_classes), or the predicted codes (or values).
    """

    name: str
    kinds: tuple[str, ...]
    needs: Needs
    function: Callable[[NDArray[Any], NDArray[Any]], float]


def _roc_auc(y: NDArray[Any], scores: NDArray[Any]) -> float:
    if scores.shape[1] == 2:  # noqa: PLR2004 - binary: the second column is the positive class
        return float(metrics.roc_auc_score(y, scores[:, 1]))
    labels = np.arange(scores.shape[1])
    return float(metrics.roc_auc_score(y, scores, multi_class="ovr", labels=labels))


def _average_precision(y: NDArray[Any], scores: NDArray[Any]) -> float:
    return float(metrics.average_precision_score(y, scores[:, 1]))


def _neg_log_loss(y: NDArray[Any], scores: NDArray[Any]) -> float:
    return -float(metrics.log_loss(y, scores, labels=np.arange(scores.shape[1])))


def _f1_macro(y: NDArray[Any], labels: NDArray[Any]) -> float:
    return float(metrics.f1_score(y, labels, average="macro"))


_CLASSES = ("binary", "multiclass")

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", _CLASSES, "scores", _roc_auc),
        Metric("average_precision", ("binary",), "scores", _average_precision),
        Metric("neg_log_loss", _CLASSES, "scores", _neg_log_loss),
        Metric("accuracy", _CLASSES, "labels", metrics.accuracy_score),
        Metric("balanced_accuracy", _CLASSES, "labels", metrics.balanced_accuracy_score),
        Metric("f1_macro", _CLASSES, "labels", _f1_macro),
        Metric(
            "neg_root_mean_squared_error",
            ("regression",),
            "labels",
            lambda y, predicted: -float(metrics.root_mean_squared_error(y, predicted)),
        ),
        Metric(
            "neg_mean_absolute_error",
            ("regression",),
            "labels",
            lambda y, predicted: -float(metrics.mean_absolute_error(y, predicted)),
        ),
        Metric("r2", ("regression",), "labels", metrics.r2_score),
    )
}

_DEFAULTS = {
    "binary": "roc_auc",
    "multiclass": "neg_log_loss",
    "regression": "neg_root_mean_squared_error",
}


def choose(problem: Problem, name: str | None = None) -> Metric:
    """Return the metric called `name`, or the usual one for the problem.

    Raises
    ------
    UnknownNameError
        If no metric for this kind of problem has that name, whatever its case.
    """
    known = tuple(each.name for each in METRICS.values() if problem.kind in each.kinds)
    wanted = (name or _DEFAULTS[problem.kind]).casefold()
    if wanted not in known:
        raise UnknownNameError(f"metric for {problem.kind} problems", str(name), known)
    return METRICS[wanted]


def evaluate(
    metric: Metric, y: NDArray[Any], scores: NDArray[Any], threshold: float = 0.5
) -> float:
    """Score predictions.

    Parameters
    ----------
    y : array, shape (n_rows,)
        Class codes, or the target's values.
    scores : array, shape (n_rows, n_classes), or (n_rows,) in regression
        What `predict_scores` returned.
    threshold : float, default 0.5
        Probability of the second of two classes from which a model says so.
    """
    predicted = decide(scores, threshold) if metric.needs == "labels" else scores
    return float(metric.function(y, predicted))


def decide(scores: NDArray[Any], threshold: float = 0.5) -> NDArray[Any]:
    """Return the class codes that scores mean, or the values, shape (n_rows,)."""
    if scores.ndim == 1:
        return scores
    if scores.shape[1] == 2 and threshold != 0.5:  # noqa: PLR2004 - where a half is argmax's tie
        return (scores[:, 1] >= threshold).astype(np.intp)
    return np.asarray(scores.argmax(axis=1))
