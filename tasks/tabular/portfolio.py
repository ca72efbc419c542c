"""Configurations that do well on many tables, tried before anything is searched.

They were chosen on real tables (docs/adr/0019): each is good on some of them, and together they
make better ensembles than many variants of the best one. The order is that of the search: the
cheap and the strong first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.tabular.learners import select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.tabular.problem import Kind
    from tasks.tabular.zoo.entry import Learner, Params

Entry = tuple[str, "Params"]

_LARGE: Params = {
    "learning_rate": 0.03,
    "n_estimators": 3000,
    "num_leaves": 127,
    "min_child_samples": 3,
    "colsample_bytree": 0.8,
    "reg_lambda": 1.0,
}

_RANDOMISED: Params = {
    "learning_rate": 0.05,
    "n_estimators": 2000,
    "extra_trees": True,
    "num_leaves": 63,
    "colsample_bytree": 0.8,
}

_DEEP: Params = {
    "learning_rate": 0.03,
    "n_estimators": 3000,
    "max_depth": 10,
    "subsample": 0.8,
    "colsample_bytree": 0.5,
    "min_child_weight": 5.0,
    "reg_lambda": 3.0,
}

# numbers as they are: where few shapes are smooth in many numbers, coding them in pieces overfits
_PLAIN: Params = {
    "embedding": 0,
    "members": 3,
    "batch_size": 256,
    "epochs": 40,
    "learning_rate": 0.008,
}

_CLASSES: tuple[Entry, ...] = (
    ("lightgbm", {"learning_rate": 0.05, "n_estimators": 2000}),
    ("logistic_regression", {}),
    ("neural_network", {}),
    ("catboost", {"iterations": 1500}),
    ("extra_trees", {"n_estimators": 200, "min_samples_leaf": 1, "criterion": "entropy"}),
    (
        "xgboost",
        {
            "learning_rate": 0.06,
            "n_estimators": 2000,
            "max_depth": 6,
            "subsample": 0.9,
            "colsample_bytree": 0.7,
            "min_child_weight": 1.5,
        },
    ),
    ("neural_network", _PLAIN),
    ("lightgbm", _LARGE),
    ("lightgbm", _RANDOMISED),
    ("svm", {}),
    ("nearest_neighbours", {}),
    ("random_forest", {"n_estimators": 200, "min_samples_leaf": 1, "criterion": "entropy"}),
    ("gaussian_process", {}),
    ("catboost", {"iterations": 2000, "depth": 8, "l2_leaf_reg": 5.0, "max_ctr_complexity": 2}),
    ("neural_network", {"width": 256, "depth": 3, "dropout": 0.2, "learning_rate": 0.004}),
    ("ebm", {}),
    ("xgboost", _DEEP),
    ("extra_trees", {"n_estimators": 300, "min_samples_leaf": 3, "max_features": 0.6}),
    ("catboost", {"iterations": 2000, "depth": 4, "l2_leaf_reg": 3.0, "learning_rate": 0.05}),
)

_QUANTITIES: tuple[Entry, ...] = (
    ("lightgbm", {"learning_rate": 0.05, "n_estimators": 3000}),
    ("logistic_regression", {}),
    (
        "xgboost",
        {
            "learning_rate": 0.05,
            "n_estimators": 3000,
            "max_depth": 7,
            "subsample": 0.9,
            "colsample_bytree": 0.7,
            "min_child_weight": 3.0,
        },
    ),
    ("catboost", {"iterations": 2000}),
    ("neural_network", {}),
    ("neural_network", _PLAIN),
    ("lightgbm", _LARGE),
    ("extra_trees", {"n_estimators": 200, "min_samples_leaf": 1, "max_features": 0.8}),
    ("lightgbm", _RANDOMISED),
    ("svm", {}),
    ("random_forest", {"n_estimators": 200, "min_samples_leaf": 1, "max_features": 0.5}),
    ("nearest_neighbours", {}),
    ("gaussian_process", {}),
    ("catboost", {"iterations": 3000, "depth": 8, "l2_leaf_reg": 4.0, "max_ctr_complexity": 2}),
    ("neural_network", {"width": 256, "depth": 3, "dropout": 0.2, "learning_rate": 0.004}),
    ("ebm", {}),
    ("xgboost", _DEEP),
)


def entries(learners: Sequence[Learner], kind: Kind, rows: int, classes: int) -> list[Entry]:
    """Return what to try first: the portfolio's entries of these learners, or their defaults.

    Every learner is there at least once, if it can handle the table; learners the portfolio
    does not know come after those it knows.
    """
    usable = {each.name for each in learners if each.handles(kind, rows, classes)}
    known = [
        entry for entry in (_QUANTITIES if kind == "regression" else _CLASSES) if entry[0] in usable
    ]
    there = {name for name, _ in known}
    return known + [
        (name, {}) for name in (each.name for each in learners) if name in usable - there
    ]


def usual(kind: Kind) -> list[str]:
    """Return the names of the portfolio's learners, which a search takes if none are named."""
    return list(
        dict.fromkeys(name for name, _ in (_QUANTITIES if kind == "regression" else _CLASSES))
    )


def usual_learners(kind: Kind) -> list[Learner]:
    """Return the learners of the portfolio that are installed."""
    wanted = set(usual(kind))
    return [each for each in select((), kind) if each.name in wanted]
