"""Tables made from tables: features written out, and rows made up, with no way to leak.

A derived table says in a column of its own which part every row is in. What was learned from
data (a scale, a target's mean, a generator) was learned from the rows in `training` alone, and
made-up rows are `synthetic`; training on the table keeps to these parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from tasks.tabular import splitting
from tasks.tabular.diagram import PipelineDescription, describe
from tasks.tabular.errors import SplitError, StepError
from tasks.tabular.features import Preparation, carried, prepare, usable
from tasks.tabular.inference import infer_file
from tasks.tabular.problem import identify_file
from tasks.tabular.resampling import MADE, Balancing, resample
from tasks.tabular.sampling import even_rows
from tasks.tabular.schema import conform
from tasks.tabular.splitting import HOLDOUT, SYNTHETIC, TRAINING, VALIDATION, SplitPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from sklearn.pipeline import Pipeline

    from tasks.tabular.problem import Problem
    from tasks.tabular.schema import Schema
    from tasks.tabular.spec import PipelineSpec

PART = "millrace_part"
"""The column that says which part a row of a derived table is in."""

PREVIEW_ROWS = 100
PREVIEW_SAMPLE = 2_000
"""Rows a preview is fitted on: enough to see what the steps do, few enough to be quick."""

MAX_FEATURES = 2_000
"""Columns a table of features may have; wider ones belong inside a model."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived table with its target and parts, and what made it.

    `dropped` are the positions of rows that the specification's filters left out, `made` is
    the number of synthetic or repeated rows.
    """

    frame: pd.DataFrame
    pipeline: Pipeline | None = None
    dropped: tuple[int, ...] = ()
    made: int = 0


def write(made: Derived, path: Path) -> Schema:
    """Write a derived table as Parquet and return its schema."""
    made.frame.to_parquet(path, index=False, row_group_size=2**16)
    return infer_file(path, {str(name): int(n) for name, n in made.frame.isna().sum().items()})


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
) -> Derived:
    """Write out the features of a table.

    Parameters
    ----------
    problem : Problem, optional
        Its target is kept beside the features; rows without one are left out.

    Raises
    ------
    StepError
        If a step cannot be fitted, or the features are too many to write out.
    """
    frame = frame.reset_index(drop=True)
    if problem is not None:
        frame = frame.dropna(subset=[problem.target])
    columns = usable(schema, problem.target if problem else "", spec, (PART,))
    parts = _parts(frame, problem, seed)
    prepared = prepare(columns, "linear", problem=problem, spec=spec, seed=seed)
    y = frame[problem.target].infer_objects() if problem else None
    rows = conform(frame, carried(schema, str(y.name) if y is not None else "", spec, columns))
    kept = _kept(prepared, rows, y)
    training = kept & (parts == TRAINING)
    pipeline = prepared.pipeline
    if not training.any():
        raise StepError("rows", (), "the row filters leave no training row")
    fitted = pipeline.fit_transform(rows[training], None if y is None else y[training])
    names = [str(name) for name in pipeline.get_feature_names_out()]
    if len(names) > MAX_FEATURES:
        raise StepError("matrix", (), f"{len(names)} features, {MAX_FEATURES} at most")
    features = pd.DataFrame(index=rows.index[kept], columns=names, dtype=np.float64)
    features = _filled(features, training[kept], fitted, pipeline, rows[kept])
    if y is not None:
        features[y.name] = y[kept]
    features[PART] = parts[kept]
    dropped = tuple(int(place) for place in rows.index[~kept])
    return Derived(features.reset_index(drop=True), pipeline, dropped)


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
        sample = sample.dropna(subset=[target]).reset_index(drop=True)
    columns = usable(schema, target, spec, (PART,))
    prepared = prepare(columns, "linear", problem=problem, spec=spec, seed=seed)
    y = sample[target].infer_objects() if problem else None
    kept = _kept(prepared, conform(sample, carried(schema, target, spec, columns)), y)
    rows = sample.loc[kept, list(columns.names)].head(PREVIEW_SAMPLE)
    pipeline = prepared.pipeline.fit(rows, None if y is None else y[kept])
    shown = _dense(pipeline.transform(rows.head(PREVIEW_ROWS)))
    frame = pd.DataFrame(shown, columns=list(pipeline.get_feature_names_out()))
    return Preview(frame, len(rows), describe(pipeline))


def augmented(
    frame: pd.DataFrame,
    schema: Schema,
    problem: Problem,
    balancing: Balancing,
    *,
    seed: int,
) -> Derived:
    """Add rows of rare classes to a table, made from its training part alone.

    Raises
    ------
    ResamplingError
        If the classes cannot be balanced as asked.
    """
    frame = frame.dropna(subset=[problem.target]).reset_index(drop=True)
    columns = usable(schema, problem.target, hidden=(PART,))
    parts = _parts(frame, problem, seed)
    y = frame[problem.target].infer_objects()
    rows = conform(frame, columns)
    training = np.flatnonzero(parts == TRAINING)
    drawn = splitting.child_seed(seed, "resampling")
    given = resample(rows.iloc[training], y.iloc[training], columns, balancing, seed=drawn)
    old = frame.assign(**{PART: parts})
    if balancing.method == "random_under":
        stays = np.isin(np.arange(len(old)), training[given.origins]) | (parts != TRAINING)
        dropped = tuple(np.flatnonzero(~stays).tolist())
        return Derived(old[stays].reset_index(drop=True), dropped=dropped)
    made = _new(given.origins)
    new = given.rows[made].assign(**{problem.target: given.y[made]})
    typed = {name: _as(new[name], old[name]) for name in new.columns}
    return Derived(
        pd.concat([old, pd.DataFrame(typed).assign(**{PART: SYNTHETIC})], ignore_index=True),
        made=int(made.sum()),
    )


def _as(values: pd.Series[Any], like: pd.Series[Any]) -> pd.Series[Any]:
    """Return values in the stored type of a column; `conform` had widened them."""
    if pd.api.types.is_datetime64_any_dtype(like.dtype) and getattr(like.dt, "tz", None) is None:
        values = values.dt.tz_localize(None)
    return values.astype(like.dtype)


def _parts(frame: pd.DataFrame, problem: Problem | None, seed: int) -> Any:
    """Deal the rows out: a holdout, then a validation part of what is left.

    A table that is derived already keeps its parts.
    """
    if PART in frame.columns:
        return frame[PART].to_numpy(dtype=object)
    parts = np.full(len(frame), TRAINING, dtype=object)
    if problem is None:
        rng = np.random.default_rng(splitting.child_seed(seed, "parts"))
        order = rng.permutation(len(frame))
        share = round(splitting.HOLDOUT_SHARE * len(frame))
        parts[order[:share]], parts[order[share : 2 * share]] = HOLDOUT, VALIDATION
        return parts
    y = frame[problem.target].infer_objects()
    training, holdout = splitting.hold_out(y, problem, seed=seed)
    _, validation = splitting.hold_out(y.iloc[training], problem, seed=seed)
    parts[holdout], parts[training[validation]] = HOLDOUT, VALIDATION
    return parts


def _kept(prepared: Preparation, rows: pd.DataFrame, y: pd.Series[Any] | None) -> Any:
    """Return which rows the filters leave, shape (n_rows,); the target counts for duplicates."""
    kept = np.ones(len(rows), dtype=bool)
    for each in prepared.filters:
        looked_at = rows if y is None else rows.assign(**{str(y.name): y})
        kept[kept] = each.kept(looked_at[kept])
    if not kept.any():
        raise StepError(prepared.filters[-1].step, (), "the row filters leave no row")
    return kept


def _filled(
    features: pd.DataFrame, training: Any, fitted: Any, pipeline: Pipeline, rows: pd.DataFrame
) -> pd.DataFrame:
    """Put in what the training rows got when the pipeline was fitted, and what the others get."""
    values = np.empty(features.shape)
    values[training] = _dense(fitted)
    if not training.all():
        values[~training] = _dense(pipeline.transform(rows[~training]))
    return pd.DataFrame(values, index=features.index, columns=features.columns)


def _dense(matrix: Any) -> Any:
    return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix, dtype=float)


def _new(origins: Any) -> Any:
    """Return which resampled rows are made up, or repeat one that is there already."""
    repeated = pd.Series(origins).duplicated().to_numpy()
    return (origins == MADE) | repeated
