"""From fitted transformers to operations: the first half of compiling a model.

Encoders of categories are not imitated but asked: every text they know, a gap and a text they
have never seen are encoded once, and the answers become the plan's tables.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.feature_selection import SelectorMixin
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from tasks.tabular.packing import packages_of
from tasks.tabular.plans import preparing as ops
from tasks.tabular.plans.errors import NotCompiledError
from tasks.tabular.rows import columns_of
from tasks.tabular.transformers.categories import NativeCategories
from tasks.tabular.transformers.columns import Matrix, OnColumns
from tasks.tabular.transformers.conforming import ConformColumns
from tasks.tabular.transformers.dates import _UNITS, DateParts, Elapsed
from tasks.tabular.transformers.filling import Filler
from tasks.tabular.transformers.numbers import Numeric, Scaler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from tasks.tabular.plans.plan import Operation
    from tasks.tabular.rows import Column
    from tasks.tabular.schema import Schema

UNSEEN = "\x00never seen"
"""A text no encoder knows."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a named column is: a register, and its place in it; texts and dates have none."""

    register: int
    place: int = -1
    kind: str = "numeric"


@dataclass
class Builder:
    """The operations so far, and where the raw columns are."""

    columns: tuple[Column, ...]
    operations: list[Operation] = field(default_factory=list)

    @classmethod
    def of(cls, schema: Schema) -> Builder:
        """Begin with the registers of a batch."""
        return cls(columns_of(schema.to_json()))

    def raw(self) -> dict[str, Cell]:
        """Return the cells of the raw columns."""
        cells: dict[str, Cell] = {}
        groups = {
            kind: [each for each in self.columns if each.kind in kinds]
            for kind, kinds in (
                ("numeric", ("numeric", "boolean")),
                ("text", ("categorical", "text")),
                ("datetime", ("datetime",)),
            )
        }
        for place, column in enumerate(groups["numeric"]):
            cells[column.name] = Cell(0, place)
        register = 1
        for kind in ("text", "datetime"):
            for column in groups[kind]:
                cells[column.name] = Cell(register, kind=column.kind)
                register += 1
        return {column.name: cells[column.name] for column in self.columns}

    def add(self, operation: Operation) -> int:
        """Append an operation and return its register."""
        raw = sum(each.kind not in ("numeric", "boolean") for each in self.columns)
        self.operations.append(operation)
        return raw + len(self.operations)

    def gathered(self, cells: Sequence[Cell]) -> int:
        """Return a register with the cells' numbers side by side."""
        parts: list[tuple[int, list[int]]] = []
        for cell in cells:
            if cell.place < 0:
                raise NotCompiledError("a column is no number where numbers are needed")
            if parts and parts[-1][0] == cell.register:
                parts[-1][1].append(cell.place)
            else:
                parts.append((cell.register, [cell.place]))
        return self.add(
            ops.Gather(tuple((at, np.array(places, dtype=np.intp)) for at, places in parts))
        )


@dataclass(frozen=True, slots=True)
class Features:
    """A preparation's answer: a register of shape (n_rows, n_features).

    `categories` are the names of the codes, by the place of a feature that holds categories.
    """

    register: int
    width: int
    categories: dict[int, tuple[str, ...]]


def compile_preparation(builder: Builder, pipeline: Pipeline) -> Features:
    """Add the operations of a fitted preparation.

    Raises
    ------
    NotCompiledError
        At the first step that has no counterpart.
    """
    table = _Table(builder.raw())
    for label, step in pipeline.steps:
        if isinstance(step, ConformColumns):
            names = [each["name"] for each in step.schema_["columns"]]
            table.cells = {name: table.cells[name] for name in names}
        elif isinstance(step, OnColumns):
            _step(builder, step, label, table)
        elif isinstance(step, Matrix):
            return _features(builder, table)
        else:
            raise NotCompiledError(f"step {label}: {type(step).__name__} has no counterpart")
    raise NotCompiledError("the preparation does not end in a matrix")


