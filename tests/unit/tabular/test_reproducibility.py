"""Whether a fit is repeated: by learners that do repeat themselves, and by some that cannot."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from tasks.tabular.learners import LEARNERS, select
from tasks.tabular.metrics import evaluate
from tasks.tabular.reproducibility import graded, repeat
from tasks.tabular.resampling import Balancing
from tasks.tabular.search import SearchPolicy, search
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.splitting import crossed
from tests.unit.tabular.rogues import Breaks, Hangs, rogue
from tests.unit.tabular.test_search import task_of

if TYPE_CHECKING:
    from tasks.tabular.reproducibility import Repetition
    from tasks.tabular.search import SearchResult
    from tasks.tabular.task import Task
    from tasks.tabular.zoo.entry import Learner

ROWS = 300


class Clock(DummyClassifier):
    """Answers what time it was fitted at."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Clock:  # noqa: N803
        self.offset_ = time.time_ns() % 1_000_003
        return super().fit(X, y)

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        second = np.random.default_rng(self.offset_).uniform(size=X.shape[0])
        return np.column_stack([1 - second, second])


class Draws(Clock):
    """Answers what the system's noise is."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Draws:  # noqa: N803
        super().fit(X, y)
        self.offset_ = int.from_bytes(os.urandom(8), "big")
        return self


@pytest.fixture
def task(rng: np.random.Generator) -> Task:
    return made(rng)


def made(rng: np.random.Generator, **given: Any) -> Task:
    x = rng.normal(size=(ROWS, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["group"] = rng.choice(["p", "q", "r"], ROWS)
    noise = rng.normal(size=ROWS)
    frame["y"] = np.where(x[:, 0] + x[:, 1] ** 2 + noise > 0.8, "yes", "no")
    made = task_of(frame, **given)
    folds = tuple(crossed(made.y, made.problem, 2, seed=0))
    return task_of(frame, **{"crossed": folds, **given})


def repeated(
    task: Task, learners: list[Learner], policy: SearchPolicy, **given: Any
) -> tuple[SearchResult, dict[str, list[Repetition]]]:
    found = search(task, learners, budget_seconds=60, policy=policy)
    known = {each.name: each for each in learners}
    grades: dict[str, list[Repetition]] = {}
    for each, candidate in zip(
        repeat(task, found.candidates, known, exact=policy.exact, **given),
        found.candidates,
        strict=True,
    ):
        assert each.number == candidate.number
        grades.setdefault(candidate.learner, []).append(each)
    return found, grades


def test_five_families_repeat_themselves_to_the_byte(task: Task) -> None:
    pytest.importorskip("torch")
    names = ("lightgbm", "xgboost", "catboost", "random_forest", "neural_network")
    policy = SearchPolicy(strategy="optuna", trials=len(names), ensemble=False)

    _, grades = repeated(task, select(names), policy)

    assert {name: grades[name][0].grade for name in names} == dict.fromkeys(names, "A")
    assert all(each[0].difference == 0 for each in grades.values())


def test_who_goes_by_the_clock_or_the_dice_is_not_repeated(task: Task) -> None:
    learners = [rogue(Clock), rogue(Draws), LEARNERS["logistic_regression"]]
    policy = SearchPolicy(strategy="optuna", trials=3, ensemble=False)

    _, grades = repeated(task, learners, policy)

    assert {name: each[0].grade for name, each in grades.items()} == {
        "clock": "D",
        "draws": "D",
        "logistic_regression": "A",
    }


def test_who_broke_is_not_repeated_and_who_hangs_gets_no_grade(task: Task) -> None:
    learners = [rogue(Breaks), LEARNERS["logistic_regression"]]
    policy = SearchPolicy(strategy="optuna", trials=2, ensemble=False)
    found = search(task, learners, budget_seconds=60, policy=policy)
    good = found.best
    known = {"breaks": rogue(Breaks), "logistic_regression": rogue(Hangs)}

    grades = repeat(task, found.candidates, known, seconds=1.5)

    assert good.learner == "logistic_regression"
    assert [each.grade for each in grades] == ["", "D"]
    assert np.isnan(grades[0].difference)
    assert np.isinf(grades[1].difference)


def test_more_threads_change_nothing(rng: np.random.Generator) -> None:
    """Sixteen threads are two for each of eight jobs; the repetition has one."""
    one = made(rng)
    task = task_of(one.rows.assign(y=one.y), crossed=one.crossed)
    task = type(task)(**{**_fields(task), "threads": 16})
    learners = select(("lightgbm", "xgboost", "random_forest"))
    policy = SearchPolicy(strategy="optuna", trials=3, ensemble=False)

    _, grades = repeated(task, learners, policy)

    found = {name: each[0].grade for name, each in grades.items()}
    assert found.pop("random_forest") in ("A", "B")  # two threads add up trees in any order
    assert found == {"lightgbm": "A", "xgboost": "A"}


def _fields(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in type(task).__dataclass_fields__}


@pytest.mark.parametrize("method", ["class_weights", "random_over", "smote"])
def test_what_was_fitted_on_balanced_rows_is_repeated_on_balanced_rows(
    method: str, task: Task
) -> None:
    balancing = Balancing.model_validate({"method": method})
    policy = SearchPolicy(strategy="optuna", trials=1, ensemble=False, balancing=balancing)

    _, grades = repeated(task, [LEARNERS["decision_tree"]], policy)

    assert grades["decision_tree"][0].grade == "A"


def test_what_a_grid_has_found_is_repeated(task: Task) -> None:
    """A grid prepares the features of every fold for itself, and watches no rows."""
    values = {"logistic_regression": {"C": [0.01, 1.0]}, "lightgbm": {"n_estimators": [30]}}
    policy = SearchPolicy(strategy="grid", grid=values, ensemble=False)

    _, grades = repeated(task, select(("logistic_regression", "lightgbm")), policy)

    found = [(name, each.grade) for name, of in grades.items() for each in of]
    assert sorted(found) == [
        ("lightgbm", "A"),
        ("logistic_regression", "A"),
        ("logistic_regression", "A"),
    ]


def test_steps_that_see_the_target_are_repeated(rng: np.random.Generator) -> None:
    steps = [{"step": "target_encode", "columns": ["group"]}]
    task = made(rng, spec=PipelineSpec.model_validate({"steps": steps}))
    policy = SearchPolicy(strategy="optuna", trials=1, ensemble=False)

    _, grades = repeated(task, [LEARNERS["logistic_regression"]], policy)

    assert grades["logistic_regression"][0].grade == "A"


def test_nothing_to_repeat_is_nothing(task: Task) -> None:
    assert repeat(task, [], {}) == []


def scores_of(task: Task) -> np.ndarray:
    second = np.random.default_rng(1).uniform(0.1, 0.9, len(task.y))
    return np.column_stack([1 - second, second])


def test_grades_are_what_they_say(task: Task) -> None:
    rows = np.arange(len(task.y))
    given = scores_of(task)
    rounded = given + 1e-12 * np.array([1, -1])
    alike = given.copy()
    alike[0] = np.abs(alike[0] - 1e-6 * np.array([1, -1]))
    other = given[:, ::-1]
    assert evaluate(task.metric, task.codes, alike) == pytest.approx(
        evaluate(task.metric, task.codes, given), rel=1e-4
    )

    def grade(again: np.ndarray) -> str:
        return graded(task, 0, rows, given, again).grade

    assert grade(given.copy()) == "A"
    assert grade(rounded) == "B"
    assert grade(alike) == "C"
    assert grade(other) == "D"
    assert grade(given[:-1]) == "D"
    assert grade(np.full_like(given, np.nan)) == "D"
    assert graded(task, 0, rows, np.full_like(given, np.nan), given).grade == "D"


def test_a_single_number_out_of_place_is_no_rounding(task: Task) -> None:
    rows = np.arange(len(task.y))
    given = scores_of(task)
    again = given.copy()
    again[5] = 1 - again[5]

    found = graded(task, 3, rows, given, again)

    assert found.grade in ("C", "D")
    assert found.number == 3
    assert found.difference == pytest.approx(np.abs(given - again).max())
