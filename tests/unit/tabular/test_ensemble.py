"""Ensembles: as scikit-learn knows models, and alike wherever they are loaded."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline

from tasks.tabular.calibrations import Sigmoid, Temperature
from tasks.tabular.ensemble import EnsembleClassifier, EnsembleRegressor, Member
from tasks.tabular.learners import LEARNERS, make_model, predict_scores, select
from tasks.tabular.packing import own_code
from tasks.tabular.search import SearchPolicy, search
from tasks.tabular.stacking import fit_stacker
from tests.unit.tabular.test_search import task_of

if TYPE_CHECKING:
    from tasks.tabular.search import SearchResult
    from tasks.tabular.task import Task

ROOT = Path(__file__).parents[3]
ROWS = 300
KINDS = ("binary", "three", "quantity")
PREDICTED = {"binary": ["no", "yes"], "three": ["low", "mid", "top"]}
_FOUND: dict[str, tuple[Task, SearchResult]] = {}


def table(kind: str) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, 3))
    signal = x[:, 0] + np.abs(x[:, 1]) + rng.normal(size=ROWS) / 2
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["group"] = rng.choice(["p", "q", "r"], ROWS)
    target: Any = {
        "binary": np.where(signal > 1, "yes", "no"),
        "three": np.select([signal < 0, signal < 1.2], ["low", "mid"], "top"),
        "quantity": 100 * signal,
    }[kind]
    return frame.assign(y=target)


def searched(kind: str) -> tuple[Task, SearchResult]:
    """One search for each kind of problem; all tests look at what it found."""
    if kind not in _FOUND:
        task = task_of(table(kind))
        policy = SearchPolicy(strategy="optuna", trials=3, select=3)
        learners = select(("logistic_regression", "random_forest", "lightgbm"))
        _FOUND[kind] = task, search(task, learners, budget_seconds=60, policy=policy)
    return _FOUND[kind]


@pytest.fixture(params=KINDS)
def task(request: pytest.FixtureRequest) -> Task:
    return searched(request.param)[0]


@pytest.fixture
def model(task: Task) -> Any:
    """An ensemble of three models, fitted as scikit-learn does it."""
    return made(task).fit(task.rows, task.y)


def made(task: Task, weights: tuple[float, ...] = (0.5, 0.3, 0.2)) -> Any:
    names = ("logistic_regression", "decision_tree", "lightgbm")
    models = []
    for name in names[: len(weights)]:
        params = {"n_estimators": 15} if name == "lightgbm" else {}
        given = (LEARNERS[name], params, task.problem, task.schema)
        models.append((name, make_model(*given, seed=0, threads=1).pipeline))
    kind = EnsembleRegressor if task.problem.kind == "regression" else EnsembleClassifier
    return kind(models, list(weights))


def answers(model: Any, rows: pd.DataFrame) -> np.ndarray:
    found = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
    return np.asarray(found)


# what a search assembles


@pytest.mark.parametrize("kind", KINDS)
def test_weights_sum_to_one(kind: str) -> None:
    _, found = searched(kind)

    assert sum(found.weights.values()) == pytest.approx(1)
    for line in found.ensembles:
        assert sum(line.weights.values()) == pytest.approx(1)
    assert sum(each.weight for each in found.model[-1].members_) == pytest.approx(1)
    assert sum(found.model[-1].candidates.values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_served_is_the_best_of_what_was_made(kind: str) -> None:
    _, found = searched(kind)

    assert found.ensembles[0].score == max(line.score for line in found.ensembles)
    assert {line.name.partition("_")[0].partition(" ")[0] for line in found.ensembles} == {
        "best",
        "greedy",
        "blend",
        "stack",
    }


@pytest.mark.parametrize("kind", ["binary", "three"])
def test_probabilities_of_any_row_sum_to_one(kind: str) -> None:
    task, found = searched(kind)
    strange = task.rows.iloc[:20].copy()
    strange.loc[:5, ["a", "b", "c"]] = np.nan
    strange.loc[5:10, "a"] = 1e12
    strange["group"] = "never seen"

    for rows in (task.rows, strange):
        scores = predict_scores(found.model, rows, task.problem)

        np.testing.assert_allclose(scores.sum(axis=1), 1)
        assert (scores >= 0).all()
    assert set(found.model.predict(task.rows)) <= set(PREDICTED[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_columns_come_in_any_order_and_company(kind: str) -> None:
    task, found = searched(kind)
    rows = task.rows.iloc[:50]
    mixed = rows.assign(extra=1.0, y="?")[["extra", *reversed(task.schema.names), "y"]]

    expected = predict_scores(found.model, rows, task.problem)

    assert predict_scores(found.model, mixed, task.problem).tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_answer_alone_as_in_company(kind: str) -> None:
    task, found = searched(kind)
    together = predict_scores(found.model, task.rows.iloc[:10], task.problem)

    alone = [
        predict_scores(found.model, task.rows.iloc[[place]], task.problem) for place in range(10)
    ]

    np.testing.assert_allclose(np.concatenate(alone), together, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_have_no_answers(kind: str) -> None:
    task, found = searched(kind)

    scores = predict_scores(found.model, task.rows.iloc[:0], task.problem)

    assert scores.shape == ((0,) if kind == "quantity" else (0, len(task.problem.classes)))
    assert found.model.predict(task.rows.iloc[:0]).shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_any_index_will_do(kind: str) -> None:
    task, found = searched(kind)
    rows = task.rows.iloc[:30]

    for index in (np.zeros(30, dtype=int), [f"row {n}" for n in range(30)], range(29, -1, -1)):
        other = predict_scores(found.model, rows.set_axis(index, axis=0), task.problem)
        assert other.tobytes() == predict_scores(found.model, rows, task.problem).tobytes()


HIDDEN = ("prefect", "optuna", "mlflow", "infra", "flows", "sqlalchemy", "fastapi", "hypothesis")
LOADING = """
import json, pickle, sys
sys.path.insert(0, {code!r})
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
import numpy, pandas
with open({model!r}, "rb") as stream:
    model, rows = pickle.load(stream)
