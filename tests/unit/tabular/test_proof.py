"""The proof of a plan: it holds for a good one, and a planted bug does not get through."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from tasks.tabular import rows as reading
from tasks.tabular.compiled import compile_model, compile_proven, dump_plan, load_plan
from tasks.tabular.ensemble import EnsembleClassifier, Member
from tasks.tabular.learners import LEARNERS, make_model
from tasks.tabular.plans import preparing, scoring
from tasks.tabular.plans import proof as proving
from tasks.tabular.plans.adversarial import adversaries, wrong_types
from tasks.tabular.plans.proof import Proof, prove
from tasks.tabular.problem import Problem, identify
from tasks.tabular.schema import Column, Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.tabular.plans.plan import Plan

N = 200
COUNT = 400
BEYOND = proving._BEYOND_ROWS
ALONE = 5
NAMES = ("age", "count", "flag", "job", "town", "born")
SCHEMA = Schema(
    (
        Column("age", "numeric", nullable=True, informative=True, type="double"),
        Column("count", "numeric", nullable=False, informative=True, type="int64"),
        Column("flag", "boolean", nullable=False, informative=True),
        Column("job", "categorical", nullable=True, informative=True),
        Column("town", "categorical", nullable=False, informative=True),
        Column("born", "datetime", nullable=True, informative=True),
    )
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Small tables are fitted sooner by one thread than by many that wait for each other."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def _few_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "ALONE", ALONE)


def _table() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    moments = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 2e6, N), "min")
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, N),
            "count": rng.integers(0, 50, N),
            "flag": rng.random(N) < 0.5,
            "job": rng.choice(["cook", "driver", "nurse"], N),
            "town": [f"town {each}" for each in rng.integers(0, 60, N)],
            "born": moments.as_unit("us"),
        }
    )
    signal = frame["age"] / 10 + frame["count"] / 25 + (frame["job"] == "cook") + frame["flag"]
    signal += frame["born"].dt.month / 6 + rng.normal(size=N) / 3
    for name in ("age", "job", "born"):
        frame.loc[rng.random(N) < 0.1, name] = None
    return frame.assign(
        quantity=100 * signal,
        binary=np.where(signal > signal.median(), "yes", "no"),
        three=np.array(["low", "mid", "top"])[np.digitize(signal, signal.quantile([0.3, 0.6]))],
    )


TABLE = _table()
HOLDOUT = TABLE[list(NAMES)].head(60)


def problem_of(target: str) -> Problem:
    return identify(TABLE[[*NAMES, target]], target, "regression" if target == "quantity" else None)


@cache
def model_of(name: str, target: str, threads: int = 1) -> Pipeline:
    params = {"n_estimators": 10} if "n_estimators" in LEARNERS[name].space else {}
    given = (LEARNERS[name], params, problem_of(target), SCHEMA)
    model = make_model(*given, seed=1, threads=threads).pipeline
    return model.fit(TABLE[list(NAMES)], TABLE[target])


def plan_of(name: str, target: str) -> Plan:
    plan = compile_model(model_of(name, target), SCHEMA, problem_of(target))
    return load_plan(dump_plan(plan))


def proven(plan: Plan, name: str, target: str, **given: Any) -> Proof:
    plan.open()
    given = {"count": COUNT, **given}
    return prove(plan, model_of(name, target), problem_of(target), HOLDOUT, **given)


def changed(plan: Plan, kind: type, change: Callable[[Any], dict[str, Any]]) -> Plan:
    """The plan with all operations of a kind changed."""
    operations = tuple(
        replace(each, **change(each)) if type(each) is kind else each for each in plan.operations
    )
    assert [*map(id, operations)] != [*map(id, plan.operations)]
    return replace(plan, operations=operations)


def held(column: str) -> set[str]:
    return set(HOLDOUT[column].dropna())


def recoded(plan: Plan, change: Callable[[dict[Any, float], float], tuple[Any, float]]) -> Plan:
    """The plan with its tables of codes changed."""
    return changed(
        plan,
        preparing.Codes,
        lambda each: {
            "columns": tuple((at, *change(dict(table), other)) for at, table, other in each.columns)
        },
    )


def swapped(plan: Plan, texts: set[str]) -> Plan:
    """The plan with the codes of two of the texts swapped, the furthest apart."""

    def swap(table: dict[Any, float], other: float) -> tuple[Any, float]:
        known = sorted(texts & set(table), key=lambda text: (table[text], text))
        one, two = known[0], known[-1]
        assert table[one] != table[two]
        return {**table, one: table[two], two: table[one]}, other

    return recoded(plan, swap)


# what holds


@pytest.mark.parametrize("target", ["binary", "three", "quantity"])
@pytest.mark.parametrize("name", ["random_forest", "lightgbm", "xgboost", "logistic_regression"])
def test_a_good_plan_is_proven(name: str, target: str) -> None:
    name = "ridge" if name == "logistic_regression" and target == "quantity" else name

    proof = proven(plan_of(name, target), name, target)

    assert proof.holds, proof.reason
    assert proof.exact == (name in ("random_forest", "lightgbm", "xgboost"))
    assert proof.difference == 0.0 or not proof.exact
    texts = max(map(len, plan_of(name, target).texts().values()))
    assert proof.rows + proof.unanswered == len(HOLDOUT) + texts + COUNT + BEYOND + ALONE


def test_everything_of_a_wrong_type_is_refused() -> None:
    plan = plan_of("lightgbm", "binary")
    known = {**HOLDOUT.iloc[0].astype(object), "born": "2024-01-01T00:00:00Z"}
    wrong = wrong_types(plan.columns, known)

    proof = proven(plan, "lightgbm", "binary", count=10)

    assert proof.refused == len(wrong)
    assert {column for column, _ in wrong} == set(NAMES)
    values = [repr(row.get(column)) for column, row in wrong if column == "count"]
    assert {"5.5", "'5.5'", "True", "None", "[]", "{}", "'NaN'", "'1e999'"} <= set(values)


def test_another_seed_asks_other_rows() -> None:
    columns = plan_of("lightgbm", "binary").columns
    known = json.loads(TABLE[["age", "count"]].dropna().to_json(orient="records"))
    numbers = [each for each in columns if each.name in ("age", "count")]

    one, again, other = (adversaries(numbers, known, 50, seed=seed) for seed in (1, 1, 2))

    assert one.sent == again.sent
    assert one.sent != other.sent


def test_a_proof_is_kept_as_json() -> None:
    proof = proven(plan_of("lightgbm", "binary"), "lightgbm", "binary", count=10)

    assert Proof(**json.loads(json.dumps(proof.to_json()))) == proof


def test_a_compiled_model_says_how_it_was_proven() -> None:
    problem = problem_of("binary")

    found = compile_proven(model_of("lightgbm", "binary"), SCHEMA, problem, HOLDOUT)

    assert found.plan is not None
    assert found.proof is not None
    assert str(found) == f"compiled, equal to the bit on {found.proof.rows:,} rows"
    assert found.proof.rows > 10_000


# what the model itself refuses


def test_rows_the_model_refuses_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "_BEYOND_ROWS", 400)

    plan = plan_of("random_forest", "binary")

    proof = proven(plan, "random_forest", "binary", count=50)

    texts = max(map(len, plan.texts().values()))
    assert proof.holds
    assert proof.unanswered == 400  # numbers beyond float32 in every row
    assert proof.rows == len(HOLDOUT) + texts + 50 + ALONE


def test_some_rows_of_a_proof_hold_numbers_beyond_float32() -> None:
    columns = plan_of("random_forest", "binary").columns
    known = [{**dict.fromkeys(NAMES), "age": 1.0, "count": 1, "flag": True, "town": "x"}]

    made = [
        adversaries(columns, known, proving._BEYOND_ROWS, seed=seed, largest=proving._BEYOND)
        for seed in range(10)
    ]

    for each in made:
        ages = each.meant["age"].astype(float).abs()
        assert ages.max() > np.finfo(np.float32).max


class Mute:
    """A last step that answers nothing."""

    classes_ = np.array(["no", "yes"])

    def predict_proba(self, _: Any) -> Any:
        raise ValueError("not today")


def test_a_proof_over_no_rows_does_not_hold() -> None:
    model = model_of("lightgbm", "binary")
    mute = Pipeline([*model.steps[:-1], ("learner", Mute())])

    proof = prove(plan_of("lightgbm", "binary"), mute, problem_of("binary"), HOLDOUT, count=20)

    assert proof.rows == 0
    assert not proof.holds


# forests of several threads


def jobs(model: Pipeline) -> list[int | None]:
    last = model[-1]
    found = [each.estimator for each in getattr(last, "members_", [])] or [last]
    return [getattr(each, "n_jobs", None) for each in found]


@pytest.mark.parametrize("target", ["binary", "quantity"])
@pytest.mark.parametrize("name", ["random_forest", "extra_trees"])
def test_parallel_forests_are_proven_and_stay_parallel(name: str, target: str) -> None:
    model = model_of(name, target, threads=2)
    assert jobs(model) == [2]
    plan = load_plan(dump_plan(compile_model(model, SCHEMA, problem_of(target))))

    proof = prove(plan, model, problem_of(target), HOLDOUT, count=100)

    assert proof.holds, proof.reason
    assert jobs(model) == [2]


def test_members_of_an_ensemble_stay_parallel() -> None:
    forest, boosted = (model_of(name, "binary", 2) for name in ("random_forest", "lightgbm"))
    problem = problem_of("binary")
    ensemble = EnsembleClassifier.assembled(
        [("forest", forest), ("boosted", boosted)],
        {"forest": 0.6, "boosted": 0.4},
        [forest[:-1], boosted[:-1]],
        [
            Member("forest", 0, forest[-1], 0.6, coded=False),
            Member("boosted", 1, boosted[-1], 0.4, coded=False),
        ],
        problem=problem,
    )
    model = Pipeline([("ensemble", ensemble)])
    before = jobs(model)
    plan = load_plan(dump_plan(compile_model(model, SCHEMA, problem)))

    proof = prove(plan, model, problem, HOLDOUT, count=100)

    assert proof.holds, proof.reason
    assert jobs(model) == before
    assert before[0] == 2


def test_forests_stay_parallel_when_a_proof_fails() -> None:
    model = model_of("random_forest", "binary", threads=2)
    plan = compile_model(model, SCHEMA, problem_of("binary"))  # never opened

    proof = prove(plan, model, problem_of("binary"), HOLDOUT, count=10)
    with pytest.raises(KeyError):
        prove(plan, model, problem_of("binary"), HOLDOUT.drop(columns="age"), count=10)

    assert "the plan fails where the model answers: AssertionError" in proof.reason
    assert jobs(model) == [2]


# planted bugs


def test_two_swapped_codes_are_caught() -> None:
    plan = swapped(plan_of("ridge", "quantity"), held("town"))

    proof = proven(plan, "ridge", "quantity")

    assert not proof.holds
    assert "scores differ by" in proof.reason


def test_two_swapped_codes_of_texts_the_holdout_lacks_are_caught() -> None:
    plan = swapped(plan_of("ridge", "quantity"), set(TABLE["town"]) - held("town"))

    assert not proven(plan, "ridge", "quantity").holds


def test_unseen_texts_taken_for_the_first_category_are_caught() -> None:
    plan = recoded(
        plan_of("ridge", "quantity"), lambda table, _: (table, next(iter(table.values())))
    )

    proof = proven(plan, "ridge", "quantity")

    assert not proof.holds
    assert "scores differ by" in proof.reason


def test_unseen_texts_given_the_first_indicator_are_caught() -> None:
    plan = changed(plan_of("ridge", "quantity"), preparing.Vectors, lambda _: {"other": 0})

    proof = proven(plan, "ridge", "quantity")

    assert not proof.holds
    assert "scores differ by" in proof.reason


def test_gaps_taken_for_unseen_texts_are_caught() -> None:
    plan = changed(
        plan_of("ridge", "quantity"),
        preparing.Vectors,
        lambda each: {"rows": {text: at for text, at in each.rows.items() if text is not None}},
    )

    assert not proven(plan, "ridge", "quantity").holds


@pytest.mark.parametrize("off", [1.0, 1e-9])
def test_another_fill_is_caught(off: float) -> None:
    plan = changed(
        plan_of("ridge", "quantity"),
        preparing.Filled,
        lambda each: {"values": np.add(vars(each)["values"], off)},
    )

    proof = proven(plan, "ridge", "quantity")

    assert not proof.holds
    assert proof.difference > 0


def test_gaps_that_are_not_marked_are_caught() -> None:
    plan = changed(
        plan_of("ridge", "quantity"), preparing.Filled, lambda each: {"marked": each.marked[:0]}
    )

    proof = proven(plan, "ridge", "quantity")

    assert "the plan fails where the model answers: IndexError" in proof.reason


@pytest.mark.parametrize("name", ["ridge", "lightgbm"])
def test_months_that_are_off_by_one_are_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(name, "quantity")
    monkeypatch.setitem(preparing._READ, "month", lambda moment: moment.month - 1)

    assert not proven(plan, name, "quantity").holds


def test_another_time_zone_is_caught() -> None:
    plan = changed(
        plan_of("ridge", "quantity"), preparing.Parts, lambda _: {"timezone": "Europe/London"}
    )

    assert not proven(plan, "ridge", "quantity").holds


@pytest.mark.parametrize("name", ["ridge", "lasso"])
def test_a_scale_that_is_off_in_the_twelfth_digit_is_caught(name: str) -> None:
    plan = changed(
        plan_of(name, "quantity"),
        preparing.Scaled,
        lambda each: {"over": each.over * (1 + 1e-12)},
    )

    proof = proven(plan, name, "quantity")

    assert not proof.holds
    assert "scores differ by" in proof.reason


def test_a_weight_that_is_off_in_the_twelfth_digit_is_caught() -> None:
    plan = changed(
        plan_of("logistic_regression", "three"),
        scoring.Linear,
        lambda each: {"weights": each.weights * (1 + 1e-12)},
    )

    assert not proven(plan, "logistic_regression", "three").holds


@pytest.mark.parametrize("name", NAMES)
def test_a_column_that_is_dropped_is_caught(name: str) -> None:
    plan = plan_of("ridge", "quantity")
    kept = tuple(each for each in plan.columns if each.name != name)

    proof = proven(replace(plan, columns=kept), "ridge", "quantity")

    assert not proof.holds


def test_a_column_read_in_the_place_of_another_is_caught() -> None:
    plan = plan_of("lightgbm", "binary")

    def twisted(each: preparing.Gather) -> dict[str, Any]:
        return {"parts": tuple((at, places[::-1].copy()) for at, places in each.parts)}

    assert not proven(changed(plan, preparing.Gather, twisted), "lightgbm", "binary").holds


@pytest.mark.parametrize("name", ["random_forest", "lightgbm", "logistic_regression"])
def test_classes_in_another_order_are_caught(name: str) -> None:
    plan = plan_of(name, "binary")
    last = sum(each.kind in ("categorical", "datetime") for each in plan.columns)
    swapped = scoring.Spread(last + len(plan.operations), np.array([1, 0]), 2)

    proof = proven(replace(plan, operations=(*plan.operations, swapped)), name, "binary")

    assert "scores differ by" in proof.reason


def test_scores_of_another_shape_are_caught() -> None:
    plan = plan_of("lightgbm", "binary")
    last = sum(each.kind in ("categorical", "datetime") for each in plan.columns)
    wider = scoring.Spread(last + len(plan.operations), np.array([0, 1]), 3)

    proof = proven(replace(plan, operations=(*plan.operations, wider)), "lightgbm", "binary")

    assert proof.reason == "(60, 3) scores instead of (60, 2)"


def test_a_tree_too_few_is_caught() -> None:
    plan = changed(
        plan_of("random_forest", "quantity"), scoring.LightGBM, lambda each: {"trees": 11}
    )

    assert not proven(plan, "random_forest", "quantity").holds


def test_a_plan_that_says_it_is_exact_is_held_to_it() -> None:
    plan = plan_of("logistic_regression", "three")
    loose = proven(plan, "logistic_regression", "three")

    strict = proven(replace(plan, exact=True), "logistic_regression", "three")

    assert loose.holds
    assert strict.holds == (loose.difference == 0.0)


# thresholds to the last bit: whole numbers are learned, and halves are asked

HALVES = pd.DataFrame({"x": np.arange(0, 40, 0.5)})
STEPS = Schema((Column("x", "numeric", nullable=False, informative=True, type="double"),))


def stepped(name: str, params: dict[str, Any]) -> tuple[Pipeline, Problem, Plan]:
    rows = pd.DataFrame({"x": np.tile(np.arange(40.0), 5)})
    y = (rows["x"] // 3 % 5 * 10).rename("y")
    problem = identify(rows.assign(y=y), "y", "regression")
    model = make_model(LEARNERS[name], params, problem, STEPS, seed=1, threads=1).pipeline
    model.fit(rows, y)
    return model, problem, load_plan(dump_plan(compile_model(model, STEPS, problem)))


def nudged(text: str) -> str:
    """A model's text in which every threshold is the next smaller float64."""

    def smaller(found: re.Match[str]) -> str:
        numbers = [np.nextafter(float(each), -np.inf).item() for each in found[1].split()]
        return f"\nthreshold={' '.join(map(repr, numbers))}\n"

    return re.sub(r"\nthreshold=(.*)\n", smaller, text)


