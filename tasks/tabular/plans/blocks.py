"""LightGBM's trees block by block: how many rows are taken through more trees than a cache holds.

LightGBM takes a row through all trees, then the next: trees beyond the core's first cache are
fetched again for every row. A block of trees that fits is asked instead for the leaves of all
rows. Their values are added here in the order of the trees, from which the same bits come.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

LEAST_ROWS = 200
"""Of fewer rows neither a call for each block nor another thread saves anything."""

BLOCK_LEAVES, BLOCK_TREES = 800, 3
"""A block has at least these trees, and more up to so many leaves: with their nodes 30 KB, which
a core's first cache holds. Larger trees come together in the second one."""

_LINE = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)
_SIZES = re.compile(r"^tree_sizes=.*\n?", re.MULTILINE)
_LEAVES = re.compile(r"^leaf_value=(.*)$", re.MULTILINE)
_SUMS = re.compile(r"(?:|regression|regression_l1|huber|fair|quantile|mape)(?: alpha:\S+)?")


@dataclass(frozen=True, slots=True)
class Sums:
    """What becomes of the leaves of all blocks.

    `values` are those of all leaves; `starts` are, block by block, the places of every tree's
    first; `linked` turns sums into answers.
    """

    values: NDArray[np.float64]
    starts: list[NDArray[np.float64]]
    outputs: int
    linked: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def predict(self, leaves: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Answer rows by their leaves.

        Parameters
        ----------
        leaves : iterable of arrays of float64, each of shape (n_rows, n_trees_of_block)
            What LightGBM answers for every block.

        Returns
        -------
        array of float64, shape (n_rows, n_outputs)

        Raises
        ------
        OverflowError
            If a sum is beyond what `exp` can take.
        """
        sums: Any = 0.0
        for places, starts in zip(leaves, self.starts, strict=True):
            places += starts  # noqa: PLW2901 - ours by now
            values = self.values.take(places.T.astype(np.intp, order="C"))
            values = values.reshape(-1, self.outputs, len(places))
            values[0] += sums
            sums = np.add.reduce(values, axis=0)  # one after the other, being no inner axis
        return np.ascontiguousarray(self.linked(sums).T)


def in_blocks(text: str, *, raw: bool) -> tuple[list[str], Sums] | None:
    """Cut a model into blocks, each a model of its own, or return None where that is no gain.

    LightGBM keeps in a model which of its trees it is asked for: threads cannot ask one for
    different blocks. `raw` says whether sums are wanted as they are, without the objective's link.
    """
    first, *trees = text[: text.find("\nend of trees")].split("\nTree=")
    head = dict(_LINE.findall(first))
    outputs, objective = int(head["num_tree_per_iteration"]), head.get("objective", "")
    linked = _same if raw or _SUMS.fullmatch(objective) else _LINKS.get(objective.split(" num")[0])
    if linked is None or "\naverage_output" in first or "\nis_linear=1" in text:
        return None
    leaves = [_LEAVES.search(each)[1].split() for each in trees]  # type: ignore[index]  # all have some
    sizes = np.array([len(each) for each in leaves], dtype=np.intp)
    spans = _spans(sizes, outputs)
    if len(spans) < 2:  # noqa: PLR2004 - one block is all trees
        return None
    values = np.array([value for each in leaves for value in each], dtype=np.float64)
    starts = np.split((np.cumsum(sizes) - sizes).astype(np.float64), spans[1:])
    ends = pairwise([*spans, len(trees)])
    return [_model(first, trees[start:end]) for start, end in ends], Sums(
        values, starts, outputs, linked
    )


def _model(head: str, trees: list[str]) -> str:
    """Return some trees as a model; the head's sizes are of others."""
    bodies = (each.split("\n", 1)[1] for each in trees)
    numbered = (f"\nTree={place}\n{body}" for place, body in enumerate(bodies))
    return f"{_SIZES.sub('', head)}{''.join(numbered)}\nend of trees\n"


def _spans(sizes: NDArray[np.intp], outputs: int) -> list[int]:
    """Return the first trees of all blocks; a block holds whole iterations."""
    starts, held = [0], 0
    for place, size in enumerate(sizes.reshape(-1, outputs).sum(axis=1).tolist()):
        tree = place * outputs
        if held + size > BLOCK_LEAVES and tree - starts[-1] >= BLOCK_TREES:
            starts.append(tree)
            held = 0
        held += size
    return starts


def _same(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums


def _sigmoid(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    made: NDArray[np.float64] = 1.0 / (1.0 + _exp(-sums))
    return made


def _softmax(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = _exp(sums - sums.max(axis=0))
    total = np.zeros(sums.shape[1])
    for each in raised:
        total += each
    made: NDArray[np.float64] = raised / total
    return made


def _exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raise as the C library does, which LightGBM asks: NumPy's own has other last bits."""
    raised = map(exp, values.ravel().tolist())
    return np.fromiter(raised, np.float64, values.size).reshape(values.shape)


_LINKS = {"binary sigmoid:1": _sigmoid, "multiclass": _softmax}
