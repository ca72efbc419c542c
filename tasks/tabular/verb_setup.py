"""What `setup` makes of a table for PyCaret's verbs: rows dealt out, parameters understood."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.tabular.errors import (
    MetricDomainError,
    SplitError,
    UnknownColumnError,
    UnknownNameError,
)
from tasks.tabular.experiment_errors import UnsupportedParametersError
from tasks.tabular.features import carried, prepare, usable
from tasks.tabular.metrics import choose, decide, evaluate, require_domain
from tasks.tabular.pool import cores
from tasks.tabular.problem import Problem, identify
from tasks.tabular.pycaret import Translation, metric_of, translate
from tasks.tabular.pycaret_parameters import COMPARE
from tasks.tabular.pycaret_setup import SETUP
from tasks.tabular.pycaret_values import same
from tasks.tabular.resampling import Balancing
from tasks.tabular.schema import Schema, conform, infer
from tasks.tabular.splitting import Fold, Split, crossed, keys_of, split
from tasks.tabular.task import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from tasks.tabular.problem import ProblemType

TRAIN_SIZE = 0.7
FOLDS = 10
"""PyCaret's; fewer where a class of the training rows has fewer rows."""

SORT: dict[ProblemType, str] = {"classification": "Accuracy", "regression": "R2"}
FIGURES: dict[ProblemType, tuple[str, ...]] = {
    "classification": ("Accuracy", "AUC", "Recall", "Prec.", "F1", "Kappa", "MCC"),
    "regression": ("MAE", "MSE", "RMSE", "R2", "RMSLE", "MAPE"),
}
"""Columns of PyCaret's score grids."""

_MODELING = "modeling_params"
_RECORDS = (
    *("log_experiment", "experiment_name", "experiment_custom_tags", "log_plots"),
    *("log_profile", "log_data", "profile"),
)
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "groups": (None,),
    "estimator_list": (None,),
    "tune": (False,),
    "ensemble": (False,),
    "predict": (True,),
    "return_train_score": (False,),
    "early_stopping": (False,),
    "return_tuner": (False,),
    "tuner_verbose": (True, False, 0, 1, 2),
    "restack": (False,),
}
"""Parameters of verbs that the tables of `setup` and `compare_models` do not know or mean
otherwise, and the values that ask for nothing."""


@dataclass(frozen=True)
class Table:
    """A table that was set up.

    `frame` holds the raw rows that have a target, `rows` and `y` the same as models are given
    them, `task` the training rows alone; `given` are the parameters of `setup`.
    """

    frame: pd.DataFrame
    rows: pd.DataFrame
    y: pd.Series[Any]
    parts: Split
    task: Task
    given: dict[str, Any]
    read: Translation

    @property
    def kind(self) -> ProblemType:
        """What PyCaret calls the problem."""
        return kind_of(self.task.problem)

    @property
    def balancing(self) -> Balancing | None:
        """What every model's training rows are balanced with."""
        method = self.read.balancing
        return None if method == "none" else Balancing(method=method)

    @property
    def holdout(self) -> pd.DataFrame:
        """The raw rows held out, their target among them."""
        return self.frame.iloc[self.parts.holdout]

    @property
    def whole(self) -> Task:
        """All rows, the holdout's too."""
        return replace(self.task, rows=self.rows, y=self.y, crossed=())

    def understand(self, verb: str, options: Mapping[str, Any], sort: str) -> Translation:
        """Read the parameters of a verb, or raise `UnsupportedParametersError`."""
        target = self.task.problem.target
        return understand(verb, self.given, options, kind=self.kind, target=target, sort=sort)

    def judged(self, sort: str, folds: int | None) -> Task:
        """Return the training rows, with their folds, to be judged by a metric."""
        metric = choose(self.task.problem, metric_of(sort, self.kind))
        require_domain(metric, self.task.codes)
        same = folds is None or self.read.split.kind != "random"
        dealt = self.task.crossed if same else cut(self.task.y, self.task.problem, folds, self.seed)
        return replace(self.task, metric=metric, crossed=dealt)

    @property
    def seed(self) -> int:
        """`session_id`."""
        return self.task.seed

    def config(self, variable: str | None = None) -> Any:
        """Return what PyCaret's `get_config` returns; the names there are for None."""
        target = self.task.problem.target
        names = list(self.task.schema.names)
        training, holdout = self.frame.iloc[self.parts.training], self.holdout
        known = {
            "X": self.frame[names],
            "y": self.frame[target],
            "X_train": training[names],
            "y_train": training[target],
            "X_test": holdout[names],
            "y_test": holdout[target],
            "data": self.frame,
            "dataset": self.frame,
            "train": training,
            "test": holdout,
            "seed": self.seed,
            "target_param": target,
            "is_multiclass": self.task.problem.kind == "multiclass",
            "n_jobs_param": self.task.threads,
            "fold_generator": self.task.crossed,
            "notes": self.read.notes,
        }
        if variable is None:
            return set(known)
        if variable not in known:
            raise UnknownNameError("variable", variable, tuple(known))
        return known[variable]

    def described(self) -> pd.DataFrame:
        """Return what `pull` shows of a setup."""
        told = {
            "Session id": self.seed,
            "Target": self.task.problem.target,
            "Target type": self.task.problem.kind,
            "Data shape": self.frame.shape,
            "Train rows": len(self.parts.training),
            "Test rows": len(self.parts.holdout),
            "Features": len(self.task.schema.names),
            "Folds": len(self.task.crossed),
            "Balancing": self.read.balancing,
            **{f"Note {place}": each for place, each in enumerate(self.read.notes, 1)},
        }
        return pd.DataFrame({"Description": list(told), "Value": list(told.values())})