def resized(text: str) -> str:
    """LightGBM's own texts say how long every tree is; without that they are read whole."""
    return re.sub(r"\ntree_sizes=.*\n", "\n", text)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("decision_tree", {}),
        ("random_forest", {"n_estimators": 5}),
        ("lightgbm", {"n_estimators": 5, "min_child_samples": 1}),
    ],
)
def test_a_threshold_that_is_off_in_the_last_bit_is_caught(
    name: str, params: dict[str, Any]
) -> None:
    model, problem, plan = stepped(name, params)
    (trees,) = (each for each in plan.operations if isinstance(each, scoring.LightGBM))
    wrong = replace(trees, text=nudged(resized(trees.text)), opened=None)
    assert wrong.text != resized(trees.text)
    bad = replace(plan, operations=(*plan.operations[:-1], wrong))
    bad.open()

    good, proof = (prove(each, model, problem, HALVES, count=2_000) for each in (plan, bad))

    assert good.holds, good.reason
    assert "scores differ by" in proof.reason


def test_a_threshold_of_xgboost_that_is_off_in_the_last_bit_is_caught() -> None:
    model, problem, plan = stepped("xgboost", {"n_estimators": 5})
    (trees,) = (each for each in plan.operations if isinstance(each, scoring.XGBoost))
    learner = model[-1]
    while hasattr(learner, "estimator_"):
        learner = learner.estimator_
    content = json.loads(bytes(learner.get_booster().save_raw("json")))
    for tree in content["learner"]["gradient_booster"]["model"]["trees"]:
        tree["split_conditions"] = [
            cut if leaf == -1 else float(np.nextafter(np.float32(cut), np.float32(np.inf)))
            for cut, leaf in zip(tree["split_conditions"], tree["left_children"], strict=True)
        ]
    wrong = replace(trees, content=json.dumps(content).encode(), opened=None)
    bad = replace(plan, operations=(*plan.operations[:-1], wrong))
    bad.open()

    good, proof = (prove(each, model, problem, HALVES, count=2_000) for each in (plan, bad))

    assert good.holds, good.reason
    assert "scores differ by" in proof.reason


