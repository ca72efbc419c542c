"""The leaderboard says who is better, who may be, and who is not worth the wait."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.tabular.leaderboard import COMPARED, EnsembleLine, Leaderboard, rank
from tasks.tabular.metrics import METRICS, evaluate
from tasks.tabular.task import Candidate

ROWS = 500
AUC = METRICS["roc_auc"]


def both(second: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - second, second])


def noisy(y: np.ndarray, spread: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return both(1 / (1 + np.exp(-(2.0 * y - 1) - spread * rng.normal(size=len(y)))))


def candidate(
    number: int, scores: np.ndarray | None, y: np.ndarray, metric: Any = AUC, **given: Any
) -> Candidate:
    values = () if scores is None else (evaluate(metric, y, scores),)
    made = Candidate(number, "some_learner", {}, values, 1.0, 0.1, scores=scores)
    return replace(made, **given)


@pytest.fixture
def y() -> np.ndarray:
    return np.arange(ROWS) % 2


def line_of(board: Leaderboard, number: int) -> Any:
    return next(each for each in board.lines if each.number == number)


def test_identical_candidates_are_tied(y: np.ndarray) -> None:
    scores = noisy(y, 1.0, 1)

    board = rank(AUC, [candidate(number, scores.copy(), y) for number in range(3)], y)

    assert [line.tied for line in board.lines] == [True] * 3
    assert len({(line.low, line.high) for line in board.lines}) == 1
    assert [line.number for line in board.lines] == [0, 1, 2]


def test_a_clearly_worse_one_is_not_tied(y: np.ndarray) -> None:
    board = rank(AUC, [candidate(0, noisy(y, 5.0, 1), y), candidate(1, noisy(y, 0.5, 2), y)], y)

    assert [(line.number, line.tied) for line in board.lines] == [(1, True), (0, False)]


def test_a_little_worse_is_told_by_the_same_rows(y: np.ndarray) -> None:
    """Two that differ on a few rows only are not as uncertain as each of them is."""
    better = noisy(y, 1.0, 1)
    worse = better.copy()
    worse[:12] = worse[:12, ::-1]

    board = rank(AUC, [candidate(0, better, y), candidate(1, worse, y)], y)

    best, other = board.lines
    assert not other.tied
    assert other.high > best.low  # their own intervals overlap


@pytest.mark.parametrize("metric", ["roc_auc", "neg_log_loss", "accuracy", "f1"])
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 6))
def test_intervals_contain_the_score(metric: str, seed: int, count: int) -> None:
    y = np.arange(120) % 2
    figure = METRICS[metric]
    made = [
        candidate(number, noisy(y, 1 + number / 3, seed + number), y, figure)
        for number in range(count)
    ]

    board = rank(figure, made, y, seed=seed)

    for line in board.lines:
        assert line.low <= line.score <= line.high
        assert line.high - line.low < 2
    assert board.lines[0].tied


@pytest.mark.parametrize(
    "metric", ["neg_root_mean_squared_error", "r2", "neg_max_error", "neg_mean_absolute_error"]
)
def test_quantities_have_intervals_too(metric: str, rng: np.random.Generator) -> None:
    y = rng.normal(size=ROWS)
    figure = METRICS[metric]
    made = [candidate(number, y + rng.normal(size=ROWS), y, figure) for number in range(3)]

    for line in rank(figure, made, y).lines:
        assert line.low <= line.score <= line.high


def test_an_interval_is_as_wide_as_the_error_of_the_mean(rng: np.random.Generator) -> None:
    y = rng.integers(0, 2, 2_000)
    right = rng.uniform(size=2_000) < 0.8
    scores = both(np.where(right, y, 1 - y).astype(float))
    figure = METRICS["accuracy"]

    line = rank(figure, [candidate(0, scores, y, figure)], y).lines[0]

    expected = 2 * 1.96 * np.sqrt(0.8 * 0.2 / 2_000)
    assert line.high - line.low == pytest.approx(expected, rel=0.25)


def test_an_interval_of_many_rows_is_not_that_of_the_resampled(rng: np.random.Generator) -> None:
    y = rng.integers(0, 2, 40_000)
    scores = both(np.where(rng.uniform(size=40_000) < 0.8, y, 1 - y).astype(float))
    figure = METRICS["accuracy"]

    line = rank(figure, [candidate(0, scores, y, figure)], y).lines[0]

    expected = 2 * 1.96 * np.sqrt(0.8 * 0.2 / 40_000)
    assert line.high - line.low == pytest.approx(expected, rel=0.3)


points = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=1, max_size=12)


@settings(max_examples=60)
@given(points=points)
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    """By brute force: as good and faster, or better and as fast, takes a place away."""
    y = np.arange(20) % 2
    made = [
        Candidate(number, "any", {}, (float(score),), 1.0, 1.0, row_seconds=float(seconds))
        for number, (score, seconds) in enumerate(points)
    ]

    board = rank(AUC, made, y)

    dominated = {
        one
        for one, (score, seconds) in enumerate(points)
        for other_score, other_seconds in points
        if other_score >= score
        and other_seconds <= seconds
        and (other_score, other_seconds) != (score, seconds)
    }
    # of equals one is enough
    shown = {points[line.number] for line in board.lines if line.front}
    assert shown == {points[one] for one in range(len(points)) if one not in dominated}


def test_those_that_failed_come_last(y: np.ndarray) -> None:
    made = [
        candidate(0, None, y, error="it broke", row_seconds=0.0),
        candidate(1, noisy(y, 5.0, 1), y, row_seconds=1.0),
        candidate(2, None, y, error="so did I"),
        candidate(3, noisy(y, 0.5, 1), y, row_seconds=2.0),
    ]

    board = rank(AUC, made, y)

    assert [line.number for line in board.lines] == [3, 1, 0, 2]
    assert [line.rank for line in board.lines] == [1, 2, 3, 4]
    for line in board.lines[2:]:
        assert (line.score, line.low, line.high) == (None, None, None)
        assert not line.front
        assert not line.tied
        assert line.error


def test_nothing_but_failures_is_a_board(y: np.ndarray) -> None:
    board = rank(AUC, [candidate(0, None, y, error="no")], y)

    assert [line.error for line in board.lines] == ["no"]


def test_no_candidate_is_a_board(y: np.ndarray) -> None:
    assert rank(AUC, [], y).lines == ()


def test_rows_judged_by_both_are_compared(y: np.ndarray) -> None:
    """A candidate of one fold is compared on that fold's rows."""
    whole, part = noisy(y, 1.0, 1), noisy(y, 1.0, 1)
    part[100:] = np.nan
    made = [
        candidate(0, whole, y),
        Candidate(1, "any", {}, (evaluate(AUC, y[:100], part[:100]),), 1.0, 1.0, scores=part),
    ]

    board = rank(AUC, made, y)

    assert all(line.tied for line in board.lines)
    assert all(np.isfinite([line.low, line.high]).all() for line in board.lines)


