from __future__ import annotations

import pickle
import time
import warnings

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss, roc_auc_score

from tasks.tabular.calibration import (
    Isotonic,
    Sigmoid,
    Temperature,
    choose_calibration,
    expected_calibration_error,
    fit_isotonic,
    fit_sigmoid,
    fit_temperature,
)

FITTERS = [fit_temperature, fit_sigmoid, fit_isotonic]


def drawn(
    rng: np.random.Generator, rows: int, classes: int, sureness: float = 1.0, bias: float = 0.0
) -> tuple:
    """Classes, and their probabilities told too surely, or with a bias to the last class."""
    logits = 2 * rng.normal(size=(rows, classes))
    true = softmax(logits, axis=1)
    y = (rng.random(rows)[:, None] > true.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    logits[:, -1] += bias
    return y, softmax(logits * sureness, axis=1)


def hostile(classes: int) -> list[np.ndarray]:
    certain = np.eye(classes)[np.arange(60) % classes]
    return [certain, np.full((60, classes), 1 / classes), certain[:1], certain[:0]]


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("sureness", [0.5, 1.0, 2.0])
def test_the_temperature_is_what_made_it_too_sure(classes: int, sureness: float, rng) -> None:
    y, probabilities = drawn(rng, 20_000, classes, sureness)

    assert fit_temperature(y, probabilities).value == pytest.approx(sureness, rel=0.05)


def test_a_sigmoid_undoes_bias_and_sureness(rng: np.random.Generator) -> None:
    y, probabilities = drawn(rng, 20_000, 2, 2.0, bias=1.0)

    found = fit_sigmoid(y, probabilities)

    assert found.slope == pytest.approx(0.5, rel=0.1)
    assert found.intercept == pytest.approx(-1.0, rel=0.15)


@pytest.mark.parametrize("fitter", FITTERS)
def test_calibrated_probabilities_mean_what_they_say(fitter, rng: np.random.Generator) -> None:
    y, probabilities = drawn(rng, 10_000, 2, 2.5)
    unseen, said = drawn(rng, 10_000, 2, 2.5)

    calibrated = fitter(y, probabilities).apply(said)

    assert expected_calibration_error(unseen, said) > 0.05
    assert expected_calibration_error(unseen, calibrated) < 0.03
    assert log_loss(unseen, calibrated) < log_loss(unseen, said)


@pytest.mark.parametrize("fitter", [fit_temperature, fit_sigmoid])
def test_the_order_of_rows_stays(fitter, rng: np.random.Generator) -> None:
    y, probabilities = drawn(rng, 2_000, 2, 2.0, bias=0.5)

    calibrated = fitter(y, probabilities).apply(probabilities)

    assert (np.diff(calibrated[np.argsort(probabilities[:, 1]), 1]) >= 0).all()
    assert roc_auc_score(y, calibrated[:, 1]) == pytest.approx(
        roc_auc_score(y, probabilities[:, 1])
    )


def test_the_order_stays_even_where_the_model_is_worse_than_chance(rng) -> None:
    y, probabilities = drawn(rng, 2_000, 2)

    assert fit_sigmoid(1 - y, probabilities).slope > 0


def test_a_temperature_keeps_the_likeliest_class(rng: np.random.Generator) -> None:
    y, probabilities = drawn(rng, 1_000, 6, 2.0)

    calibrated = fit_temperature(y, probabilities).apply(probabilities)

    assert (calibrated.argmax(axis=1) == probabilities.argmax(axis=1)).all()


@pytest.mark.parametrize(
    "calibration", [Temperature(2.0), Sigmoid(50.0, 1.0), Isotonic(((0.2, 0.1), (0.8, 0.7)))]
)
def test_rows_stay_probabilities(calibration) -> None:
    for probabilities in hostile(2):
        found = calibration.apply(probabilities)

        assert found.shape == probabilities.shape
        assert ((found >= 0) & (found <= 1)).all()
        np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.isnan(calibration.apply(np.full((1, 2), np.nan))).all()


@pytest.mark.parametrize("fitter", FITTERS)
def test_hostile_rows_can_be_fitted_on(fitter) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for probabilities in hostile(2)[:3]:
            for y in (np.arange(60) % 2, np.zeros(60, int), np.ones(60, int)):
                found = fitter(y[: len(probabilities)], probabilities).apply(probabilities)

                assert np.isfinite(found).all()


@pytest.mark.parametrize("fitter", FITTERS)
def test_calibrations_travel(fitter, rng: np.random.Generator) -> None:
    y, probabilities = drawn(rng, 200, 2)
    fitted = fitter(y, probabilities)

    assert pickle.loads(pickle.dumps(fitted)) == fitted


def test_what_is_calibrated_is_left_alone() -> None:
    for seed in range(5):
        for classes in (2, 4):
            y, probabilities = drawn(np.random.default_rng(seed), 2_000, classes)

            assert choose_calibration(y, probabilities, seed) is None


def test_too_sure_needs_no_more_than_a_temperature(rng: np.random.Generator) -> None:
    for classes in (2, 4):
        assert isinstance(choose_calibration(*drawn(rng, 3_000, classes, 2.0)), Temperature)


def test_a_bias_needs_a_sigmoid(rng: np.random.Generator) -> None:
    assert isinstance(choose_calibration(*drawn(rng, 3_000, 2, 1.0, bias=1.5)), Sigmoid)


def test_what_no_sigmoid_undoes_needs_isotonic_regression(rng: np.random.Generator) -> None:
    y, probabilities = drawn(rng, 20_000, 2)
    second = np.where(probabilities[:, 1] > 0.5, 0.9 + probabilities[:, 1] / 10, 0.45)
    second += probabilities[:, 1] / 1_000

    chosen = choose_calibration(y, np.column_stack([1 - second, second]))

    assert isinstance(chosen, Isotonic)


def test_few_rows_or_one_class_are_left_alone(rng: np.random.Generator) -> None:
    y, probabilities = drawn(rng, 40, 2, 3.0)
    many = np.vstack([probabilities] * 3)

    assert choose_calibration(y, probabilities) is None
    assert choose_calibration(np.zeros(len(many), int), many) is None


def test_rows_without_a_prediction_do_not_count(rng: np.random.Generator) -> None:
    y, probabilities = drawn(rng, 1_000, 3, 3.0)
    more = np.vstack([probabilities, np.full((20, 3), np.nan)])

    found = choose_calibration(np.append(y, np.zeros(20, int)), more)

    assert found == choose_calibration(y, probabilities)


def test_a_class_may_be_rare(rng: np.random.Generator) -> None:
    y, probabilities = drawn(rng, 500, 3, 3.0)
    y[y == 2] = 0
    y[0] = 2

    assert isinstance(choose_calibration(y, probabilities), Temperature)


def test_a_million_rows_take_seconds(rng: np.random.Generator) -> None:
    y, probabilities = drawn(rng, 1_000_000, 2, 2.0)
    started = time.process_time()

    assert isinstance(choose_calibration(y, probabilities), Temperature)
    assert time.process_time() - started < 20


def test_the_calibration_error_is_the_distance_from_the_share() -> None:
    y = np.repeat([1, 0], [60, 40])
    probabilities = np.tile([0.1, 0.9], (100, 1))

    assert expected_calibration_error(y, probabilities) == pytest.approx(0.3)
    assert expected_calibration_error(y, np.tile([0.1, 0.9, 0.0], (100, 1))) == pytest.approx(0.3)
    assert np.isnan(expected_calibration_error(y[:0], probabilities[:0]))
