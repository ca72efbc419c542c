"""Corrections of probabilities, as a search has fitted them; see `calibration`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.special import expit, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST = 1e-15
"""Least probability: the logarithm of zero is none."""


class Calibration(Protocol):
    """A map from probabilities to better ones, shape (n_rows, n_classes); rows sum to one."""

    def apply(self, probabilities: NDArray[Any]) -> NDArray[np.float64]:
        """Return calibrated probabilities; rows of NaN stay so."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """Log probabilities divided by `value`: above one is less sure [1]_.

    The order of a row's classes stays, and of two classes that of the rows too.

    References
    ----------
    .. [1] Guo et al. (2017), "On calibration of modern neural networks", ICML.
    """

    value: float

    def apply(self, probabilities: NDArray[Any]) -> NDArray[np.float64]:
        """Return calibrated probabilities; rows of NaN stay so."""
        return np.asarray(softmax(logs(probabilities) / self.value, axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """Of two classes, the log odds times `slope` (above zero) plus `intercept` (Platt 1999).

    The order of the rows stays; which class a half means does not.
    """

    slope: float
    intercept: float

    def apply(self, probabilities: NDArray[Any]) -> NDArray[np.float64]:
        """Return calibrated probabilities; rows of NaN stay so."""
        return both(expit(self.slope * odds(probabilities) + self.intercept))


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Of two classes, the rising line through `points`; rows between two steps tie.

    Equal steps lose the order of rows, and with it some of the area under the ROC curve.
    """

    points: tuple[tuple[float, float], ...]

    def apply(self, probabilities: NDArray[Any]) -> NDArray[np.float64]:
        """Return calibrated probabilities; rows of NaN stay so."""
        given, meant = np.asarray(self.points).T
        return both(np.interp(probabilities[:, 1], given, meant))


def logs(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logarithms of probabilities, none of them infinite."""
    found: NDArray[np.float64] = np.log(np.clip(probabilities, SMALLEST, 1))
    return found


def odds(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Return the log odds of the second of two classes."""
    found = logs(probabilities)
    return found[:, 1] - found[:, 0]


def both(second: NDArray[Any]) -> NDArray[np.float64]:
    """Return the probabilities of two classes from the second's."""
    return np.column_stack([1 - second, second]).astype(np.float64)
