"""A compiled model: a list of small operations on arrays, from typed columns to scores.

What a fitted pipeline does with frames, step by step, a plan does with NumPy arrays and the
boosters' own libraries. Operations are in order; each reads registers and fills the next:
first come the columns of a `rows.Batch` (its numbers, then every text, then every date), then
the operations' answers, and the last register is the scores. Nothing here imports pandas or
scikit-learn; an operation that must, says so in `needs`.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.tabular.rows import Batch, Column

INTERFACE = 1
"""Of plan and server: a server that knows another number serves the reference."""

Registers = list[Any]


class Operation(Protocol):
    """One step of a plan."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Packages whose objects it holds or whose library it calls."""

    def open(self, threads: int) -> None:
        """Make ready what was not stored, such as a native booster's handle."""

    def apply(self, registers: Registers, size: int) -> Any:
        """Compute the next register from those before, for `size` rows."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The operations of one model and what they are given.

    `columns` are those a request must have; `exact` says that scores equal the fitted
    pipeline's to the bit, not only to the last digits.
    """

    columns: tuple[Column, ...]
    operations: tuple[Operation, ...]
    exact: bool
    interface: int = INTERFACE

    def open(self, threads: int = 1) -> None:
        """Make the plan ready to score; a stored plan is opened once before its first use."""
        for operation in self.operations:
            operation.open(threads)

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        """Score rows.

        Returns
        -------
        array of float64, shape (n_rows, n_classes), or (n_rows,) in regression
        """
        registers: Registers = [batch.numbers, *batch.texts, *batch.instants]
        for operation in self.operations:
            registers.append(operation.apply(registers, batch.size))
        found: NDArray[np.float64] = registers[-1]
        return found

    def texts(self) -> dict[str, tuple[str, ...]]:
        """Return the texts that the tables of every column know, by the column's name."""
        texts = [each.name for each in self.columns if each.kind in ("categorical", "text")]
        first = 1 + sum(each.kind not in ("numeric", "boolean") for each in self.columns)
        names = dict(enumerate(texts, start=1))
        known: dict[str, dict[str, None]] = {name: {} for name in texts}
        for place, operation in enumerate(self.operations, start=first):
            if getattr(operation, "register", None) in names:  # what it makes is of that column
                names[place] = names[operation.register]  # type: ignore[attr-defined]  # just asked
            for register, table in getattr(operation, "tables", ()):
                if register in names:
                    known[names[register]] |= dict.fromkeys(t for t in table if t is not None)
        return {name: tuple(each) for name, each in known.items()}

    @property
    def needs(self) -> tuple[str, ...]:
        """Packages a server needs beside NumPy and msgspec, sorted."""
        return tuple(sorted({name for each in self.operations for name in each.needs}))


def dump_plan(plan: Plan) -> bytes:
    """Return a plan as bytes; `load_plan` reads them where the library lies beside them."""
    return pickle.dumps(plan, protocol=5)


def load_plan(content: bytes, *, threads: int = 1) -> Plan:
    """Read a plan and make it ready to score."""
    plan: Plan = pickle.loads(content)  # noqa: S301 - our own, from the store
    plan.open(threads)
    return plan
