"""Tables made from tables: features written out, and rows made up, with no way to leak.

A derived table says in a column of its own which part every row is in. What was learned from
data (a scale, a target's mean, a generator) was learned from the rows in `training` alone, and
made-up rows are `synthetic`; training on the table keeps to these parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.tabular import splitting
from tasks.tabular.diagram import PipelineDescription, describe
from tasks.tabular.errors import NoRowsLeftError, ResamplingError, SplitError, StepError
from tasks.tabular.features import carried, prepare, usable
from tasks.tabular.fitting import filtered
from tasks.tabular.inference import infer_file
from tasks.tabular.problem import Problem, identify_file
from tasks.tabular.resampling import ADDING, MADE, Balancing, Resampled, resample
from tasks.tabular.sampling import even_rows
from tasks.tabular.schema import Schema, conform
from tasks.tabular.splitting import HOLDOUT, SYNTHETIC, TRAINING, VALIDATION, SplitPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from tasks.tabular.spec import PipelineSpec

PART = "millrace_part"
"""The column that says which part a row of a derived table is in."""

PREVIEW_ROWS = 100
PREVIEW_SAMPLE = 2_000
"""Rows a preview is fitted on: enough to see what the steps do, few enough to be quick."""

_PLAIN = {"string", "double", "float", "date32"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
"""Stored types that values of another type are cast to: whole numbers with gaps are floats."""

MAX_FEATURES = 2_000
"""Columns a table of features may have; wider ones belong inside a model."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived table with its target and parts, and what made it.

    `schema` says what the columns hold; None where that is to be inferred. `dropped` are the
    positions in the table given of rows that were left out, `made` is the number of synthetic
    or repeated rows.
    """

    frame: pd.DataFrame
    schema: Schema | None = None
    pipeline: Pipeline | None = None
    dropped: tuple[int, ...] = ()
    made: int = 0


def write(made: Derived, path: Path) -> Schema:
    """Write a derived table as Parquet and return its schema.

    A column that the table given had keeps the type it was stored in.
    """
    stored = {each.name: each.type for each in made.schema.columns} if made.schema else {}
    arrays = [_array(made.frame[name], stored.get(str(name), "")) for name in made.frame.columns]
    table = pa.Table.from_arrays(arrays, names=[str(name) for name in made.frame.columns])
    pq.write_table(table, path, row_group_size=2**16)
    gaps = {name: table[name].null_count for name in table.column_names}
    known = {each.name: each for each in made.schema.columns} if made.schema else {}
    columns = (
        replace(known.get(each.name, each), nullable=each.nullable)
        for each in infer_file(path, gaps).columns
    )
    return Schema(tuple(replace(e, informative=False) if e.name == PART else e for e in columns))


def _array(values: pd.Series[Any], stored: str) -> pa.Array:
    """Return values in the Arrow type they were stored in; other types come by themselves."""
    if stored.startswith("decimal"):
        return pa.array([None if pd.isna(each) else Decimal(str(each)) for each in values])
    if stored == "bool":
        return pa.array([None if pd.isna(each) else bool(each) for each in values], pa.bool_())
    made = pa.array(values, from_pandas=True)
    plain = stored.removesuffix("[day]")
    return made.cast(plain, safe=False) if plain in _PLAIN else made


def policy_for(frame: pd.DataFrame, asked: SplitPolicy) -> SplitPolicy:
    """Return the split to train with: a derived table's own parts, whatever else is usual.

    Raises
    ------
    SplitError
        If another split is asked for: rows it holds out may have been learned from.
    """
    if PART not in frame.columns:
        return asked
    if asked.kind not in ("random", "predefined") or asked.column not in ("", PART):
        raise SplitError(
            asked.kind,
            f"the table was derived with parts of its own ({PART}); train on the version it was "
            "made from to split otherwise",
        )
    return SplitPolicy(kind="predefined", column=PART)


def features_of(
    frame: pd.DataFrame,
    schema: Schema,
    spec: PipelineSpec | None,
    problem: Problem | None,
    *,
    seed: int,
    policy: SplitPolicy | None = None,
) -> Derived:
    """Write out the features of a table.

    Parameters
    ----------
    problem : Problem, optional
        Its target is kept beside the features; rows without one are left out.
    policy : SplitPolicy, optional
        How rows are dealt out; a table that was derived keeps its parts.

    Raises
    ------
    StepError
        If a step cannot be fitted, or the features are too many to write out.
    """
    table = _Table.of(frame, schema, spec, problem, seed=seed, policy=policy)
    prepared = prepare(table.features, "linear", problem=problem, spec=spec, seed=seed)
    kept = table.parts != TRAINING  # filters are for what is learned from
    training = ~kept
    kept[training] = filtered(
        prepared.filters, table.rows[training], table.target(training), table.name
    )
    learned = np.flatnonzero(kept & training)
    if not len(learned):
        raise NoRowsLeftError(int(training.sum()), 0)
    values, names = _written(prepared.pipeline, table, learned, np.flatnonzero(kept))
    features = pd.DataFrame(values, columns=names)
    for name, column in ((table.name, table.y), (PART, pd.Series(table.parts))):
        if column is not None:
            features[name] = column.to_numpy()[kept]
    return Derived(
        features, pipeline=prepared.pipeline, dropped=table.missing(np.flatnonzero(kept))
    )


def _written(
    pipeline: Pipeline, table: _Table, learned: NDArray[np.intp], kept: NDArray[np.intp]
) -> tuple[NDArray[np.float64], list[str]]:
    """Fit on some rows and return the features of all that stay, shape (n_kept, n_features).

    Rows that repeat others have the features of the ones they repeat, see `fit_features`.
    """
    y = table.target(learned)
    fitted = pipeline.fit_transform(table.rows.iloc[learned], y)
    names = [str(name) for name in pipeline.get_feature_names_out()]
    if len(names) > MAX_FEATURES:
        raise StepError("matrix", (), f"{len(names)} features, {MAX_FEATURES} at most")
    values = np.empty((len(kept), len(names)))
    places = {row: place for place, row in enumerate(learned.tolist())}
    source = np.array([places.get(row, -1) for row in table.sources(learned)[kept].tolist()])
    known = source >= 0
    values[known] = _dense(fitted)[source[known]]
    if not known.all():
        values[~known] = _dense(pipeline.transform(table.rows.iloc[kept[~known]]))
    return values, names


@dataclass(frozen=True, slots=True)
class _Table:
    """A table that something is derived from: rows with a target, their columns and parts."""

    rows: pd.DataFrame
    y: pd.Series[Any] | None
    parts: NDArray[Any]
    features: Schema
    places: NDArray[np.intp]

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        schema: Schema,
        spec: PipelineSpec | None,
        problem: Problem | None,
        *,
        seed: int,
        policy: SplitPolicy | None,
    ) -> _Table:
        target = problem.target if problem else ""
        own = policy_for(frame, policy or SplitPolicy())
        places = np.arange(len(frame))
        if problem is not None:
            places = np.flatnonzero(frame[target].notna())
        frame = frame.iloc[places].reset_index(drop=True)
        features = usable(schema, target, spec, (PART, *own.hidden))
        rows = conform(frame, carried(schema, target, spec, features))
        y = frame[target].infer_objects() if problem else None
        parts = _parts(frame, y, problem, own, seed)
        return cls(rows, y, parts, features, places)

    @property
    def name(self) -> str:
        """The target's name."""
        return "" if self.y is None else str(self.y.name)

    def target(self, rows: NDArray[Any]) -> pd.Series[Any] | None:
        """Return the target of some rows, if there is one."""
        return None if self.y is None else self.y[rows]

    def missing(self, kept: NDArray[np.intp]) -> tuple[int, ...]:
        """Return the positions in the table given of rows that are not among those kept."""
        return tuple(np.delete(self.places, kept).tolist())

    def sources(self, learned: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return for every row the training row it is, or repeats; -1 where there is none."""
        own = np.full(len(self.rows), -1)
        own[learned] = learned
        synthetic = np.flatnonzero(self.parts == SYNTHETIC)
        if len(synthetic):
            hashes = splitting.row_hashes(self.rows)
            first = dict(zip(hashes[learned][::-1].tolist(), learned[::-1].tolist(), strict=True))
            own[synthetic] = [first.get(each, -1) for each in hashes[synthetic].tolist()]
        return own


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows of a table's features, and what the steps did to a sample of it."""

    rows: pd.DataFrame
    sampled: int
    steps: PipelineDescription


def preview(
    path: Path, schema: Schema, spec: PipelineSpec | None, target: str = "", *, seed: int = 0
) -> Preview:
    """Show the features of the first rows of a Parquet file, fitted on a sample of it.

    Raises
    ------
    StepError
        If a step cannot be fitted on the sample.
    """
    with pq.ParquetFile(path) as file:
        sample = even_rows(file, PREVIEW_SAMPLE)
    problem = identify_file(path, schema, target) if target else None
    if problem is not None:
        sample = sample.dropna(subset=[target])
    sample = sample.reset_index(drop=True)
    columns = usable(schema, target, spec, (PART,))
    prepared = prepare(columns, "linear", problem=problem, spec=spec, seed=seed)
    y = sample[target].infer_objects() if problem else None
    looked_at = conform(sample, carried(schema, target, spec, columns))
    kept = filtered(prepared.filters, looked_at, y, target)
    if not kept.any():
        raise NoRowsLeftError(len(sample), 0)
    pipeline = prepared.pipeline.fit(looked_at[kept], None if y is None else y[kept])
    shown = _dense(pipeline.transform(looked_at[kept].head(PREVIEW_ROWS)))
    frame = pd.DataFrame(shown, columns=list(pipeline.get_feature_names_out()))
    return Preview(frame, int(kept.sum()), describe(pipeline))


def augmented(
    frame: pd.DataFrame,
    schema: Schema,
    problem: Problem,
    balancing: Balancing,
    *,
    seed: int,
    policy: SplitPolicy | None = None,
) -> Derived:
    """Add rows of rare classes to a table, made from its training part alone.

    Raises
    ------
    ResamplingError
        If the method adds no rows, or the classes cannot be balanced as asked.
    """
    if balancing.method not in ADDING:
        raise ResamplingError(balancing.method, "it adds no rows; give it to train_model instead")
    table = _Table.of(frame, schema, None, problem, seed=seed, policy=policy)
    training = np.flatnonzero(table.parts == TRAINING)
    given = resample(
        table.rows.iloc[training],
        table.y.iloc[training],  # type: ignore[union-attr]  # there is a problem
        table.features,
        balancing,
        seed=splitting.child_seed(seed, "resampling"),
    )
    old = frame.iloc[table.places].reset_index(drop=True)
    old[PART] = table.parts
    kept = Schema(tuple(each for each in schema.columns if each.name != PART))
    if balancing.method == "random_under":
        stays = table.parts != TRAINING
        stays[training[given.origins]] = True
        return Derived(
            old[stays].reset_index(drop=True), kept, dropped=table.missing(np.flatnonzero(stays))
        )
    new = _new_rows(old, table, training, given)
    new[PART] = SYNTHETIC
    whole = pd.concat([old, new], ignore_index=True)
    return Derived(whole, kept, dropped=table.missing(np.arange(len(old))), made=len(new))


def _new_rows(
    old: pd.DataFrame, table: _Table, training: NDArray[np.intp], given: Resampled
) -> pd.DataFrame:
    """Return rows that were added, in stored types: copies whole, others as far as made up.

    What is the same in all rows is so in these; other columns that no model uses are empty.
    """
    repeated = pd.Series(given.origins).duplicated().to_numpy() & (given.origins != MADE)
    if repeated.any():
        copies: pd.DataFrame = old.iloc[training[given.origins[repeated]]]
        return copies.reset_index(drop=True)
    made = given.origins == MADE
    new = given.rows[made].reset_index(drop=True)
    new[table.name] = given.y[made].to_numpy()
    typed: dict[str, Any] = {}
    for name in old.columns.drop(PART):
        if name in new.columns:
            typed[name] = _as(new[name], old[name])
        elif len(old[name].drop_duplicates()) == 1:
            typed[name] = old[name].iloc[np.zeros(len(new), dtype=np.intp)].reset_index(drop=True)
        else:
            typed[name] = pd.Series([None] * len(new), dtype=object)
    return pd.DataFrame(typed)


def _as(values: pd.Series[Any], like: pd.Series[Any]) -> pd.Series[Any]:
    """Return values in the type of a column; `conform` had widened them."""
    typed: pd.Series[Any] = values
    if pd.api.types.is_datetime64_any_dtype(like.dtype):
        zone = getattr(like.dt, "tz", None)
        typed = values.dt.tz_convert(zone) if zone else values.dt.tz_localize(None)
    elif like.dtype == object and pd.api.types.is_numeric_dtype(values.dtype):
        typed = values.astype(object)
        typed[values.isna()] = None
    return typed.astype(like.dtype)


def _parts(
    frame: pd.DataFrame,
    y: pd.Series[Any] | None,
    problem: Problem | None,
    policy: SplitPolicy,
    seed: int,
) -> NDArray[Any]:
    """Deal the rows out: a holdout, then a validation part of what is left.

    A table that is derived already keeps its parts.
    """
    if PART in frame.columns:
        return frame[PART].to_numpy(dtype=object)
    target = pd.Series(np.zeros(len(frame))) if y is None else y
    goal = problem or Problem("regression", "")
    keys = splitting.keys_of(frame, policy)
    dealt = splitting.split(target, goal, seed=seed, policy=policy, keys=keys)
    parts = np.full(len(frame), TRAINING, dtype=object)
    parts[dealt.holdout] = HOLDOUT
    parts[dealt.training[dealt.crossed[-1][1]]] = VALIDATION
    return parts


def _dense(matrix: Any) -> Any:
    return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix, dtype=float)