answer = model.predict_proba(rows) if {classes} else model.predict(rows)
print(json.dumps([answer.tolist(), model.predict(rows).tolist()]))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_loaded_where_there_is_no_platform(kind: str, tmp_path: Path) -> None:
    """With the library's own code alone, as a served model has it, in a process of its own."""
    task, found = searched(kind)
    rows = task.rows.iloc[:25]
    (tmp_path / "model.pickle").write_bytes(pickle.dumps((found.model, rows)))
    with own_code(ROOT / "tasks") as code:
        given = {
            "code": str(code.parent),
            "hidden": HIDDEN,
            "model": str(tmp_path / "model.pickle"),
            "classes": kind != "quantity",
        }
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(LOADING.format(**given))],
            cwd=tmp_path,
            env={key: each for key, each in os.environ.items() if key != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=False,
        )

    assert run.returncode == 0, run.stderr[-600:]
    scores, labels = json.loads(run.stdout)
    np.testing.assert_array_equal(scores, predict_scores(found.model, rows, task.problem))
    assert labels == found.model.predict(rows).tolist()


# as scikit-learn knows models


def test_a_clone_is_unfitted_and_fits_alike(task: Task, model: Any) -> None:
    copy = clone(model)

    assert not hasattr(copy, "members_")
    assert copy.get_params(deep=False)["weights"] == [0.5, 0.3, 0.2]
    again = copy.fit(task.rows, task.y)
    assert answers(again, task.rows).tobytes() == answers(model, task.rows).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_searched_can_be_cloned_and_fitted_again(kind: str) -> None:
    task, found = searched(kind)

    again = clone(found.model).fit(task.rows, task.y)

    assert isinstance(again, Pipeline)
    mine, theirs = (predict_scores(each, task.rows, task.problem) for each in (again, found.model))
    assert mine.shape == theirs.shape
    if kind == "quantity":
        assert np.corrcoef(mine, theirs)[0, 1] > 0.8
    else:
        assert (mine.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.75


def test_parameters_can_be_read_and_set(task: Task, model: Any) -> None:
    params = model.get_params()
    assert set(params) >= {"models", "weights"}

    model.set_params(weights=[1.0, 0.0, 0.0])
    alone = made(task, (1.0,)).fit(task.rows, task.y)

    np.testing.assert_allclose(
        answers(model.fit(task.rows, task.y), task.rows), answers(alone, task.rows)
    )


def test_scikit_learn_can_cross_validate_it(task: Task) -> None:
    scores = cross_val_score(made(task), task.rows, task.y, cv=3, error_score="raise")

    assert (scores > 0.3).all()


def test_fitting_twice_is_fitting_once(task: Task) -> None:
    model = made(task)
    once = answers(model.fit(task.rows, task.y), task.rows)

    twice = answers(model.fit(task.rows, task.y), task.rows)

    assert once.tobytes() == twice.tobytes()
    assert len(model.members_) == 3


def test_an_unfitted_one_says_so(task: Task) -> None:
    from sklearn.exceptions import NotFittedError  # noqa: PLC0415 - only here

    with pytest.raises(NotFittedError):
        answers(made(task), task.rows)


def test_the_answer_is_the_weighted_mean(task: Task, model: Any) -> None:
    y = task.y if task.problem.kind == "regression" else pd.Series(task.codes)
    parts = [clone(each).fit(task.rows, y) for _, each in model.models]

    mean = sum(
        weight * answers(each, task.rows) for weight, each in zip(model.weights, parts, strict=True)
    )

    np.testing.assert_allclose(answers(model, task.rows), mean)


# labels of every kind, members that lack a class


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param([False, True], id="bool"),
        pytest.param([0, 1], id="codes"),
        pytest.param([-3, 12], id="int"),
        pytest.param([1.0, 2.0], id="float"),
        pytest.param(["n", "a long one"], id="str"),
        pytest.param(["é", "日本"], id="unicode"),
    ],
)
def test_labels_come_back_as_they_were(labels: list[Any]) -> None:
    frame = table("binary")
    frame["y"] = np.where(frame["y"] == "yes", labels[1], labels[0])
    task = task_of(frame)
    model = made(task, (0.5, 0.5)).fit(task.rows, task.y)

    found = model.predict(task.rows)

    assert set(found.tolist()) == set(labels)
    assert [type(each) for each in sorted(set(found.tolist()))] == [
        type(each) for each in sorted(labels)
    ]
    assert (found == task.y.to_numpy()).mean() > 0.7
    assert model.classes_.tolist() == sorted(labels)


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("absent", [0, 1, 2])
@pytest.mark.parametrize(
    "name", ["logistic_regression", "decision_tree", "lightgbm", "xgboost", "catboost", "svm"]
)
def test_a_member_that_lacks_a_class_gives_it_nothing(name: str, absent: int, coded: bool) -> None:
    task, _ = searched("three")
    small = {"lightgbm": "n_estimators", "xgboost": "n_estimators", "catboost": "iterations"}
    params = {small[name]: 10} if name in small else {}
    given = (LEARNERS[name], params, task.problem, task.schema)
    unfitted = make_model(*given, seed=0, threads=1).pipeline
    rows = np.flatnonzero(task.codes != absent)
    y = task.codes[rows] if coded else task.y.to_numpy()[rows]
    fitted = unfitted.fit(task.rows.iloc[rows], y)

    model = EnsembleClassifier.assembled(
        [(name, unfitted)],
        {name: 1.0},
        [fitted[:-1]],
        [Member(name, 0, fitted[-1], 1.0, coded=coded)],
        problem=task.problem,
    )
    scores = model.predict_proba(task.rows)

    assert (scores[:, absent] == 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert task.problem.classes[absent] not in model.predict(task.rows)
    kept = scores[:, [code for code in range(3) if code != absent]]
    np.testing.assert_allclose(kept, fitted.predict_proba(task.rows), atol=1e-6)


# what corrects the mean


def rebuilt(model: Any, task: Task, **given: Any) -> Any:
    weights = dict(zip([name for name, _ in model.models], model.weights, strict=True))
    return EnsembleClassifier.assembled(
        model.models,
        weights,
        model.preparations_,
        model.members_,
        problem=task.problem,
        **given,
    )


def test_a_threshold_decides() -> None:
    task, _ = searched("binary")
    model = made(task).fit(task.rows, task.y)
    second = model.predict_proba(task.rows)[:, 1]

    for threshold in (0.0, 0.2, 0.5, 0.9, 1.01):
        moved = rebuilt(model, task, threshold=threshold)

        assert ((moved.predict(task.rows) == "yes") == (second >= threshold)).all()
        assert (moved.predict_proba(task.rows)[:, 1] == second).all()


@pytest.mark.parametrize("kind", ["binary", "three"])
def test_a_calibration_corrects(kind: str) -> None:
    task, _ = searched(kind)
    model = made(task).fit(task.rows, task.y)
    plain = model.predict_proba(task.rows)
    calibration: Any = Sigmoid(0.5, 2.0) if kind == "binary" else Temperature(3.0)

    found = rebuilt(model, task, calibration=calibration).predict_proba(task.rows)

    np.testing.assert_allclose(found, calibration.apply(plain))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert not np.allclose(found, plain)


def test_the_threshold_is_one_of_calibrated_probabilities() -> None:
    task, _ = searched("binary")
    model = made(task).fit(task.rows, task.y)
    sure = Sigmoid(1.0, 30.0)  # says yes whatever is asked

    found = rebuilt(model, task, calibration=sure, threshold=0.999).predict(task.rows)

    assert set(found) == {"yes"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stacker_takes_the_place_of_the_weights(kind: str) -> None:
    task, _ = searched(kind)
    model = made(task).fit(task.rows, task.y)
    given = [predict_scores_of(part, task) for part in parts_of(model, task)]
    stacker = fit_stacker(given, task.codes, seed=0)

    model.stacker_ = stacker

    np.testing.assert_allclose(answers(model, task.rows), stacker.apply(given))
    if kind != "quantity":
        np.testing.assert_allclose(answers(model, task.rows).sum(axis=1), 1)


def parts_of(model: Any, task: Task) -> list[Any]:
    return [
        Pipeline([*model.preparations_[each.preparation].steps, ("learner", each.estimator)])
        for each in model.members_
    ]


def predict_scores_of(model: Any, task: Task) -> np.ndarray:
    return predict_scores(model, task.rows, task.problem)


def test_a_search_moves_the_threshold_of_a_label_metric(rng: np.random.Generator) -> None:
    """Of one row in ten, a half is seldom reached: balanced accuracy wants a lower one."""
    from tasks.tabular.metrics import choose  # noqa: PLC0415 - only here

    x = rng.normal(size=(600, 2))
    y = np.where(x[:, 0] + 1.2 * rng.normal(size=600) > 2, "yes", "no")
    task = task_of(pd.DataFrame(x, columns=["a", "b"]).assign(y=y))
    task = replace(task, metric=choose(task.problem, "balanced_accuracy"))
    policy = SearchPolicy(strategy="optuna", trials=2)

    found = search(task, select(("lr", "dt")), budget_seconds=60, policy=policy)

    assert found.threshold < 0.4
    second = found.model.predict_proba(task.rows)[:, 1]
    assert ((found.model.predict(task.rows) == "yes") == (second >= found.threshold)).all()