def open_table(
    data: pd.DataFrame, target: str | int, given: Mapping[str, Any], forced: ProblemType | None
) -> Table:
    """Deal out the rows of a table and read PyCaret's parameters.

    Parameters
    ----------
    target : str or int
        The column, or its place.
    forced : str, optional
        The kind of problem; by default the target says.

    Raises
    ------
    TabularError
        If the target cannot be learned, the rows cannot be dealt out, or a parameter cannot be
        honoured.
    """
    frame = named(data)
    target = str(frame.columns[target]) if isinstance(target, int) else target
    problem = identify(frame, target, forced or "auto")
    asked = _alone(given)
    kind = kind_of(problem)
    read = understand("setup", asked, {}, kind=kind, target=target, sort=SORT[kind])
    if read.balancing == "threshold":
        what = "folds would decide at thresholds of their own, which no grid shows"
        raise refused("setup.fix_imbalance_method", "threshold", what, 'use "class_weights"')
    frame = frame.dropna(subset=[target])
    schema = _schema(frame, asked.get("date_features") or ())
    features = usable(schema, target, read.preparation, read.split.hidden)
    prepare(features, "linear", problem=problem, spec=read.preparation)  # it names wrong columns
    rows = conform(frame, carried(schema, target, read.preparation, features))
    y = frame[target].infer_objects()
    keys = keys_of(frame, read.split)
    if keys is not None and read.split.kind == "time":
        keys = conform(frame, _only(schema, read.split.column))[read.split.column]
    parts = split(y, problem, seed=read.seed, policy=read.split, keys=keys)
    training_y = y.iloc[parts.training]
    folds = tuple(parts.crossed)
    if read.split.kind == "random":
        folds = cut(training_y, problem, read.folds, read.seed)
    task = Task(
        rows=rows.iloc[parts.training],
        y=training_y,
        problem=problem,
        schema=features,
        metric=choose(problem, SORT[kind]),
        seed=read.seed,
        threads=read.threads or cores(),
        crossed=folds,
        spec=read.preparation,
    )
    return Table(frame, rows, y, parts, task, asked, read)


