from __future__ import annotations

import pickle
from functools import partial
from typing import get_args

import numpy as np
import pytest
from sklearn import metrics as sk

from tasks.tabular.errors import MetricDomainError, UnknownNameError
from tasks.tabular.metrics import ALIASES, METRICS, MetricName, canonical, choose, evaluate
from tasks.tabular.problem import Problem

BINARY = Problem("binary", "y", ("no", "yes"))
THREE = Problem("multiclass", "y", ("a", "b", "c"))
REGRESSION = Problem("regression", "y")

OF_CLASSES = [each for each in METRICS.values() if "regression" not in each.kinds]
OF_TWO = [each for each in OF_CLASSES if "binary" in each.kinds]
OF_MANY = [each for each in OF_CLASSES if "multiclass" in each.kinds]
OF_QUANTITIES = [each for each in METRICS.values() if "regression" in each.kinds]
COUNTED = [each for each in METRICS.values() if each.of_confusion]


def negative_pinball(*args: np.ndarray, alpha: float) -> float:
    return -sk.mean_pinball_loss(*args, alpha=alpha)


ELSEWHERE = {
    "cohen_kappa": sk.cohen_kappa_score,
    "cohen_kappa_linear": partial(sk.cohen_kappa_score, weights="linear"),
    "cohen_kappa_quadratic": partial(sk.cohen_kappa_score, weights="quadratic"),
    **{
        f"neg_mean_pinball_loss_{each}": partial(negative_pinball, alpha=each)
        for each in (0.1, 0.5, 0.9)
    },
}
"""Metrics scikit-learn has as functions and not as scorers."""


def of_sklearn(name: str, y: np.ndarray, scores: np.ndarray) -> float:
    """What scikit-learn's scorer says of an estimator that predicts the scores."""
    predicted = scores if scores.ndim == 1 else scores.argmax(axis=1)
    other = ELSEWHERE.get(name)
    if other:
        return other(y, predicted)
    if name == "roc_auc" and scores.ndim == 2 and scores.shape[1] > 2:
        name = "roc_auc_ovr"
    scorer = sk.get_scorer(name)
    if METRICS[name if name in METRICS else "roc_auc"].needs == "scores":
        given = scores[:, 1] if scores.shape[1] == 2 else scores
    else:
        given = predicted
    return scorer._sign * scorer._score_func(y, given, **scorer._kwargs)


def drawn(rng: np.random.Generator, classes: int, rows: int = 300) -> tuple:
    """Classes and probabilities that lean towards them, some of them equal."""
    y = np.concatenate(
        [np.arange(classes), rng.integers(0, classes, rows - classes) ** 2 % classes]
    )
    lean = rng.normal(size=(rows, classes)).round(1) + 1.5 * np.eye(classes)[y]
    scores = np.exp(lean)
    return y, scores / scores.sum(axis=1, keepdims=True)


def test_forms_offer_every_metric() -> None:
    assert get_args(MetricName) == tuple(METRICS)


def test_each_problem_has_a_usual_metric() -> None:
    assert choose(BINARY).name == "roc_auc"
    assert choose(THREE).name == "neg_log_loss"
    assert choose(REGRESSION).name == "neg_root_mean_squared_error"


def test_case_does_not_matter() -> None:
    assert choose(BINARY, "Accuracy").name == "accuracy"


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("F1", "f1"),
        ("Kappa", "cohen_kappa"),
        ("MCC", "matthews_corrcoef"),
        ("AUC", "roc_auc"),
        ("roc_auc_ovr", "roc_auc"),
        ("Prec.", "precision"),
        ("log loss", "neg_log_loss"),
        ("log_loss", "neg_log_loss"),
        ("f1_score", "f1"),
        ("R²", "r2"),
        ("r2_score", "r2"),
        ("max_error", "neg_max_error"),
        ("mean_absolute_error", "neg_mean_absolute_error"),
        ("pinball", "neg_mean_pinball_loss_0.5"),
        ("pinball 0.9", "neg_mean_pinball_loss_0.9"),
        ("d2_log_loss", "d2_log_loss_score"),
        *ALIASES.items(),
    ],
)
def test_short_names_are_understood(alias: str, name: str) -> None:
    assert canonical(alias) == canonical(alias.upper()) == name
    problem = {"binary": BINARY, "multiclass": THREE, "regression": REGRESSION}
    assert choose(problem[METRICS[name].kinds[0]], alias).name == name


