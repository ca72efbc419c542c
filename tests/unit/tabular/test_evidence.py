from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeRegressor

from tasks.tabular.evidence import Evidence, difference, json_rows, largest_difference
from tasks.tabular.problem import Problem
from tasks.tabular.schema import conform, infer


@pytest.fixture
def evidence(rng: np.random.Generator) -> tuple[DecisionTreeRegressor, Evidence]:
    frame = pd.DataFrame({"a": rng.normal(size=50), "b": rng.integers(0, 9, 50)})
    schema = infer(frame)
    model = DecisionTreeRegressor(random_state=0).fit(conform(frame, schema), frame["a"] * 2)
    scores = model.predict(conform(frame, schema)).tolist()
    return model, Evidence(
        {"name": "d"}, schema, Problem("regression", "y"), "r2", "tree", 0, json_rows(frame), scores
    )


def test_a_model_repeats_its_scores_through_json(evidence) -> None:
    model, recorded = evidence
    loaded = Evidence.from_json(json.loads(json.dumps(recorded.to_json())))

    assert loaded == recorded
    assert largest_difference(model, loaded) == 0.0


def test_another_model_does_not(evidence) -> None:
    _model, recorded = evidence
    rows = conform(pd.DataFrame(recorded.sample), recorded.schema)
    other = DecisionTreeRegressor(max_depth=1).fit(rows, recorded.scores)

    assert largest_difference(other, recorded) > 0.1


@pytest.mark.parametrize("scores", [np.ones(3), np.array([1.0, np.nan])])
def test_other_shapes_and_missing_scores_are_never_equal(scores: np.ndarray) -> None:
    assert difference(scores, np.ones(2)) == float("inf")


def test_rows_become_plain_json() -> None:
    frame = pd.DataFrame(
        {
            "n": np.array([0.1 + 0.2, np.nan]),
            "t": ["a", None],
            "d": pd.to_datetime(["2024-05-01", None], utc=True),
        }
    )

    rows = json.loads(json.dumps(json_rows(frame), allow_nan=False))

    assert rows == [
        {"n": 0.1 + 0.2, "t": "a", "d": "2024-05-01T00:00:00+00:00"},
        {"n": None, "t": None, "d": None},
    ]
