"""Make probabilities mean what they say: of rows given 0.8, four in five should be so.

A calibration is fitted on predictions of rows the model was not fitted on. Choose the decision
threshold afterwards, on calibrated probabilities: a calibration moves what a half means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax
from sklearn.isotonic import IsotonicRegression

from tasks.tabular.calibrations import (
    SMALLEST,
    Calibration,
    Isotonic,
    Sigmoid,
    Temperature,
)
from tasks.tabular.calibrations import logs as logs_of
from tasks.tabular.calibrations import odds as odds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FOLDS = 5
MIN_ROWS = 50
"""Rows from which a calibration is looked for."""

MIN_ISOTONIC_ROWS = 1_000
"""Rows from which isotonic regression is tried; below it overfits (Niculescu-Mizil and Caruana
2005, "Predicting good probabilities with supervised learning")."""

NOISE = 2.0
"""Standard errors of the mean gain in log loss that a calibration has to gain at least."""

_FITTED_CELLS = 500_000
"""Probabilities that are fitted on, at most; more add time, not precision."""


def fit_temperature(y: NDArray[Any], probabilities: NDArray[Any]) -> Temperature:
    """Fit the temperature, between 0.05 and 20, with the least log loss.

    Parameters
    ----------
    y : array, shape (n_rows,)
        Class codes.
    probabilities : array, shape (n_rows, n_classes)
        Of the same rows.
    """
    y, probabilities = _some(y, probabilities)
    logs, rows = logs_of(probabilities), np.arange(len(y))

    def loss(log_value: float) -> float:
        return -float(log_softmax(logs / np.exp(log_value), axis=1)[rows, y].mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return Temperature(float(np.exp(found.x)))


def fit_sigmoid(y: NDArray[Any], probabilities: NDArray[Any]) -> Sigmoid:
    """Fit slope and intercept to two classes, whose shares are smoothed as Platt has it."""
    y, probabilities = _some(y, probabilities)
    odds = odds_of(probabilities)
    yes = int(y.sum())
    aims = np.where(y == 1, (yes + 1) / (yes + 2), 1 / (len(y) - yes + 2))

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope = np.exp(at[0])
        logits = slope * odds + at[1]
        error = (expit(logits) - aims) / len(y)
        value = float((np.logaddexp(0, logits) - aims * logits).mean())
        return value, np.array([slope * (error * odds).sum(), error.sum()])

    found = minimize(
        loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-4.0, 4.0), (-30.0, 30.0)]
    )
    return Sigmoid(float(np.exp(found.x[0])), float(found.x[1]))


def fit_isotonic(y: NDArray[Any], probabilities: NDArray[Any]) -> Isotonic:
    """Fit a rising line to two classes, no nearer to 0 and 1 than the rows can tell."""
    margin = 1 / (len(y) + 2)
    line = IsotonicRegression(y_min=margin, y_max=1 - margin, out_of_bounds="clip")
    line.fit(probabilities[:, 1], y)
    return Isotonic(
        tuple(zip(line.X_thresholds_.tolist(), line.y_thresholds_.tolist(), strict=True))
    )


def choose_calibration(
    y: NDArray[Any], oof_probabilities: NDArray[Any], seed: int = 0
) -> Calibration | None:
    """Choose the calibration that lowers the log loss beyond noise, or none.

    Each is fitted on four fifths of the rows and judged on the other fifth, five times. A
    calibration has to beat doing nothing, and every simpler one that does, by `NOISE`
    standard errors of the gain per row.

    Parameters
    ----------
    y : array, shape (n_rows,)
        Class codes.
    oof_probabilities : array, shape (n_rows, n_classes)
        Of models that were not fitted on the row; rows with NaN do not count.
    seed : int, default 0
        Of the fifths.

    Returns
    -------
    Calibration or None
        Fitted on all rows, or a quarter of a million of them; none with fewer than `MIN_ROWS`.
    """
    present = np.isfinite(oof_probabilities).all(axis=1)
    y, probabilities = _some(y[present], oof_probabilities[present])
    if len(y) < MIN_ROWS or len(np.unique(y)) < 2:  # noqa: PLR2004 - one class tells nothing
        return None
    fitters: list[Callable[[NDArray[Any], NDArray[Any]], Calibration]] = [fit_temperature]
    if probabilities.shape[1] == 2:  # noqa: PLR2004 - binary
        fitters += [fit_sigmoid, *([fit_isotonic] if len(y) >= MIN_ISOTONIC_ROWS else [])]
    folds = _folds(y, seed)
    best, least = None, _losses(y, probabilities)
    for fitter in fitters:
        losses = np.empty(len(y))
        for fold in range(FOLDS):
            judged = folds == fold
            fitted = fitter(y[~judged], probabilities[~judged])
            losses[judged] = _losses(y[judged], fitted.apply(probabilities[judged]))
        gains = least - losses
        if gains.mean() > NOISE * gains.std(ddof=1) / np.sqrt(len(y)) + 1e-9:
            best, least = fitter, losses
    return None if best is None else best(y, probabilities)


def expected_calibration_error(
    y: NDArray[Any], probabilities: NDArray[Any], bins: int = 15
) -> float:
    """Return how far probabilities are from the shares they promise, on average over rows.

    Of two classes the second's probability is looked at, of more that of the likeliest class.
    Bins are of equal width, empty ones do not count; small samples err upwards.

    Examples
    --------
    >>> expected_calibration_error(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]]))
    0.0
    """
    said, right = confidence(y, probabilities)
    if not len(said):
        return float("nan")
    places = np.minimum((said * bins).astype(int), bins - 1)
    missed = np.bincount(places, weights=said - right, minlength=bins)
    return float(np.abs(missed).sum() / len(said))


def confidence(
    y: NDArray[Any], probabilities: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what is said and whether it is so, 0 or 1: arrays, shape (n_rows,).

    Of two classes the second's probability is looked at, of more that of the likeliest class.
    """
    if probabilities.shape[1] == 2:  # noqa: PLR2004 - binary
        return probabilities[:, 1].astype(np.float64), (y == 1).astype(np.float64)
    return probabilities.max(axis=1), (y == probabilities.argmax(axis=1)).astype(np.float64)


def _losses(y: NDArray[np.intp], probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Log loss of each row, in nats."""
    own = probabilities[np.arange(len(y)), y]
    losses: NDArray[np.float64] = -np.log(np.clip(own, SMALLEST, 1))
    return losses


def _folds(y: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """Return each row's fold: classes are spread evenly, however few rows they have."""
    shuffled = np.random.default_rng(seed).permutation(len(y))
    folds = np.empty(len(y), dtype=np.intp)
    folds[shuffled[np.argsort(y[shuffled], kind="stable")]] = np.arange(len(y)) % FOLDS
    return folds


def _some(y: NDArray[Any], probabilities: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return enough rows to fit a few numbers on, always the same."""
    most = _FITTED_CELLS // probabilities.shape[1]
    codes = y.astype(np.intp)
    if len(y) <= most:
        return codes, probabilities
    drawn = np.random.default_rng(0).choice(len(y), most, replace=False)
    return codes[drawn], probabilities[drawn]
