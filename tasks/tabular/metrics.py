"""Metrics by scikit-learn's names, all turned so that greater is better."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from tasks.tabular import figures
from tasks.tabular.errors import MetricDomainError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tasks.tabular.problem import Problem

MetricName = Literal[
    "roc_auc",
    "roc_auc_ovr_weighted",
    "roc_auc_ovo",
    "roc_auc_ovo_weighted",
    "average_precision",
    "neg_log_loss",
    "neg_brier_score",
    "d2_log_loss_score",
    "d2_brier_score",
    "top_k_accuracy",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    "precision",
    "precision_macro",
    "precision_micro",
    "precision_weighted",
    "recall",
    "recall_macro",
    "recall_micro",
    "recall_weighted",
    "jaccard",
    "jaccard_macro",
    "jaccard_micro",
    "jaccard_weighted",
    "matthews_corrcoef",
    "cohen_kappa",
    "cohen_kappa_linear",
    "cohen_kappa_quadratic",
    "neg_root_mean_squared_error",
    "neg_mean_squared_error",
    "neg_mean_absolute_error",
    "neg_median_absolute_error",
    "neg_max_error",
    "neg_mean_absolute_percentage_error",
    "neg_root_mean_squared_log_error",
    "neg_mean_squared_log_error",
    "neg_mean_poisson_deviance",
    "neg_mean_gamma_deviance",
    "neg_mean_pinball_loss_0.1",
    "neg_mean_pinball_loss_0.5",
    "neg_mean_pinball_loss_0.9",
    "r2",
    "explained_variance",
    "d2_absolute_error_score",
]
"""The names of `METRICS`, for forms (a test compares them)."""

ALIASES: dict[str, MetricName] = {
    "AUC": "roc_auc",
    "ROC AUC OvR": "roc_auc",
    "AUC-PR": "average_precision",
    "PR AUC": "average_precision",
    "Log loss": "neg_log_loss",
    "logloss": "neg_log_loss",
    "Cross entropy": "neg_log_loss",
    "Brier": "neg_brier_score",
    "Top 2 accuracy": "top_k_accuracy",
    "Acc": "accuracy",
    "Prec.": "precision",
    "MCC": "matthews_corrcoef",
    "Kappa": "cohen_kappa",
    "Quadratic kappa": "cohen_kappa_quadratic",
    "QWK": "cohen_kappa_quadratic",
    "RMSE": "neg_root_mean_squared_error",
    "MSE": "neg_mean_squared_error",
    "MAE": "neg_mean_absolute_error",
    "MedAE": "neg_median_absolute_error",
    "MAPE": "neg_mean_absolute_percentage_error",
    "RMSLE": "neg_root_mean_squared_log_error",
    "MSLE": "neg_mean_squared_log_error",
    "Poisson deviance": "neg_mean_poisson_deviance",
    "Gamma deviance": "neg_mean_gamma_deviance",
    "Pinball": "neg_mean_pinball_loss_0.5",
    "Pinball loss": "neg_mean_pinball_loss_0.5",
    "Mean pinball loss": "neg_mean_pinball_loss_0.5",
    "Pinball 0.1": "neg_mean_pinball_loss_0.1",
    "Pinball 0.5": "neg_mean_pinball_loss_0.5",
    "Pinball 0.9": "neg_mean_pinball_loss_0.9",
}
"""The field's short names, PyCaret's among them. Case and punctuation do not matter, and
scikit-learn's names are understood without `neg_` and with or without `_score` as well."""

