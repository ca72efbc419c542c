"""From fitted learners to operations: the second half of compiling a model."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from catboost import CatBoost
from lightgbm import LGBMClassifier, LGBMModel
from sklearn import linear_model as lm
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.svm import LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from xgboost import XGBClassifier, XGBModel

from tasks.tabular.coding import CodedClassifier, Dense
from tasks.tabular.neural import Neural, NeuralClassifier
from tasks.tabular.packing import packages_of
from tasks.tabular.plans import forests
from tasks.tabular.plans import scoring as ops
from tasks.tabular.plans.errors import NotCompiledError
from tasks.tabular.plans.networks import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tasks.tabular.plans.encoders import Builder, Features

_EXACT = (
    CatBoost,  # asked as it is
    LGBMModel,
    XGBModel,
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
)
"""Learners whose plans answer the same to the bit: sums in the trees' order, and no exponential
of ours."""

_LINEAR_REGRESSORS = (
    lm.LinearRegression,
    lm.Ridge,
    lm.Lasso,
    lm.ElasticNet,
    lm.Lars,
    lm.LassoLars,
    lm.OrthogonalMatchingPursuit,
    lm.BayesianRidge,
    lm.ARDRegression,
    lm.HuberRegressor,
    lm.TheilSenRegressor,
    lm.SGDRegressor,
    LinearSVR,
)


def compile_learner(
    builder: Builder, estimator: Any, features: Features, classes: NDArray[Any] | None
) -> int:
    """Add the operations of a fitted learner and return the register of its scores.

    Parameters
    ----------
    classes : array, shape (n_classes,), or None in regression
        What it was fitted on: sorted labels, or class codes. One that was not there has the
        probability 0.

    Raises
    ------
    NotCompiledError
        If it reads categories natively and has no counterpart.
    """
    register = _compiled(builder, unwrapped(estimator), features)
    if classes is None:
        return register
    own = np.asarray(estimator.classes_).reshape(-1)
    if len(own) == len(classes):
        return register
    return builder.add(ops.Spread(register, np.searchsorted(classes, own), len(classes)))


def is_exact(estimator: Any) -> bool:
    """Whether the learner's plan answers the same as it does, to the bit."""
    return isinstance(unwrapped(estimator), _EXACT)


def unwrapped(estimator: Any) -> Any:
    """Return the learner inside what stands between it and its features or labels."""
    while isinstance(estimator, Dense | CodedClassifier):
        estimator = estimator.estimator_
    return estimator


def _compiled(builder: Builder, estimator: Any, features: Features) -> int:
    for kinds, compile_ in _COMPILERS:
        if isinstance(estimator, kinds):
            return compile_(builder, estimator, features)
    if type(estimator).__name__.startswith("ExplainableBoosting"):
        return _additive(builder, estimator, features)
    if features.categories:
        raise NotCompiledError(f"{type(estimator).__name__} reads categories in a way of its own")
    return _as_it_is(builder, estimator, features)


# boosters


def _lightgbm(builder: Builder, estimator: LGBMModel, features: Features) -> int:
    classifies = isinstance(estimator, LGBMClassifier)
    many = classifies and estimator.n_classes_ > 2  # noqa: PLR2004 - binary boosters answer one
    return builder.add(
        ops.LightGBM(
            features.register,
            estimator.booster_.model_to_string(),
            features.width,
            int(estimator.n_classes_) if many else 1,
            link="second" if classifies and not many else "values",
            raw=False,
        )
    )


def _xgboost(builder: Builder, estimator: XGBModel, features: Features) -> int:
    classes = int(estimator.n_classes_) if isinstance(estimator, XGBClassifier) else 0
    booster = estimator.get_booster()
    first, last = estimator._get_iteration_range(None)  # noqa: SLF001 - XGBoost says it nowhere else
    return builder.add(
        ops.XGBoost(
            features.register,
            bytes(booster.save_raw("ubj")),
            classes if classes > 2 else 1,  # noqa: PLR2004 - binary boosters answer one
            (int(first), int(last)),
            classes,
        )
    )


def _catboost(builder: Builder, estimator: CatBoost, features: Features) -> int:
    if features.categories:  # rows of objects are slow for it, but they are what it takes
        categories = tuple(features.categories.items())
        return builder.add(_estimated(estimator, features, categories))
    return builder.add(_estimated(estimator, features))