def test_rows_judged_by_neither_in_common_say_nothing(y: np.ndarray) -> None:
    one, other = noisy(y, 0.5, 1), noisy(y, 3.0, 2)
    one[250:], other[:250] = np.nan, np.nan
    made = [
        Candidate(0, "any", {}, (0.9,), 1.0, 1.0, scores=one),
        Candidate(1, "any", {}, (0.6,), 1.0, 1.0, scores=other),
    ]

    board = rank(AUC, made, y)

    assert board.lines[0].tied
    assert (board.lines[1].low, board.lines[1].high) == (None, None)


@pytest.mark.parametrize("few", [1, 2])
def test_a_class_of_a_row_leaves_a_board_that_can_be_written(few: int) -> None:
    y = np.zeros(60, dtype=int)
    y[:few] = 1
    made = [candidate(number, noisy(y, 1.0, number), y) for number in range(2)]

    board = rank(AUC, made, y)

    json.dumps(board.to_json(), allow_nan=False)


def test_many_classes_of_a_row_each(rng: np.random.Generator) -> None:
    classes = 30
    y = np.arange(classes)
    figure = METRICS["neg_log_loss"]
    scores = rng.dirichlet(np.ones(classes), size=classes)

    board = rank(figure, [candidate(0, scores, y, figure)], y)

    json.dumps(board.to_json(), allow_nan=False)
    assert board.lines[0].rank == 1


def test_those_far_down_have_no_interval(y: np.ndarray) -> None:
    made = [candidate(n, noisy(y, 1 + n / 10, n), y) for n in range(COMPARED + 5)]

    board = rank(METRICS["accuracy"], made, y)

    assert all(line.low is not None for line in board.lines[:COMPARED])
    assert all(line.low is None and not line.tied for line in board.lines[COMPARED:])


def test_the_same_candidates_make_the_same_board_in_any_order(y: np.ndarray) -> None:
    made = [candidate(n, noisy(y, 1 + n / 10, n), y) for n in range(6)]

    one, other = rank(AUC, made, y, seed=3), rank(AUC, made[::-1], y, seed=3)

    assert one.lines == other.lines


def test_a_board_can_be_written(y: np.ndarray) -> None:
    params = {"criterion": "gini", "depth": None, "rate": 0.1, "flag": True}
    made = [candidate(0, noisy(y, 1.0, 1), y, params=params), candidate(1, None, y, error="no")]
    mixes = [EnsembleLine("greedy", 0.9, {"0": 1.0})]

    board = rank(AUC, made, y, ensembles=mixes)

    read = json.loads(json.dumps(board.to_json(), allow_nan=False))
    assert read[0]["params"] == params
    assert board.ensembles == tuple(mixes)
    assert board.metric == "roc_auc"