Needs = Literal["scores", "labels"]
Domain = Literal["any", "non-negative", "positive"]
_OF_ONE_CLASS = ("f1", "precision", "recall", "jaccard")


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of merit.

    `function(y, predicted)` gets class codes 0…k-1 (or the target, in regression) and either
    the probabilities, shape (n_rows, n_classes), or the predicted codes (or values). Where the
    figure depends on the confusion matrix alone, `of_confusion` computes it for many at once,
    shape (…, k, k) to shape (…). `domain` says which targets it is defined for.
    """

    name: str
    kinds: tuple[str, ...]
    needs: Needs
    function: Callable[[NDArray[Any], NDArray[Any]], float]
    of_confusion: Callable[[figures.Counts], NDArray[np.float64]] | None = None
    domain: Domain = "any"


def canonical(name: str) -> MetricName:
    """Return the name in `METRICS` that `name` is or stands for, whatever its case.

    Raises
    ------
    UnknownNameError
        If it stands for none; the nearest are suggested.

    Examples
    --------
    >>> canonical("Log loss"), canonical("R²")
    ('neg_log_loss', 'r2')
    """
    found = _NAMES.get(_folded(str(name)))
    if found is None:
        raise UnknownNameError("metric", str(name), tuple(METRICS))
    return found


def choose(problem: Problem, name: str | None = None) -> Metric:
    """Return the metric called `name`, or the usual one for the problem.

    F1, precision, recall and Jaccard are those of the second of two classes; of more than two
    they are the averages weighted by the classes' rows, as PyCaret shows them.

    Raises
    ------
    UnknownNameError
        If no metric for this kind of problem has that name or alias, whatever its case.
    """
    known = tuple(each.name for each in METRICS.values() if problem.kind in each.kinds)
    wanted = _NAMES.get(_folded(name or _DEFAULTS[problem.kind]), "")
    if problem.kind == "multiclass" and wanted in _OF_ONE_CLASS:
        wanted = f"{wanted}_weighted"
    if wanted not in known:
        raise UnknownNameError(f"metric for {problem.kind} problems", str(name), known)
    return METRICS[wanted]


def evaluate(
    metric: Metric, y: NDArray[Any], scores: NDArray[Any], threshold: float = 0.5
) -> float:
    """Score predictions; NaN where a prediction is no number or the metric is not defined.

    Parameters
    ----------
    y : array, shape (n_rows,)
        Class codes, or the target's values.
    scores : array, shape (n_rows, n_classes), or (n_rows,) in regression
        What `predict_scores` returned.
    threshold : float, default 0.5
        Probability of the second of two classes from which a model says so.

    Raises
    ------
    MetricDomainError
        If the metric is not defined for the targets.
    """
    require_domain(metric, y)
    if not np.isfinite(scores).all():
        return float("nan")
    predicted = decide(scores, threshold) if metric.needs == "labels" else scores
    with np.errstate(over="ignore"):
        return float(metric.function(y, predicted))


def require_domain(metric: Metric, y: NDArray[Any]) -> None:
    """Raise `MetricDomainError` if the metric is not defined for a target's values."""
    if metric.domain == "any" or not len(y):
        return
    least = float(y.min())
    if least < 0 or (least == 0 and metric.domain == "positive"):
        raise MetricDomainError(metric.name, metric.domain, least)


def decide(scores: NDArray[Any], threshold: float = 0.5) -> NDArray[Any]:
    """Return the class codes that scores mean, or the values, shape (n_rows,)."""
    if scores.ndim == 1:
        return scores
    if scores.shape[1] == 2 and threshold != 0.5:  # noqa: PLR2004 - where a half is argmax's tie
        return (scores[:, 1] >= threshold).astype(np.intp)
    return np.asarray(scores.argmax(axis=1))


def _by_confusion(
    figure: Callable[[figures.Counts], NDArray[np.float64]], y: NDArray[Any], labels: NDArray[Any]
) -> float:
    return float(figure(figures.confusion(y, labels)))


_CLASSES = ("binary", "multiclass")


