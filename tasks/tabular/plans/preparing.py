"""Operations of plans that prepare columns: the counterparts of a pipeline's transformers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from tasks.tabular.periods import PERIODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from tasks.tabular.plans.plan import Registers


class Light:
    """An operation that needs no package and is ready as it was stored."""

    @property
    def needs(self) -> tuple[str, ...]:
        """No package."""
        return ()

    def open(self, threads: int) -> None:
        """Nothing to do."""


class Held:
    """An operation that holds fitted objects made of `packages`."""

    packages: tuple[str, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """Whatever the objects are made of."""
        return self.packages

    def open(self, threads: int) -> None:
        """Nothing to do."""


@dataclass(frozen=True)
class Gather(Light):
    """Columns of several registers side by side, shape (n_rows, n_columns).

    `parts` are pairs of a register and the places of its columns.
    """

    parts: tuple[tuple[int, NDArray[np.intp]], ...]

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:
        """Copy the columns together."""
        width = sum(len(places) for _, places in self.parts)
        made = np.empty((size, width))
        start = 0
        for register, places in self.parts:
            stop = start + len(places)
            made[:, start:stop] = registers[register][:, places]
            start = stop
        return made


@dataclass(frozen=True)
class Codes(Light):
    """One number per text of several columns, by what it is; None is a text too.

    `columns` are triples of a register, the numbers by text, and that of all other texts.
    """

    columns: tuple[tuple[int, dict[str | None, float], float], ...]

    @property
    def tables(self) -> list[tuple[int, Iterable[str | None]]]:
        """The texts it knows, by register."""
        return [(register, table) for register, table, _ in self.columns]

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:
        """Look the texts up."""
        if size == 1:
            found = [table.get(registers[at][0], other) for at, table, other in self.columns]
            return np.array([found], dtype=np.float64)
        made = np.empty((size, len(self.columns)))
        for place, (register, look_up) in enumerate(self._lookups):
            made[:, place] = np.fromiter(map(look_up, registers[register]), np.float64, size)
        return made

    @cached_property
    def _lookups(self) -> list[tuple[int, Callable[[str | None], float]]]:
        return [(at, _Default(table, other).__getitem__) for at, table, other in self.columns]

    def __getstate__(self) -> dict[str, Any]:
        """Store the tables once."""
        return {"columns": self.columns}


class _Default(dict[str | None, float]):
    """A table that has a number for every text."""

    def __init__(self, table: dict[str | None, float], other: float) -> None:
        super().__init__(table)
        self._other = other

    def __missing__(self, text: str | None) -> float:
        return self._other


@dataclass(frozen=True)
class Vectors(Light):
    """Several numbers per text of one column: an indicator per category, a mean per class.

    `table` has a row per place in `rows`; `other` is the row of all other texts.
    """

    register: int
    rows: dict[str | None, int]
    other: int
    table: NDArray[np.float64]

    @property
    def tables(self) -> list[tuple[int, Iterable[str | None]]]:
        """The texts it knows, by register."""
        return [(self.register, self.rows)]

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Look the texts up."""
        get, other = self.rows.get, self.other
        found: NDArray[np.float64] = self.table[
            [get(text, other) for text in registers[self.register]]
        ]
        return found


@dataclass(frozen=True)
class FilledText(Light):
    """A column of texts whose gaps are filled."""

    register: int
    fill: str

    def apply(self, registers: Registers, size: int) -> list[str]:  # noqa: ARG002 - all alike
        """Fill the gaps."""
        return [self.fill if text is None else text for text in registers[self.register]]


@dataclass(frozen=True)
class Filled(Light):
    """Numbers whose gaps are filled, and indicators of the `marked` columns' gaps."""

    source: int
    values: NDArray[np.float64]
    marked: NDArray[np.intp]

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Fill the gaps."""
        given = registers[self.source]
        gaps = np.isnan(given)
        filled = np.where(gaps, self.values, given)
        if not len(self.marked):
            return filled
        return np.concatenate([filled, gaps[:, self.marked]], axis=1)


@dataclass(frozen=True)
class Scaled(Light):
    """Numbers minus, over, times and plus what their columns were fitted with."""

    source: int
    minus: NDArray[np.float64] | None = None
    over: NDArray[np.float64] | None = None
    times: NDArray[np.float64] | None = None
    plus: NDArray[np.float64] | None = None

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Scale a copy."""
        made: NDArray[np.float64] = registers[self.source].copy()
        if self.minus is not None:
            made -= self.minus
        if self.over is not None:
            made /= self.over
        if self.times is not None:
            made *= self.times
        if self.plus is not None:
            made += self.plus
        return made


