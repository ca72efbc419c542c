"""The pace of boosting: learners that watch a validation part, end by themselves, keep to a time.

The classes of `boosters` take `fit(X, y, sample_weight, validation, stop_at)`: with rows to watch
the iteration that predicts them best is the one that answers; at `stop_at`, an instant of
`time.monotonic`, boosting ends with what it has. Where the time allows only few iterations
they take longer steps. Without either, the same data, seed and threads give the same trees.
Each library has a module of its own, so that a model needs only its own to be loaded.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Part = tuple[Any, "NDArray[Any]"]
"""Features and target of rows that are watched."""

PATIENCE = 60
"""Iterations without a better score on the watched rows until boosting ends, at a learning rate
of 0.05; shorter steps get more."""

ROUNDS = 250
"""Iterations at a learning rate of 0.05 that most tables are learned in: with time for fewer,
steps are longer."""

LONGEST_STEP = 0.3

_PROBED = 8
"""Iterations after which the speed is known."""


def patience(learning_rate: float) -> int:
    """Return the iterations to wait for a better score."""
    return int(np.clip(PATIENCE * 0.05 / learning_rate, 15, 300))


class Pace:
    """How far boosting has come in its time, and which step that asks for.

    `rate` is the learning rate asked for. Call `after` once an iteration with the score of the
    watched rows (smaller is better): it returns the learning rate to go on with, or None to
    stop.
    """

    def __init__(
        self, rate: float, stop_at: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self.best, self.best_score = 0, np.inf
        self._stop_at = stop_at
        self._clock = clock
        self._patience = patience(rate)
        self._first = clock()
        self._seen = 0

    def after(self, iteration: int, score: float) -> float | None:
        """Take note of an iteration."""
        if score < self.best_score:
            self.best, self.best_score = iteration, score
        elif iteration - self.best >= self._patience:
            return None
        if self._stop_at is None:
            return self.rate
        now = self._clock()
        self._seen += 1
        if self._seen == 1:  # the first has what is done once
            self._first = now
        elif self._seen == _PROBED:
            self._hurry((now - self._first) / (_PROBED - 1), now)
        return None if now >= self._stop_at else self.rate

    def _hurry(self, seconds: float, now: float) -> None:
        """Lengthen the steps if the time left is too short for the usual number of them."""
        left = max(1.0, (self._stop_at - now) / max(seconds, 1e-6)) if self._stop_at else np.inf
        wanted = ROUNDS * 0.05 / self.rate
        if left < wanted:
            self.rate = max(self.rate, min(LONGEST_STEP, self.rate * wanted / left))
            self._patience = patience(self.rate)
