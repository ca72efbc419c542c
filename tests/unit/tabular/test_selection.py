"""Greedy selection: properties that hold whatever the scores are."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.tabular import selection
from tasks.tabular.metrics import METRICS, evaluate
from tasks.tabular.selection import equal, greedy, mixed

ROWS = 120
METRIC_NAMES = (
    "roc_auc",
    "neg_log_loss",
    "accuracy",
    "f1",
    "balanced_accuracy",
    "matthews_corrcoef",
    "neg_brier_score",
)


def both(second: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - second, second])


def library(seed: int, count: int, rows: int = ROWS) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Candidates of which each knows something else of the target."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(rows) % 2)
    scores = {}
    for number in range(count):
        knowledge = rng.uniform(0, 2)
        scores[number] = both(1 / (1 + np.exp(-knowledge * (2 * y - 1) - rng.normal(size=rows))))
    return y, scores


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 25), metric=st.sampled_from(METRIC_NAMES))
def test_weights_are_shares_of_the_candidates(seed: int, count: int, metric: str) -> None:
    y, scores = library(seed, count)

    found = greedy(METRICS[metric], y, scores, seed=seed)

    assert sum(found.weights.values()) == pytest.approx(1)
    assert set(found.weights) <= set(scores)
    assert all(np.isfinite(each) and each > 0 for each in found.weights.values())
    assert list(found.weights.values()) == sorted(found.weights.values(), reverse=True)
    mean = mixed(scores, found.weights)
    assert found.score == pytest.approx(evaluate(METRICS[metric], y, mean))
    np.testing.assert_allclose(mean.sum(axis=1), 1)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12), metric=st.sampled_from(METRIC_NAMES))
def test_all_are_never_worse_together_than_the_best_alone(
    seed: int, count: int, metric: str
) -> None:
    """On the very rows they were selected on, as where rows are many."""
    y, scores = library(seed, count)

    with patch.object(selection, "BAGGED_ROWS", 0):
        found = greedy(METRICS[metric], y, scores, seed=seed)

    best = max(evaluate(METRICS[metric], y, each) for each in scores.values())
    assert found.score >= best - 1e-9


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12), metric=st.sampled_from(METRIC_NAMES))
def test_selected_on_resamples_they_are_hardly_worse(seed: int, count: int, metric: str) -> None:
    y, scores = library(seed, count)

    found = greedy(METRICS[metric], y, scores, seed=seed)

    best = max(evaluate(METRICS[metric], y, each) for each in scores.values())
    assert found.score >= best - 0.02


@pytest.mark.parametrize("count", [2, 3, 6, 18])
@pytest.mark.parametrize("metric", ["neg_log_loss", "neg_brier_score"])
def test_a_perfect_candidate_needs_no_others(count: int, metric: str) -> None:
    y, scores = library(3, count)
    scores[count - 1] = both(y.astype(float))

    found = greedy(METRICS[metric], y, scores)

    assert found.weights == {count - 1: 1.0}


@pytest.mark.parametrize("count", [2, 3, 6, 18])
@pytest.mark.parametrize("metric", ["accuracy", "roc_auc", "f1"])
def test_what_is_perfect_alone_stays_so_in_company(count: int, metric: str) -> None:
    y, scores = library(3, count)
    scores[count - 1] = both(y.astype(float))

    assert greedy(METRICS[metric], y, scores).score == 1.0


def test_a_perfect_candidate_is_reached_in_a_crowd() -> None:
    y, scores = library(5, 10)
    scores[4] = both(y.astype(float))

    found = greedy(METRICS["neg_log_loss"], y, scores)

    assert max(found.weights, key=lambda each: found.weights[each]) == 4
    assert found.score > max(
        evaluate(METRICS["neg_log_loss"], y, each) for number, each in scores.items() if number != 4
    )


@pytest.mark.parametrize("count", [2, 3, 8])
def test_copies_are_worth_one_of_them(count: int) -> None:
    y, scores = library(1, 1)
    copies = {number: scores[0].copy() for number in range(count)}

    found = greedy(METRICS["roc_auc"], y, copies)

    assert found.score == pytest.approx(evaluate(METRICS["roc_auc"], y, scores[0]))
    assert sum(found.weights.values()) == pytest.approx(1)


def test_of_two_equal_ones_the_first_is_taken() -> None:
    y, scores = library(1, 1)

    assert greedy(METRICS["accuracy"], y, {7: scores[0], 2: scores[0]}).weights == {2: 1.0}


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_candidate_without_numbers_gets_nothing(count: int, place: str) -> None:
    y, scores = library(2, count)
    broken = 0 if place == "first" else count - 1
    scores[broken] = np.full((ROWS, 2), np.nan)

    found = greedy(METRICS["neg_log_loss"], y, scores)

    assert broken not in found.weights
    assert np.isfinite(found.score)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 20))
def test_the_same_scores_give_the_same_weights_in_any_order(seed: int, count: int) -> None:
    y, scores = library(seed, count)
    shuffled = {number: scores[number] for number in sorted(scores, reverse=True)}

    one, again, other = (
        greedy(METRICS["neg_log_loss"], y, each, seed=seed) for each in (scores, scores, shuffled)
    )

    assert one == again == other
    assert list(one.weights) == list(other.weights)


def test_opposite_errors_cancel_out(rng: np.random.Generator) -> None:
    y = rng.normal(size=400)
    noise = rng.normal(size=400)
    scores = {0: y + noise, 1: y - noise, 2: rng.normal(size=400)}

    found = greedy(METRICS["neg_root_mean_squared_error"], y, scores)

    assert found.weights == {0: pytest.approx(0.5), 1: pytest.approx(0.5)}
    assert found.score == pytest.approx(0, abs=1e-9)


def test_of_more_than_two_classes(rng: np.random.Generator) -> None:
    y = np.arange(300) % 3
    scores = {}
    for number in range(3):  # each knows one class
        scores[number] = np.full((300, 3), 1 / 3)
        scores[number][y == number] = np.eye(3)[number]

    found = greedy(METRICS["accuracy"], y, scores)

    assert found.score == 1.0
    assert len(found.weights) >= 2


def test_rows_beyond_the_looked_at_still_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "ROWS", 100)
    y, scores = library(11, 4, rows=1_000)

    found = greedy(METRICS["roc_auc"], y, scores, seed=3)

    assert found == greedy(METRICS["roc_auc"], y, scores, seed=3)
    assert sum(found.weights.values()) == pytest.approx(1)


def test_only_the_best_are_looked_at() -> None:
    y, scores = library(4, selection.POOL)
    hopeless = {1_000 + number: both(1.0 - y) for number in range(10)}

    found = greedy(METRICS["roc_auc"], y, {**hopeless, **scores})

    assert not set(found.weights) & set(hopeless)


def test_rows_of_one_class_choose_something_where_the_metric_is_defined() -> None:
    _, scores = library(4, 5)
    y = np.zeros(ROWS, dtype=int)

    found = greedy(METRICS["neg_log_loss"], y, scores)

    assert sum(found.weights.values()) == pytest.approx(1)


def test_a_metric_that_is_nowhere_defined_still_gives_weights() -> None:
    _, scores = library(4, 5)

    found = greedy(METRICS["roc_auc"], np.zeros(ROWS, dtype=int), scores)

    assert sum(found.weights.values()) == pytest.approx(1)


def test_equal_shares() -> None:
    assert equal([3, 5]) == {3: 0.5, 5: 0.5}
    np.testing.assert_allclose(mixed({1: np.array([1.0]), 2: np.array([3.0])}, equal([1, 2])), [2])
