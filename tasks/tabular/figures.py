"""The arithmetic of the metrics: from class codes or values and predictions to one figure.

Figures of predicted classes are computed from the confusion matrix, figures of probabilities
from one sort or one look-up per row: a search scores thousands of times, and scikit-learn's
validation of its input takes longer than the arithmetic. Tests hold every one against
scikit-learn's own.

Throughout, `y` are class codes 0…k-1 or a target's values, shape (n_rows,), `scores` are
probabilities, shape (n_rows, k), and `values` are predicted ones, shape (n_rows,).
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import xlogy

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Counts = Any
"""Rows by class (axis -2) and predicted class (axis -1): array, shape (…, k, k)."""

_TOP = 2


def confusion(y: NDArray[Any], labels: NDArray[Any], classes: int = 2) -> NDArray[np.int64]:
    """Count rows by class and predicted class, shape (k, k), k being at least `classes`."""
    size = max(classes, int(y.max(initial=0)) + 1, int(labels.max(initial=0)) + 1)
    cells = y.astype(np.intp) * size + labels.astype(np.intp)
    return np.bincount(cells, minlength=size * size).reshape(size, size)


def rank(
    positive: NDArray[np.bool_], scores: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the rows at or above every distinct score, greatest first.

    Returns
    -------
    thresholds, hits, false_alarms : arrays, shape (n_distinct,)
        The scores, and how many positive and negative rows reach each.
    """
    order = np.argsort(scores)[::-1]
    falling = scores[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    hits = np.cumsum(positive[order], dtype=np.int64)[last]
    return falling[last], hits, last + 1 - hits


def area(positive: NDArray[np.bool_], scores: NDArray[Any]) -> float:
    """Area under the ROC curve; NaN without rows of both kinds."""
    _, hits, alarms = rank(positive, scores)
    if not hits[-1] or not alarms[-1]:
        return float("nan")
    cells = np.trapezoid(np.append(0, hits), np.append(0, alarms))
    return float(cells / (float(hits[-1]) * float(alarms[-1])))


def precision_area(positive: NDArray[np.bool_], scores: NDArray[Any]) -> float:
    """Sum the precision over the steps of recall; NaN without positive rows."""
    _, hits, alarms = rank(positive, scores)
    if not hits[-1]:
        return float("nan")
    return float(np.sum(np.diff(hits, prepend=0) * hits / (hits + alarms)) / hits[-1])


def _mean(figures: list[float], weights: list[float]) -> float:
    """Average over what is defined: a class that is not among the rows does not count."""
    values, shares = np.asarray(figures), np.asarray(weights, dtype=float)
    defined = ~np.isnan(values)
    if not shares[defined].sum():
        return float("nan")
    return float(np.average(values[defined], weights=shares[defined]))


def one_against_rest(
    figure: Callable[[NDArray[np.bool_], NDArray[Any]], float],
    y: NDArray[Any],
    scores: NDArray[Any],
    *,
    weighted: bool = False,
) -> float:
    """Return the figure of the second class, or the mean of each class against the others."""
    classes = scores.shape[1]
    if classes == 2:  # noqa: PLR2004 - binary: the second column is the positive class
        return figure(y == 1, scores[:, 1])
    figures = [figure(y == code, scores[:, code]) for code in range(classes)]
    rows = np.bincount(y.astype(np.intp), minlength=classes)
    return _mean(figures, rows.tolist() if weighted else [1.0] * classes)


def one_against_one(y: NDArray[Any], scores: NDArray[Any], *, weighted: bool = False) -> float:
    """Average area over pairs of classes, after Hand and Till (2001)."""
    classes = scores.shape[1]
    if classes == 2:  # noqa: PLR2004 - one pair, whose two areas are equal
        return area(y == 1, scores[:, 1])
    rows = [np.flatnonzero(y == code) for code in range(classes)]
    areas, weights = [], []
    for first, second in combinations([code for code in range(classes) if len(rows[code])], 2):
        pair = np.concatenate([rows[first], rows[second]])
        among = np.arange(len(pair)) < len(rows[first])
        both = area(among, scores[pair, first]) + area(~among, scores[pair, second])
        areas.append(both / 2)
        weights.append(float(len(pair)) if weighted else 1.0)
    return _mean(areas, weights)


def _own(y: NDArray[Any], scores: NDArray[Any]) -> NDArray[Any]:
    """Probability of each row's class, shape (n_rows,)."""
    own: NDArray[Any] = scores[np.arange(len(y)), y.astype(np.intp)]
    return own


def _shares(y: NDArray[Any]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.bincount(y.astype(np.intp)) / len(y)
    return shares


def _skill(loss: float, without: float) -> float:
    """Share of the loss without a model that is gone; 0 where there was none to begin with."""
    if without == 0:
        return float(loss == 0)
    return float(1 - loss / without)


def neg_log_loss(y: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the mean log probability of the rows' classes, in nats."""
    smallest = np.finfo(scores.dtype).eps
    return float(np.log(np.clip(_own(y, scores), smallest, 1 - smallest)).mean())


def d2_log_loss(y: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the share of the class shares' log loss that is gone."""
    shares = _shares(y)
    return _skill(-neg_log_loss(y, scores), -float(xlogy(shares, shares).sum()))


def _squared(y: NDArray[Any], scores: NDArray[Any]) -> float:
    return float((np.square(scores).sum(axis=1) - 2 * _own(y, scores) + 1).mean())


def neg_brier(y: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the mean squared error of the probabilities, negative."""
    # halved for two classes, whose errors are equal
    return -_squared(y, scores) / (2 if scores.shape[1] == 2 else 1)  # noqa: PLR2004


def d2_brier(y: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the share of the class shares' squared error that is gone."""
    return _skill(_squared(y, scores), 1 - float(np.square(_shares(y)).sum()))


def top_k(y: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the share of rows whose class is among the two most probable."""
    # of equal probabilities the later class counts as greater, as scikit-learn has it
    best = np.argsort(scores, axis=1, kind="stable")[:, -_TOP:]
    return float((best == y[:, None]).any(axis=1).mean())


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Quotient, 0 where there is nothing to divide by."""
    shape = np.broadcast_shapes(part.shape, whole.shape)
    quotient = np.divide(part, whole, out=np.zeros(shape), where=whole > 0)
    return np.asarray(quotient, dtype=np.float64)


def accuracy(counts: Counts) -> NDArray[np.float64]:
    """Return the share of rows whose class is predicted."""
    return _ratio(counts.trace(axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def balanced_accuracy(counts: Counts) -> NDArray[np.float64]:
    """Return the mean recall of the classes that have rows."""
    rows = counts.sum(axis=-1)
    recalls = _ratio(np.diagonal(counts, axis1=-2, axis2=-1), rows)
    return _ratio(recalls.sum(axis=-1), (rows > 0).sum(axis=-1))


def of_class(counts: Counts, *, figure: str, average: str) -> NDArray[np.float64]:
    """F1, precision, recall or Jaccard index of the second class, or their average."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    said, rows = counts.sum(axis=-2), counts.sum(axis=-1)
    part, whole = {
        "f1": (2 * hits, said + rows),
        "precision": (hits, said),
        "recall": (hits, rows),
        "jaccard": (hits, said + rows - hits),
    }[figure]
    if average == "second":
        return _ratio(part[..., 1], whole[..., 1])
    if average == "micro":
        return _ratio(part.sum(axis=-1), whole.sum(axis=-1))
    weights = rows if average == "weighted" else ((said + rows) > 0).astype(float)
    return _ratio((_ratio(part, whole) * weights).sum(axis=-1), weights.sum(axis=-1))


def matthews(counts: Counts) -> NDArray[np.float64]:
    """Return the correlation of class and predicted class; 0 where one of them is constant."""
    counts = counts.astype(float)
    said, rows, all_ = counts.sum(axis=-2), counts.sum(axis=-1), counts.sum(axis=(-2, -1))
    hits = counts.trace(axis1=-2, axis2=-1)
    spread = (all_**2 - np.square(said).sum(axis=-1)) * (all_**2 - np.square(rows).sum(axis=-1))
    return _ratio(hits * all_ - (said * rows).sum(axis=-1), np.sqrt(spread))


def kappa(counts: Counts, *, power: int) -> NDArray[np.float64]:
    """Cohen's kappa, errors weighing the classes' distance to a power; 0 if undefined.

    The distance is that of the codes, also across a class that no row has, so that folds are
    scored alike.
    """
    codes = np.arange(counts.shape[-1])
    distance = np.abs(codes[:, None] - codes)
    weights = distance**power if power else (distance > 0).astype(float)
    rows, said = counts.sum(axis=-1), counts.sum(axis=-2)
    expected = _ratio(rows[..., :, None] * said[..., None, :], rows.sum(-1)[..., None, None])
    found, by_chance = (weights * counts).sum((-2, -1)), (weights * expected).sum((-2, -1))
    return np.where(by_chance > 0, 1 - _ratio(found, by_chance), 0.0)


def mean_squared(y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the mean squared error."""
    return float(np.square(y - values).mean())


def mean_absolute(y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the mean absolute error."""
    return float(np.abs(y - values).mean())


def mean_percentage(y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the mean absolute error as a share of the target; huge where it is zero."""
    return float((np.abs(y - values) / np.maximum(np.abs(y), np.finfo(float).eps)).mean())


def mean_squared_log(y: NDArray[Any], values: NDArray[Any]) -> float:
    """Predictions below zero count as zero, the least that targets can be."""
    return mean_squared(np.log1p(y), np.log1p(np.maximum(values, 0)))


def _positive(y: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
    """Predictions with those at or below zero, which a deviance has no figure for, near it."""
    least = np.finfo(float).eps * (float(y.mean()) or 1.0)
    return np.asarray(np.maximum(values, least), dtype=np.float64)


def poisson(y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the mean Poisson deviance."""
    expected = _positive(y, values)
    return float(2 * (xlogy(y, y / expected) - y + expected).mean())


def gamma(y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the mean gamma deviance."""
    quotient = y / _positive(y, values)
    return float(2 * (quotient - np.log(quotient) - 1).mean())


def pinball(y: NDArray[Any], values: NDArray[Any], *, quantile: float) -> float:
    """Return the mean loss of which a quantile is the minimum."""
    above = y - values
    return float(np.maximum(quantile * above, (quantile - 1) * above).mean())


def r2(y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the share of the variance that is gone."""
    return _skill(mean_squared(y, values), float(np.var(y)))


def explained_variance(y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the share of the variance that is gone, whatever the bias."""
    return _skill(float(np.var(y - values)), float(np.var(y)))


def d2_absolute(y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the share of the median's absolute error that is gone."""
    return _skill(mean_absolute(y, values), mean_absolute(y, np.median(y)))


def root(loss: Callable[..., float], y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the root of a loss."""
    return float(np.sqrt(loss(y, values)))


def negative(loss: Callable[..., float], y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return a loss turned so that greater is better."""
    return -loss(y, values)


def max_error(y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the greatest absolute error."""
    return float(np.abs(y - values).max())


def median_error(y: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the median absolute error."""
    return float(np.median(np.abs(y - values)))
