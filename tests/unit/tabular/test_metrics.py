from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from tasks.tabular.errors import UnknownNameError
from tasks.tabular.metrics import METRICS, MetricName, choose, evaluate
from tasks.tabular.problem import Problem

BINARY = Problem("binary", "y", ("no", "yes"))
THREE = Problem("multiclass", "y", ("a", "b", "c"))
REGRESSION = Problem("regression", "y")


def test_forms_offer_every_metric() -> None:
    assert get_args(MetricName) == tuple(METRICS)


def test_each_problem_has_a_usual_metric() -> None:
    assert choose(BINARY).name == "roc_auc"
    assert choose(THREE).name == "neg_log_loss"
    assert choose(REGRESSION).name == "neg_root_mean_squared_error"


def test_case_does_not_matter() -> None:
    assert choose(BINARY, "Accuracy").name == "accuracy"


def test_a_metric_of_another_problem_is_refused_by_name() -> None:
    with pytest.raises(UnknownNameError, match="regression problems 'roc_auc'"):
        choose(REGRESSION, "roc_auc")


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda each: each.name)
def test_right_beats_wrong(metric, rng: np.random.Generator) -> None:
    if "regression" in metric.kinds:
        y = rng.normal(size=200)
        right, wrong = y + 0.01, -y
    else:
        y = np.arange(200) % 2
        right = np.column_stack([np.where(y, 0.1, 0.9), np.where(y, 0.9, 0.1)])
        wrong = right[:, ::-1]

    assert evaluate(metric, y, right) > evaluate(metric, y, wrong)


def test_the_root_mean_squared_error_agrees_with_the_formula() -> None:
    y, predicted = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0])

    score = evaluate(METRICS["neg_root_mean_squared_error"], y, predicted)

    assert score == pytest.approx(-np.sqrt(9 / 3))


def test_a_fold_may_lack_a_class() -> None:
    y = np.array([0, 1, 0, 1])
    scores = np.full((4, 3), 1 / 3)

    assert evaluate(METRICS["neg_log_loss"], y, scores) == pytest.approx(-np.log(3))