def _network(builder: Builder, estimator: Neural, features: Features) -> int:
    coder = estimator.coder_
    categories = []
    for place, names in coder.categories.items():
        known = names.get_indexer(pd.Index(features.categories[place], dtype=object))
        categories.append((int(place), np.asarray(known, dtype=np.int64), len(names)))
    span = None
    if not isinstance(estimator, NeuralClassifier):
        span = (estimator.scale_, estimator.mean_, *estimator.range_)
    numbers = np.array(coder.numbers, dtype=np.intp)
    return builder.add(
        Network(
            features.register,
            coder.scale,
            dict(estimator.weights_),
            numbers,
            tuple(categories),
            span,
        )
    )


def _additive(builder: Builder, estimator: Any, features: Features) -> int:
    """Compile an explainable boosting machine; interpret is slow to import, so by its name."""
    places: dict[tuple[int, int], int] = {}
    binnings: list[tuple[int, Any, Any]] = []
    terms = []
    for term, scores in zip(estimator.term_features_, estimator.term_scores_, strict=True):
        looked_at = []
        for feature in term:
            levels = estimator.bins_[feature]
            level = min(len(levels), len(term)) - 1
            if (feature, level) not in places:
                places[feature, level] = len(binnings)
                binnings.append(_binning(estimator, features, feature, levels[level]))
            looked_at.append(places[feature, level])
        terms.append((tuple(looked_at), np.asarray(scores, dtype=np.float64)))
    links = {"identity": "values", "logit": "expit", "mlogit": "softmax"}
    if estimator.link_ not in links:
        raise NotCompiledError(f"its link {estimator.link_} has no counterpart")
    intercept = np.asarray(estimator.intercept_, dtype=np.float64)
    intercept = intercept.reshape(()) if intercept.size == 1 else intercept
    return builder.add(
        ops.Additive(
            features.register, tuple(binnings), tuple(terms), intercept, links[estimator.link_]
        )
    )


def _binning(
    estimator: Any, features: Features, place: int, bins: Any
) -> tuple[int, NDArray[np.float64] | None, NDArray[np.int64] | None]:
    if estimator.feature_types_in_[place] == "continuous":
        return place, np.asarray(bins, dtype=np.float64), None
    if place not in features.categories:
        raise NotCompiledError(f"it takes feature {place}, a number, for a category")
    codes = [bins.get(name, -1) for name in features.categories[place]]
    return place, None, np.array(codes, dtype=np.int64)


# trees of scikit-learn's


def _tree(builder: Builder, estimator: Any, features: Features) -> int:
    return _grown(builder, [estimator], features, classifies=is_classifier(estimator))


def _forest(builder: Builder, estimator: Any, features: Features) -> int:
    return _grown(builder, estimator.estimators_, features, classifies=is_classifier(estimator))


def _grown(builder: Builder, trees: list[Any], features: Features, *, classifies: bool) -> int:
    """Add the mean of trees: a sum per class, divided by their number."""
    outputs = int(trees[0].n_classes_) if classifies else 1
    written = (
        forests.of_sklearn(each.tree_, each.tree_.value[:, 0, output])
        for each in trees
        for output in range(outputs)
    )
    return _walked(builder, written, features, outputs, "mean", count=len(trees))


def _gradient(builder: Builder, estimator: Any, features: Features) -> int:
    start = estimator._raw_predict_init(np.zeros((1, features.width)))[0]  # noqa: SLF001 - of its loss
    outputs = len(start)
    rate = estimator.learning_rate
    grown = (
        forests.of_sklearn(each.tree_, rate * each.tree_.value[:, 0, 0])
        for stage in estimator.estimators_
        for each in stage
    )
    link = _link(is_classifier(estimator), outputs)
    return _walked(builder, _begun(start, grown), features, outputs, link)


