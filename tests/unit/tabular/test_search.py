from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from tasks.tabular.errors import NoCandidateError
from tasks.tabular.leaderboard import rank
from tasks.tabular.learners import LEARNERS, Learner, predict_scores
from tasks.tabular.metrics import choose
from tasks.tabular.problem import identify
from tasks.tabular.schema import conform, infer
from tasks.tabular.search import Task, search


class Clock:
    """A clock that moves by `step` seconds whenever it is read."""

    def __init__(self, step: float) -> None:
        self._ticks = itertools.count()
        self._step = step
        self.now = 0.0

    def __call__(self) -> float:
        self.now = next(self._ticks) * self._step
        return self.now


class Breaks(DummyClassifier):
    def fit(self, X, y, sample_weight=None):  # noqa: N803
        raise ValueError("I cannot read this")


def broken(name: str = "broken") -> Learner:
    return Learner(name, "linear", lambda *_: Breaks(), lambda *_: Breaks(), lambda _trial: {})


@pytest.fixture
def task(rng: np.random.Generator) -> Task:
    x = rng.normal(size=(200, 2))
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(y=np.where(x[:, 0] > 0, "yes", "no"))
    problem = identify(frame, "y")
    schema = infer(frame).features("y")
    return Task(conform(frame, schema), frame["y"], problem, schema, choose(problem), 0, 1)


LINEAR = LEARNERS["logistic_regression"]


def test_the_best_candidate_is_fitted_on_all_rows(task: Task) -> None:
    found = search(task, [LINEAR], budget_seconds=30, clock=Clock(0.1))

    assert found.best == found.candidates[0]
    assert found.best.score == max(each.score for each in found.candidates)
    assert predict_scores(found.model, task.rows, task.problem).shape == (200, 2)


def test_the_budget_is_kept(task: Task) -> None:
    clock = Clock(0.1)

    search(task, [LINEAR], budget_seconds=30, clock=clock)

    assert 20 < clock.now <= 30 * 1.05


def test_one_candidate_is_tried_whatever_the_budget(task: Task) -> None:
    found = search(task, [LINEAR], budget_seconds=0.001, clock=Clock(1.0))

    assert len(found.candidates) == 1


def test_the_same_seed_finds_the_same_model(task: Task) -> None:
    one, other = (search(task, [LINEAR], budget_seconds=20, clock=Clock(0.1)) for _ in range(2))

    assert [each.params for each in one.candidates] == [each.params for each in other.candidates]
    assert one.best == other.best


def test_a_learner_that_fails_costs_a_line_and_not_the_search(task: Task) -> None:
    told = []

    found = search(
        task, [broken(), LINEAR], budget_seconds=5, clock=Clock(0.1), on_candidate=told.append
    )
    board = rank("roc_auc", found.candidates)

    assert found.best.learner == LINEAR.name
    assert told[0].error == "ValueError: I cannot read this"
    assert board.lines[-1].score is None
    assert board.lines[-1].error == told[0].error
    assert [line.rank for line in board.lines] == list(range(1, len(board.lines) + 1))


def test_nothing_but_failures_is_an_error(task: Task) -> None:
    with pytest.raises(NoCandidateError, match="I cannot read this"):
        search(task, [broken()], budget_seconds=5, clock=Clock(0.1))


def test_a_score_that_is_no_number_is_a_failure(task: Task) -> None:
    hopeless = replace(task.metric, function=lambda _y, _scores: float("nan"))

    with pytest.raises(NoCandidateError, match="not a number"):
        search(replace(task, metric=hopeless), [LINEAR], budget_seconds=5, clock=Clock(0.1))
