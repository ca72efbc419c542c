from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, get_args

import numpy as np
import optuna
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from tasks.tabular.coding import CodedClassifier
from tasks.tabular.errors import UnknownNameError
from tasks.tabular.learners import (
    LEARNERS,
    LearnerName,
    make_learner,
    make_model,
    predict_scores,
    select,
)
from tasks.tabular.problem import identify
from tasks.tabular.schema import conform, infer
from tasks.tabular.search_errors import UnsuitableLearnerError

if TYPE_CHECKING:
    from tasks.tabular.zoo.entry import Learner

N = 120


@pytest.fixture
def frame(rng: np.random.Generator) -> pd.DataFrame:
    x = rng.normal(size=N)
    return pd.DataFrame(
        {
            "x": np.where(np.arange(N) % 10 == 0, np.nan, x),
            "group": np.where(x > 0, "high", "low"),
            "binary": np.where(x + rng.normal(size=N) / 3 > 0, "yes", "no"),
            "multiclass": np.select([x < -0.5, x < 0.5], ["a", "b"], "c"),
            "regression": 3 * x + rng.normal(size=N) / 10,
        }
    )


KINDS = ("binary", "multiclass", "regression")

WEAK = {"mlp", "naive_bayes", "ransac", "theil_sen", "kernel_ridge", "qda"}
"""Learners that a table of this size does not suit: they must work, not shine."""


def able() -> list[tuple[str, str]]:
    return [(name, kind) for name in LEARNERS for kind in KINDS if LEARNERS[name].handles(kind)]


@pytest.mark.parametrize(("name", "target"), able())
def test_every_learner_learns_what_it_says_it_does(
    name: str, target: str, frame: pd.DataFrame
) -> None:
    learner = LEARNERS[name]
    if learner.extra:
        pytest.importorskip(learner.extra)
    problem = identify(frame, target)
    schema = infer(frame[["x", "group"]])
    rows, y = conform(frame, schema), frame[target]
    params = {} if learner.family == "linear" else _cheapest(learner)

    model = make_model(learner, params, problem, schema, seed=1, threads=1).pipeline.fit(rows, y)
    scores = predict_scores(model, rows, problem)

    good = 0.5 if name in WEAK else 0.7
    if target == "regression":
        assert np.corrcoef(scores, y)[0, 1] > good
    else:
        assert scores.shape == (N, len(problem.classes))
        assert (scores.argmax(axis=1) == problem.encode(y)).mean() > good
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    loaded = pickle.loads(pickle.dumps(model))
    assert (predict_scores(loaded, rows, problem) == scores).all()


def _cheapest(learner: Learner) -> dict[str, float]:
    """The low end of the learner's sizes: quick to fit."""
    sizes = {"n_estimators", "iterations", "max_iter", "layers", "hidden", "interactions"}
    low = {name: each.low for name, each in learner.space.items() if name in sizes}
    return low | ({"epochs": 20} if learner.name == "neural_network" else {})


@pytest.mark.parametrize("name", LEARNERS)
def test_a_space_offers_what_the_estimator_takes(name: str) -> None:
    learner = LEARNERS[name]
    if learner.extra:
        pytest.importorskip(learner.extra)
    study = optuna.create_study()
    trial = study.ask(dict(learner.space))
    kind = "regression" if learner.classifier is None else "binary"

    if name not in {"ridge", "lasso"}:  # whose other half has another name for its penalty
        make_learner(learner, trial.params, kind, seed=1, threads=1)


def test_there_are_twelve_families_of_scikit_learn_and_five_more() -> None:
    boosted = {"lightgbm", "xgboost", "catboost", "ebm", "neural_network"}

    assert boosted < set(LEARNERS)
    for kind in KINDS:
        assert len({each.name for each in LEARNERS.values() if each.handles(kind)} - boosted) >= 12


def test_presets_contain_what_people_tune() -> None:
    for name in ("lightgbm", "xgboost"):
        assert {"learning_rate", "n_estimators", "max_depth"} <= set(LEARNERS[name].space)


def test_learners_are_selected_in_the_order_they_are_named() -> None:
    assert [each.name for each in select(("catboost", "lightgbm"))] == ["catboost", "lightgbm"]
    assert [each.name for each in select(("RF", "rf", "random_forest"))] == ["random_forest"]


def test_a_learner_that_does_not_do_the_problem_is_refused() -> None:
    with pytest.raises(UnsuitableLearnerError, match="lda cannot be used: it does not do regr"):
        select(("lda",), "regression")


def test_no_alias_hides_a_learner() -> None:
    aliases = [alias for each in LEARNERS.values() for alias in each.aliases]

    assert len(aliases) == len(set(aliases))
    assert not set(aliases) & set(LEARNERS)


def test_an_unknown_learner_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean lightgbm"):
        select(("lightgmb",))


def test_forms_offer_every_learner() -> None:
    assert get_args(LearnerName) == tuple(LEARNERS)


def test_labels_survive_a_classifier_of_codes() -> None:
    x = np.array([[0.0], [0.1], [1.0], [1.1]] * 5)
    y = np.array(["low", "low", "high", "high"] * 5)

    model = CodedClassifier(LogisticRegression()).fit(x, y)

    assert model.predict([[0.0], [1.1]]).tolist() == ["low", "high"]
    assert model.classes_.tolist() == ["high", "low"]