def _registry() -> list[Metric]:
    area, classes = partial(figures.one_against_rest, figures.area), _CLASSES
    scored: list[tuple[str, tuple[str, ...], Callable[..., float]]] = [
        ("roc_auc", classes, area),
        ("roc_auc_ovr_weighted", classes, partial(area, weighted=True)),
        ("roc_auc_ovo", classes, figures.one_against_one),
        ("roc_auc_ovo_weighted", classes, partial(figures.one_against_one, weighted=True)),
        ("average_precision", classes, partial(figures.one_against_rest, figures.precision_area)),
        ("neg_log_loss", classes, figures.neg_log_loss),
        ("neg_brier_score", classes, figures.neg_brier),
        ("d2_log_loss_score", classes, figures.d2_log_loss),
        ("d2_brier_score", classes, figures.d2_brier),
        ("top_k_accuracy", ("multiclass",), figures.top_k),
    ]
    counted: list[tuple[str, tuple[str, ...], Callable[[figures.Counts], NDArray[np.float64]]]] = [
        ("accuracy", classes, figures.accuracy),
        ("balanced_accuracy", classes, figures.balanced_accuracy),
        *(
            (
                figure if average == "second" else f"{figure}_{average}",
                ("binary",) if average == "second" else classes,
                partial(figures.of_class, figure=figure, average=average),
            )
            for figure in _OF_ONE_CLASS
            for average in ("second", "macro", "micro", "weighted")
        ),
        ("matthews_corrcoef", classes, figures.matthews),
        ("cohen_kappa", classes, partial(figures.kappa, power=0)),
        ("cohen_kappa_linear", classes, partial(figures.kappa, power=1)),
        ("cohen_kappa_quadratic", classes, partial(figures.kappa, power=2)),
    ]
    losses: list[tuple[str, Callable[..., float], Domain]] = [
        ("root_mean_squared_error", partial(figures.root, figures.mean_squared), "any"),
        ("mean_squared_error", figures.mean_squared, "any"),
        ("mean_absolute_error", figures.mean_absolute, "any"),
        ("median_absolute_error", figures.median_error, "any"),
        ("max_error", figures.max_error, "any"),
        ("mean_absolute_percentage_error", figures.mean_percentage, "any"),
        (
            "root_mean_squared_log_error",
            partial(figures.root, figures.mean_squared_log),
            "non-negative",
        ),
        ("mean_squared_log_error", figures.mean_squared_log, "non-negative"),
        ("mean_poisson_deviance", figures.poisson, "non-negative"),
        ("mean_gamma_deviance", figures.gamma, "positive"),
        *(
            (f"mean_pinball_loss_{q}", partial(figures.pinball, quantile=q), "any")
            for q in (0.1, 0.5, 0.9)
        ),
    ]
    skills = {
        "r2": figures.r2,
        "explained_variance": figures.explained_variance,
        "d2_absolute_error_score": figures.d2_absolute,
    }
    quantity = ("regression",)
    return [
        *(Metric(name, kinds, "scores", each) for name, kinds, each in scored),
        *(
            Metric(name, kinds, "labels", partial(_by_confusion, each), each)
            for name, kinds, each in counted
        ),
        *(
            Metric(
                f"neg_{name}", quantity, "labels", partial(figures.negative, each), domain=domain
            )
            for name, each, domain in losses
        ),
        *(Metric(name, quantity, "labels", each) for name, each in skills.items()),
    ]


METRICS: dict[str, Metric] = {metric.name: metric for metric in _registry()}

_DEFAULTS = {
    "binary": "roc_auc",
    "multiclass": "neg_log_loss",
    "regression": "neg_root_mean_squared_error",
}


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", unicodedata.normalize("NFKC", name).casefold()).strip("_")


def _spellings(name: str) -> set[str]:
    bare = name.removeprefix("neg_").removesuffix("_score")
    loss = (f"neg_{bare}",) if name.startswith("neg_") else ()
    return {_folded(each) for each in (name, bare, f"{bare}_score", *loss)}


_NAMES: dict[str, MetricName] = {
    **{each: cast("MetricName", name) for name in METRICS for each in _spellings(name)},
    **{_folded(alias): name for alias, name in ALIASES.items()},
}
