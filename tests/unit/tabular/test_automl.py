"""The whole of AutoML in one call, on frames as scripts have them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.tabular.automl import learn
from tasks.tabular.errors import TargetError
from tasks.tabular.search import SearchPolicy

QUICK = SearchPolicy(trials=6)
FAST = ("lightgbm", "lr", "dt", "knn", "xgboost", "catboost")


def table(rng: np.random.Generator, rows: int = 240) -> pd.DataFrame:
    frame = pd.DataFrame(rng.normal(size=(rows, 3)), columns=["a", "b", "c"])
    return frame.assign(job=rng.choice(["cook", "smith"], rows))


def test_whole_numbers_are_a_quantity_where_that_is_said(rng: np.random.Generator) -> None:
    frame = table(rng)
    frame["points"] = (3 + frame["a"].round()).clip(0, 6).astype(int)

    quantity = learn(frame, "points", kind="regression", learners=FAST, policy=QUICK)
    classes = learn(frame[frame["points"].between(2, 4)], "points", learners=FAST, policy=QUICK)

    assert quantity.problem.kind == "regression"
    assert np.corrcoef(quantity.predict(frame), frame["points"])[0, 1] > 0.8
    assert classes.problem.classes == (2, 3, 4)


def test_classes_may_be_as_rare_as_they_are(rng: np.random.Generator) -> None:
    frame = table(rng)
    frame["kind"] = np.where(frame["a"] > 0, "high", "low")
    frame.loc[[3], "kind"], frame.loc[[5, 6], "kind"] = "once", "twice"

    found = learn(frame, "kind", kind="classification", learners=FAST, policy=QUICK)
    scores = found.predict_scores(frame)

    assert found.problem.classes == ("high", "low", "once", "twice")
    assert scores.shape == (240, 4)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert (found.predict(frame) == frame["kind"]).mean() > 0.9
    with pytest.raises(TargetError, match="class 'once' has 1 rows"):
        learn(frame, "kind", learners=FAST, policy=QUICK)


def test_dates_that_read_csv_left_as_texts_are_dates(rng: np.random.Generator) -> None:
    days = rng.integers(0, 700, 300)
    frame = table(rng, 300).assign(
        day=(np.datetime64("2023-01-01") + days).astype(str), y=np.sin(days / 60.0)
    )

    found = learn(frame, "y", learners=("lightgbm",), policy=SearchPolicy(trials=1))

    assert np.corrcoef(found.predict(frame), frame["y"])[0, 1] > 0.95
