"""What a request may name by import path: the list, and nothing beside it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.tabular import allowed
from tasks.tabular.allowed import ALLOWED, EstimatorSpec, learner_for
from tasks.tabular.errors import TabularError, UnknownNameError
from tasks.tabular.learners import LEARNERS, make_learner, make_model, predict_scores
from tasks.tabular.problem import identify
from tasks.tabular.schema import conform, infer
from tasks.tabular.search_errors import UnsuitableLearnerError

ROOT = Path(__file__).parents[3]


def spec(module: str, name: str, **params: Any) -> EstimatorSpec:
    return EstimatorSpec.model_validate({"module": module, "class": name, "params": params})


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the module imports while a request is looked at."""
    names: list[str] = []

    def note(name: str, package: str | None = None) -> Any:
        names.append(name)
        return import_module(name, package)

    monkeypatch.setattr(allowed, "import_module", note)
    return names


def test_the_payload_of_the_specification_is_understood() -> None:
    payload = {
        "module": "ensemble",
        "class": "RandomForestClassifier",
        "params": {"n_estimators": 12, "max_depth": None, "criterion": "entropy"},
    }

    learner, params = learner_for(EstimatorSpec.model_validate(payload), "binary")
    built = make_learner(learner, params, "binary", seed=5, threads=1)

    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - to compare with

    assert type(built) is RandomForestClassifier
    assert built.get_params() | {"n_estimators": 12} == built.get_params()
    assert (built.max_depth, built.criterion, built.random_state) == (None, "entropy", 5)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "__import__"),
        ("sklearn.externals", "RandomForestClassifier"),
        ("sklearn.externals.joblib", "load"),
        ("sklearn.ensemble", "__class__"),
        ("sklearn.ensemble", "__builtins__"),
        ("sklearn.ensemble.__init__", "RandomForestClassifier"),
        ("sklearn.ensemble._forest", "RandomForestClassifier"),
        ("sklearn.svm", "SVC"),
        ("sklearn.pipeline", "Pipeline"),
        ("sklearn.ensemble", "StackingClassifier"),
        ("sklearn.ensemble", "randomforestclassifier"),
        ("sklearn.ensemble", " RandomForestClassifier"),
        ("sklearn", "ensemble.RandomForestClassifier.__init__"),
        ("", "RandomForestClassifier"),
        ("ensemble", ""),
        ("..ensemble", "RandomForestClassifier"),
        ("sklearn.sklearn.ensemble", "RandomForestClassifier"),
        ("lightgbm", "train"),
        ("lightgbm.sklearn", "LGBMClassifier"),
        ("xgboost", "DMatrix"),
        ("catboost", "CatBoostClassifier"),
        ("tasks.tabular.pool", "Pool"),
        ("ensemble\n", "RandomForestClassifier"),
        ("\uff45nsemble", "RandomForestClassifier"),
    ],
)
def test_nothing_beside_the_list_is_built_or_imported(
    module: str, name: str, imported: list[str]
) -> None:
    with pytest.raises(UnknownNameError, match="there is no estimator"):
        learner_for(spec(module, name), "binary")

    assert imported == []


@settings(max_examples=60)
@given(module=st.text(max_size=20), name=st.text(max_size=20))
def test_no_text_is_more_than_a_name(module: str, name: str) -> None:
    with pytest.raises(TabularError):
        learner_for(spec(module, name), "binary")


def test_only_what_is_asked_for_is_imported(imported: list[str]) -> None:
    learner_for(spec("tree", "DecisionTreeRegressor"), "regression")

    assert imported == ["sklearn.tree"]


def test_a_refused_module_is_not_loaded_in_a_fresh_process() -> None:
    script = (
        "import sys\n"
        "from tasks.tabular.allowed import EstimatorSpec, learner_for\n"
        "from tasks.tabular.errors import UnknownNameError\n"
        "for module in ('antigravity', 'sklearn.antigravity', 'this'):\n"
        "    given = {'module': module, 'class': 'X'}\n"
        "    try:\n"
        "        learner_for(EstimatorSpec.model_validate(given), 'binary')\n"
        "    except UnknownNameError:\n"
        "        pass\n"
        "print(sorted({'antigravity', 'this'} & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name",
    [
        "n_jobs",
        "random_state",
        "verbose",
        "n_estimator",
        "estimator",
        "__class__",
        "",
        "callbacks",
        "estimator__max_depth",
        "self",
    ],
)
def test_a_parameter_that_is_none_of_the_requests_is_refused(name: str) -> None:
    with pytest.raises(UnsuitableLearnerError, match="has no parameter"):
        learner_for(spec("ensemble", "RandomForestClassifier", **{name: 1}), "binary")


