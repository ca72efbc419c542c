from __future__ import annotations

import time

import numpy as np
import pytest

from tasks.tabular.metrics import METRICS, Metric, evaluate
from tasks.tabular.thresholds import CANDIDATES, ThresholdReport, _candidates, best_threshold

LABELS = [each for each in METRICS.values() if each.of_confusion and "binary" in each.kinds]


def rare(rng: np.random.Generator, rows: int = 4_000, prior: float = 0.1) -> tuple:
    """Classes and their true probabilities."""
    y = (rng.random(rows) < prior).astype(int)
    shift = 1.5
    odds = shift * (rng.normal(size=rows) + shift * y) - shift**2 / 2 + np.log(prior / (1 - prior))
    probability = 1 / (1 + np.exp(-odds))
    return y, np.column_stack([1 - probability, probability])


def test_f1_of_a_rare_class_gains_by_a_low_threshold(rng: np.random.Generator) -> None:
    y, scores = rare(rng)

    report = best_threshold(METRICS["f1"], y, scores)

    assert 0.15 < report.threshold < 0.4
    assert report.score > report.score_at_half + 0.05
    unseen = rare(rng)
    assert evaluate(METRICS["f1"], *unseen, report.threshold) > evaluate(METRICS["f1"], *unseen)


def test_balanced_accuracy_is_best_near_the_class_share(rng: np.random.Generator) -> None:
    y, scores = rare(rng, 20_000)

    assert best_threshold(METRICS["balanced_accuracy"], y, scores).threshold == pytest.approx(
        0.1, abs=0.04
    )


@pytest.mark.parametrize("metric", LABELS, ids=lambda each: each.name)
def test_the_report_is_what_evaluation_says(metric: Metric, rng: np.random.Generator) -> None:
    y, scores = rare(rng, 500)

    report = best_threshold(metric, y, scores)

    assert report.score == evaluate(metric, y, scores, report.threshold)
    assert report.score_at_half == evaluate(metric, y, scores)
    assert report.score >= report.score_at_half


def test_the_best_is_found_among_all_thresholds(rng: np.random.Generator) -> None:
    y, scores = rare(rng, 150, 0.3)
    scores[:, 1] = scores[:, 1].round(2)
    scores[:, 0] = 1 - scores[:, 1]
    metric = METRICS["f1"]

    report = best_threshold(metric, y, scores)

    if report.threshold != 0.5:
        every = [evaluate(metric, y, scores, each) for each in np.unique(scores[:, 1])]
        assert report.score == pytest.approx(max(every))


def test_luck_rarely_moves_the_threshold() -> None:
    moved = 0
    for seed in range(50):
        y, scores = rare(np.random.default_rng(seed), 400, 0.5)
        moved += best_threshold(METRICS["accuracy"], y, scores).threshold != 0.5

    assert moved <= 10


def test_the_same_seed_finds_the_same(rng: np.random.Generator) -> None:
    y, scores = rare(rng, 300)

    first, second = (best_threshold(METRICS["f1"], y, scores, seed=3) for _ in range(2))

    assert first == second


@pytest.mark.parametrize("name", ["roc_auc", "neg_log_loss"])
def test_metrics_of_probabilities_keep_a_half(name: str, rng: np.random.Generator) -> None:
    y, scores = rare(rng, 300)

    report = best_threshold(METRICS[name], y, scores)

    assert report == ThresholdReport(0.5, report.score_at_half, report.score_at_half)


def test_many_classes_and_quantities_keep_a_half(rng: np.random.Generator) -> None:
    y = rng.integers(0, 3, 60)

    assert best_threshold(METRICS["f1_macro"], y, rng.dirichlet([1] * 3, 60)).threshold == 0.5
    assert best_threshold(METRICS["r2"], y.astype(float), rng.normal(size=60)).threshold == 0.5


@pytest.mark.parametrize("constant", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_constant_scores_keep_a_half(constant: float) -> None:
    y = np.arange(40) % 4 == 0

    report = best_threshold(
        METRICS["f1"], y.astype(int), np.tile([1 - constant, constant], (40, 1))
    )

    assert report.threshold == 0.5


@pytest.mark.parametrize("code", [0, 1])
def test_one_row_keeps_a_half(code: int) -> None:
    assert best_threshold(METRICS["f1"], np.array([code]), np.array([[0.8, 0.2]])).threshold == 0.5


def test_rows_without_a_prediction_do_not_count(rng: np.random.Generator) -> None:
    y, scores = rare(rng, 300)
    more = np.vstack([scores, np.full((50, 2), np.nan)])

    found = best_threshold(METRICS["f1"], np.append(y, np.ones(50, int)), more)

    assert found == best_threshold(METRICS["f1"], y, scores)
    assert best_threshold(METRICS["f1"], y[:1], more[-1:]).threshold == 0.5


def test_candidates_are_few_and_crowd_around_a_rare_class(rng: np.random.Generator) -> None:
    y, scores = rare(rng, 50_000, 0.01)

    found = _candidates(y, scores[:, 1])

    assert len(found) <= CANDIDATES
    assert (found > np.quantile(scores[:, 1], 0.9)).sum() > CANDIDATES / 4


def test_a_million_rows_take_no_time(rng: np.random.Generator) -> None:
    y, scores = rare(rng, 1_000_000)
    started = time.process_time()

    best_threshold(METRICS["f1"], y, scores)

    assert time.process_time() - started < 5