# readers that let wrong values through


def loosened(kind: str, coerce: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Proof:
    plan = plan_of("lightgbm", "binary")
    monkeypatch.setitem(reading._COERCERS, kind, coerce)
    return proven(plan, "lightgbm", "binary", count=20)


def test_a_reader_that_takes_fractions_for_whole_numbers_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = reading._number

    proof = loosened(
        "numeric", lambda value, column: number(value, replace(column, whole=False)), monkeypatch
    )

    assert proof.reason == "count: 5.5 is taken for a value"


def test_a_reader_that_rounds_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    number = reading._number

    proof = loosened(
        "numeric", lambda value, column: float(round(number(value, column))), monkeypatch
    )

    assert "scores differ by" in proof.reason


def test_a_reader_that_takes_anything_for_true_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    proof = loosened("boolean", lambda value, _: float(bool(value)), monkeypatch)

    assert not proof.holds


def test_a_reader_that_takes_gaps_for_zero_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        reading, "_gap", lambda column, _: 0.0 if column.kind in ("numeric", "boolean") else None
    )

    proof = proven(plan_of("lightgbm", "binary"), "lightgbm", "binary")

    assert not proof.holds


def test_a_reader_that_breaks_over_a_wrong_value_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    instant = reading._instant

    def broken(value: Any, column: Any) -> Any:
        if value == "yesterday":
            raise LookupError("no such day")
        return instant(value, column)

    proof = loosened("datetime", broken, monkeypatch)

    assert proof.reason == "born: a wrong value raises LookupError: no such day"