@dataclass(frozen=True)
class Parts(Light):
    """Parts of dates as the clocks of a time zone show them; see `transformers.dates`."""

    registers_: tuple[int, ...]
    parts: tuple[str, ...]
    cyclical: bool
    timezone: str
    since: datetime

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:
        """Take the dates apart, column by column."""
        zone = ZoneInfo(self.timezone)
        made: list[NDArray[np.float64]] = []
        for register in self.registers_:
            moments = [m and m.astimezone(zone) for m in registers[register]]
            for part in self.parts:
                values = np.array([self._part(moment, part) for moment in moments])
                made.append(values)
                if self.cyclical and part in PERIODS:
                    first, period = PERIODS[part]
                    angles = (values - first) * (2 * np.pi / period)
                    made += [np.sin(angles), np.cos(angles)]
        return np.column_stack(made) if made else np.empty((size, 0))

    def _part(self, moment: datetime | None, part: str) -> float:
        if moment is None:
            return np.nan
        if part == "days":
            passed = moment.replace(tzinfo=None) - self.since
            whole = (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds
            return float(whole) / 1e6 / 86_400.0  # as pandas has it, rounding included
        return float(_READ[part](moment))


_READ: dict[str, Callable[[datetime], float]] = {
    "year": lambda m: m.year,
    "quarter": lambda m: (m.month - 1) // 3 + 1,
    "month": lambda m: m.month,
    "week": lambda m: m.isocalendar().week,
    "day": lambda m: m.day,
    "dayofweek": lambda m: m.weekday(),
    "dayofyear": lambda m: m.timetuple().tm_yday,
    "hour": lambda m: m.hour,
    "minute": lambda m: m.minute,
    "second": lambda m: m.second,
    "weekend": lambda m: m.weekday() >= 5,  # noqa: PLR2004 - Saturday
}

READABLE = frozenset(_READ) | {"days"}
"""Parts of dates a plan reads; holidays need a calendar."""


@dataclass(frozen=True)
class Spans(Light):
    """Seconds from one column of dates to others, in a unit of so many seconds."""

    start: int
    ends: tuple[int, ...]
    unit: float

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Subtract."""
        first: Sequence[datetime | None] = registers[self.start]
        made = [
            [
                np.nan if one is None or other is None else _seconds(other - one)
                for one, other in zip(first, registers[end], strict=True)
            ]
            for end in self.ends
        ]
        return np.array(made).T / self.unit


def _seconds(span: Any) -> float:
    whole = (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
    return float(whole) / 1e6


@dataclass(frozen=True)
class Transformed(Held):
    """What a fitted transformer of numbers makes of them: the object itself, on arrays."""

    source: int
    transformer: Any
    packages: tuple[str, ...]

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Transform a copy: some transformers write where they read."""
        made = self.transformer.transform(registers[self.source].copy())
        dense = made.toarray() if hasattr(made, "toarray") else made
        return np.asarray(dense, dtype=np.float64)


@dataclass(frozen=True)
class Words(Held):
    """Free texts as projected word frequencies: the parts of skrub's encoder, without frames.

    `projection` is None where so few words were fitted on that their counts stand for themselves.
    """

    register: int
    vectorizer: Any
    projection: Any
    width: int
    factor: float
    packages: tuple[str, ...]

    def apply(self, registers: Registers, size: int) -> NDArray[np.float64]:  # noqa: ARG002 - all alike
        """Count and project."""
        texts = ["" if text is None else text for text in registers[self.register]]
        counts = self.vectorizer.transform(texts).astype("float32")
        if self.projection is None:
            made = counts[:, : self.width].toarray()
        else:
            made = self.projection.transform(counts)
        made = made / self.factor
        return np.asarray(made, dtype=np.float64)
