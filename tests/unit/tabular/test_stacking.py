"""Stacking: honest on rows it is judged by, whole where classes are missing."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.tabular import stacking
from tasks.tabular.metrics import METRICS, evaluate
from tasks.tabular.stacking import crossed_scores, fit_stacker

ROWS = 400


def simplex(rng: np.random.Generator, rows: int, classes: int) -> np.ndarray:
    return rng.dirichlet(np.ones(classes), size=rows)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_random_target_gains_nothing(classes: int, rng: np.random.Generator) -> None:
    y = rng.integers(0, classes, ROWS)
    scores = [simplex(rng, ROWS, classes) for _ in range(8)]

    found = crossed_scores(scores, y, seed=0)

    assert 0.42 < evaluate(METRICS["roc_auc"], y, found) < 0.58
    assert evaluate(METRICS["neg_log_loss"], y, found) < -np.log(classes) + 0.05
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_a_random_quantity_gains_nothing(rng: np.random.Generator) -> None:
    y = rng.normal(size=ROWS)

    found = crossed_scores([rng.normal(size=ROWS) for _ in range(20)], y, seed=0)

    assert evaluate(METRICS["r2"], y, found) < 0.05


def test_no_row_is_judged_by_what_was_fitted_on_it(rng: np.random.Generator) -> None:
    """What a row's target is moves the scores of others, never its own."""
    y = rng.normal(size=100)
    scores = [y + rng.normal(size=100) for _ in range(3)]
    before = crossed_scores(scores, y, seed=1)
    for row in (0, 57, 99):
        moved = y.copy()
        moved[row] += 1_000

        after = crossed_scores(scores, moved, seed=1)

        assert after[row] == before[row]
        assert (after != before).sum() > 10


def test_two_halves_make_a_whole(rng: np.random.Generator) -> None:
    one, other = rng.normal(size=(2, ROWS))

    found = crossed_scores([one, other], 2 * one + other, seed=0)

    assert evaluate(METRICS["r2"], 2 * one + other, found) > 0.999


def test_who_knows_nothing_is_not_believed(rng: np.random.Generator) -> None:
    y = np.arange(ROWS) % 2
    good = np.clip(y * 0.6 + 0.2 + rng.normal(size=ROWS) / 10, 0.01, 0.99)
    liar = rng.uniform(size=ROWS)
    scores = [np.column_stack([1 - each, each]) for each in (good, liar)]

    found = crossed_scores(scores, y, seed=0)

    alone = evaluate(METRICS["roc_auc"], y, scores[0])
    assert evaluate(METRICS["roc_auc"], y, found) > alone - 0.01


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_certainties_are_no_infinities(classes: int, rng: np.random.Generator) -> None:
    y = np.arange(ROWS) % classes
    sure = np.eye(classes)[y]
    wrong = np.eye(classes)[(y + 1) % classes]

    found = fit_stacker([sure, wrong], y, seed=0).apply([sure, wrong])

    assert np.isfinite(found).all()
    assert (found.argmax(axis=1) == y).all()


def test_a_class_nobody_was_fitted_on_has_no_probability(rng: np.random.Generator) -> None:
    scores = [simplex(rng, ROWS, 3) for _ in range(2)]
    y = np.where(np.arange(ROWS) % 2, 2, 0)

    found = fit_stacker(scores, y, seed=0).apply(scores)

    assert found.shape == (ROWS, 3)
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert crossed_scores(scores, y, seed=0).shape == (ROWS, 3)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("few", [1, 2, 3, 4])
def test_a_class_of_a_few_rows_is_stacked(classes: int, few: int, rng: np.random.Generator) -> None:
    y = np.arange(ROWS) % (classes - 1)
    y[:few] = classes - 1
    scores = [simplex(rng, ROWS, classes) for _ in range(2)]

    found = crossed_scores(scores, rng.permutation(y), seed=0)

    assert found.shape == (ROWS, classes)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_rows_of_one_class_are_stacked(rng: np.random.Generator) -> None:
    scores = [simplex(rng, ROWS, 2) for _ in range(2)]

    found = crossed_scores(scores, np.zeros(ROWS, dtype=int), seed=0)

    assert np.isfinite(found).all()


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_same_seed_stacks_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.arange(100) % 2
    scores = [simplex(rng, 100, 2) for _ in range(3)]

    one, other = (crossed_scores(scores, y, seed=seed) for _ in range(2))

    assert one.tobytes() == other.tobytes()


def test_more_rows_than_are_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacking, "ROWS", 50)
    rng = np.random.default_rng(0)
    y = np.arange(ROWS) % 2
    scores = [simplex(rng, ROWS, 2) for _ in range(2)]

    assert fit_stacker(scores, y, seed=0).apply(scores).shape == (ROWS, 2)


def test_constant_scores_say_nothing(rng: np.random.Generator) -> None:
    y = rng.normal(size=ROWS)

    found = crossed_scores([np.zeros(ROWS), np.ones(ROWS)], y, seed=0)

    np.testing.assert_allclose(found, y.mean(), atol=0.2)


def test_a_stacker_is_kept(rng: np.random.Generator) -> None:
    y = np.arange(ROWS) % 2
    scores = [simplex(rng, ROWS, 2) for _ in range(2)]
    made = fit_stacker(scores, y, seed=0)

    loaded = pickle.loads(pickle.dumps(made))

    assert loaded.apply(scores).tobytes() == made.apply(scores).tobytes()
