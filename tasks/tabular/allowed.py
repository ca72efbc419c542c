"""Estimators that a request may name by module and class: those of the zoo, and no others."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from sklearn.base import is_classifier

from tasks.tabular.coding import CodedClassifier
from tasks.tabular.errors import UnknownNameError, suggest
from tasks.tabular.learners import LEARNERS
from tasks.tabular.search_errors import UnsuitableLearnerError
from tasks.tabular.zoo.entry import Learner, Params

if TYPE_CHECKING:
    from tasks.tabular.problem import Kind

ALLOWED: dict[str, str] = {
    "sklearn.linear_model.LogisticRegression": "logistic_regression",
    "sklearn.linear_model.LinearRegression": "linear_regression",
    "sklearn.linear_model.Ridge": "ridge",
    "sklearn.linear_model.Lasso": "lasso",
    "sklearn.linear_model.ElasticNet": "elastic_net",
    "sklearn.linear_model.Lars": "lars",
    "sklearn.linear_model.LassoLars": "lasso_lars",
    "sklearn.linear_model.OrthogonalMatchingPursuit": "orthogonal_matching_pursuit",
    "sklearn.linear_model.BayesianRidge": "bayesian_ridge",
    "sklearn.linear_model.ARDRegression": "ard_regression",
    "sklearn.linear_model.HuberRegressor": "huber",
    "sklearn.linear_model.SGDRegressor": "stochastic_gradient",
    "sklearn.discriminant_analysis.LinearDiscriminantAnalysis": "lda",
    "sklearn.naive_bayes.GaussianNB": "naive_bayes",
    "sklearn.neighbors.KNeighborsClassifier": "nearest_neighbours",
    "sklearn.neighbors.KNeighborsRegressor": "nearest_neighbours",
    "sklearn.svm.SVR": "svm",
    "sklearn.tree.DecisionTreeClassifier": "decision_tree",
    "sklearn.tree.DecisionTreeRegressor": "decision_tree",
    "sklearn.ensemble.RandomForestClassifier": "random_forest",
    "sklearn.ensemble.RandomForestRegressor": "random_forest",
    "sklearn.ensemble.ExtraTreesClassifier": "extra_trees",
    "sklearn.ensemble.ExtraTreesRegressor": "extra_trees",
    "sklearn.ensemble.AdaBoostClassifier": "ada_boost",
    "sklearn.ensemble.AdaBoostRegressor": "ada_boost",
    "sklearn.ensemble.GradientBoostingClassifier": "gradient_boosting",
    "sklearn.ensemble.GradientBoostingRegressor": "gradient_boosting",
    "sklearn.ensemble.HistGradientBoostingClassifier": "hist_gradient_boosting",
    "sklearn.ensemble.HistGradientBoostingRegressor": "hist_gradient_boosting",
    "sklearn.neural_network.MLPClassifier": "mlp",
    "sklearn.neural_network.MLPRegressor": "mlp",
    "sklearn.gaussian_process.GaussianProcessClassifier": "gaussian_process",
    "sklearn.gaussian_process.GaussianProcessRegressor": "gaussian_process",
    "sklearn.kernel_ridge.KernelRidge": "kernel_ridge",
    "lightgbm.LGBMClassifier": "lightgbm",
    "lightgbm.LGBMRegressor": "lightgbm",
    "xgboost.XGBClassifier": "xgboost",
    "xgboost.XGBRegressor": "xgboost",
}
"""Public name to the learner whose features it takes. Classes without
probabilities, or that fail on indicators as they are, are not in."""

NOT_PARAMETERS = {"n_jobs", "random_state", "verbose", "callbacks", "device", "estimator"}
"""Parameters that are not the request's to set: threads and seeds are the run's."""


class EstimatorSpec(BaseModel):
    """An estimator by its import path, as `{"module": …, "class": …, "params": {…}}`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    module: str = Field(max_length=100, description="Such as sklearn.ensemble")
    class_name: str = Field(
        alias="class", max_length=100, description="Such as RandomForestClassifier"
    )
    params: dict[str, str | int | float | bool | None] = Field(
        default={}, description="Constructor parameters"
    )

    @property
    def path(self) -> str:
        """The whole name; a module without its package is scikit-learn's."""
        outside = self.module in ("lightgbm", "xgboost") or self.module.startswith("sklearn.")
        return f"{self.module if outside else f'sklearn.{self.module}'}.{self.class_name}"


def learner_for(spec: EstimatorSpec, kind: Kind) -> tuple[Learner, Params]:
    """Return a learner that builds exactly this estimator, and its parameters.

    Nothing is imported that is not on the list.

    Raises
    ------
    UnknownNameError
        If the class is not allowed; the nearest are suggested.
    UnsuitableLearnerError
        If it does not do this kind of problem, or does not know a parameter.
    """
    if spec.path not in ALLOWED:
        raise UnknownNameError("estimator", spec.path, tuple(ALLOWED))
    built = getattr(import_module(spec.path.rpartition(".")[0]), spec.class_name)
    known = set(built().get_params()) - NOT_PARAMETERS
    for name in spec.params:
        if name not in known:
            reason = f"it has no parameter {name!r}; {suggest(name, tuple(sorted(known)))}"
            raise UnsuitableLearnerError(spec.path, reason)
    if is_classifier(built()) == (kind == "regression"):
        raise UnsuitableLearnerError(spec.path, f"it does not do {kind}")
    like = LEARNERS[ALLOWED[spec.path]]

    def build(params: Params, seed: int, threads: int) -> Any:
        given = dict(params)
        if "random_state" in built().get_params():
            given["random_state"] = seed
        if "n_jobs" in built().get_params():
            given["n_jobs"] = threads
        if like.name == "xgboost":
            given["enable_categorical"] = True
        if like.name == "lightgbm":
            given |= {"verbosity": -1, "deterministic": True}
        estimator = built(**given)
        return CodedClassifier(estimator) if spec.path == "xgboost.XGBClassifier" else estimator

    learner = Learner(
        spec.class_name, like.family, build, build, dense=like.dense, modules=like.modules
    )
    return learner, dict(spec.params)
