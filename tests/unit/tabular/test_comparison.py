from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.tabular.comparison import (
    MIN_ROWS,
    PromotionPolicy,
    check_same,
    compare,
    constant_scores,
    unseen_rows,
)
from tasks.tabular.errors import IncomparableError, OtherProblemError
from tasks.tabular.metrics import METRICS, evaluate
from tasks.tabular.problem import Problem
from tasks.tabular.schema import infer

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


def test_rows_the_champion_learned_are_not_unseen_whatever_their_raw_types() -> None:
    holdout = pd.DataFrame({"n": [1, 2, 3], "t": ["a", "b", None], "y": ["no", "yes", "no"]})
    learned = pd.DataFrame(
        {"n": [2.0, np.nan, 3.0], "t": ["b", "a", "c"], "extra": 1, "y": ["yes", "no", "no"]}
    )
    schemas = [infer(frame).features("y") for frame in (holdout, learned)]

    fresh = unseen_rows(holdout, learned, *schemas, Problem("binary", "y", ("no", "yes")))

    assert fresh["n"].tolist() == [1, 3]


@pytest.mark.parametrize(
    "other",
    [Problem("binary", "z", (0, 1)), Problem("binary", "y", (0, 2)), Problem("regression", "y")],
)
def test_models_of_different_problems_are_not_compared(other: Problem) -> None:
    with pytest.raises(OtherProblemError, match="a model name of its own"):
        check_same(Problem("binary", "y", (0, 1)), other)