def test_a_misspelt_parameter_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnsuitableLearnerError, match="did you mean n_estimators"):
        learner_for(spec("ensemble", "RandomForestClassifier", n_estimator=3), "binary")


@pytest.mark.parametrize("name", ["output_model", "machines", "device_type", "num_threads", "seed"])
def test_lightgbm_takes_no_parameter_it_does_not_show(name: str) -> None:
    with pytest.raises(UnsuitableLearnerError):
        learner_for(spec("lightgbm", "LGBMClassifier", **{name: "x"}), "binary")


@pytest.mark.parametrize("name", ["nthread", "seed", "gpu_id", "callbacks", "device", "n_jobs"])
def test_xgboost_takes_no_threads_seeds_or_callbacks(name: str) -> None:
    with pytest.raises(UnsuitableLearnerError):
        learner_for(spec("xgboost", "XGBClassifier", **{name: "x"}), "binary")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("RandomForestClassifier", "regression"),
        ("RandomForestRegressor", "binary"),
        ("RandomForestRegressor", "multiclass"),
    ],
)
def test_the_other_kind_of_problem_is_refused(name: str, kind: Any) -> None:
    with pytest.raises(UnsuitableLearnerError, match=f"does not do {kind}"):
        learner_for(spec("ensemble", name), kind)


@pytest.mark.parametrize(
    "given",
    [
        {"module": "ensemble"},
        {"class": "RandomForestClassifier"},
        {"module": "ensemble", "class": "RandomForestClassifier", "parameters": {}},
        {"module": "ensemble", "class": "R" * 101},
        {"module": "e" * 101, "class": "R"},
        {"module": "ensemble", "class": "R", "params": {"a": {"b": 1}}},
        {"module": "ensemble", "class": "R", "params": {"a": [1]}},
        {"module": "ensemble", "class": "R", "params": [1]},
        {"module": None, "class": "R"},
    ],
)
def test_another_shape_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EstimatorSpec.model_validate(given)


def test_values_keep_their_types() -> None:
    params = {"bootstrap": False, "max_depth": 3, "max_features": 0.5, "class_weight": None}

    _, found = learner_for(spec("ensemble", "RandomForestClassifier", **params), "binary")

    assert found == params
    assert [type(each) for each in found.values()] == [bool, int, float, type(None)]


def test_all_on_the_list_are_learners_and_estimators_there_are() -> None:
    for path, name in ALLOWED.items():
        module, _, kind = path.rpartition(".")
        assert hasattr(import_module(module), kind)
        assert name in LEARNERS


@pytest.mark.parametrize("path", ALLOWED)
def test_all_on_the_list_learn_and_answer_as_they_are(path: str, rng: np.random.Generator) -> None:
    """Without a parameter, on columns with gaps and categories, as the search would."""
    frame = pd.DataFrame({"x": rng.normal(size=120), "group": rng.choice(["a", "b"], 120)})
    signal = frame["x"] + (frame["group"] == "a")
    frame.loc[:5, "x"] = np.nan
    module, _, name = path.rpartition(".")
    kinds = (
        ["regression"]
        if name.endswith(("Regressor", "SVR", "KernelRidge")) or name in REGRESSORS
        else ["binary", "multiclass"]
    )
    for kind in kinds:
        y = {
            "regression": signal.fillna(0) * 10.0,
            "binary": pd.Series(np.where(signal > 0.5, "yes", "no")),
            "multiclass": pd.Series(
                np.where(signal > 1, "top", np.where(signal > 0, "mid", "low"))
            ),
        }[kind]
        whole = frame.assign(y=y)
        problem, schema = identify(whole, "y"), infer(frame)
        assert problem.kind == kind
        learner, params = learner_for(spec(module, name), problem.kind)

        model = make_model(learner, params, problem, schema, seed=1, threads=1)
        rows = conform(frame, schema)
        fitted = model.pipeline.fit(rows, y)
        scores = predict_scores(fitted, rows, problem)

        assert np.isfinite(scores).all()
        assert len(scores) == 120


REGRESSORS = {
    "LinearRegression",
    "Ridge",
    "Lasso",
    "ElasticNet",
    "Lars",
    "LassoLars",
    "OrthogonalMatchingPursuit",
    "BayesianRidge",
    "ARDRegression",
}


def test_the_seed_is_the_runs_even_where_the_request_says_nothing() -> None:
    learner, params = learner_for(spec("tree", "DecisionTreeClassifier"), "binary")

    assert make_learner(learner, params, "binary", seed=9, threads=1).random_state == 9
