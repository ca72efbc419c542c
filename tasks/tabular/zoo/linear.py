"""Learners that weigh columns: fast, small, and hard to beat where rows are few."""

from __future__ import annotations

from typing import Any

from sklearn import linear_model as lm
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.svm import LinearSVC, LinearSVR

from tasks.tabular.coding import scaled_target
from tasks.tabular.zoo.entry import Learner, Params, one_of, real, simple, whole


def _ridge(params: Params, seed: int, _threads: int) -> Any:
    """Return the same model for a quantity: least squares under the same penalty."""
    given = dict(params)
    alpha = 1 / float(given.pop("C", 1.0))
    return lm.Ridge(**{"alpha": alpha, **given}, random_state=seed)


def _calibrated(kind: type, **defaults: Any) -> Any:
    """Give probabilities to a classifier that has only a margin."""

    def build(params: Params, seed: int, _threads: int) -> Any:
        estimator = kind(**{**defaults, **params}, random_state=seed)
        return CalibratedClassifierCV(estimator, cv=3, ensemble=False)

    return build


def _scaled(kind: type, *, seeded: bool = True, **defaults: Any) -> Any:
    """Fit a regressor on a target of unit spread."""

    def build(params: Params, seed: int, _threads: int) -> Any:
        given = {**defaults, **params}
        return scaled_target(kind(**given, random_state=seed) if seeded else kind(**given))

    return build


ENTRIES = (
    Learner(
        "logistic_regression",
        "linear",
        simple(lm.LogisticRegression, None, max_iter=500)["classifier"],
        _ridge,
        {"C": real(1e-3, 1e2, log=True)},
        ("lr", "logistic"),
    ),
    Learner(
        "linear_regression",
        "linear",
        **simple(None, lm.LinearRegression, seeded=False),
        aliases=("ols",),
    ),
    Learner(
        "ridge",
        "linear",
        _calibrated(lm.RidgeClassifier),
        simple(None, lm.Ridge)["regressor"],
        {"alpha": real(1e-3, 1e3, log=True)},
    ),
    Learner(
        "lasso",
        "linear",
        simple(lm.LogisticRegression, None, solver="saga", l1_ratio=1.0, max_iter=300)[
            "classifier"
        ],
        _scaled(lm.Lasso, alpha=1e-3, max_iter=3000),
        {"C": real(1e-3, 1e2, log=True)},
        max_rows=50_000,
    ),
    Learner(
        "elastic_net",
        "linear",
        simple(lm.LogisticRegression, None, solver="saga", l1_ratio=0.5, max_iter=300)[
            "classifier"
        ],
        _scaled(lm.ElasticNet, alpha=1e-3, max_iter=3000),
        {"l1_ratio": real(0.05, 0.95)},
        ("en", "elasticnet"),
        max_rows=50_000,
    ),
    Learner("lars", "linear", None, _scaled(lm.Lars), aliases=("lar",), dense=True),
    Learner(
        "lasso_lars",
        "linear",
        None,
        _scaled(lm.LassoLars, alpha=1e-3),
        aliases=("llar",),
        dense=True,
    ),
    Learner(
        "orthogonal_matching_pursuit",
        "linear",
        None,
        simple(None, lm.OrthogonalMatchingPursuit, seeded=False)["regressor"],
        aliases=("omp",),
        dense=True,
    ),
    Learner(
        "bayesian_ridge",
        "linear",
        None,
        simple(None, lm.BayesianRidge, seeded=False)["regressor"],
        aliases=("br",),
        dense=True,
    ),
    Learner(
        "ard_regression",
        "linear",
        None,
        simple(None, lm.ARDRegression, seeded=False)["regressor"],
        aliases=("ard",),
        max_rows=5_000,
        dense=True,
    ),
    Learner(
        "huber",
        "linear",
        None,
        _scaled(lm.HuberRegressor, seeded=False, max_iter=300),
        {"epsilon": real(1.05, 3.0)},
    ),
    Learner("ransac", "linear", None, simple(None, lm.RANSACRegressor)["regressor"], dense=True),
    Learner(
        "theil_sen",
        "linear",
        None,
        _scaled(lm.TheilSenRegressor, max_subpopulation=2000),
        aliases=("tr", "theilsen"),
        max_rows=20_000,
        dense=True,
    ),
    Learner(
        "linear_svm",
        "linear",
        _calibrated(LinearSVC),
        _scaled(LinearSVR),
        {"C": real(1e-3, 10.0, log=True)},
        ("svm_linear",),
    ),
    Learner(
        "lda",
        "linear",
        simple(LinearDiscriminantAnalysis, None, seeded=False, solver="lsqr")["classifier"],
        None,
        {"shrinkage": one_of("auto", None, 0.1, 0.5)},
        ("linear_discriminant_analysis",),
        dense=True,
    ),
    Learner(
        "qda",
        "linear",
        simple(QuadraticDiscriminantAnalysis, None, seeded=False, reg_param=0.1)["classifier"],
        None,
        {"reg_param": real(1e-3, 1.0, log=True)},
        ("quadratic_discriminant_analysis",),
        dense=True,
    ),
    Learner(
        "stochastic_gradient",
        "linear",
        simple(lm.SGDClassifier, None, loss="log_loss", alpha=1e-4)["classifier"],
        _scaled(lm.SGDRegressor, alpha=1e-4),
        {"alpha": real(1e-6, 1e-1, log=True), "max_iter": whole(200, 2000, log=True)},
        ("sgd", "par", "passive_aggressive"),
    ),
)
