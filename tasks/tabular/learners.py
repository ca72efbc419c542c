"""The learners a search chooses from, by name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from catboost import CatBoostError
from lightgbm.basic import LightGBMError
from sklearn.pipeline import Pipeline
from xgboost.core import XGBoostError

from tasks.tabular.coding import Dense
from tasks.tabular.errors import UnknownNameError
from tasks.tabular.features import prepare
from tasks.tabular.search_errors import UnsuitableLearnerError
from tasks.tabular.zoo import boosters, kernels, linear, networks, trees
from tasks.tabular.zoo.entry import Learner, Params

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from tasks.tabular.problem import Kind, Problem
    from tasks.tabular.schema import Schema
    from tasks.tabular.spec import PipelineSpec
    from tasks.tabular.steps.base import RowStep

LearnerName = Literal[
    "logistic_regression",
    "linear_regression",
    "ridge",
    "lasso",
    "elastic_net",
    "lars",
    "lasso_lars",
    "orthogonal_matching_pursuit",
    "bayesian_ridge",
    "ard_regression",
    "huber",
    "ransac",
    "theil_sen",
    "linear_svm",
    "lda",
    "qda",
    "stochastic_gradient",
    "lightgbm",
    "xgboost",
    "catboost",
    "ebm",
    "decision_tree",
    "random_forest",
    "extra_trees",
    "ada_boost",
    "gradient_boosting",
    "hist_gradient_boosting",
    "nearest_neighbours",
    "naive_bayes",
    "svm",
    "gaussian_process",
    "kernel_ridge",
    "mlp",
    "neural_network",
]
"""The names of `LEARNERS`, for forms (a test compares them)."""

FITTING_ERRORS = (
    ValueError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    LookupError,
    AttributeError,
    AssertionError,
    ImportError,
    LightGBMError,
    CatBoostError,
    XGBoostError,
)
"""What a learner may raise over data it cannot handle: it costs a candidate, not the run."""

LEARNERS: dict[str, Learner] = {
    entry.name: entry
    for module in (linear, boosters, trees, kernels, networks)
    for entry in module.ENTRIES
}

ALIASES: dict[str, str] = {
    alias: entry.name for entry in LEARNERS.values() for alias in entry.aliases
}
"""Names of PyCaret's and other libraries' learners."""


@dataclass(frozen=True, slots=True)
class UnfittedModel:
    """A whole model before it is fitted, and what leaves out rows when it is."""

    pipeline: Pipeline
    filters: tuple[RowStep, ...] = ()
    stops: bool = False


def learner_name(name: str) -> str:
    """Return the name of the learner that `name` means, an alias or of any case.

    Raises
    ------
    UnknownNameError
        If there is none; the nearest are suggested.
    """
    wanted = str(name).strip().casefold()
    known = ALIASES.get(wanted, wanted)
    if known not in LEARNERS:
        raise UnknownNameError("learner", str(name), (*LEARNERS, *ALIASES))
    return known


def select(names: Iterable[str], kind: Kind | None = None) -> list[Learner]:
    """Return the learners called `names`, in that order, or all there are for none.

    Parameters
    ----------
    kind : str, optional
        The kind of problem they are to solve.

    Raises
    ------
    UnknownNameError
        If a name is not known; the nearest are suggested.
    UnsuitableLearnerError
        If one does not solve problems of the kind, or needs a package that is not installed.
    """
    chosen = [LEARNERS[each] for each in dict.fromkeys(learner_name(name) for name in names)]
    for each in chosen:
        if each.extra and find_spec(each.extra) is None:
            raise UnsuitableLearnerError(each.name, f"it needs the package {each.extra!r}")
        if kind is not None and not each.handles(kind):
            raise UnsuitableLearnerError(each.name, f"it does not do {kind}")
    if chosen:
        return chosen
    return [
        each
        for each in LEARNERS.values()
        if (kind is None or each.handles(kind)) and (not each.extra or find_spec(each.extra))
    ]


def make_learner(
    learner: Learner, params: Mapping[str, Any], kind: Kind, *, seed: int, threads: int
) -> Any:
    """Build an unfitted estimator that takes features of the learner's family."""
    build = learner.regressor if kind == "regression" else learner.classifier
    if build is None:
        raise UnsuitableLearnerError(learner.name, f"it does not do {kind}")
    estimator = build(dict(params), seed, threads)
    return Dense(estimator) if learner.dense else estimator


def make_model(
    learner: Learner,
    params: Mapping[str, Any],
    problem: Problem,
    schema: Schema,
    *,
    seed: int,
    threads: int,
    spec: PipelineSpec | None = None,
) -> UnfittedModel:
    """Build the unfitted whole model: raw columns of `schema` in, scores out."""
    estimator = make_learner(learner, params, problem.kind, seed=seed, threads=threads)
    prepared = prepare(schema, learner.family, problem=problem, spec=spec, seed=seed)
    model = Pipeline([*prepared.pipeline.steps, ("learner", estimator)])
    return UnfittedModel(model, prepared.filters, learner.stops)


def predict_scores(model: Any, rows: pd.DataFrame, problem: Problem) -> NDArray[np.float64]:
    """Score `rows` with a fitted model.

    Returns
    -------
    array of float, shape (n_rows, n_classes), or (n_rows,) in regression
        Probabilities in the order of `problem.classes`, or values.
    """
    scores = model.predict(rows) if problem.kind == "regression" else model.predict_proba(rows)
    return np.asarray(scores, dtype=float)


__all__ = ["LEARNERS", "Learner", "Params", "make_model", "predict_scores", "select"]
