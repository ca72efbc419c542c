"""The pieces of work a search is made of; each runs in a process of its own.

A job gets a `Bench`: the task, and the features that were prepared before it. Times are wall
seconds; a `Candidate`'s models and preparations lie as files in the bench's folder, so that
only what a search decides on travels between processes.
"""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from tasks.tabular.features import prepare
from tasks.tabular.fitting import (
    FittedModel,
    balanced_weights,
    filtered,
    fit,
    require_separate,
    threshold_of,
)
from tasks.tabular.learners import make_learner, make_model
from tasks.tabular.metrics import evaluate
from tasks.tabular.scoring import learner_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from tasks.tabular.features import Family
    from tasks.tabular.resampling import Balancing
    from tasks.tabular.splitting import Fold
    from tasks.tabular.task import Task
    from tasks.tabular.zoo.entry import Learner, Params

_TIMED_ROWS = 3
"""Single rows whose scoring is timed."""


@dataclass(frozen=True, slots=True)
class PreparedKey:
    """Which features: of a family, fitted on all training rows, or on those of one fold."""

    family: Family
    fold: int | None = None

    @property
    def file(self) -> str:
        """Name of the file they lie in."""
        return f"features-{self.family}-{'all' if self.fold is None else self.fold}.pickle"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A fitted preparation and the features it makes of all training rows, in their order.

    `separable` says that it may be used in every fold, see `features.Preparation`.
    """

    pipeline: Pipeline
    features: Any
    separable: bool
    kept: NDArray[np.intp] | None = None
    """Positions of a fold's training rows that the row filters have left."""

    def rows(self, positions: NDArray[np.intp]) -> Any:
        """Return the features of some rows."""
        if isinstance(self.features, pd.DataFrame):
            return self.features.iloc[positions]
        return self.features[positions]


