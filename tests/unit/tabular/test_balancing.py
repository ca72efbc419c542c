from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd
import pytest

from tasks.tabular.balancing import (
    RARE,
    SENSITIVE,
    USUAL,
    BalancingReport,
    BalancingTrial,
    candidates,
    choose,
)
from tasks.tabular.metrics import METRICS
from tasks.tabular.problem import Problem
from tasks.tabular.resampling import Balancing, Method

if TYPE_CHECKING:
    from collections.abc import Callable

BINARY = Problem("binary", "y", ("no", "yes"))
THREE = Problem("multiclass", "y", ("a", "b", "c"))
REGRESSION = Problem("regression", "y")

NOTHING = (0.5, 0.6, 0.7, 0.8)


def labels(**counts: int) -> pd.Series:
    return pd.Series(np.repeat(list(counts), list(counts.values())), name="y")


def names(found: tuple[Balancing, ...]) -> list[str]:
    return [each.method for each in found]


def judging(
    seconds: float = 1.0, **scores: tuple[float, ...]
) -> Callable[[Balancing], BalancingTrial]:
    """A judge that knows the scores of every method; those it does not know fail."""

    def judge(balancing: Balancing) -> BalancingTrial:
        found = {"none": NOTHING, **scores}.get(balancing.method, ())
        return BalancingTrial(balancing, found, seconds, error="" if found else "it broke")

    return judge


def chosen(*methods: Method, left: float = 1e9, **scores: tuple[float, ...]) -> BalancingReport:
    tried = [Balancing(method=each) for each in methods]
    return choose("accuracy", tried, judging(**scores), lambda: left)


def moved(*gains: float) -> tuple[float, ...]:
    return tuple(np.add(NOTHING, gains).tolist())


def test_the_usual_methods_are_tried_where_a_class_is_rare() -> None:
    found = candidates("auto", labels(no=90, yes=10), BINARY, "balanced_accuracy")

    assert names(found) == list(USUAL)


def test_usual_methods_are_methods() -> None:
    assert set(USUAL) < set(get_args(Method))


def test_metrics_that_gain_are_metrics() -> None:
    assert set(SENSITIVE) < set(METRICS)


@pytest.mark.parametrize("metric", sorted(set(METRICS) - set(SENSITIVE)))
def test_nothing_is_tried_for_a_metric_that_hardly_moves(metric: str) -> None:
    assert candidates("auto", labels(no=95, yes=5), BINARY, metric) == ()


def test_nothing_is_tried_from_the_rare_share_on() -> None:
    rows = 1_000
    rare = round(RARE * rows)

    at = candidates("auto", labels(no=rows - rare, yes=rare), BINARY, "accuracy")
    below = candidates("auto", labels(no=rows - rare + 1, yes=rare - 1), BINARY, "accuracy")

    assert at == ()
    assert names(below) == list(USUAL)


def test_one_rare_class_of_three_is_enough() -> None:
    found = candidates("auto", labels(a=50, b=45, c=5), THREE, "f1_macro")

    assert names(found) == [each for each in USUAL if each != "threshold"]


def test_no_threshold_is_moved_for_a_metric_of_ranks() -> None:
    found = candidates("auto", labels(no=90, yes=10), BINARY, "average_precision")

    assert names(found) == [each for each in USUAL if each != "threshold"]


@pytest.mark.parametrize("asked", ["auto", *get_args(Method)])
def test_a_quantity_has_nothing_to_balance(asked: str) -> None:
    y = pd.Series(np.arange(100.0), name="y")

    assert candidates(asked, y, REGRESSION, "r2") == ()


@pytest.mark.parametrize("asked", [each for each in get_args(Method) if each != "none"])
def test_a_method_asked_for_is_tried_whatever_the_shares(asked: Method) -> None:
    found = candidates(asked, labels(no=50, yes=50), BINARY, "roc_auc")

    assert found == (Balancing(method=asked),)


def test_none_is_nothing_to_try() -> None:
    assert candidates("none", labels(no=99, yes=1), BINARY, "accuracy") == ()


def test_a_steady_gain_is_taken() -> None:
    report = chosen("smote", smote=moved(0.1, 0.1, 0.1, 0.1))

    assert report.chosen == Balancing(method="smote")


def test_a_tie_keeps_nothing() -> None:
    report = chosen("smote", smote=NOTHING)

    assert report.chosen == Balancing()


def test_a_loss_keeps_nothing() -> None:
    report = chosen("smote", smote=moved(-0.1, -0.1, -0.1, -0.1))

    assert report.chosen == Balancing()


def test_a_gain_below_its_standard_error_keeps_nothing() -> None:
    gains = (0.3, -0.2, 0.2, -0.2)
    error = np.std(gains, ddof=1) * np.sqrt(1 / 4 + 1 / 3)

    report = chosen("smote", smote=moved(*gains))

    assert report.gain(report.trials[1]) == pytest.approx((np.mean(gains), error))
    assert 0 < np.mean(gains) < error
    assert report.chosen == Balancing()


