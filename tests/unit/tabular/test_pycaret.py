from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.tabular.errors import UnknownNameError
from tasks.tabular.experiment_errors import UnsupportedLearnerError, UnsupportedParametersError
from tasks.tabular.experiment_steps import TrainModel
from tasks.tabular.experiments import Experiment
from tasks.tabular.features import Family, prepare, usable
from tasks.tabular.learners import LEARNERS
from tasks.tabular.messages import read_message
from tasks.tabular.problem import Problem, ProblemType
from tasks.tabular.pycaret import (
    IDENTIFIERS,
    OWN,
    REFUSED,
    SLOW,
    Translation,
    learner_of,
    metric_of,
    translate,
)
from tasks.tabular.pycaret_parameters import COMPARE, SETUP
from tasks.tabular.resampling import Method
from tasks.tabular.schema import conform, infer
from tasks.tabular.splitting import SplitPolicy
from tests.unit.tabular.source_messages import FRAUD, SECOND

CLASSIFIERS = (
    *("lr", "knn", "nb", "dt", "svm", "rbfsvm", "gpc", "mlp", "ridge", "rf", "qda", "ada"),
    *("gbc", "lda", "et", "xgboost", "lightgbm", "catboost"),
)
REGRESSORS = (
    *("lr", "lasso", "ridge", "en", "lar", "llar", "omp", "br", "ard", "par", "ransac", "tr"),
    *("huber", "kr", "svm", "knn", "dt", "rf", "et", "ada", "gbr", "mlp"),
    *("xgboost", "lightgbm", "catboost"),
)
"""As `models()` of PyCaret 3.3.2 lists them."""

DOCUMENTED_SETUP = """
data data_func target index train_size test_data ordinal_features numeric_features
categorical_features date_features text_features ignore_features keep_features preprocess
create_date_columns imputation_type numeric_imputation categorical_imputation
iterative_imputation_iters numeric_iterative_imputer categorical_iterative_imputer
text_features_method max_encoding_ohe encoding_method rare_to_value rare_value
polynomial_features polynomial_degree low_variance_threshold group_features drop_groups
remove_multicollinearity multicollinearity_threshold bin_numeric_features remove_outliers
outliers_method outliers_threshold fix_imbalance fix_imbalance_method transformation
transformation_method normalize normalize_method pca pca_method pca_components
feature_selection feature_selection_method feature_selection_estimator n_features_to_select
transform_target transform_target_method custom_pipeline custom_pipeline_position
data_split_shuffle data_split_stratify fold_strategy fold fold_shuffle fold_groups n_jobs
use_gpu html session_id system_log log_experiment experiment_name experiment_custom_tags
log_plots log_profile log_data verbose memory profile profile_kwargs
"""
"""The parameters of `setup` in PyCaret 3.3.2, from its signatures."""

DOCUMENTED_SETUP_2 = """
high_cardinality_features high_cardinality_method handle_unknown_categorical
unknown_categorical_method ignore_low_variance combine_rare_levels rare_level_threshold
remove_perfect_collinearity create_clusters cluster_iter trigonometry_features
polynomial_threshold group_names feature_selection_threshold feature_interaction feature_ratio
interaction_threshold silent
"""
"""Those of PyCaret 2.3.10 that 3.3.2 no longer has."""

DOCUMENTED_COMPARE = """
include exclude fold round cross_validation sort n_select budget_time turbo errors fit_kwargs
groups experiment_custom_tags probability_threshold engine verbose parallel display
"""

OFF = [False, None, [], {}]
"""Accepted without asking for anything."""

GATES: dict[str, dict[str, Any]] = {
    "polynomial_degree": {"polynomial_features": True},
    "multicollinearity_threshold": {"remove_multicollinearity": True},
    "fix_imbalance_method": {"fix_imbalance": True},
    "transformation_method": {"transformation": True},
    "normalize_method": {"normalize": True},
    "pca_method": {"pca": True},
    "pca_components": {"pca": True},
    "feature_selection": {"n_features_to_select": 3},
    "feature_selection_method": {"feature_selection": True, "n_features_to_select": 3},
    "feature_selection_estimator": {"feature_selection": True, "n_features_to_select": 3},
    "n_features_to_select": {"feature_selection": True},
    "iterative_imputation_iters": {"imputation_type": "iterative"},
    "numeric_iterative_imputer": {"imputation_type": "iterative"},
    "categorical_iterative_imputer": {"imputation_type": "iterative"},
    "polynomial_threshold": {"trigonometry_features": True},
    "feature_selection_threshold": {"feature_selection": True, "n_features_to_select": 3},
    "fold_groups": {"fold_strategy": "groupkfold"},
    "groups": {"fold_strategy": "groupkfold"},
    "ensemble": {"n_select": 2},
}
"""What a parameter needs beside it to have an effect."""