@dataclass(slots=True)
class Bench:
    """What every job of a search can reach."""

    task: Task
    folds: list[Fold]
    learners: dict[str, Learner]
    folder: Path
    threads: int
    prepared: dict[PreparedKey, Prepared] = field(default_factory=dict)

    def load(self, key: PreparedKey) -> None:
        """Take features that a job has prepared, for all jobs after it."""
        self.prepared[key] = pickle.loads((self.folder / key.file).read_bytes())  # noqa: S301 - our own file


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What a candidate made of a fold: scores of the rows it was not fitted on.

    `row_seconds` is the time for one row's features to be scored, `settled` the parameters
    with which a fit without watched rows comes to the same model, `file` where the fitted
    learner (or whole model) lies.
    """

    fold: int
    scores: NDArray[np.float64]
    score: float
    fit_seconds: float
    predict_seconds: float
    row_seconds: float
    size: int
    settled: Params
    file: str
    whole: bool
    origins: NDArray[np.intp] | None = None
    made: int = 0


@dataclass(frozen=True, slots=True)
class PrepareJob:
    """Prepare the features of a family."""

    key: PreparedKey

    def run(self, bench: Bench) -> bool:
        """Write the features; say whether they may be used in every fold."""
        task = bench.task
        prepared = prepare(
            task.schema, self.key.family, problem=task.problem, spec=task.spec, seed=task.seed
        )
        rows, y = task.rows[list(task.schema.names)], task.y
        pipeline = prepared.pipeline
        if self.key.fold is None:
            features = pipeline.fit_transform(rows, y)
            result = Prepared(pipeline, features, prepared.separable)
        else:
            training, _ = bench.folds[self.key.fold]
            kept = training[
                filtered(
                    prepared.filters,
                    task.rows.iloc[training],
                    y.iloc[training],
                    task.problem.target,
                )
            ]
            # what is fitted on has features of its own: those of a target encoding are crossed
            fitted_on = pipeline.fit_transform(rows.iloc[kept], y.iloc[kept])
            features = _filled(pipeline.transform(rows), fitted_on, kept)
            result = Prepared(pipeline, features, separable=False, kept=kept)
        _write(bench.folder / self.key.file, result)
        return result.separable


@dataclass(frozen=True, slots=True)
class FoldJob:
    """Fit a candidate on a fold's training rows and score the others."""

    candidate: int
    learner: str
    params: Params
    fold: int
    key: PreparedKey | None = None
    balancing: Balancing | None = None
    watch: bool = True
    seconds: float | None = None
    """Time after which a learner that can is to end with what it has."""

    def run(self, bench: Bench) -> FoldResult:
        """Fit, score, keep."""
        started = time.monotonic()
        stop_at = None if self.seconds is None else started + self.seconds
        with threadpool_limits(1, user_api="blas"):
            if self.key is None:
                return self._whole(bench, started, stop_at)
            return self._learner(bench, bench.prepared[self.key], started, stop_at)

    def _learner(
        self, bench: Bench, prepared: Prepared, started: float, stop_at: float | None
    ) -> FoldResult:
        """Fit the learner alone, on features that are there already and class codes."""
        task, learner = bench.task, bench.learners[self.learner]
        training, validation = bench.folds[self.fold]
        training = training if prepared.kept is None else prepared.kept
        codes = task.codes
        estimator = make_learner(
            learner, self.params, task.problem.kind, seed=task.seed, threads=bench.threads
        )
        given: dict[str, Any] = {}
        if self.balancing is not None and self.balancing.method == "class_weights":
            given |= balanced_weights(estimator, codes[training])
        if learner.stops and stop_at is not None:
            given["stop_at"] = stop_at
        if learner.stops and self.watch:
            known = validation
            if task.problem.kind != "regression":
                known = validation[np.isin(codes[validation], np.unique(codes[training]))]
            given["validation"] = (prepared.rows(known), codes[known])
        estimator.fit(prepared.rows(training), codes[training], **given)
        fitted = time.monotonic()
        features = prepared.rows(validation)
        scores = learner_scores(estimator, features, codes_of(task))
        done = time.monotonic()
        file = f"{self.candidate}-{self.fold}.pickle"
        size = _write(bench.folder / file, estimator)
        return FoldResult(
            self.fold,
            scores,
            evaluate(task.metric, codes[validation], scores),
            fitted - started,
            done - fitted,
            _row_seconds(estimator, prepared, validation, codes_of(task)),
            size,
            settled(estimator),
            file,
            whole=False,
            origins=prepared.kept,
        )

    def _whole(self, bench: Bench, started: float, stop_at: float | None) -> FoldResult:
        """Fit a whole model as it would be fitted for good, resampling and all."""
        task, learner = bench.task, bench.learners[self.learner]
        training, validation = bench.folds[self.fold]
        rows = task.rows.iloc[validation][list(task.schema.names)]
        codes = pd.Series(task.codes, index=task.y.index)
        watched = rows, codes.iloc[validation]
        found = _fit_whole(
            bench,
            learner,
            self.params,
            training,
            self.balancing,
            y=codes,
            watched=watched if self.watch else None,
            stop_at=stop_at,
        )
        require_separate(found.origins, validation, "validation fold")
        fitted = time.monotonic()
        scores = learner_scores(found.pipeline, rows, codes_of(task))
        done = time.monotonic()
        began = time.perf_counter()
        learner_scores(found.pipeline, rows.iloc[:1], codes_of(task))
        row_seconds = time.perf_counter() - began
        file = f"{self.candidate}-{self.fold}.pickle"
        size = _write(bench.folder / file, found.pipeline)
        threshold = threshold_of(found.pipeline)
        return FoldResult(
            self.fold,
            scores,
            evaluate(task.metric, task.codes[validation], scores, threshold),
            fitted - started,
            done - fitted,
            row_seconds,
            size,
            settled(found.pipeline[-1]),
            file,
            whole=True,
            origins=found.origins,
            made=found.made,
        )