@dataclass
class _Table:
    """The named columns where a step stands: their cells, and which are sparse or categories."""

    cells: dict[str, Cell]
    wide: set[str] = field(default_factory=set)
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _features(builder: Builder, table: _Table) -> Features:
    ordered = sorted(table.cells, key=table.wide.__contains__)  # the sparse ones come last
    known = table.categories
    named = {place: known[name] for place, name in enumerate(ordered) if name in known}
    register = builder.gathered([table.cells[name] for name in ordered])
    return Features(register, len(ordered), named)


def _step(builder: Builder, step: OnColumns, label: str, table: _Table) -> None:
    """Apply one step to the named cells, as `OnColumns.transform` does to a table."""
    passes = step.transformer is None or not step.columns_ or step.keep
    gone = set() if passes else set(step.columns_)
    rest = {name: cell for name, cell in table.cells.items() if name not in gone}
    chosen = [name for name in step.columns_ if name not in table.wide]
    broad = [name for name in step.columns_ if name in table.wide]
    apart = step.wide and not step.joint
    groups = [each for each in ([chosen, broad] if apart else [chosen + broad]) if each]
    made: dict[str, Cell] = {}
    fitted = zip(step.transformers_, groups, step.outputs_, strict=True)
    for transformer, names, outputs in fitted if step.transformers_ else ():
        cells = [table.cells[name] for name in names]
        found = _transformed(builder, transformer, label, cells, names)
        if len(found) != len(outputs):
            raise NotCompiledError(f"step {label}: {len(found)} columns instead of {len(outputs)}")
        made |= dict(zip(outputs, found, strict=True))
        if _stays_sparse(transformer) or (apart and names == broad):
            table.wide |= set(outputs)
        if isinstance(transformer, NativeCategories):
            texts = (tuple(map(str, each)) for each in transformer.categories_)
            table.categories |= dict(zip(outputs, texts, strict=True))
    # a name both have is the newer one's, in the newer one's place
    table.cells = {name: cell for name, cell in rest.items() if name not in made} | made
    table.wide &= set(table.cells)


def _stays_sparse(transformer: Any) -> bool:
    return isinstance(transformer, OneHotEncoder) and bool(transformer.sparse_output)


def _transformed(
    builder: Builder, transformer: Any, label: str, cells: list[Cell], names: list[str]
) -> list[Cell]:
    """Add the operation of one fitted transformer and return the cells of what it makes."""
    for kind, compile_ in _COMPILERS:
        if isinstance(transformer, kind):
            return compile_(builder, transformer, cells, names)
    if type(transformer).__name__ == "CountFrequencyEncoder":
        return _counts(builder, transformer, cells, names)
    if type(transformer).__name__ == "ApplyToCols":
        return _words(builder, transformer, cells, names)
    if isinstance(transformer, Numeric | SelectorMixin | KBinsDiscretizer):
        return _as_it_is(builder, transformer, cells)
    raise NotCompiledError(f"step {label}: {type(transformer).__name__} has no counterpart")


def _block(register: int, width: int) -> list[Cell]:
    return [Cell(register, place) for place in range(width)]


# categories


def _asked(
    encoder: Any,
    cells: list[Cell],
    names: list[str],
    known: Sequence[Sequence[Any]],
    widths: list[int],
) -> list[tuple[int, list[str | None], NDArray[np.float64]]]:
    """Ask an encoder for every text it knows, a gap and an unseen text.

    Returns
    -------
    list of tuples
        Register, texts and answers of every column, shape (n_texts, its width); the last text
        is the unseen one.
    """
    if any(cell.kind not in ("categorical", "text") for cell in cells):
        raise NotCompiledError(f"{type(encoder).__name__} encodes what are no texts")
    asked, start = [], 0
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        texts: list[str | None] = [str(t) for t in known[place] if isinstance(t, str)]
        texts = [*dict.fromkeys(texts), None, UNSEEN]
        frame = pd.DataFrame(
            {name: pd.Series([UNSEEN] * len(texts), dtype=object) for name in names}
        )
        frame[names[place]] = pd.Series(texts, dtype=object)
        answers = encoder.transform(frame)
        dense = answers.toarray() if hasattr(answers, "toarray") else np.asarray(answers)
        asked.append((cell.register, texts, dense[:, start : start + width].astype(np.float64)))
        start += width
    return asked


