"""The operation of plans that scores with one of our own neural networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.tabular.neural_scores import Scale, forward, softmax
from tasks.tabular.plans.preparing import Light

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.tabular.plans.plan import Registers

_CHUNK_ROWS = 2048
"""Rows that are scored at once."""


@dataclass(frozen=True)
class Network(Light):
    """A fitted network of `neural`: codes of features, layers, and the members' mean.

    `numbers` are the places of features that are numbers; `categories` pairs of a place and the
    network's code by the feature's code, -1 for what it does not know, and how many it knows.
    `span` brings values back to the target's: scale, mean, least and most; None in classification.
    """

    source: int
    scale: Scale
    weights: dict[str, NDArray[np.float32]]
    numbers: NDArray[np.intp]
    categories: tuple[tuple[int, NDArray[np.int64], int], ...]
    span: tuple[float, float, float, float] | None

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:
        """Score in chunks, which bounds the memory."""
        features = registers[self.source]
        chunks = [
            self._scores(features[start : start + _CHUNK_ROWS])
            for start in range(0, size, _CHUNK_ROWS)
        ]
        scores: NDArray[Any] = np.concatenate(chunks, axis=1, dtype=np.float64)
        if self.span is None:
            shares: NDArray[np.float64] = softmax(scores).mean(axis=0)
            return shares
        scale, mean, least, most = self.span
        return np.asarray(np.clip(scores[..., 0].mean(axis=0) * scale + mean, least, most))

    def _scores(self, features: NDArray[np.float64]) -> NDArray[np.float32]:
        columns = [
            (known[features[:, place].astype(np.int64)], count)
            for place, known, count in self.categories
        ]
        return forward(self.weights, self.scale.code(features[:, self.numbers], columns))