@pytest.mark.parametrize("name", METRICS)
def test_a_name_stands_for_itself(name: str) -> None:
    assert canonical(name) == name


def test_of_many_classes_f1_is_the_weighted_mean() -> None:
    assert choose(THREE, "F1").name == "f1_weighted"
    assert choose(THREE, "Prec.").name == "precision_weighted"


def test_a_metric_of_another_problem_is_refused_by_name() -> None:
    with pytest.raises(UnknownNameError, match="regression problems 'roc_auc'"):
        choose(REGRESSION, "roc_auc")


def test_the_nearest_names_are_suggested() -> None:
    with pytest.raises(UnknownNameError, match="did you mean accuracy"):
        choose(BINARY, "acuracy")
    with pytest.raises(UnknownNameError, match="did you mean neg_log_loss"):
        canonical("neg_logg_loss")


@pytest.mark.parametrize("name", ["", "!", "🎯", "accuracy\n, f1"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownNameError):
        canonical(name)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda each: each.name)
def test_right_beats_wrong(metric, rng: np.random.Generator) -> None:
    if "regression" in metric.kinds:
        y = rng.uniform(1, 5, size=200)
        right, wrong = y + 0.01, 6 - y
    elif "binary" in metric.kinds:
        y = np.arange(200) % 2
        right = np.column_stack([np.where(y, 0.1, 0.9), np.where(y, 0.9, 0.1)])
        wrong = right[:, ::-1]
    else:
        y = np.arange(210) % 3
        right = 0.1 + 0.7 * np.eye(3)[y]
        wrong = (1 - right) / 2

    assert evaluate(metric, y, right) > evaluate(metric, y, wrong)


@pytest.mark.parametrize("metric", OF_TWO, ids=lambda each: each.name)
def test_of_two_classes_metrics_are_those_of_scikit_learn(metric, rng) -> None:
    for _ in range(5):
        y, scores = drawn(rng, 2)

        found = evaluate(metric, y, scores)

        assert found == pytest.approx(of_sklearn(metric.name, y, scores), rel=1e-10)


@pytest.mark.parametrize("metric", OF_MANY, ids=lambda each: each.name)
@pytest.mark.parametrize("classes", [3, 7])
def test_of_many_classes_metrics_are_those_of_scikit_learn(metric, classes: int, rng) -> None:
    for _ in range(5):
        y, scores = drawn(rng, classes)

        found = evaluate(metric, y, scores)

        assert found == pytest.approx(of_sklearn(metric.name, y, scores), rel=1e-10)


@pytest.mark.parametrize("metric", OF_QUANTITIES, ids=lambda each: each.name)
def test_of_quantities_metrics_are_those_of_scikit_learn(metric, rng) -> None:
    for rows in (2, 31, 300):
        y = rng.gamma(2, size=rows)
        values = np.abs(y + rng.normal(size=rows)) + 0.01

        found = evaluate(metric, y, values)

        assert found == pytest.approx(of_sklearn(metric.name, y, values), rel=1e-10)


@pytest.mark.parametrize("metric", COUNTED, ids=lambda each: each.name)
def test_many_confusion_matrices_are_scored_at_once(metric, rng) -> None:
    counts = rng.integers(0, 9, size=(4, 5, 2, 2))
    counts[0, 0] = [[7, 0], [0, 0]]
    counts[0, 1] = 0

    found = metric.of_confusion(counts)

    assert found.shape == (4, 5)
    assert np.isfinite(found).all()
    for place in np.ndindex(4, 5):
        assert found[place] == pytest.approx(float(metric.of_confusion(counts[place])))