def _tables(
    builder: Builder, asked: list[tuple[int, list[str | None], NDArray[np.float64]]]
) -> list[Cell]:
    """Make lookups of an encoder's answers: all columns of width one in one operation."""
    if all(answers.shape[1] == 1 for _, _, answers in asked):
        columns = tuple(
            (
                register,
                dict(zip(texts[:-1], answers[:-1, 0].tolist(), strict=True)),
                float(answers[-1, 0]),
            )
            for register, texts, answers in asked
        )
        return _block(builder.add(ops.Codes(columns)), len(columns))
    cells: list[Cell] = []
    for register, texts, answers in asked:
        rows = {text: place for place, text in enumerate(texts[:-1])}
        made = builder.add(ops.Vectors(register, rows, len(texts) - 1, answers))
        cells += _block(made, answers.shape[1])
    return cells


def _one_hot(
    builder: Builder, encoder: OneHotEncoder, cells: list[Cell], names: list[str]
) -> list[Cell]:
    widths = [int(each) for each in encoder._n_features_outs]  # noqa: SLF001 - scikit-learn names no other
    return _tables(builder, _asked(encoder, cells, names, encoder.categories_, widths))


def _ordinal(
    builder: Builder, encoder: OrdinalEncoder, cells: list[Cell], names: list[str]
) -> list[Cell]:
    return _tables(builder, _asked(encoder, cells, names, encoder.categories_, [1] * len(cells)))


def _means(
    builder: Builder, encoder: TargetEncoder, cells: list[Cell], names: list[str]
) -> list[Cell]:
    each = len(encoder.classes_) if encoder.target_type_ == "multiclass" else 1
    return _tables(builder, _asked(encoder, cells, names, encoder.categories_, [each] * len(cells)))


def _counts(builder: Builder, encoder: Any, cells: list[Cell], names: list[str]) -> list[Cell]:
    known = [list(encoder.encoder_dict_[name]) for name in names]
    return _tables(builder, _asked(encoder, cells, names, known, [1] * len(cells)))


def _native(
    builder: Builder, encoder: NativeCategories, cells: list[Cell], names: list[str]
) -> list[Cell]:
    if any(cell.kind not in ("categorical", "text") for cell in cells):
        raise NotCompiledError(f"{', '.join(names)}: categories of what are no texts")
    columns = []
    for cell, known in zip(cells, encoder.categories_, strict=True):
        codes: dict[str | None, float] = {
            str(text): float(place) for place, text in enumerate(known.tolist())
        }
        codes[None] = float(len(known) - 1)
        columns.append((cell.register, codes, float(len(known) - 2)))
    return _block(builder.add(ops.Codes(tuple(columns))), len(columns))


def _words(builder: Builder, wrapper: Any, cells: list[Cell], names: list[str]) -> list[Cell]:
    """Add an operation per column of skrub's text encoder."""
    made: list[Cell] = []
    for cell, name in zip(cells, names, strict=True):
        encoder = wrapper.transformers_[name]
        if hasattr(encoder, "wordless_"):
            raise NotCompiledError(f"{name}: its texts had no words")
        vectorizer, projection = encoder.vectorizer_, getattr(encoder, "tsvd_", None)
        operation = ops.Words(
            cell.register,
            vectorizer,
            projection,
            int(encoder.n_components_),
            encoder.scaling_factor_,
            tuple(packages_of((vectorizer, projection))),
        )
        made += _block(builder.add(operation), int(encoder.n_components_))
    return made


# numbers


