"""Learners that go by the nearness of rows, and by simple densities."""

from __future__ import annotations

from typing import Any

from sklearn import gaussian_process, kernel_ridge, naive_bayes, neighbors, svm
from sklearn.calibration import CalibratedClassifierCV
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from tasks.tabular.coding import scaled_target
from tasks.tabular.zoo.entry import Learner, Params, one_of, real, simple, whole


def _gaussian_classifier(params: Params, seed: int, _threads: int) -> Any:
    kernel = ConstantKernel(1.0) * RBF(3.0)
    given = {"kernel": kernel, "max_iter_predict": 50, **params}
    return gaussian_process.GaussianProcessClassifier(**given, random_state=seed)


def _gaussian_regressor(params: Params, seed: int, _threads: int) -> Any:
    kernel = ConstantKernel(1.0) * RBF(3.0) + WhiteKernel(0.3)
    given = {"kernel": kernel, "normalize_y": True, **params}
    return gaussian_process.GaussianProcessRegressor(**given, random_state=seed)


def _vectors(params: Params, seed: int, _threads: int) -> Any:
    """Return support vectors with probabilities, by Platt's sigmoid on three folds."""
    machine = svm.SVC(**{"C": 3.0, "cache_size": 500, **params}, random_state=seed)
    return CalibratedClassifierCV(machine, cv=3, ensemble=False)


ENTRIES = (
    Learner(
        "nearest_neighbours",
        "linear",
        **simple(
            neighbors.KNeighborsClassifier,
            neighbors.KNeighborsRegressor,
            seeded=False,
            threaded=True,
            n_neighbors=15,
            weights="distance",
        ),
        space={
            "n_neighbors": whole(1, 60, log=True),
            "weights": one_of("uniform", "distance"),
            "p": one_of(1, 2),
        },
        aliases=("knn", "k_nearest_neighbors", "nearest_neighbors"),
        max_rows=100_000,
    ),
    Learner(
        "naive_bayes",
        "linear",
        lambda params, _seed, _threads: naive_bayes.GaussianNB(**params),
        None,
        {"var_smoothing": real(1e-10, 1e-1, log=True)},
        ("nb",),
        dense=True,
    ),
    Learner(
        "svm",
        "linear",
        _vectors,
        lambda params, _seed, _threads: scaled_target(
            svm.SVR(**{"C": 3.0, "epsilon": 0.05, "cache_size": 500, **params})
        ),
        {"C": real(0.1, 100.0, log=True), "gamma": one_of("scale", 0.01, 0.03, 0.1)},
        ("rbfsvm",),
        max_rows=20_000,
    ),
    Learner(
        "gaussian_process",
        "linear",
        _gaussian_classifier,
        _gaussian_regressor,
        aliases=("gpc", "gpr"),
        max_rows=1_500,
        max_classes=5,
        dense=True,
    ),
    Learner(
        "kernel_ridge",
        "linear",
        None,
        lambda params, _seed, _threads: scaled_target(
            kernel_ridge.KernelRidge(**{"kernel": "rbf", "alpha": 0.1, "gamma": 0.03, **params})
        ),
        {"alpha": real(1e-3, 10.0, log=True), "gamma": real(1e-3, 1.0, log=True)},
        ("kr",),
        max_rows=8_000,
    ),
)