SETUP_VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "data": ([None], ["a.csv", []]),
    "data_func": ([None], ["load"]),
    "target": (["y"], ["z", -1, ""]),
    "index": ([True, False, "id"], [0, "", None, ["id"]]),
    "train_size": ([0.7, 0.5, 0.95], [0, 1, 0.4, "0.7", True, None]),
    "test_data": (OFF, ["test.csv"]),
    "ordinal_features": (OFF, [{"size": ["low", "high"]}]),
    "numeric_features": (OFF, [["zip"]]),
    "categorical_features": ([["zip"], [], None], ["zip", [1], [""], ["a", "a"], ["y"]]),
    "date_features": ([["born"], [], None], ["born", [None], ["y"]]),
    "text_features": ([["note"], [], None], [{"note": 1}, ["y"]]),
    "ignore_features": ([["id", "zip"], [], None], ["id", ["y"]]),
    "keep_features": ([["age"], [], None], ["age", ["y"]]),
    "preprocess": ([True, False], [1, None, "yes"]),
    "create_date_columns": (
        [["day", "month", "weekday"], ["hour"]],
        ["day", ["days_in_month"], []],
    ),
    "imputation_type": (["simple", "ITERATIVE", None], ["knn", True]),
    "numeric_imputation": (["mean", "median", "mode", "knn", "zero", 0, -1.5], ["max", None, True]),
    "categorical_imputation": (["mode", "unknown"], [0, "", None, "drop"]),
    "iterative_imputation_iters": ([10], [5, 10.0, True]),
    "numeric_iterative_imputer": (["br"], ["lightgbm", None]),
    "categorical_iterative_imputer": ([None], ["lightgbm"]),
    "text_features_method": (["tf-idf"], ["bow", "bert", None]),
    "max_encoding_ohe": ([25, 0, -1], ["25", 2.5, None, True]),
    "encoding_method": (
        ["TargetEncoder", "countencoder", "HashingEncoder", None],
        ["WOEEncoder", 1],
    ),
    "rare_to_value": (OFF, [0.1]),
    "rare_value": (["rare", 3], []),
    "polynomial_features": ([True, False], [2, None]),
    "polynomial_degree": ([2, 5], [1, 6, 2.0, True]),
    "low_variance_threshold": ([0, 0.1, None], [-1, "0", False]),
    "group_features": (OFF, [{"sizes": ["a", "b"]}]),
    "drop_groups": ([True, False], []),
    "remove_multicollinearity": ([True, False], [0.9]),
    "multicollinearity_threshold": ([0.9, 0.5], [0, 1, 1.5, None]),
    "bin_numeric_features": ([["age"], [], None], [True, ["y"]]),
    "remove_outliers": (OFF, [True]),
    "outliers_method": (["iforest", "lof"], []),
    "outliers_threshold": ([0.05], []),
    "fix_imbalance": ([True, False], ["SMOTE", 1, None]),
    "fix_imbalance_method": (
        ["SMOTE", "adasyn", "RandomOverSampler", "SMOTENC", None, *get_args(Method)],
        ["SVMSMOTE", "KMeansSMOTE", "NearMiss", "SMOTETomek", "smotee", 1],
    ),
    "transformation": ([True, False], ["quantile"]),
    "transformation_method": (["yeo-johnson", "quantile"], ["box-cox", None]),
    "normalize": ([True, False], ["zscore"]),
    "normalize_method": (["zscore", "minmax", "maxabs", "robust"], ["l2", True]),
    "pca": ([True, False], [0.9]),
    "pca_method": (["linear", "incremental"], ["kernel", "sparse", None]),
    "pca_components": ([3, 0.9, None], ["mle", 0, 1.5, -2, True, "3"]),
    "feature_selection": ([True, False], ["classic"]),
    "feature_selection_method": (["classic", "univariate"], ["sequential", "boruta", None]),
    "feature_selection_estimator": (["et", None], ["lightgbm"]),
    "n_features_to_select": ([1, 20], [0.2, 0, True, None]),
    "custom_pipeline": (OFF, ["StandardScaler"]),
    "custom_pipeline_position": ([-1, 2], []),
    "data_split_shuffle": ([True], [False, 1]),
    "data_split_stratify": ([True], [False, ["town"], None]),
    "fold_strategy": (["stratifiedkfold"], ["kfold", "timeseries", "groupkfold", "loo", None]),
    "fold": ([2, 10], [1, 0, -3, 10.0, "10", None, True]),
    "fold_shuffle": ([True, False], [None]),
    "fold_groups": (["person"], [["a", "b"], 3, ""]),
    "n_jobs": ([-1, 1, 4, None], [0, -2, 1.5, True]),
    "use_gpu": (OFF, [True, "force"]),
    "html": ([True, False], ["no"]),
    "session_id": ([0, 123, None], [-1, 2**32, 1.5, "123", True]),
    "system_log": ([True, False], ["logs.log"]),
    "log_experiment": ([True, False, "mlflow"], ["wandb", ["mlflow", "wandb"]]),
    "experiment_name": (OFF, ["fraud"]),
    "experiment_custom_tags": (OFF, [{"team": "ml"}]),
    "log_plots": (OFF, [True, ["auc"]]),
    "log_profile": (OFF, [True]),
    "log_data": (OFF, [True]),
    "verbose": ([True, False], [2]),
    "memory": ([True, False], ["/tmp/cache"]),
    "profile": (OFF, [True]),
    "profile_kwargs": ([{}, None, {"minimal": True}], []),
    "transform_target": ([False, None], [True]),
    "transform_target_method": ([None], ["yeo-johnson"]),
    "high_cardinality_features": (OFF, [["zip"]]),
    "high_cardinality_method": (["frequency"], []),
    "handle_unknown_categorical": ([True], [False, None]),
    "unknown_categorical_method": (["least_frequent"], ["most_frequent"]),
    "ignore_low_variance": (OFF, [True]),
    "combine_rare_levels": (OFF, [True]),
    "rare_level_threshold": ([0.1], []),
    "remove_perfect_collinearity": (OFF, [True]),
    "create_clusters": (OFF, [True]),
    "cluster_iter": ([20], []),
    "trigonometry_features": ([True, False], ["sin", None]),
    "polynomial_threshold": ([None], [0.1]),
    "group_names": ([["sizes"]], []),
    "feature_selection_threshold": ([None], [0.8]),
    "feature_interaction": (OFF, [True]),
    "feature_ratio": (OFF, [True]),
    "interaction_threshold": ([0.01], []),
    "silent": ([True, False], [1]),
}
"""Values that are accepted and values that are refused, in classification."""