def named(data: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with texts as names, which schemas go by."""
    return data.set_axis(data.columns.map(str), axis=1)


def kind_of(problem: Problem) -> ProblemType:
    """Return what PyCaret calls a problem."""
    return "regression" if problem.kind == "regression" else "classification"


def understand(
    verb: str,
    setup: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    kind: ProblemType,
    target: str,
    sort: str,
) -> Translation:
    """Read the parameters of `setup` and of a verb; problems are told by the verb's name."""
    problems = []
    known = {}
    for name, value in options.items():
        if name not in _HARMLESS:
            known[name] = value
        elif not any(same(value, each) for each in _HARMLESS[name]):
            told = repr(value)[:200]
            problems.append((f"{verb}.{name}", told, "no verb does it", "leave it out"))
    found = None
    try:
        content = {SETUP: _listed(setup), _MODELING: _listed(known)}
        found = translate(content, kind, target, sort)
    except UnsupportedParametersError as error:
        for place, *rest in error.problems:
            where = place.replace(SETUP, "setup").replace(_MODELING, verb)
            problems.append((where, *rest))  # type: ignore[arg-type]  # three of them
    if problems or found is None:
        raise UnsupportedParametersError(tuple(problems))
    return found


def options_of(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what is said to PyCaret's verb from the parameters of a learner."""
    verbs = {name: each for name, each in given.items() if name in COMPARE or name in _HARMLESS}
    return verbs, {name: each for name, each in given.items() if name not in verbs}


def refused(place: str, given: Any, reason: str, instead: str) -> UnsupportedParametersError:
    """Return the error about one parameter."""
    return UnsupportedParametersError(((place, repr(given)[:200], reason, instead),))


def cut(y: pd.Series[Any], problem: Problem, folds: int | None, seed: int) -> tuple[Fold, ...]:
    """Return the folds of a cross-validation, PyCaret's number of them for None."""
    least = FOLDS if problem.kind == "regression" else int(y.value_counts().iloc[-1])
    try:
        return tuple(crossed(y, problem, folds or max(2, min(FOLDS, least)), seed=seed))
    except ValueError as error:
        raise SplitError("random", " ".join(str(error).split())) from error


def figures(
    problem: Problem,
    codes: NDArray[Any],
    scores: NDArray[Any],
    sort: str = "",
    threshold: float = 0.5,
) -> dict[str, float]:
    """Return PyCaret's columns of a score grid; losses are positive, NaN where there is none."""
    found = {}
    for name in _columns(problem, sort):
        metric = choose(problem, name)
        try:
            value = evaluate(metric, codes, scores, threshold)
        except MetricDomainError:
            value = np.nan
        found[name] = -value if metric.name.startswith("neg_") else value
    return found


def by_fold(
    task: Task, scores: NDArray[Any], folds: Iterable[Fold], sort: str = ""
) -> pd.DataFrame:
    """Return the figures of out-of-fold scores, fold by fold, their mean and their spread."""
    rows = [figures(task.problem, task.codes[rows], scores[rows], sort) for _, rows in folds]
    grid = pd.DataFrame(rows)
    ends = pd.DataFrame({"Mean": grid.mean(), "Std": grid.std(ddof=0)}).T
    return pd.concat([grid, ends]).rename_axis("Fold")


def problem_of(model: Any, target: str) -> Problem:
    """Say what a fitted model predicts, which may have been made elsewhere."""
    if not hasattr(model, "classes_"):
        return Problem("regression", target)
    classes = tuple(np.asarray(model.classes_).tolist())
    return Problem("binary" if len(classes) == 2 else "multiclass", target, classes)  # noqa: PLR2004 - bi-nary


def predictions(
    problem: Problem, scores: NDArray[Any], threshold: float, *, raw_score: bool, digits: int
) -> dict[str, NDArray[Any]]:
    """Return the columns that `predict_model` adds, by name."""
    if problem.kind == "regression":
        return {"prediction_label": scores}
    codes = decide(scores, threshold)
    found = {"prediction_label": np.asarray(problem.classes)[codes]}
    if raw_score:
        columns = zip(problem.classes, scores.T.round(digits), strict=True)
        return found | {f"prediction_score_{each}": given for each, given in columns}
    return found | {"prediction_score": scores[np.arange(len(codes)), codes].round(digits)}


def judged(
    problem: Problem, rows: pd.DataFrame, scores: NDArray[Any], threshold: float
) -> dict[str, float] | None:
    """Return the figures of the rows whose target is known, or None without any."""
    if problem.target not in rows.columns:
        return None
    truth = rows[problem.target]
    known = truth.notna() if problem.kind == "regression" else truth.isin(problem.classes)
    if not known.any():
        return None
    codes = problem.encode(truth[known].infer_objects())
    return figures(problem, codes, scores[known.to_numpy()], threshold=threshold)


def _columns(problem: Problem, sort: str) -> list[str]:
    kind = kind_of(problem)
    usual = list(FIGURES[kind])
    metrics = {metric_of(each, kind) for each in usual}
    return usual if not sort or metric_of(sort, kind) in metrics else [*usual, sort]


def _alone(given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says how to record, which nothing does here, or refuse it."""
    asked = [(name, given[name]) for name in _RECORDS if given.get(name)]
    if asked:
        what = "the verbs record nothing"
        instead = "leave it out, or train by the platform's flows"
        told = tuple((f"setup.{name}", repr(value)[:200], what, instead) for name, value in asked)
        raise UnsupportedParametersError(told)
    return {name: value for name, value in given.items() if name not in _RECORDS}


def _schema(frame: pd.DataFrame, dates: Iterable[str]) -> Schema:
    """Say what columns hold; those that are called dates are read as such."""
    found = infer(frame)
    called = set(dates)
    for each in sorted(called - set(found.names)):
        raise UnknownColumnError(each, found.names)
    return Schema(
        tuple(
            replace(each, kind="datetime") if each.name in called else each
            for each in found.columns
        )
    )


def _only(schema: Schema, column: str) -> Schema:
    return Schema(tuple(each for each in schema.columns if each.name == column))


def _listed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Write sequences and numbers as JSON has them, which the tables of parameters read."""
    found = {}
    for name, value in given.items():
        plain = value.item() if isinstance(value, np.generic) else value
        found[name] = list(plain) if isinstance(plain, tuple | set | pd.Index) else plain
    return found
