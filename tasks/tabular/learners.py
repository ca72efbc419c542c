"""The learners a search chooses from: one entry each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from catboost import CatBoostError
from lightgbm import LGBMClassifier, LGBMRegressor
from lightgbm.basic import LightGBMError
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from xgboost import XGBClassifier, XGBRegressor

from tasks.tabular.boosting import CategoricalCatBoostClassifier, CategoricalCatBoostRegressor
from tasks.tabular.coding import CodedClassifier
from tasks.tabular.errors import UnknownNameError
from tasks.tabular.features import Family, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from numpy.typing import NDArray
    from optuna import Trial
    from sklearn.base import BaseEstimator

    from tasks.tabular.problem import Problem
    from tasks.tabular.schema import Schema
    from tasks.tabular.spec import PipelineSpec
    from tasks.tabular.steps.base import RowStep

LearnerName = Literal["logistic_regression", "lightgbm", "xgboost", "catboost", "random_forest"]
"""The names of `LEARNERS`, for forms (a test compares them)."""

Params = dict[str, int | float | str | None]

FITTING_ERRORS = (
    ValueError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    LightGBMError,
    CatBoostError,
)
"""What a learner may raise over data it cannot handle: it costs a candidate, not the run."""


@dataclass(frozen=True, slots=True)
class Learner:
    """How to build one kind of estimator and which parameters to try.

    `classifier` and `regressor` get the parameters, a seed and a thread count; `space` draws
    parameters from an Optuna trial. An empty set of parameters is the learner's default and
    is tried first.
    """

    name: str
    family: Family
    classifier: Callable[[Params, int, int], BaseEstimator]
    regressor: Callable[[Params, int, int], BaseEstimator]
    space: Callable[[Trial], Params]


@dataclass(frozen=True, slots=True)
class UnfittedModel:
    """A whole model before it is fitted, and what leaves out rows when it is."""

    pipeline: Pipeline
    filters: tuple[RowStep, ...] = ()


def _linear_space(trial: Trial) -> Params:
    return {"C": trial.suggest_float("linear.C", 1e-3, 1e2, log=True)}


def _forest_space(trial: Trial) -> Params:
    return {
        "min_samples_leaf": trial.suggest_int("forest.min_samples_leaf", 1, 20, log=True),
        "max_features": trial.suggest_float("forest.max_features", 0.2, 1.0),
    }


def _lightgbm_space(trial: Trial) -> Params:
    return {
        "learning_rate": trial.suggest_float("lightgbm.learning_rate", 0.02, 0.2, log=True),
        "n_estimators": trial.suggest_int("lightgbm.n_estimators", 50, 600, log=True),
        "num_leaves": trial.suggest_int("lightgbm.num_leaves", 7, 127, log=True),
        "min_child_samples": trial.suggest_int("lightgbm.min_child_samples", 5, 100, log=True),
        "colsample_bytree": trial.suggest_float("lightgbm.colsample_bytree", 0.4, 1.0),
        "reg_lambda": trial.suggest_float("lightgbm.reg_lambda", 1e-3, 10.0, log=True),
    }


def _xgboost_space(trial: Trial) -> Params:
    return {
        "learning_rate": trial.suggest_float("xgboost.learning_rate", 0.02, 0.3, log=True),
        "n_estimators": trial.suggest_int("xgboost.n_estimators", 50, 600, log=True),
        "max_depth": trial.suggest_int("xgboost.max_depth", 3, 10),
        "min_child_weight": trial.suggest_float("xgboost.min_child_weight", 0.5, 20.0, log=True),
        "subsample": trial.suggest_float("xgboost.subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("xgboost.colsample_bytree", 0.4, 1.0),
    }


def _catboost_space(trial: Trial) -> Params:
    return {
        "learning_rate": trial.suggest_float("catboost.learning_rate", 0.03, 0.3, log=True),
        "iterations": trial.suggest_int("catboost.iterations", 100, 800, log=True),
        "depth": trial.suggest_int("catboost.depth", 4, 8),
        "l2_leaf_reg": trial.suggest_float("catboost.l2_leaf_reg", 1.0, 10.0, log=True),
    }


_FOREST = {"n_estimators": 150, "min_samples_leaf": 2}
_LIGHTGBM = {"n_estimators": 150, "verbosity": -1, "deterministic": True}
_XGBOOST = {
    "n_estimators": 150,
    "max_depth": 6,
    "learning_rate": 0.1,
    "enable_categorical": True,
}
_CATBOOST = {"iterations": 300, "verbose": False, "allow_writing_files": False}


LEARNERS: dict[str, Learner] = {
    learner.name: learner
    for learner in (
        Learner(
            "logistic_regression",
            "linear",
            lambda params, seed, _threads: LogisticRegression(
                **{"max_iter": 500, **params}, random_state=seed
            ),
            # the same model for a quantity: least squares under the same penalty
            lambda params, seed, _threads: Ridge(
                alpha=1 / float(params.get("C") or 1.0), random_state=seed
            ),
            _linear_space,
        ),
        Learner(
            "lightgbm",
            "native",
            lambda params, seed, threads: LGBMClassifier(
                **{**_LIGHTGBM, **params}, random_state=seed, n_jobs=threads
            ),
            lambda params, seed, threads: LGBMRegressor(
                **{**_LIGHTGBM, **params}, random_state=seed, n_jobs=threads
            ),
            _lightgbm_space,
        ),
        Learner(
            "xgboost",
            "native",
            lambda params, seed, threads: CodedClassifier(
                XGBClassifier(**{**_XGBOOST, **params}, random_state=seed, n_jobs=threads)
            ),
            lambda params, seed, threads: XGBRegressor(
                **{**_XGBOOST, **params}, random_state=seed, n_jobs=threads
            ),
            _xgboost_space,
        ),
        Learner(
            "catboost",
            "native",
            lambda params, seed, threads: CategoricalCatBoostClassifier(
                **{**_CATBOOST, **params}, random_seed=seed, thread_count=threads
            ),
            lambda params, seed, threads: CategoricalCatBoostRegressor(
                **{**_CATBOOST, **params}, random_seed=seed, thread_count=threads
            ),
            _catboost_space,
        ),
        Learner(
            "random_forest",
            "tree",
            lambda params, seed, threads: RandomForestClassifier(
                **{**_FOREST, **params}, random_state=seed, n_jobs=threads
            ),
            lambda params, seed, threads: RandomForestRegressor(
                **{**_FOREST, **params}, random_state=seed, n_jobs=threads
            ),
            _forest_space,
        ),
    )
}
"""By name, cheapest first: the order in which a search tries their defaults."""


def select(names: tuple[str, ...]) -> list[Learner]:
    """Return the learners called `names`, all of them for none, cheapest first.

    Raises
    ------
    UnknownNameError
        If a name is not known; the nearest are suggested.
    """
    for name in names:
        if name not in LEARNERS:
            raise UnknownNameError("learner", name, tuple(LEARNERS))
    return [learner for learner in LEARNERS.values() if not names or learner.name in names]


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
    build = learner.regressor if problem.kind == "regression" else learner.classifier
    prepared = prepare(schema, learner.family, problem=problem, spec=spec, seed=seed)
    model = Pipeline([*prepared.pipeline.steps, ("learner", build(dict(params), seed, threads))])
    return UnfittedModel(model, prepared.filters)


def predict_scores(model: Any, rows: pd.DataFrame, problem: Problem) -> NDArray[np.float64]:
    """Score `rows` with a fitted model.

    Returns
    -------
    array of float, shape (n_rows, n_classes), or (n_rows,) in regression
        Probabilities in the order of `problem.classes`, or values.
    """
    scores = model.predict(rows) if problem.kind == "regression" else model.predict_proba(rows)
    return np.asarray(scores, dtype=float)