def _fill(builder: Builder, filler: Filler, cells: list[Cell], names: list[str]) -> list[Cell]:
    imputer = filler.number_filler_
    numbers = [place for place, name in enumerate(names) if name in set(filler.numbers_)]
    texts = [place for place in range(len(names)) if place not in numbers]
    fills = getattr(imputer, "statistics_", None)
    if numbers and fills is None:
        raise NotCompiledError(f"gaps are filled by {type(imputer).__name__}")
    if any(names[place] in filler.marked_ for place in texts):
        raise NotCompiledError("gaps of texts are marked")
    made: dict[str, Cell] = {}
    for place in texts:
        filled = ops.FilledText(cells[place].register, str(filler.fills_[names[place]]))
        made[names[place]] = Cell(builder.add(filled), kind="categorical")
    ordered = [names[place] for place in numbers]
    marks = [name for name in filler.marked_ if name in ordered]
    if numbers:
        source = builder.gathered([cells[place] for place in numbers])
        places = np.array([ordered.index(name) for name in marks], dtype=np.intp)
        values = np.asarray(fills, dtype=np.float64)
        register = builder.add(ops.Filled(source, values, places))
        made |= dict(zip(ordered, _block(register, len(ordered)), strict=True))
        made |= {
            f"missing({name})": Cell(register, len(ordered) + place)
            for place, name in enumerate(marks)
        }
    return [made[str(name)] for name in filler.get_feature_names_out()]


def _scale(builder: Builder, scaler: Scaler, cells: list[Cell], names: list[str]) -> list[Cell]:
    inner = scaler.scaler_
    source = builder.gathered(cells)
    if isinstance(inner, StandardScaler):
        minus = inner.mean_ if inner.with_mean else None
        operation = ops.Scaled(source, minus=minus, over=inner.scale_)
    elif isinstance(inner, MinMaxScaler):
        operation = ops.Scaled(source, times=inner.scale_, plus=inner.min_)
    elif isinstance(inner, MaxAbsScaler):
        operation = ops.Scaled(source, over=inner.scale_)
    elif isinstance(inner, RobustScaler):
        minus = inner.center_ if inner.with_centering else None
        operation = ops.Scaled(source, minus=minus, over=inner.scale_)
    else:
        return _as_it_is(builder, scaler, cells)
    return _block(builder.add(operation), len(names))


def _as_it_is(builder: Builder, transformer: Any, cells: list[Cell]) -> list[Cell]:
    """Keep the object; arrays have no names, so it must not expect any."""
    nameless = copy.deepcopy(transformer)
    for each in (nameless, *vars(nameless).values()):
        if hasattr(each, "feature_names_in_") and not hasattr(each, "formulas"):
            del each.feature_names_in_
    source = builder.gathered(cells)
    width = len(transformer.get_feature_names_out())
    operation = ops.Transformed(source, nameless, tuple(packages_of(nameless)))
    return _block(builder.add(operation), width)


# dates


def _dates(builder: Builder, parts: DateParts, cells: list[Cell], names: list[str]) -> list[Cell]:
    unread = set(parts.parts) - ops.READABLE
    if unread or any(cell.kind != "datetime" for cell in cells):
        raise NotCompiledError(f"{', '.join(names)}: {', '.join(sorted(unread)) or 'no dates'}")
    operation = ops.Parts(
        tuple(cell.register for cell in cells),
        tuple(parts.parts),
        bool(parts.cyclical),
        parts.timezone,
        datetime.fromisoformat(parts.since),
    )
    return _block(builder.add(operation), len(parts.get_feature_names_out()))


def _elapsed(builder: Builder, spans: Elapsed, cells: list[Cell], names: list[str]) -> list[Cell]:
    if any(cell.kind != "datetime" for cell in cells):
        raise NotCompiledError(f"{', '.join(names)}: times between what are no dates")
    first, *ends = (cell.register for cell in cells)
    register = builder.add(ops.Spans(first, tuple(ends), _UNITS[spans.unit]))
    return _block(register, len(ends))


_COMPILERS: tuple[tuple[type, Callable[..., list[Cell]]], ...] = (
    (OneHotEncoder, _one_hot),
    (OrdinalEncoder, _ordinal),
    (TargetEncoder, _means),
    (NativeCategories, _native),
    (Filler, _fill),
    (Scaler, _scale),
    (DateParts, _dates),
    (Elapsed, _elapsed),
)
