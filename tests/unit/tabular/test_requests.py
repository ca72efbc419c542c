"""What a training may be asked for: every name anybody uses, and no contradiction."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.tabular import learners, metrics
from tasks.tabular.errors import TabularError
from tasks.tabular.learners import LEARNERS, make_model, predict_scores
from tasks.tabular.problem import identify
from tasks.tabular.requests import SearchRequest
from tasks.tabular.schema import conform, infer

TREE = {"module": "tree", "class": "DecisionTreeClassifier"}


def request(**given: Any) -> SearchRequest:
    return SearchRequest.model_validate({"target": "y", **given})


@pytest.mark.parametrize("alias", [*learners.ALIASES, *LEARNERS])
def test_learners_are_known_by_all_their_names(alias: str) -> None:
    meant = learners.ALIASES.get(alias, alias)

    for spelt in (alias, alias.upper(), f"  {alias} "):
        assert request(learners=[spelt]).learners == (meant,)


@pytest.mark.parametrize("alias", [*metrics.ALIASES, *metrics.METRICS])
def test_metrics_are_known_by_all_their_names(alias: str) -> None:
    meant = metrics.ALIASES.get(alias, alias)

    for spelt in (alias, alias.lower(), alias.upper(), f" {alias} "):
        assert request(metric=spelt).metric == meant


@pytest.mark.parametrize(
    ("spelt", "meant"),
    [
        ("auc", "roc_auc"),
        ("f1_score", "f1"),
        ("log_loss", "neg_log_loss"),
        ("accuracy_score", "accuracy"),
        ("root mean squared error", "neg_root_mean_squared_error"),
        ("R2", "r2"),
        ("R²", "r2"),
        ("", None),
        (None, None),
    ],
)
def test_metrics_are_known_by_how_people_write_them(spelt: str | None, meant: str | None) -> None:
    assert request(metric=spelt).metric == meant


@settings(max_examples=60)
@given(name=st.text(min_size=1, max_size=12))
def test_no_text_is_anything_but_a_name_or_an_error(name: str) -> None:
    for field in ("metric", "learners"):
        value = name if field == "metric" else [name]
        with suppress(ValidationError, TabularError):
            found = request(**{field: value})
            assert found == request(**json.loads(found.model_dump_json(include={field})))


ONE = {"max_depth": {"type": "int", "range": [1, 9]}}
LEAVES = {"type": "int", "default": 15, "range": [7, 31]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"grid": {"lightgbm": {"num_leaves": [7]}}}, "belongs to the strategy grid"),
        ({"strategy": "grid"}, "belongs to the strategy grid"),
        ({"strategy": "random"}, "needs a number of `trials`"),
        ({"estimator": TREE, "learners": ["lightgbm"]}, "only learner"),
        (
            {"estimator": TREE, "strategy": "grid", "grid": {"decision_tree": {"max_depth": [1]}}},
            "only learner",
        ),
        ({"balance_always": True}, "say how"),
        ({"balance_always": True, "balancing": "none"}, "say how"),
        ({"balancing": "magic"}, "balancing"),
        ({"metric": "cleverness"}, "cleverness"),
        ({"learners": ["lightgmb"]}, "did you mean lightgbm"),
        ({"learners": [3]}, "learners"),
        ({"metric": 3}, "metric"),
        ({"target": None}, "target"),
        ({"budget_seconds": 0}, "budget_seconds"),
        ({"budget_seconds": 90_000}, "budget_seconds"),
        ({"budget_seconds": float("nan")}, "budget_seconds"),
        ({"budget_seconds": float("inf")}, "budget_seconds"),
        ({"row_milliseconds": -1}, "row_milliseconds"),
        ({"row_milliseconds": float("nan")}, "row_milliseconds"),
        ({"row_milliseconds": float("inf")}, "row_milliseconds"),
        ({"folds": 21}, "folds"),
        ({"folds": 1}, "folds"),
        ({"trials": -1}, "trials"),
        ({"trials": 1.5}, "trials"),
        ({"select": 51}, "select"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"strategy": "lucky"}, "strategy"),
        ({"deploy": "slowly"}, "deploy"),
        ({"split": {"kind": "grouped"}}, "column"),
        ({"split": {"kind": "random", "column": "g"}}, "column"),
        ({"split": {"kind": "predefined", "column": "part", "share": 1}}, "share"),
        ({"strategy": "grid", "grid": {"lightgbm": {"num_leaves": 7}}}, "grid"),
        ({"strategy": "grid", "grid": {"lightgbm": {"num_leaves": [[7]]}}}, "grid"),
        ({"strategy": "grid", "grid": {"lightgbm": {"num_leaves": []}}}, "num_leaves"),
        ({"strategy": "grid", "grid": {"lightgmb": {"num_leaves": [7]}}}, "lightgbm"),
        (
            {
                "strategy": "grid",
                "grid": {"lightgbm": {"num_leaves": [7]}},
                "learners": ["xgboost"],
            },
            "grid",
        ),
        ({"estimator": TREE, "strategy": "random", "trials": 5}, "estimator"),
        ({"spaces": {"lightgbm": {"num_leaves": LEAVES}}}, "optuna and random"),
        ({"strategy": "optuna", "spaces": {"lightgbm": {}}}, "needs parameters"),
        ({"strategy": "optuna", "spaces": {"lightgmb": {"num_leaves": LEAVES}}}, "lightgbm"),
        ({"strategy": "optuna", "spaces": {"lightgbm": {"num_leaves": {"type": "int"}}}}, "lowest"),
        (
            {"strategy": "optuna", "spaces": {"rf": ONE, "random_forest": ONE}},
            "twice, by two of its names",
        ),
        ({"learner": ["lightgbm"]}, "learner"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises((ValidationError, TabularError)) as caught:
        request(**given)

    assert said in str(caught.value)


def test_a_target_is_all_it_takes() -> None:
    asked = request()

    assert (asked.metric, asked.learners, asked.strategy, asked.trials) == (
        None,
        (),
        "portfolio",
        0,
    )
    assert asked.split.kind == "random"


def test_a_grid_is_read_by_any_names() -> None:
    asked = request(strategy="grid", grid={"RF": {"max_depth": [None, 3]}, "lgbm": {}})

    assert asked.canonical_grid() == {"random_forest": {"max_depth": [None, 3]}, "lightgbm": {}}


def test_two_names_of_a_learner_in_a_grid_lose_nothing() -> None:
    grid = {"rf": {"max_depth": [2]}, "random_forest": {"max_depth": [5]}}

    try:
        asked = request(strategy="grid", grid=grid)
        values = asked.canonical_grid()["random_forest"]["max_depth"]
    except (ValidationError, TabularError):
        return  # to refuse it is as good
    assert set(values) == {2, 5}


def test_values_of_a_grid_keep_their_types() -> None:
    asked = request(strategy="grid", grid={"lightgbm": {"extra_trees": [True, 1, 1.0, "1", None]}})

    values = asked.grid["lightgbm"]["extra_trees"]
    assert [type(each) for each in values] == [bool, int, float, str, type(None)]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"metric": "AUC", "learners": ["rf", "lr"], "folds": 3, "seed": 2**32 - 1},
        {"strategy": "grid", "grid": {"lightgbm": {"num_leaves": [7, 15]}}},
        {"estimator": {**TREE, "params": {"max_depth": None}}},
        {"balance_always": True, "balancing": "smote"},
        {"split": {"kind": "time", "column": "when", "holdout_share": 0.3}},
        {"preparation": {"steps": [{"step": "drop_nulls"}]}},
    ],
)
def test_a_request_is_written_and_read_back(given: dict[str, Any]) -> None:
    asked = request(**given)

    assert SearchRequest.model_validate_json(asked.model_dump_json(by_alias=True)) == asked
    assert SearchRequest.model_validate(asked.model_dump(mode="json", by_alias=True)) == asked
    assert SearchRequest.model_validate(asked.model_dump(mode="json")) == asked


def test_forms_can_show_every_field() -> None:
    schema = SearchRequest.model_json_schema()

    for name, shown in schema["properties"].items():
        assert shown.get("title"), name
        assert shown.get("description"), name


@pytest.mark.parametrize("seed", [0, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_takes_every_seed(name: str, seed: int, rng: np.random.Generator) -> None:
    learner = LEARNERS[name]
    if learner.extra:
        pytest.importorskip(learner.extra)
    params: dict[str, Any] = {"epochs": 2} if learner.extra else {}
    for size in ("n_estimators", "iterations", "max_rounds"):
        if size in learner.space or (size == "max_rounds" and name == "ebm"):
            params[size] = 5
    if name == "ebm":
        params |= {"interactions": 0}
    x = rng.normal(size=60)
    frame = pd.DataFrame({"x": x, "z": rng.normal(size=60)})
    y = pd.Series(x) if learner.classifier is None else pd.Series(np.where(x > 0, "s", "t"))
    problem, schema = identify(frame.assign(y=y), "y"), infer(frame)

    model = make_model(learner, params, problem, schema, seed=seed, threads=1).pipeline
    rows = conform(frame, schema)

    assert np.isfinite(predict_scores(model.fit(rows, y), rows, problem)).all()