COMPARE_VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "estimator_list": ([["rf", "lightgbm", "knn"], ["RF"]], [[], "rf", None, ["xyz"], ["dummy"]]),
    "include": ([["dt", "lr"], None], [[], ["par"], [1], ["rf", "rf"]]),
    "exclude": ([["catboost"], [], None], ["catboost", ["catbost"], list(CLASSIFIERS)]),
    "fold": ([2, 10, None], [1, 2.5, "5", True]),
    "round": ([4], [2, 4.0, None]),
    "cross_validation": ([True], [False, None]),
    "sort": (["F1", "f1"], ["AUC", "R2", "nothing", 1]),
    "n_select": ([1, 3], [0, -1, 1.0, True, None]),
    "budget_time": ([0.5, 60, None], [0, -1, 1_441, "1", True]),
    "turbo": ([True, False], [None]),
    "errors": (["ignore"], ["raise", None]),
    "fit_kwargs": (OFF, [{"sample_weight": [1]}]),
    "groups": (["person", None], [["a"], ""]),
    "experiment_custom_tags": (OFF, [{"a": "b"}]),
    "probability_threshold": ([None, 0.5], [0.3, 1, True]),
    "engine": ([None, {}, {"lr": "sklearn"}], [{"lr": "sklearnex"}, "sklearn"]),
    "verbose": ([True, False], ["no"]),
    "parallel": (OFF, ["spark"]),
    "display": (OFF, [1]),
    "tune": ([True, False], ["optuna", None]),
    "ensemble": ([True, False], ["stacking", 1]),
}

ACCEPTED = [
    pytest.param(section, name, value, id=f"{name}={value}")
    for section, table in (("setup", SETUP_VALUES), ("compare", COMPARE_VALUES))
    for name, (values, _) in table.items()
    for value in values
]
REFUSALS = [
    pytest.param(section, name, value, id=f"{name}={value}")
    for section, table in (("setup", SETUP_VALUES), ("compare", COMPARE_VALUES))
    for name, (_, values) in table.items()
    for value in values
]


def translated(
    setup: dict[str, Any] | None = None,
    compare: dict[str, Any] | None = None,
    kind: ProblemType = "classification",
    **others: Any,
) -> Translation:
    params = {"feature_engineering_params": setup or {}, "modeling_params": compare or {}, **others}
    return translate(params, kind, "y", "F1" if kind == "classification" else "RMSE")


def refused(*given: Any, **others: Any) -> list[tuple[str, str, str, str]]:
    with pytest.raises(UnsupportedParametersError) as caught:
        translated(*given, **others)
    return list(caught.value.problems)