def _histogram(builder: Builder, estimator: Any, features: Features) -> int:
    if not is_classifier(estimator) and estimator.loss not in ("squared_error", "absolute_error"):
        raise NotCompiledError(f"its loss {estimator.loss} has a link of its own")
    start = np.atleast_1d(np.asarray(estimator._baseline_prediction).reshape(-1))  # noqa: SLF001 - as above
    outputs = len(start)
    try:
        grown = [
            forests.of_histogram(each)
            for stage in estimator._predictors  # noqa: SLF001 - as above
            for each in stage
        ]
    except ValueError as error:
        raise NotCompiledError(str(error)) from error
    link = _link(is_classifier(estimator), outputs)
    return _walked(builder, _begun(start, grown), features, outputs, link, single_precision=False)


def _begun(start: NDArray[Any], grown: Any) -> Iterator[forests.Tree]:
    yield from (forests.constant(float(each)) for each in start)
    yield from grown


def _link(classifies: bool, outputs: int) -> str:  # noqa: FBT001 - the one thing it is told
    if not classifies:
        return "values"
    return "logit" if outputs == 1 else "softmax"


def _walked(
    builder: Builder,
    trees: Any,
    features: Features,
    outputs: int,
    link: str,
    *,
    count: int = 1,
    single_precision: bool = True,
) -> int:
    try:
        text = forests.write(trees, features=features.width, outputs=outputs)
    except ValueError as error:
        raise NotCompiledError(str(error)) from error
    return builder.add(
        ops.LightGBM(
            features.register,
            text,
            features.width,
            outputs,
            link=link,
            raw=True,
            trees=count,
            single_precision=single_precision,
        )
    )


# weights


def _logistic(builder: Builder, estimator: Any, features: Features) -> int:
    if isinstance(estimator, lm.SGDClassifier) and estimator.loss != "log_loss":
        return _as_it_is(builder, estimator, features)
    many = len(estimator.classes_) > 2  # noqa: PLR2004 - two classes share one margin
    several = "shares" if isinstance(estimator, lm.SGDClassifier) else "softmax"
    return builder.add(
        ops.Linear(
            features.register,
            np.ascontiguousarray(estimator.coef_.T),
            np.asarray(estimator.intercept_, dtype=float),
            several if many else "expit",
        )
    )


def _weighted(builder: Builder, estimator: Any, features: Features) -> int:
    weights = np.asarray(estimator.coef_, dtype=float).reshape(-1, 1)
    intercept = np.asarray(estimator.intercept_, dtype=float).reshape(-1)
    return builder.add(ops.Linear(features.register, weights, intercept, "values"))


def _agreed(builder: Builder, estimator: lm.RANSACRegressor, features: Features) -> int:
    return _compiled(builder, estimator.estimator_, features)


def _unscaled(builder: Builder, estimator: TransformedTargetRegressor, features: Features) -> int:
    scaler = estimator.transformer_
    inner = _compiled(builder, estimator.regressor_, features)
    return builder.add(ops.Unscaled(inner, float(scaler.scale_[0]), float(scaler.mean_[0])))


# what is asked as it is


def _as_it_is(builder: Builder, estimator: Any, features: Features) -> int:
    return builder.add(_estimated(estimator, features))


def _estimated(
    estimator: Any,
    features: Features,
    categories: tuple[tuple[int, tuple[str, ...]], ...] = (),
) -> ops.Estimated:
    nameless = copy.deepcopy(estimator)
    if "feature_names_in_" in vars(nameless):
        del nameless.feature_names_in_
    packages = set(packages_of(nameless))
    if isinstance(estimator, CatBoost):  # its class is ours, and takes frames too
        packages |= {"catboost", "pandas"}
    return ops.Estimated(
        features.register, nameless, is_classifier(estimator), tuple(sorted(packages)), categories
    )


_COMPILERS: tuple[tuple[Any, Callable[[Builder, Any, Features], int]], ...] = (
    (LGBMModel, _lightgbm),
    (XGBModel, _xgboost),
    (CatBoost, _catboost),
    (Neural, _network),
    ((DecisionTreeClassifier, DecisionTreeRegressor), _tree),
    (
        (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor),
        _forest,
    ),
    ((GradientBoostingClassifier, GradientBoostingRegressor), _gradient),
    ((HistGradientBoostingClassifier, HistGradientBoostingRegressor), _histogram),
    ((lm.LogisticRegression, lm.SGDClassifier), _logistic),
    (lm.RANSACRegressor, _agreed),
    (TransformedTargetRegressor, _unscaled),
    (_LINEAR_REGRESSORS, _weighted),
)
