"""scikit-learn's trees and what is made of many of them."""

from __future__ import annotations

from sklearn import ensemble, tree

from tasks.tabular.boosters import forests
from tasks.tabular.zoo.entry import Learner, one_of, real, simple, whole

_FOREST_SPACE = {
    "n_estimators": whole(100, 500, log=True),
    "min_samples_leaf": whole(1, 20, log=True),
    "max_features": real(0.1, 1.0),
    "max_depth": one_of(None, 8, 16, 24),
}

ENTRIES = (
    Learner(
        "decision_tree",
        "tree",
        **simple(tree.DecisionTreeClassifier, tree.DecisionTreeRegressor, min_samples_leaf=5),
        space={"max_depth": whole(2, 20), "min_samples_leaf": whole(1, 50, log=True)},
        aliases=("dt",),
    ),
    Learner(
        "random_forest",
        "tree",
        **simple(
            forests.GrowingRandomForestClassifier,
            forests.GrowingRandomForestRegressor,
            threaded=True,
            n_estimators=150,
            min_samples_leaf=2,
        ),
        space=_FOREST_SPACE,
        aliases=("rf",),
        stops=True,
    ),
    Learner(
        "extra_trees",
        "tree",
        **simple(
            forests.GrowingExtraTreesClassifier,
            forests.GrowingExtraTreesRegressor,
            threaded=True,
            n_estimators=150,
            min_samples_leaf=2,
        ),
        space=_FOREST_SPACE,
        aliases=("et",),
        stops=True,
    ),
    Learner(
        "ada_boost",
        "linear",  # it takes no gaps
        **simple(ensemble.AdaBoostClassifier, ensemble.AdaBoostRegressor, n_estimators=50),
        space={"n_estimators": whole(30, 300, log=True), "learning_rate": real(0.05, 2, log=True)},
        aliases=("ada", "adaboost"),
    ),
    Learner(
        "gradient_boosting",
        "linear",  # it takes no gaps
        **simple(
            ensemble.GradientBoostingClassifier,
            ensemble.GradientBoostingRegressor,
            n_estimators=150,
            n_iter_no_change=10,
        ),
        space={
            "learning_rate": real(0.02, 0.3, log=True),
            "n_estimators": whole(50, 500, log=True),
            "max_depth": whole(2, 8),
            "subsample": real(0.5, 1.0),
        },
        aliases=("gbc", "gbr"),
        max_rows=50_000,
        max_classes=10,
    ),
    Learner(
        "hist_gradient_boosting",
        "tree",
        **simple(
            ensemble.HistGradientBoostingClassifier,
            ensemble.HistGradientBoostingRegressor,
            max_iter=300,
            early_stopping=True,
        ),
        space={
            "learning_rate": real(0.02, 0.3, log=True),
            "max_iter": whole(50, 600, log=True),
            "max_leaf_nodes": whole(7, 127, log=True),
            "min_samples_leaf": whole(5, 100, log=True),
            "l2_regularization": real(1e-3, 10.0, log=True),
        },
        aliases=("hgb", "hist_gbm"),
        max_classes=10,
    ),
)
