from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from tasks.tabular import boosting
from tasks.tabular.boosters import extreme, forests, light, symmetric
from tasks.tabular.boosting import Pace
from tasks.tabular.jobs import settled

ROWS = 1_500


class Clock:
    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def table(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    frame = pd.DataFrame(rng.normal(size=(ROWS, 5)), columns=[f"f{i}" for i in range(5)])
    frame["f5"] = pd.Categorical(rng.choice(["a", "b", "c"], ROWS))
    y = frame["f0"] * 2 + (frame["f5"] == "a") + rng.normal(size=ROWS)
    return frame, y.to_numpy()


def test_boosting_stops_when_nothing_gets_better() -> None:
    pace = Pace(0.05, None)

    rates = [pace.after(i, 1.0 / (i + 1) if i < 10 else 1.0) for i in range(100)]

    assert rates.index(None) == 9 + boosting.patience(0.05)
    assert pace.best == 9


def test_too_little_time_makes_the_steps_longer_and_ends_in_time() -> None:
    pace = Pace(0.05, stop_at=10.0, clock=Clock(0.1))

    rates = [pace.after(i, -float(i)) for i in range(120)]

    assert rates[0] == 0.05
    assert 0.1 < rates[20] <= boosting.LONGEST_STEP
    assert rates.index(None) in (98, 99)  # one tenth of a second each, one before the first


def test_enough_time_changes_nothing() -> None:
    pace = Pace(0.05, stop_at=1e6, clock=Clock(0.1))

    assert {pace.after(i, -float(i)) for i in range(200)} == {0.05}


MADE = {
    "lightgbm": lambda: light.StoppedLGBMRegressor(
        n_estimators=3000, learning_rate=0.05, verbosity=-1, n_jobs=1
    ),
    "xgboost": lambda: extreme.StoppedXGBRegressor(
        n_estimators=3000, learning_rate=0.05, enable_categorical=True, n_jobs=1
    ),
    "catboost": lambda: symmetric.CategoricalCatBoostRegressor(
        iterations=3000,
        learning_rate=0.05,
        verbose=False,
        allow_writing_files=False,
        thread_count=1,
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_the_best_iteration_answers(name: str, table: tuple[pd.DataFrame, np.ndarray]) -> None:
    frame, y = table
    cut = ROWS * 2 // 3
    watched = (frame.iloc[cut:], y[cut:])

    stopped = MADE[name]().fit(frame.iloc[:cut], y[:cut], validation=watched)
    rounds = next(iter(settled(stopped).values()))
    params = {"iterations" if name == "catboost" else "n_estimators": rounds}
    again = MADE[name]().set_params(**params).fit(frame.iloc[:cut], y[:cut])

    assert 10 < rounds < 2000
    if name == "catboost":  # whose randomness goes by how many iterations there are to be
        assert np.corrcoef(stopped.predict(frame), again.predict(frame))[0, 1] > 0.99
    else:
        np.testing.assert_allclose(stopped.predict(frame), again.predict(frame), rtol=1e-5)


@pytest.mark.parametrize("name", MADE)
def test_a_fit_ends_in_its_time(name: str, table: tuple[pd.DataFrame, np.ndarray]) -> None:
    frame, y = table
    big = pd.concat([frame] * 20, ignore_index=True)
    started = time.monotonic()

    model = MADE[name]().fit(big, np.tile(y, 20), stop_at=started + 1.0)

    assert time.monotonic() - started < 8  # on a busy machine; without the clock it is minutes
    assert np.corrcoef(model.predict(frame), y)[0, 1] > 0.6


def test_a_forest_grows_until_its_time_is_up(table: tuple[pd.DataFrame, np.ndarray]) -> None:
    frame, y = table
    numbers = frame.drop(columns="f5")

    small = forests.GrowingRandomForestRegressor(10_000, random_state=1)
    small.fit(numbers, y, stop_at=time.monotonic() + 0.5)
    whole = forests.GrowingRandomForestRegressor(20, random_state=1).fit(numbers, y)

    assert 1 <= len(small.estimators_) < 10_000
    assert len(whole.estimators_) == 20
    assert len(small.predict(numbers)) == ROWS