def test_folds_are_compared_one_by_one() -> None:
    gains = (0.01, 0.01, 0.01, 0.02)

    report = chosen("smote", smote=moved(*gains))

    assert np.std(NOTHING) > np.mean(gains)
    assert report.chosen == Balancing(method="smote")


@pytest.mark.parametrize("order", [("smote", "random_over"), ("random_over", "smote")])
def test_the_best_of_several_is_taken(order: tuple[Method, ...]) -> None:
    report = chosen(*order, smote=moved(0.1, 0.1, 0.1, 0.1), random_over=moved(0.2, 0.2, 0.2, 0.2))

    assert report.chosen == Balancing(method="random_over")


def test_of_methods_that_gain_alike_the_first_is_taken() -> None:
    same = moved(0.1, 0.1, 0.1, 0.1)

    report = chosen("class_weights", "smote", class_weights=same, smote=same)

    assert report.chosen == Balancing(method="class_weights")


def test_a_large_but_noisy_gain_does_not_hide_a_smaller_sure_one() -> None:
    noisy, sure = moved(2.0, -1.0, 2.0, -1.0), moved(0.1, 0.1, 0.1, 0.1)

    report = chosen("smote", "class_weights", smote=noisy, class_weights=sure)

    assert report.chosen == Balancing(method="class_weights")


def test_one_fold_decides_nothing() -> None:
    trial = BalancingTrial(Balancing(method="smote"), (0.6,), 1.0)
    judged = {"none": BalancingTrial(Balancing(), (0.5,), 1.0), "smote": trial}

    report = choose("accuracy", [trial.balancing], lambda each: judged[each.method], lambda: np.inf)

    assert report.gain(trial) == pytest.approx((0.1, np.inf))
    assert report.chosen == Balancing()


def test_a_method_that_fails_is_told_and_not_taken() -> None:
    report = chosen("adasyn", "smote", smote=moved(0.1, 0.1, 0.1, 0.1))

    failed = report.trials[1]
    assert (failed.balancing.method, failed.error, failed.score) == ("adasyn", "it broke", -np.inf)
    assert report.chosen == Balancing(method="smote")


def test_nothing_is_chosen_where_doing_nothing_fails() -> None:
    report = choose(
        "accuracy",
        [Balancing(method="smote")],
        lambda each: BalancingTrial(each, NOTHING if each.method == "smote" else (), 1.0),
        lambda: np.inf,
    )

    assert report.chosen == Balancing()


def test_a_score_that_is_no_number_is_not_taken() -> None:
    report = chosen("smote", smote=moved(np.nan, 1.0, 1.0, 1.0))

    assert report.chosen == Balancing()


def test_a_method_for_which_no_time_is_left_is_told() -> None:
    report = chosen("smote", left=-3.0, smote=moved(0.1, 0.1, 0.1, 0.1))

    skipped = report.trials[1]
    assert skipped.fold_scores == ()
    assert "not tried: it needs about 3 s and 0 s are left" in skipped.error
    assert "raise the budget" in skipped.error
    assert report.chosen == Balancing()


def test_a_cheaper_method_is_tried_after_one_that_took_too_long() -> None:
    better = moved(0.1, 0.1, 0.1, 0.1)

    report = chosen("vae", "class_weights", left=20.0, vae=better, class_weights=better)

    assert [bool(each.error) for each in report.trials] == [False, True, False]
    assert report.chosen == Balancing(method="class_weights")


def test_the_time_left_is_asked_before_every_method() -> None:
    left = iter([100.0, 0.0])
    methods = [Balancing(method="smote"), Balancing(method="random_over")]
    same = {"smote": NOTHING, "random_over": NOTHING}

    report = choose("accuracy", methods, judging(**same), lambda: next(left))

    assert [bool(each.error) for each in report.trials] == [False, False, True]


def test_doing_nothing_comes_first_and_with_no_method_stays() -> None:
    report = chosen()

    assert [each.balancing for each in report.trials] == [Balancing()]
    assert report.chosen == Balancing()


def test_a_report_is_json() -> None:
    report = chosen("smote", "adasyn", smote=moved(0.1, 0.1, 0.1, 0.1))

    content = json.loads(json.dumps(report.to_json(), allow_nan=False))

    assert content["metric"] == "accuracy"
    assert Balancing.model_validate(content["chosen"]) == report.chosen
    assert [each["method"] for each in content["trials"]] == ["none", "smote", "adasyn"]
    assert content["trials"][0] == {
        "method": "none",
        "ratio": 1.0,
        "fold_scores": list(NOTHING),
        "seconds": 1.0,
        "made": 0,
        "error": "",
    }
    assert content["trials"][2]["error"] == "it broke"
