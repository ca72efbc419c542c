from __future__ import annotations

import numpy as np
import pytest

from tasks.tabular.comparison import (
    MIN_ROWS,
    PromotionPolicy,
    compare,
    constant_scores,
    unseen,
)
from tasks.tabular.errors import IncomparableError
from tasks.tabular.metrics import METRICS, evaluate

AUC = METRICS["roc_auc"]
RMSE = METRICS["neg_root_mean_squared_error"]


def scores(y: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    positive = np.clip(y + rng.normal(scale=noise, size=len(y)), 0, 1)
    return np.column_stack([1 - positive, positive])


def test_the_better_model_gains_and_the_interval_says_so(rng: np.random.Generator) -> None:
    y = np.arange(400) % 2

    report = compare(AUC, y, scores(y, 0.5, rng), scores(y, 2.0, rng), seed=0)

    assert report.gain_low > 0
    assert report.gain_low < report.gain < report.gain_high
    assert report.passes(PromotionPolicy())
    assert not report.passes(PromotionPolicy(minimum_gain=0.9))


def test_a_model_does_not_beat_itself(rng: np.random.Generator) -> None:
    y = np.arange(400) % 2
    same = scores(y, 1.0, rng)

    report = compare(AUC, y, same, same, seed=0)

    assert (report.gain, report.gain_low, report.gain_high) == (0, 0, 0)
    assert not report.passes(PromotionPolicy())


def test_the_same_seed_gives_the_same_interval(rng: np.random.Generator) -> None:
    y = rng.normal(size=100)
    one, other = y + rng.normal(size=100), y + rng.normal(size=100)

    assert compare(RMSE, y, one, other, seed=5) == compare(RMSE, y, one, other, seed=5)


def test_too_few_rows_decide_nothing(rng: np.random.Generator) -> None:
    y = np.arange(MIN_ROWS - 1) % 2
    few = scores(y, 1.0, rng)

    with pytest.raises(IncomparableError, match=f"only {MIN_ROWS - 1} rows"):
        compare(AUC, y, few, few, seed=0)


def test_a_constant_prediction_knows_shares_and_mean_only() -> None:
    assert constant_scores(np.array([0, 0, 0, 1]), 2, 2).tolist() == [[0.75, 0.25]] * 2
    assert constant_scores(np.array([1.0, 3.0]), 2, 0).tolist() == [2.0, 2.0]
    assert evaluate(AUC, np.array([0, 1]), constant_scores(np.array([0, 1]), 2, 2)) == 0.5


def test_rows_the_champion_learned_are_not_unseen() -> None:
    holdout = np.array([1, 2, 3, 4], dtype=np.uint64)

    assert unseen(holdout, np.array([2, 4, 9], dtype=np.uint64)).tolist() == [
        True,
        False,
        True,
        False,
    ]
