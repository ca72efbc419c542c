"""Boosted trees: the learners that win most tables."""

from __future__ import annotations

from typing import Any

from tasks.tabular.boosters import extreme, light, symmetric
from tasks.tabular.coding import CodedClassifier
from tasks.tabular.zoo.entry import Learner, Params, one_of, real, whole

_LIGHTGBM = {"n_estimators": 150, "verbosity": -1, "deterministic": True}
_XGBOOST = {
    "n_estimators": 150,
    "max_depth": 6,
    "learning_rate": 0.1,
    "enable_categorical": True,
}
_CATBOOST = {"iterations": 300, "verbose": False, "allow_writing_files": False}
_EBM = {"outer_bags": 2, "interactions": 10, "max_rounds": 4000}


def _lightgbm(kind: type) -> Any:
    return lambda params, seed, threads: kind(
        **{**_LIGHTGBM, **params}, random_state=seed, n_jobs=threads
    )


def _catboost(kind: type) -> Any:
    return lambda params, seed, threads: kind(
        **{**_CATBOOST, **params}, random_seed=seed, thread_count=threads
    )


def _xgboost(kind: type) -> Any:
    return lambda params, seed, threads: kind(
        **{**_XGBOOST, **params}, random_state=seed, n_jobs=threads
    )


def _coded_xgboost(params: Params, seed: int, threads: int) -> Any:
    return CodedClassifier(_xgboost(extreme.StoppedXGBClassifier)(params, seed, threads))


def _ebm_classifier(params: Params, seed: int, threads: int) -> Any:
    from interpret.glassbox import ExplainableBoostingClassifier  # noqa: PLC0415 - slow import

    return ExplainableBoostingClassifier(**{**_EBM, **params}, random_state=seed, n_jobs=threads)


def _ebm_regressor(params: Params, seed: int, threads: int) -> Any:
    from interpret.glassbox import ExplainableBoostingRegressor  # noqa: PLC0415 - slow import

    return ExplainableBoostingRegressor(**{**_EBM, **params}, random_state=seed, n_jobs=threads)


ENTRIES = (
    Learner(
        "lightgbm",
        "native",
        _lightgbm(light.StoppedLGBMClassifier),
        _lightgbm(light.StoppedLGBMRegressor),
        {
            "learning_rate": real(0.02, 0.15, log=True),
            "n_estimators": whole(300, 4000, log=True),
            "num_leaves": whole(7, 255, log=True),
            "max_depth": whole(3, 16),
            "min_child_samples": whole(2, 100, log=True),
            "colsample_bytree": real(0.3, 1.0),
            "subsample": real(0.5, 1.0),
            "subsample_freq": one_of(0, 1),
            "reg_lambda": real(1e-3, 30.0, log=True),
            "extra_trees": one_of(*(False, True)),
        },
        ("lgbm", "gbm"),
        stops=True,
    ),
    Learner(
        "xgboost",
        "native",
        _coded_xgboost,
        _xgboost(extreme.StoppedXGBRegressor),
        {
            "learning_rate": real(0.02, 0.2, log=True),
            "n_estimators": whole(300, 4000, log=True),
            "max_depth": whole(3, 12),
            "min_child_weight": real(0.5, 20.0, log=True),
            "subsample": real(0.5, 1.0),
            "colsample_bytree": real(0.3, 1.0),
            "reg_lambda": real(1e-2, 30.0, log=True),
        },
        ("xgb",),
        stops=True,
    ),
    Learner(
        "catboost",
        "native",
        _catboost(symmetric.CategoricalCatBoostClassifier),
        _catboost(symmetric.CategoricalCatBoostRegressor),
        {
            "learning_rate": real(0.02, 0.2, log=True),
            "iterations": whole(300, 4000, log=True),
            "depth": whole(4, 9),
            "l2_leaf_reg": real(1.0, 20.0, log=True),
            "random_strength": real(0.2, 3.0, log=True),
            "max_ctr_complexity": whole(1, 3),
        },
        ("cat",),
        stops=True,
    ),
    Learner(
        "ebm",
        "native",
        _ebm_classifier,
        _ebm_regressor,
        {
            "learning_rate": real(0.005, 0.1, log=True),
            "interactions": whole(0, 20),
            "max_leaves": whole(2, 4),
            "min_samples_leaf": whole(2, 50, log=True),
        },
        ("explainable_boosting",),
        max_rows=100_000,
    ),
)
