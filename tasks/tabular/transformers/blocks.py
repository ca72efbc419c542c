"""What travels between the steps of a preparation: named columns, the wide ones sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pandas.api import types
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Selector = Literal["all", "numeric", "categorical", "text", "datetime"]
"""Columns by what they hold where the step stands; truth values count as numbers."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A table in two parts: a frame of ordinary columns and a sparse matrix of wide ones.

    `wide` has shape (n_rows, len(wide_names)); None stands for no columns.
    """

    frame: pd.DataFrame
    wide: sparse.csr_matrix | None = None
    wide_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the frame's first."""
        return (*map(str, self.frame.columns), *self.wide_names)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, as arrays have it."""
        return len(self.frame), len(self.names)

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, names: Sequence[str]) -> Blocks:
        """Return the columns called `names`, each part in the order asked for."""
        ordinary, wide = self._split(names)
        if not wide:
            return Blocks(self.frame[ordinary])
        return Blocks(self.frame[ordinary], self._wide(wide), tuple(wide))

    def without(self, names: Sequence[str]) -> Blocks:
        """Return all columns but those called `names`."""
        gone = set(names)
        return self.select([name for name in self.names if name not in gone])

    def joined(self, other: Blocks) -> Blocks:
        """Return the columns of both; a name both have is the other's."""
        mine = self.without(other.names) if set(self.names) & set(other.names) else self
        frames = [each for each in (mine.frame, other.frame) if each.shape[1]]
        frame = (
            pd.concat(frames, axis=1, copy=False)
            if len(frames) > 1
            else (frames or [mine.frame])[0]
        )
        matrices = [each for each in (mine.wide, other.wide) if each is not None]
        wide = sparse.hstack(matrices, format="csr") if matrices else None
        return Blocks(frame, wide, (*mine.wide_names, *other.wide_names))

    @property
    def density(self) -> float:
        """Share of cells that are stored; 1 without wide columns."""
        if self.wide is None or not self.wide.shape[1]:
            return 1.0
        rows, columns = self.shape
        return float((self.frame.size + self.wide.nnz) / max(1, rows * columns))

    def matrix(self) -> NDArray[np.float64] | sparse.csr_matrix:
        """Return all columns as numbers, shape (n_rows, n_columns); sparse if any is."""
        dense = self.frame.to_numpy(dtype=np.float64)
        if self.wide is None:
            return dense
        return sparse.hstack([_stored(dense), self.wide], format="csr")

    def array(self) -> NDArray[np.float64]:
        """Return all columns as numbers, shape (n_rows, n_columns), none sparse."""
        if self.wide is None:
            return self.frame.to_numpy(dtype=np.float64)
        first = self.frame.shape[1]
        cells = np.zeros(self.shape)
        cells[:, :first] = self.frame.to_numpy(dtype=np.float64)
        wide = self.wide
        if not wide.has_canonical_format:  # a cell may be there twice, as a sum
            wide = wide.copy()
            wide.sum_duplicates()
        rows = np.repeat(np.arange(len(self.frame)), np.diff(wide.indptr))
        cells[rows, first + wide.indices] = wide.data
        return cells

    def dense(self) -> Blocks:
        """Return the same columns, none of them sparse."""
        if self.wide is None:
            return self
        cells = pd.DataFrame(
            self.wide.toarray(), columns=list(self.wide_names), index=self.frame.index
        )
        return Blocks(pd.concat([self.frame, cells], axis=1, copy=False))

    def chosen(self, selector: Selector, *, wide: bool = True) -> list[str]:
        """Return the names of the columns a selector means, the sparse ones if `wide`."""
        is_it = _TESTS[selector]
        ordinary = [str(name) for name, kind in self.frame.dtypes.items() if is_it(kind)]
        return ordinary + (list(self.wide_names) if wide and selector in ("all", "numeric") else [])

    def _split(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        wide = set(self.wide_names)
        return [name for name in names if name not in wide], [n for n in names if n in wide]

    def _wide(self, names: list[str]) -> sparse.csr_matrix:
        assert self.wide is not None  # noqa: S101 - there are wide names
        if tuple(names) == self.wide_names:
            return self.wide
        places = {name: place for place, name in enumerate(self.wide_names)}
        return self.wide[:, [places[name] for name in names]]


def as_blocks(rows: Any) -> Blocks:
    """Return a frame, array or sparse matrix as blocks; arrays get the names x0, x1, …."""
    if isinstance(rows, Blocks):
        return rows
    if isinstance(rows, pd.DataFrame):
        return Blocks(rows)
    names = tuple(f"x{place}" for place in range(rows.shape[1]))
    if sparse.issparse(rows):
        empty = pd.DataFrame(index=pd.RangeIndex(rows.shape[0]))
        return Blocks(empty, sparse.csr_matrix(rows), names)
    return Blocks(pd.DataFrame(rows, columns=list(names)))


def _stored(dense: NDArray[np.float64]) -> sparse.csr_matrix:
    """Return a CSR matrix that stores every cell: many times faster than looking for zeros."""
    rows, columns = dense.shape
    places = np.tile(np.arange(columns, dtype=np.int32), rows)
    starts = np.arange(rows + 1, dtype=np.int64) * columns
    return sparse.csr_matrix((dense.ravel(), places, starts), shape=dense.shape)


def _is_number(kind: Any) -> bool:
    return types.is_numeric_dtype(kind) or types.is_bool_dtype(kind)


_TESTS = {
    "all": lambda _kind: True,
    "numeric": _is_number,
    "categorical": types.is_object_dtype,
    "text": lambda kind: isinstance(kind, pd.StringDtype),
    "datetime": types.is_datetime64_any_dtype,
}
