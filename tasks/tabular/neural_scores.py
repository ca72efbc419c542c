"""What a fitted network computes: codes of numbers and categories, and the scores of them.

Only NumPy is needed here, so that a network serves where neither PyTorch nor pandas is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Weights = dict[str, Floats]

ONE_HOT = 3
"""Categories up to which a column is one-hot; more are embedded."""

TABLE = 8
"""Inputs an embedded category takes."""

_CLIP = 3.0
"""Interquartile ranges from the median that bent values stay within."""

_FAR = 1000.0
"""Ranges of a column beyond its ends where larger values, infinite ones too, are put."""


@dataclass(frozen=True, slots=True)
class Coded:
    """Rows as a network reads them.

    `plain` has shape (n_rows, n_plain); `pieces` the places of numbers within their pieces,
    shape (n_numbers, n_rows, n_pieces); `codes` rows of the embedding table, shape
    (n_rows, n_embedded).
    """

    plain: Floats
    pieces: Floats
    codes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scale:
    """How numbers are coded, learned by `neural_layers.Coder`.

    `varied` columns have more than one value: `low`, `high`, `middle` and `spread` are theirs.
    Of those the `pieced` ones have pieces, laid out as shape (n_pieced, n_pieces). `gappy`
    columns had gaps.
    """

    gappy: NDArray[np.intp]
    varied: NDArray[np.intp]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    middle: NDArray[np.float64]
    spread: NDArray[np.float64]
    pieced: NDArray[np.intp]
    starts: NDArray[np.float64]
    widths: NDArray[np.float64]
    floors: NDArray[np.float64]
    tops: NDArray[np.float64]

    def code(
        self, values: NDArray[np.float64], categories: Sequence[tuple[NDArray[np.int64], int]]
    ) -> Coded:
        """Code rows.

        Parameters
        ----------
        values : array of float, shape (n_rows, n_numbers)
        categories : sequence of pairs
            Codes by row, -1 for gaps, and the number of categories, column by column.
        """
        gaps = np.isnan(values)
        kept = values[:, self.varied]
        far = _FAR * (self.high - self.low)
        kept = np.clip(np.where(np.isnan(kept), self.middle, kept), self.low - far, self.high + far)
        scaled = (kept - self.middle) / self.spread
        plain: list[NDArray[Any]] = [
            scaled / np.sqrt(1 + (scaled / _CLIP) ** 2),
            gaps[:, self.gappy],
        ]
        codes, offsets, start = [], [], 0
        for column, count in categories:
            if count > ONE_HOT:
                codes.append(column + 1)
                offsets.append(start)
                start += count + 1
            else:
                plain.append(column[:, None] == np.arange(count))
        embedded = np.array(codes, dtype=np.int64).reshape(len(codes), len(values)).T
        return Coded(
            np.concatenate(plain, axis=1, dtype=np.float32),
            self._place(kept[:, self.pieced]),
            embedded + np.array(offsets, dtype=np.int64),
        )

    def _place(self, values: NDArray[np.float64]) -> Floats:
        """Place values in their pieces, shape (n_numbers, n_rows, n_pieces)."""
        placed = np.empty((*values.T.shape, self.starts.shape[1]), dtype=np.float32)
        for place, column in enumerate(values.T):
            within = (column[:, None] - self.starts[place]) / self.widths[place]
            np.clip(within, self.floors[place], self.tops[place], out=within)
            placed[place] = within
        return placed


def forward(weights: Weights, coded: Coded) -> Floats:
    """Compute what every member says of rows, shape (n_members, n_rows, n_outputs)."""
    parts = [coded.plain]
    rows = len(coded.plain)
    if "embed" in weights:
        embedded = coded.pieces @ weights["embed"] + weights["embed_bias"]
        parts.append(embedded.transpose(1, 0, 2).reshape(rows, weights["embed_bias"].size))
    if "table" in weights:
        parts.append(weights["table"][coded.codes].reshape(rows, coded.codes.shape[1] * TABLE))
    hidden: NDArray[Any] = np.concatenate(parts, axis=1) * weights["adapter"]
    for layer in range(layers(weights)):
        hidden = hidden @ weights[f"weight_{layer}"] + weights[f"bias_{layer}"]
        np.maximum(hidden, 0, out=hidden)
    scores: Floats = hidden @ weights["out"] + weights["out_bias"]
    return scores


def layers(weights: Any) -> int:
    """Count the hidden layers of weights."""
    return sum(name.startswith("weight_") for name in weights)


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    """Turn scores into probabilities along the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: NDArray[Any] = raised / raised.sum(axis=-1, keepdims=True)
    return shares
