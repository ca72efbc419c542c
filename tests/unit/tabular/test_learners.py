from __future__ import annotations

import pickle
from typing import get_args

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
    make_model,
    predict_scores,
    select,
)
from tasks.tabular.problem import identify
from tasks.tabular.schema import conform, infer

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


@pytest.mark.parametrize("target", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("learner", LEARNERS.values(), ids=lambda each: each.name)
def test_every_learner_learns_every_kind_of_problem(
    learner, target: str, frame: pd.DataFrame
) -> None:
    problem = identify(frame, target)
    schema = infer(frame[["x", "group"]])
    rows, y = conform(frame, schema), frame[target]
    params = {} if learner.family == "linear" else _cheapest(learner)

    model = make_model(learner, params, problem, schema, seed=1, threads=1).pipeline.fit(rows, y)
    scores = predict_scores(model, rows, problem)

    if target == "regression":
        assert np.corrcoef(scores, y)[0, 1] > 0.7
    else:
        assert scores.shape == (N, len(problem.classes))
        assert (scores.argmax(axis=1) == problem.encode(y)).mean() > 0.7
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    loaded = pickle.loads(pickle.dumps(model))
    assert (predict_scores(loaded, rows, problem) == scores).all()


def _cheapest(learner) -> dict[str, float]:
    """The low end of the learner's search space: quick to fit."""
    trial = optuna.create_study().ask()
    learner.space(trial)
    low = {name: each.low for name, each in trial.distributions.items()}
    return learner.space(optuna.trial.FixedTrial(low))


def test_learners_are_selected_cheapest_first() -> None:
    assert [each.name for each in select(("catboost", "lightgbm"))] == ["lightgbm", "catboost"]
    assert len(select(())) == len(LEARNERS)


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