@dataclass(frozen=True, slots=True)
class RefitJob:
    """Fit a candidate's whole model on all training rows."""

    candidate: int
    learner: str
    params: Params
    balancing: Balancing | None = None
    seconds: float | None = None

    def run(self, bench: Bench) -> FittedModel:
        """Fit; the model lies in a file, too large to travel."""
        stop_at = None if self.seconds is None else time.monotonic() + self.seconds
        rows = np.arange(len(bench.task.rows))
        learner = bench.learners[self.learner]
        found = _fit_whole(bench, learner, self.params, rows, self.balancing, stop_at=stop_at)
        _write(bench.folder / self.file, found)
        return FittedModel(found.pipeline[:0], found.origins, found.made)

    @property
    def file(self) -> str:
        """Name of the file the fitted model lies in."""
        return f"{self.candidate}-all.pickle"


Job = PrepareJob | FoldJob | RefitJob


def codes_of(task: Task) -> NDArray[np.intp] | None:
    """Return the class codes that there are, None in regression."""
    return None if task.problem.kind == "regression" else np.arange(len(task.problem.classes))


def settled(estimator: Any) -> Params:
    """Return the parameters a watched fit has come to: its iterations, and its step if changed."""
    estimator = getattr(estimator, "estimator_", estimator)
    kind = type(estimator).__name__
    rate = getattr(estimator, "rate_", None)
    step = {} if rate is None else {"learning_rate": float(rate)}
    if "LGBM" in kind:
        rounds = int(estimator.best_iteration_ or estimator.n_estimators_)
        return {"n_estimators": rounds, **step}
    if "XGB" in kind:
        best = estimator.get_booster().attr("best_iteration")
        return {} if best is None else {"n_estimators": int(best) + 1, **step}
    if "CatBoost" in kind:
        return {"iterations": int(estimator.tree_count_)}
    if kind.startswith("Growing"):
        return {"n_estimators": len(estimator.estimators_)}
    epochs = getattr(estimator, "best_epoch_", None)
    return {} if epochs is None else {"epochs": max(1, int(epochs))}


def _fit_whole(
    bench: Bench,
    learner: Learner,
    params: Params,
    rows: NDArray[np.intp],
    balancing: Balancing | None,
    *,
    y: pd.Series[Any] | None = None,
    watched: tuple[pd.DataFrame, pd.Series[Any]] | None = None,
    stop_at: float | None = None,
) -> FittedModel:
    task = bench.task
    target = task.y if y is None else y
    model = make_model(
        learner,
        params,
        task.problem,
        task.schema,
        seed=task.seed,
        threads=bench.threads,
        spec=task.spec,
    )
    found = fit(
        model,
        task.rows.iloc[rows],
        target.iloc[rows],
        task.problem,
        task.schema,
        balancing=balancing,
        metric=task.metric.name,
        seed=task.seed,
        watched=watched,
        stop_at=stop_at,
    )
    return FittedModel(found.pipeline, rows[found.origins], found.made)


def _filled(features: Any, better: Any, places: NDArray[np.intp]) -> Any:
    """Put the features of fitted rows in their places."""
    if isinstance(features, pd.DataFrame):
        rows = np.arange(len(features))
        rows[places] = len(features) + np.arange(len(places))
        return pd.concat([features, better], ignore_index=True).iloc[rows]
    if hasattr(features, "tolil"):
        from scipy import sparse  # noqa: PLC0415 - sparse features are rare here

        rows = np.arange(features.shape[0])
        rows[places] = features.shape[0] + np.arange(len(places))
        return sparse.vstack([features, better], "csr")[rows]
    features[places] = better
    return features


def _row_seconds(
    estimator: Any, prepared: Prepared, rows: NDArray[np.intp], classes: NDArray[Any] | None
) -> float:
    times = []
    for place in rows[:_TIMED_ROWS]:
        row = prepared.rows(np.asarray([place]))
        started = time.perf_counter()
        learner_scores(estimator, row, classes)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) if times else 0.0


def _write(path: Path, value: object) -> int:
    """Write a pickle so that a reader never sees half of it; return its size in bytes."""
    content = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
    return len(content)
