"""What a neural learner is before it is trained: how columns are coded, and its first weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from tasks.tabular.errors import MissingColumnsError
from tasks.tabular.neural_scores import ONE_HOT, TABLE, Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.tabular.neural_scores import Coded, Floats, Weights

CHUNK_ROWS = 2048
"""Rows that are scored at once."""

_OUTSIDE = (-2.0, 3.0)
"""How far the outermost pieces go on, in widths of theirs, beyond the values fitted on."""

_SAME = 1e-9
"""Share of a column's range below which two edges are one."""


@dataclass
class Coder:
    """Learns how to code the columns of a table, and codes rows.

    Numbers are scaled robustly and bent towards a bound, as in RealMLP [1]_, and those with
    more than two values are coded by piecewise-linear functions too [2]_. A gap lies at the
    median and raises an indicator, if there were gaps in the rows fitted on. Infinities lie
    far out. Categories not fitted on are gaps.

    Parameters
    ----------
    pieces : int
        Most pieces a number is coded by; fewer where it has fewer values.

    References
    ----------
    .. [1] Holzmüller, Grinsztajn and Steinwart (2024), "Better by default: strong pre-tuned
       MLPs and boosted trees on tabular data", NeurIPS.
    .. [2] Gorishniy, Rubachev and Babenko (2022), "On embeddings for numerical features in
       tabular deep learning", NeurIPS.
    """

    pieces: int
    columns: list[Any] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    categories: dict[int, pd.Index] = field(default_factory=dict)
    gapless: set[int] = field(default_factory=set)
    scale: Scale = field(init=False)

    def fit(self, rows: pd.DataFrame) -> Self:
        """Learn from training rows."""
        self.columns = list(rows.columns)
        kinds = [isinstance(dtype, pd.CategoricalDtype) for dtype in rows.dtypes]
        self.numbers = [place for place, kind in enumerate(kinds) if not kind]
        for place in map(int, np.flatnonzero(kinds)):
            column: Any = rows.iloc[:, place]
            self.categories[place] = column.cat.remove_unused_categories().cat.categories
            if not column.isna().any():
                self.gapless.add(place)
        self._fit_numbers(_matrix(rows, self.numbers))
        return self

    def _fit_numbers(self, values: NDArray[np.float64]) -> None:
        finite = np.where(np.isfinite(values), values, np.nan)
        seen = [np.sort(column[~np.isnan(column)]) for column in finite.T]
        varied = np.array([p for p, each in enumerate(seen) if _spread(each)], dtype=np.intp)
        kept = [seen[place] for place in varied]
        low = np.array([each[0] for each in kept])
        high = np.array([each[-1] for each in kept])
        quarters = [np.subtract(*np.quantile(each, [0.75, 0.25])) for each in kept]
        edges = [_edges(each, self.pieces) for each in kept]
        pieced = np.flatnonzero([len(each) > 2 for each in edges])  # noqa: PLR2004 - one piece is a line
        starts, widths, floors, tops = _pieces([edges[place] for place in pieced])
        self.scale = Scale(
            gappy=np.flatnonzero(np.isnan(values).any(axis=0)),
            varied=varied,
            low=low,
            high=high,
            middle=np.array([np.median(each) for each in kept]),
            spread=np.where(np.array(quarters) > 0, quarters, (high - low) / 2),
            pieced=pieced,
            starts=starts,
            widths=widths,
            floors=floors,
            tops=tops,
        )

    @property
    def embedded(self) -> list[int]:
        """Places of the columns in the embedding table."""
        return [place for place, names in self.categories.items() if len(names) > ONE_HOT]

    @property
    def codes(self) -> int:
        """Rows of the embedding table; every column's first is the gap."""
        return sum(len(self.categories[place]) + 1 for place in self.embedded)

    def offsets(self) -> list[int]:
        """Return where every embedded column's rows of the table begin."""
        sizes = [len(self.categories[place]) + 1 for place in self.embedded]
        return [int(each) for each in np.cumsum([0, *sizes])[:-1]]

    def aligned(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the columns fitted on, in their order.

        Raises
        ------
        MissingColumnsError
            If one is not there.
        """
        if list(rows.columns) == self.columns:
            return rows
        missing = tuple(str(each) for each in self.columns if each not in rows.columns)
        if missing:
            raise MissingColumnsError(missing, tuple(map(str, rows.columns)))
        return rows[self.columns]

    def code(self, rows: pd.DataFrame) -> Coded:
        """Code rows that have the columns fitted on."""
        columns = [
            (_codes(rows.iloc[:, place], names), len(names))
            for place, names in self.categories.items()
        ]
        return self.scale.code(_matrix(rows, self.numbers), columns)


def draw_weights(
    coder: Coder,
    plain: int,
    outputs: int,
    *,
    members: int,
    width: int,
    depth: int,
    embedding: int,
    generator: np.random.Generator,
) -> Weights:
    """Draw the weights a network starts from.

    Members share the hidden layers, and differ by how they weigh the inputs, by biases and
    by the last layer: TabM-mini of Gorishniy, Kotelnikov and Babenko (2025), "TabM: advancing
    tabular deep learning with parameter-efficient ensembling", ICLR.
    """

    def uniform(*shape: int, bound: float) -> Floats:
        return generator.uniform(-bound, bound, shape).astype(np.float32)

    weights: Weights = {}
    numbers, pieces = coder.scale.starts.shape
    inputs = plain
    if numbers and embedding:
        size = max(2, min(embedding, _EMBEDDED // numbers))
        weights["embed"] = uniform(numbers, pieces, size, bound=pieces**-0.5)
        weights["embed_bias"] = np.zeros((numbers, 1, size), dtype=np.float32)
        inputs += numbers * size
    if coder.codes:
        table = generator.normal(0, 0.5, (coder.codes, TABLE)).astype(np.float32)
        table[coder.offsets()] = 0
        weights["table"] = table
        inputs += len(coder.embedded) * TABLE
    adapter = generator.normal(size=(members, 1, inputs))
    weights["adapter"] = (adapter if members > 1 else np.ones_like(adapter)).astype(np.float32)
    for layer in range(depth):
        bound = max(1, inputs) ** -0.5
        weights[f"weight_{layer}"] = uniform(inputs, width, bound=_GAIN * bound)
        weights[f"bias_{layer}"] = uniform(members, 1, width, bound=bound)
        inputs = width
    weights["out"] = uniform(members, inputs, outputs, bound=max(1, inputs) ** -0.5)
    weights["out_bias"] = np.zeros((members, 1, outputs), dtype=np.float32)
    return weights


_EMBEDDED = 768
"""Inputs that the embeddings of all numbers together take at most, but two each."""

_GAIN = 1.4
"""Keeps the spread of hidden units about the same from layer to layer."""


def fill_gaps(weights: Weights, coder: Coder, coded: Coded) -> None:
    """Give gaps that no training row had the mean of what the column's categories mean."""
    if "table" not in weights:
        return
    table = weights["table"]
    for column, (place, start) in enumerate(zip(coder.embedded, coder.offsets(), strict=True)):
        if place in coder.gapless:
            table[start] = table[coded.codes[:, column]].mean(axis=0)


def _matrix(rows: pd.DataFrame, places: list[int]) -> NDArray[np.float64]:
    """Return columns as numbers, shape (n_rows, n_places)."""
    if not places:
        return np.empty((len(rows), 0))
    chosen = rows if len(places) == rows.shape[1] else rows.iloc[:, places]
    return np.asarray(chosen.to_numpy(dtype=np.float64, na_value=np.nan))


def _codes(column: pd.Series[Any], names: pd.Index) -> NDArray[np.int64]:
    """Return the places of values among `names`, -1 for those that are none of them."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(names.get_indexer(pd.Index(column)), dtype=np.int64)
    known = np.append(names.get_indexer(column.cat.categories), -1)
    return np.asarray(known[column.cat.codes], dtype=np.int64)


def _spread(values: NDArray[np.float64]) -> bool:
    """Whether sorted values are not all one."""
    if values.size == 0:
        return False
    size = max(abs(values[0]), abs(values[-1]))
    return bool(values[-1] - values[0] > _SAME * size)


def _edges(values: NDArray[np.float64], pieces: int) -> NDArray[np.float64]:
    """Choose where pieces begin and end: frequent values apart, others by their quantiles.

    A column that is zero in nine rows of ten would else have all but a few of its edges there.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= pieces + 1:
        return _apart(distinct)
    frequent = np.flatnonzero(counts > len(values) / pieces)
    others = np.repeat(np.delete(distinct, frequent), np.delete(counts, frequent))
    after = np.minimum(frequent + 1, len(distinct) - 1)
    room = max(2, pieces - 1 - 2 * len(frequent))
    chosen = np.concatenate(
        [
            distinct[frequent],
            distinct[after],
            distinct[[0, -1]],
            np.quantile(others, np.linspace(0, 1, room)),
        ]
    )
    return _apart(np.unique(chosen))


def _apart(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out edges too near to the one before."""
    far = np.diff(edges) > _SAME * (edges[-1] - edges[0])
    kept: NDArray[np.float64] = edges[np.append(True, far)]
    return kept


def _pieces(edges: list[NDArray[np.float64]]) -> tuple[NDArray[np.float64], ...]:
    """Lay out pieces, shape (n_numbers, n_pieces): starts, widths, and least and most places.

    Numbers with fewer pieces than others get some in which every value lies at zero.
    """
    most = max((len(each) - 1 for each in edges), default=0)
    shape = (len(edges), most)
    starts, widths = np.zeros(shape), np.ones(shape)
    floors, tops = np.zeros(shape), np.zeros(shape)
    for place, each in enumerate(edges):
        last = len(each) - 1
        starts[place, :last], widths[place, :last] = each[:-1], np.diff(each)
        tops[place, :last] = 1
        floors[place, 0], tops[place, last - 1] = _OUTSIDE
    return starts, widths, floors, tops