def sections(section: str, name: str, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two sections with a parameter and what it needs."""
    gates = GATES.get(name, {})
    setup = {each: gate for each, gate in gates.items() if each in SETUP}
    compare = {each: gate for each, gate in gates.items() if each not in SETUP}
    (setup if section == "setup" else compare)[name] = value
    if name == "groups" and value is None:
        setup["fold_groups"] = "person"
    return setup, compare


def steps_of(setup: dict[str, Any]) -> list[str]:
    spec = translated(setup).preparation
    return [each.step for each in spec.steps] if spec else []


def test_the_whole_documented_set_is_known() -> None:
    assert set(SETUP) == set(f"{DOCUMENTED_SETUP} {DOCUMENTED_SETUP_2}".split())
    assert set(COMPARE) == {*DOCUMENTED_COMPARE.split(), "estimator_list", "tune", "ensemble"}


def test_every_parameter_is_tested_here() -> None:
    assert set(SETUP_VALUES) == set(SETUP)
    assert set(COMPARE_VALUES) == set(COMPARE)
    for name, (good, bad) in (SETUP_VALUES | COMPARE_VALUES).items():
        assert good, name
        assert bad or translated({name: good[0]}).notes[0].startswith(f"{name} has no effect")


@pytest.mark.parametrize(("section", "name", "value"), ACCEPTED)
def test_a_value_is_accepted(section: str, name: str, value: Any) -> None:
    assert translated(*sections(section, name, value))


@pytest.mark.parametrize(("section", "name", "value"), REFUSALS)
def test_a_value_is_refused_by_its_place_with_a_reason_and_a_way_out(
    section: str, name: str, value: Any
) -> None:
    problems = refused(*sections(section, name, value))

    long = {"setup": "feature_engineering_params", "compare": "modeling_params"}[section]
    assert problems[0][0].startswith(f"{long}.{name}")
    assert all(reason and instead for _, _, reason, instead in problems)


@pytest.mark.parametrize(
    ("name", "value", "without"),
    [(name, SETUP_VALUES[name][0][0], gates) for name, gates in GATES.items() if name in SETUP
     and name != "feature_selection"],
)  # fmt: skip
def test_what_pycaret_would_not_look_at_is_told(
    name: str, value: Any, without: dict[str, Any]
) -> None:
    alone = translated({name: value})

    assert replace(alone, notes=()) == replace(translated(), notes=())
    assert any(note.startswith(f"{name} has no effect") for note in alone.notes)
    assert not any("has no effect" in note for note in translated({**without, name: value}).notes)


def test_a_note_and_a_gate_go_by_names_in_any_case() -> None:
    steps = translated({"imputation_type": "Simple", "numeric_imputation": "Median"}).preparation

    assert steps is not None
    assert steps.steps[0].model_dump()["strategy"] == "median"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def params(parameters: Any) -> Any:
    table = SETUP_VALUES if parameters is SETUP else COMPARE_VALUES
    usual = {name: st.sampled_from([*good, *bad]) | ANY for name, (good, bad) in table.items()}
    return (
        ANY | st.dictionaries(st.text(max_size=4), ANY) | st.fixed_dictionaries({}, optional=usual)
    )


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "feature_engineering_params": params(SETUP),
            "modeling_params": params(COMPARE),
            "finalize": ANY,
            "other": ANY,
        },
    ),
    st.sampled_from(["classification", "regression"]),
)
def test_any_parameters_are_translated_or_refused(given_: Any, kind: ProblemType) -> None:
    metric = "F1" if kind == "classification" else "R2"

    try:
        found = translate(given_, kind, "y", metric)
    except UnsupportedParametersError as error:
        found = None
        assert_told(error)

    assert found is None or found.folds is None or found.folds >= 2


def assert_told(error: UnsupportedParametersError) -> None:
    assert error.problems
    assert all(len(name) <= 200 and len(shown) <= 200 for name, shown, _, _ in error.problems)
    assert all(name in str(error) for name, _, _, _ in error.problems)


@pytest.mark.parametrize(
    ("kind", "identifiers"), [("classification", CLASSIFIERS), ("regression", REGRESSORS)]
)
def test_every_identifier_of_pycaret_means_a_learner_of_its_kind(
    kind: ProblemType, identifiers: tuple[str, ...]
) -> None:
    assert set(IDENTIFIERS[kind]) == set(identifiers)
    assert set(SLOW[kind]) < set(identifiers)
    problem = "binary" if kind == "classification" else "regression"
    for each in identifiers:
        assert learner_of(each, kind) == learner_of(f" {each.upper()} ", kind)
        assert LEARNERS[learner_of(each, kind)].handles(problem), each


def test_there_are_18_classifiers_and_25_regressors() -> None:
    assert (len(CLASSIFIERS), len(REGRESSORS)) == (18, 25)


@pytest.mark.parametrize(
    ("identifier", "kind", "name"),
    [
        ("lr", "classification", "logistic_regression"),
        ("lr", "regression", "linear_regression"),
        ("svm", "classification", "linear_svm"),
        ("rbfsvm", "classification", "svm"),
        ("svm", "regression", "svm"),
        ("knn", "regression", "nearest_neighbours"),
        ("par", "regression", "stochastic_gradient"),
        ("tr", "regression", "theil_sen"),
        ("gpc", "classification", "gaussian_process"),
    ],
)
def test_identifiers_mean(identifier: str, kind: ProblemType, name: str) -> None:
    assert learner_of(identifier, kind) == name


def test_our_learners_are_those_there_are() -> None:
    assert set(OWN) == set(LEARNERS)
    for name, kinds in OWN.items():
        assert LEARNERS[name].handles("binary") == ("classification" in kinds), name
        assert LEARNERS[name].handles("regression") == ("regression" in kinds), name


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_our_own_names_pass(kind: ProblemType) -> None:
    for name, kinds in OWN.items():
        if kind in kinds and name not in IDENTIFIERS[kind]:
            assert learner_of(name.upper(), kind) == name


@pytest.mark.parametrize(
    ("identifier", "kind", "told"),
    [
        *((name, "classification", instead) for name, (_, instead) in REFUSED.items()),
        *((name, "regression", instead) for name, (_, instead) in REFUSED.items()),
        ("nb", "regression", "bayesian_ridge"),
        ("naive_bayes", "regression", "bayesian_ridge"),
        ("gbc", "regression", "use gbr"),
        ("gbr", "classification", "use gbc"),
        ("br", "classification", "use ridge"),
        ("theil_sen", "classification", "use ridge"),
        ("Dummy", "regression", "leave it out"),
    ],
)
def test_what_cannot_be_learned_with_is_refused_by_name(
    identifier: str, kind: ProblemType, told: str
) -> None:
    with pytest.raises(UnsupportedLearnerError, match=identifier) as caught:
        learner_of(identifier, kind)

    assert told in str(caught.value)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_every_identifier_of_the_other_kind_is_refused_with_one_of_this(kind: ProblemType) -> None:
    other: ProblemType = "regression" if kind == "classification" else "classification"
    for each in {*IDENTIFIERS[other], *OWN}:
        if each in IDENTIFIERS[kind] or kind in OWN.get(each, ()):
            continue
        with pytest.raises(UnsupportedLearnerError) as caught:
            learner_of(each, kind)
        instead = caught.value.instead.removeprefix("use ").partition(" ")[0].partition(",")[0]
        assert learner_of(instead, kind)


@pytest.mark.parametrize(
    ("identifier", "near"), [("lgbm", "lightgbm"), ("catbost", "catboost"), ("forest", "random")]
)
def test_unknown_learners_are_told_with_the_nearest(identifier: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=near):
        learner_of(identifier, "classification")


@pytest.mark.parametrize(
    ("name", "kind", "metric"),
    [
        ("F1", "classification", "f1"),
        ("kappa", "classification", "cohen_kappa"),
        ("Kappa", "classification", "cohen_kappa"),
        ("Accuracy", "classification", "accuracy"),
        ("AUC", "classification", "roc_auc"),
        ("Recall", "classification", "recall"),
        ("Prec.", "classification", "precision"),
        ("MCC", "classification", "matthews_corrcoef"),
        ("MAE", "regression", "neg_mean_absolute_error"),
        ("MSE", "regression", "neg_mean_squared_error"),
        ("rmse", "regression", "neg_root_mean_squared_error"),
        ("R2", "regression", "r2"),
        ("RMSLE", "regression", "neg_root_mean_squared_log_error"),
        ("MAPE", "regression", "neg_mean_absolute_percentage_error"),
        ("roc_auc", "classification", "roc_auc"),
    ],
)
def test_every_metric_of_pycaret_is_known(name: str, kind: ProblemType, metric: str) -> None:
    assert metric_of(name, kind) == metric


@pytest.mark.parametrize(
    ("name", "kind", "near"),
    [
        ("Kapa", "classification", "Kappa"),
        ("RMSE", "classification", "MCC"),
        ("F1", "regression", "r2"),
    ],
)
def test_metrics_of_another_kind_are_refused(name: str, kind: ProblemType, near: str) -> None:
    with pytest.raises(UnknownNameError, match=near):
        metric_of(name, kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            FRAUD,
            {
                "learners": ("random_forest", "lightgbm", "nearest_neighbours"),
                "balancing": "smote",
                "folds": 10,
                "select": 2,
                "tune": False,
                "ensemble": True,
                "finalize": False,
                "metric": "f1",
            },
        ),
        (
            SECOND,
            {
                "learners": ("decision_tree", "logistic_regression"),
                "preparation": None,
                "balancing": "none",
                "folds": 2,
                "select": 1,
                "tune": False,
                "ensemble": False,
                "finalize": False,
                "metric": "cohen_kappa",
                "split": SplitPolicy(),
                "seed": 0,
                "threads": None,
                "budget_seconds": None,
            },
        ),
    ],
)
def test_the_examples_of_the_source_are_translated(text: str, expected: dict[str, Any]) -> None:
    experiment = Experiment.parse(read_message(text).content)
    config = experiment.experiment_config
    step = experiment.pipeline[0].find(TrainModel)
    assert step is not None

    found = translate(step.model_dump(), config.problem_type, config.target, config.main_metric)

    assert {name: getattr(found, name) for name in expected} == expected
    if text == FRAUD:
        assert found.preparation is not None
        assert {"trigonometry", "pca"} < {each.step for each in found.preparation.steps}


@pytest.mark.parametrize(
    ("setup", "steps"),
    [
        ({}, []),
        ({"preprocess": True, "normalize": False, "pca": False}, []),
        ({"ignore_features": ["b", "a"]}, ["drop_columns"]),
        ({"index": "id"}, ["drop_columns"]),
        ({"numeric_imputation": 0}, ["impute", "impute"]),
        ({"imputation_type": "simple"}, ["impute", "impute"]),
        ({"numeric_imputation": "drop", "categorical_imputation": "drop"}, ["drop_nulls"]),
        ({"max_encoding_ohe": -1}, ["one_hot"]),
        ({"max_encoding_ohe": 10}, ["target_encode", "one_hot"]),
        ({"max_encoding_ohe": 0}, ["target_encode", "one_hot"]),
        ({"encoding_method": "CountEncoder"}, ["count_encode", "one_hot"]),
        ({"date_features": ["born"]}, ["date_parts"]),
        ({"create_date_columns": ["year"]}, ["date_parts"]),
        ({"text_features": ["note"]}, ["text"]),
        ({"categorical_features": ["zip"]}, ["one_hot"]),
    ],
)
def test_small_wishes_leave_the_rest_to_the_learner(
    setup: dict[str, Any], steps: list[str]
) -> None:
    assert steps_of(setup) == steps


BEFORE = ["date_parts", "text", "impute", "impute", "target_encode", "one_hot"]


@pytest.mark.parametrize(
    ("setup", "steps"),
    [
        ({"trigonometry_features": True}, [*BEFORE, "trigonometry"]),
        ({"polynomial_features": True}, [*BEFORE, "polynomial"]),
        ({"low_variance_threshold": 0}, [*BEFORE, "drop_constant"]),
        ({"remove_multicollinearity": True}, [*BEFORE, "drop_correlated"]),
        ({"bin_numeric_features": ["a"]}, [*BEFORE, "bin"]),
        ({"transformation": True}, [*BEFORE, "scale"]),
        ({"normalize": True}, [*BEFORE, "scale"]),
        ({"pca": True, "imputation_type": None}, [*BEFORE[:2], *BEFORE[4:], "pca"]),
        (
            {"pca": True, "normalize": True, "transformation": True, "ignore_features": ["id"]},
            ["drop_columns", *BEFORE, "scale", "scale", "pca"],
        ),
        (
            {"feature_selection": True, "n_features_to_select": 3, "polynomial_features": True},
            [*BEFORE, "polynomial", "select"],
        ),
    ],
)
def test_what_pycaret_does_with_numbers_it_does_after_filling_and_encoding(
    setup: dict[str, Any], steps: list[str]
) -> None:
    assert steps_of(setup) == steps


@pytest.mark.parametrize(
    ("setup", "step", "values"),
    [
        ({"numeric_imputation": -1}, 0, {"strategy": "constant", "fill_value": -1.0}),
        ({"numeric_imputation": "mode"}, 0, {"strategy": "most_frequent"}),
        ({"imputation_type": "iterative"}, 0, {"strategy": "iterative"}),
        ({"categorical_imputation": "?"}, 1, {"strategy": "constant", "fill_value": "?"}),
        ({"max_encoding_ohe": 10}, 0, {"more_than": 10}),
        ({"max_encoding_ohe": 10}, 1, {"max_categories": 11}),
        ({"create_date_columns": ["weekday", "dayofweek"]}, 0, {"parts": ("dayofweek",)}),
        ({"polynomial_features": True, "polynomial_degree": 3}, -1, {"degree": 3}),
        ({"low_variance_threshold": 0.5}, -1, {"threshold": 0.5}),
        (
            {"remove_multicollinearity": True, "keep_features": ["a"]},
            -1,
            {"threshold": 0.9, "without": ("a",)},
        ),
        ({"transformation": True, "transformation_method": "quantile"}, -1, {"method": "quantile"}),
        ({"normalize": True, "normalize_method": "robust"}, -1, {"method": "robust"}),
        ({"pca": True, "pca_components": 0.9}, -1, {"components": 0.9}),
        ({"pca": True, "pca_components": 3}, -1, {"components": 3}),
        (
            {
                "feature_selection": True,
                "feature_selection_method": "univariate",
                "n_features_to_select": 5,
            },
            -1,
            {"method": "f_test", "features": 5},
        ),
    ],
)
def test_values_reach_the_steps(setup: dict[str, Any], step: int, values: dict[str, Any]) -> None:
    spec = translated(setup).preparation

    assert spec is not None
    found = spec.steps[step].model_dump()
    assert {name: found[name] for name in values} == values


@pytest.mark.parametrize("family", get_args(Family))
@pytest.mark.parametrize(
    "setup",
    [
        {"pca": True, "trigonometry_features": True},
        {"normalize": True, "polynomial_features": True, "max_encoding_ohe": 2},
        {
            "categorical_features": ["code"],
            "date_features": ["born"],
            "text_features": ["note"],
            "ignore_features": ["id"],
            "keep_features": ["age"],
            "low_variance_threshold": 0,
            "remove_multicollinearity": True,
            "bin_numeric_features": ["age"],
            "feature_selection": True,
            "n_features_to_select": 3,
        },
        {"encoding_method": "HashingEncoder", "transformation": True, "pca": True},
        {"imputation_type": "iterative", "max_encoding_ohe": -1, "categorical_features": ["code"]},
    ],
)
def test_preparations_can_be_fitted(setup: dict[str, Any], family: Family) -> None:
    rng = np.random.default_rng(0)
    size = 200
    frame = pd.DataFrame(
        {
            "id": np.arange(size),
            "age": rng.normal(40, 10, size),
            "code": rng.integers(0, 5, size),
            "pay": rng.normal(size=size),
            "town": rng.choice(list("abcd"), size),
            "born": pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 9e3, size), "D"),
            "note": [f"word{i % 7} and {i * 37 % 101} other words of a text" for i in range(size)],
            "y": rng.integers(0, 2, size),
        }
    )
    frame.loc[::7, ["age", "town"]] = None
    spec = translated(setup).preparation
    schema = usable(infer(frame), "y", spec)
    rows = conform(frame, schema)

    pipeline = prepare(schema, family, problem=Problem("binary", "y", (0, 1)), spec=spec).pipeline
    features = pipeline.fit_transform(rows, frame["y"])

    assert features.shape[0] == size
    assert pipeline.transform(rows.iloc[:3]).shape == (3, features.shape[1])


def test_preprocess_false_takes_the_data_as_they_are() -> None:
    found = translated({"preprocess": False, "ignore_features": ["id"]}).preparation

    assert found is not None
    assert found.remainder == "refuse"
    assert [each.step for each in found.steps] == ["drop_columns"]
    assert refused({"preprocess": False, "pca": True})[0][0].endswith(".pca")


@pytest.mark.parametrize(
    ("setup", "kind", "policy"),
    [
        ({"train_size": 0.7}, "classification", SplitPolicy(holdout_share=0.3)),
        ({"train_size": 0.9}, "regression", SplitPolicy(holdout_share=0.1)),
        ({"fold_strategy": "kfold"}, "regression", SplitPolicy()),
        (
            {"fold_strategy": "groupkfold", "fold_groups": "person"},
            "classification",
            SplitPolicy(kind="grouped", column="person"),
        ),
        (
            {
                "fold_strategy": "timeseries",
                "date_features": ["sold"],
                "data_split_shuffle": False,
                "data_split_stratify": False,
                "train_size": 0.8,
            },
            "classification",
            SplitPolicy(kind="time", column="sold", holdout_share=0.2),
        ),
        ({"data_split_stratify": False}, "regression", SplitPolicy()),
    ],
)
def test_splits(setup: dict[str, Any], kind: ProblemType, policy: SplitPolicy) -> None:
    assert translated(setup, kind=kind).split == policy


@pytest.mark.parametrize(
    ("setup", "compare", "kind", "name"),
    [
        ({"fix_imbalance": True}, {}, "regression", "fix_imbalance"),
        ({"fix_imbalance_method": "SMOTE"}, {}, "regression", "fix_imbalance_method"),
        ({"transform_target": True}, {}, "regression", "transform_target"),
        ({"fold_strategy": "stratifiedkfold"}, {}, "regression", "fold_strategy"),
        ({"data_split_stratify": True}, {}, "regression", "data_split_stratify"),
        ({}, {"probability_threshold": 0.5}, "regression", "probability_threshold"),
        ({}, {"estimator_list": ["lr", "nb"]}, "regression", "estimator_list[1]"),
        ({}, {"sort": "AUC"}, "regression", "sort"),
        ({}, {"estimator_list": ["rf"], "include": ["dt"]}, "classification", "include"),
        ({}, {"estimator_list": ["rf"], "exclude": ["rf"]}, "classification", "exclude"),
        ({}, {"ensemble": True}, "classification", "ensemble"),
        ({}, {"ensemble": True, "n_select": 1}, "classification", "ensemble"),
        ({"feature_selection": True}, {}, "classification", "feature_selection"),
        ({"numeric_imputation": "drop"}, {}, "classification", "numeric_imputation"),
        (
            {"ignore_features": ["a"], "keep_features": ["a"]},
            {},
            "classification",
            "keep_features",
        ),
        (
            {"fold_strategy": "timeseries", "date_features": ["a", "b"]},
            {},
            "classification",
            "fold_strategy",
        ),
    ],
)
def test_contradictions_are_refused(
    setup: dict[str, Any], compare: dict[str, Any], kind: ProblemType, name: str
) -> None:
    assert refused(setup, compare, kind)[0][0].rpartition("params.")[2] == name


def test_off_is_harmless_where_it_does_not_belong() -> None:
    assert translated({"fix_imbalance": False}, {"probability_threshold": None}, "regression")


@pytest.mark.parametrize(
    ("compare", "learners"),
    [
        ({}, ()),
        ({"include": ["dt", "DT"]}, ("decision_tree",)),
        (
            {"estimator_list": ["rf", "dt"], "include": ["rf", "dt"]},
            ("random_forest", "decision_tree"),
        ),
        ({"estimator_list": ["rf", "lr"], "exclude": ["lr"]}, ("random_forest",)),
        ({"estimator_list": ["ebm", "neural_network"]}, ("ebm", "neural_network")),
    ],
)
def test_learners_are_chosen(compare: dict[str, Any], learners: tuple[str, ...]) -> None:
    assert translated({}, compare).learners == learners


def test_a_learner_that_is_nearly_the_same_is_told() -> None:
    found = translated({}, {"include": ["par"]}, "regression")

    assert found.learners == ("stochastic_gradient",)
    assert any(note.startswith("par: ") for note in found.notes)


def test_turbo_leaves_out_what_is_slow() -> None:
    fast = translated({}, {"turbo": True}).learners
    every = translated({}, {"turbo": False}).learners
    less = translated({}, {"exclude": ["catboost", "lr"]}).learners

    assert set(every) - set(fast) == {"svm", "gaussian_process", "mlp"}
    assert len(every) == 18
    assert set(fast) - set(less) == {"catboost", "logistic_regression"}
    notes = translated({}, {"turbo": True, "include": ["rf"]}).notes
    assert "turbo has no effect beside a list of learners" in notes


def test_folds_of_the_comparison_go_before_those_of_setup() -> None:
    both = translated({"fold": 10}, {"fold": 5})

    assert both.folds == 5
    assert "fold: 5 of modeling_params is used, not 10" in both.notes
    assert translated({"fold": 10}).folds == 10
    assert translated({"fold": 3}, {"fold": None}).folds == 3
    grouped = {"fold_strategy": "groupkfold", "fold_groups": "a"}
    assert translated(grouped, {"groups": "b"}).split.column == "b"


def test_numbers_have_their_units() -> None:
    found = translated({"session_id": 7, "n_jobs": 2}, {"budget_time": 1.5})

    assert (found.seed, found.threads, found.budget_seconds) == (7, 2, 90.0)
    assert translated({"n_jobs": None}).threads == 1
    assert translated({"n_jobs": -1}).threads is None
    assert translated({"session_id": None}).seed == 0


def test_finalize_is_one_of_two() -> None:
    assert translated(finalize=True).finalize is True
    assert refused(finalize=1)[0][0] == "finalize"


def test_all_problems_are_told_at_once() -> None:
    setup = {"use_gpu": True, "normalise": True, "tune": True, "remove_outliers": True}
    compare = {"estimator_list": ["rf", "rff"], "errors": "raise", "pca": True}

    problems = {name.rpartition("params.")[2]: what for name, *what in refused(setup, compare, x=1)}

    assert set(problems) == {
        *("x", "use_gpu", "normalise", "tune", "remove_outliers"),
        *("estimator_list[1]", "errors", "pca"),
    }
    assert "did you mean normalize" in problems["normalise"][2]
    assert problems["tune"][2] == "move it to modeling_params"
    assert problems["pca"][2] == "move it to feature_engineering_params"
    assert problems["use_gpu"][0] == "true"
    assert "did you mean rf" in problems["estimator_list[1]"][2]


@pytest.mark.parametrize("section", ["feature_engineering_params", "modeling_params"])
@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_a_section_is_an_object(section: str, value: Any) -> None:
    with pytest.raises(UnsupportedParametersError, match=f"{section} = .*it is an object"):
        translate({section: value}, "classification", "y", "F1")


def test_an_unknown_metric_is_told() -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        translate({}, "classification", "y", "Kapa")