@pytest.mark.parametrize("metric", OF_MANY, ids=lambda each: each.name)
def test_rows_may_lack_a_class(metric, rng: np.random.Generator) -> None:
    y, scores = drawn(rng, 4)
    for absent in (0, 2, 3):
        rows = y != absent

        found = evaluate(metric, y[rows], scores[rows])

        assert np.isfinite(found)
        if metric.needs == "labels" and "_linear" not in metric.name and "_quad" not in metric.name:
            assert found == pytest.approx(of_sklearn(metric.name, y[rows], scores[rows]))


def test_the_area_is_the_mean_over_the_classes_that_rows_have(rng: np.random.Generator) -> None:
    y, scores = drawn(rng, 4)
    rows = y != 2

    found = evaluate(METRICS["roc_auc"], y[rows], scores[rows])

    alone = [sk.roc_auc_score(y[rows] == code, scores[rows, code]) for code in (0, 1, 3)]
    assert found == pytest.approx(np.mean(alone))


@pytest.mark.parametrize("metric", OF_CLASSES, ids=lambda each: each.name)
def test_one_row_of_one_class_breaks_nothing(metric) -> None:
    for y in (np.array([0]), np.array([1])):
        found = evaluate(metric, y, np.array([[0.3, 0.7]]))

        assert np.isfinite(found) or metric.name.startswith(("roc_auc", "average_precision"))


@pytest.mark.parametrize("metric", OF_QUANTITIES, ids=lambda each: each.name)
@pytest.mark.parametrize("values", [[3.0], [4.0], [3.0] * 5, [-1.0] * 5, [1e200] * 5])
def test_a_constant_target_breaks_nothing(metric, values: list[float]) -> None:
    found = evaluate(metric, np.full(len(values), 3.0), np.array(values))

    assert not np.isnan(found)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda each: each.name)
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_what_is_no_number_has_no_score(metric, odd: float) -> None:
    if "regression" in metric.kinds:
        y, scores = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, odd])
    else:
        y, scores = np.array([0, 1, 1]), np.array([[0.4, 0.6], [0.4, 0.6], [0.5, odd]])

    assert np.isnan(evaluate(metric, y, scores))


@pytest.mark.parametrize(
    "name", [each.name for each in OF_QUANTITIES if each.domain == "non-negative"]
)
def test_targets_a_metric_is_not_defined_for_are_refused(name: str) -> None:
    with pytest.raises(MetricDomainError, match="non-negative targets only and the least is -3;"):
        evaluate(METRICS[name], np.array([1.0, -3.0]), np.array([1.0, 1.0]))


def test_the_gamma_deviance_refuses_zero() -> None:
    with pytest.raises(MetricDomainError, match="positive"):
        evaluate(METRICS["neg_mean_gamma_deviance"], np.array([1.0, 0.0]), np.array([1.0, 1.0]))


def test_predictions_below_zero_are_scored_as_zero() -> None:
    metric = METRICS["neg_root_mean_squared_log_error"]
    y = np.array([1.0, 0.0, 2.0])

    below = evaluate(metric, y, np.array([1.0, -5.0, 2.0]))

    assert below == evaluate(metric, y, np.array([1.0, 0.0, 2.0])) == 0


@pytest.mark.parametrize("name", ["neg_mean_poisson_deviance", "neg_mean_gamma_deviance"])
def test_predictions_a_deviance_has_no_figure_for_score_badly(name: str) -> None:
    y = np.array([1.0, 1.0, 2.0])

    below = evaluate(METRICS[name], y, np.array([1.0, -5.0, 2.0]))

    assert np.isfinite(below)
    assert below < evaluate(METRICS[name], y, np.array([1.0, 0.01, 2.0]))


def test_the_root_mean_squared_error_agrees_with_the_formula() -> None:
    y, predicted = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0])

    score = evaluate(METRICS["neg_root_mean_squared_error"], y, predicted)

    assert score == pytest.approx(-np.sqrt(9 / 3))


def test_a_fold_may_lack_a_class() -> None:
    y = np.array([0, 1, 0, 1])
    scores = np.full((4, 3), 1 / 3)

    assert evaluate(METRICS["neg_log_loss"], y, scores) == pytest.approx(-np.log(3))


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda each: each.name)
def test_metrics_travel_to_other_processes(metric) -> None:
    assert pickle.loads(pickle.dumps(metric)).name == metric.name
