"""The probability from which a model should say the second of two classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.tabular.metrics import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tasks.tabular.metrics import Metric

CANDIDATES = 200
"""Thresholds looked at, at most; finer steps follow single rows."""

RESAMPLES = 50

_HALF = float(np.nextafter(0.5, 1))
"""What `decide` does at a half: it says the second class above a half, not at it."""


@dataclass(frozen=True, slots=True)
class ThresholdReport:
    """A decision threshold, the metric there and at a half, both on the rows it was chosen on."""

    threshold: float
    score: float
    score_at_half: float


def best_threshold(
    metric: Metric, y_codes: NDArray[Any], scores: NDArray[Any], *, seed: int = 0
) -> ThresholdReport:
    """Choose the threshold with the greatest score, or a half unless another gains beyond noise.

    The gain of the best of many thresholds is partly luck. Rows are drawn again with both
    predictions kept paired; what the best threshold of each draw gains less on all rows is the
    luck [1]_, and the gain without it has to exceed the standard error of the gain. Where a half
    is the best there is, that moves away in a tenth of the cases; with the luck left in, in half.

    Parameters
    ----------
    metric : Metric
        What to be best for. One of probabilities, or one that is no figure of the confusion
        matrix, keeps a half.
    y_codes : array of 0 and 1, shape (n_rows,)
        Class codes.
    scores : array, shape (n_rows, n_classes), or (n_rows,) in regression
        Probabilities of rows that were not fitted on; with other than two classes a half is
        kept. Rows with NaN have no prediction and do not count.
    seed : int, default 0
        Of the draws.

    References
    ----------
    .. [1] Efron (1983), "Estimating the error rate of a prediction rule", JASA 78(382).
    """
    predicted = np.isfinite(scores if scores.ndim == 1 else scores.sum(axis=1))
    y_codes, scores = y_codes[predicted], scores[predicted]
    if not len(y_codes):
        return ThresholdReport(0.5, float("nan"), float("nan"))
    at_half = evaluate(metric, y_codes, scores)
    threshold = 0.5
    if metric.of_confusion and scores.ndim == 2 and scores.shape[1] == 2:  # noqa: PLR2004 - binary
        threshold = _chosen(metric.of_confusion, y_codes.astype(np.intp), scores[:, 1], seed)
    score = evaluate(metric, y_codes, scores, threshold)
    return ThresholdReport(threshold, score, at_half)


def _chosen(
    figure: Callable[[Any], NDArray[np.float64]],
    y: NDArray[np.intp],
    probability: NDArray[Any],
    seed: int,
) -> float:
    candidates = np.unique(np.append(_candidates(y, probability), _HALF))
    half = int(np.searchsorted(candidates, _HALF))
    reached = np.searchsorted(candidates, probability, side="right")
    size = len(candidates) + 1
    cells = np.bincount(y * size + reached, minlength=2 * size)
    scores = figure(_matrices(cells.reshape(2, size)))
    near = np.flatnonzero(scores >= scores.max() - 1e-12)
    best = int(near[np.argmin(np.abs(candidates[near] - 0.5))])
    if best == half:
        return 0.5

    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(y), cells / len(y), size=RESAMPLES).reshape(-1, 2, size)
    drawn = figure(_matrices(draws))
    gains = drawn - drawn[:, [half]]
    lucky = gains.argmax(axis=1)
    luck = gains.max(axis=1) - (scores[lucky] - scores[half])
    gain = scores[best] - scores[half] - max(0.0, float(luck.mean()))
    return float(candidates[best]) if gain > gains[:, best].std(ddof=1) else 0.5


def _candidates(y: NDArray[np.intp], probability: NDArray[Any]) -> NDArray[np.float64]:
    """Return thresholds half-way between neighbouring probabilities, at quantiles of the rows.

    Both classes weigh the same, else a rare one, where the thresholds matter, would have few.
    None lies below or above all rows: a model that always says the same is not chosen here.
    """
    values, places = np.unique(probability, return_inverse=True)
    between = (values[1:] + values[:-1]) / 2
    if len(between) > CANDIDATES:
        weights = 1 / np.bincount(y, minlength=2).clip(1)
        below = np.cumsum(np.bincount(places, weights=weights[y]))[:-1]
        aims = np.linspace(below[0], below[-1], CANDIDATES)
        between = between[np.unique(np.searchsorted(below, aims).clip(max=len(below) - 1))]
    return np.asarray(between[(between > 0) & (between < 1)], dtype=np.float64)


def _matrices(cells: NDArray[Any]) -> NDArray[Any]:
    """Return confusion matrices from rows by class and number of thresholds they reach.

    Shape (…, 2, n_thresholds + 1) to shape (…, n_thresholds, 2, 2).
    """
    yes = cells[..., ::-1].cumsum(axis=-1)[..., -2::-1]
    no = cells.cumsum(axis=-1)[..., :-1]
    return np.moveaxis(np.stack([no, yes], axis=-1), -3, -2)
