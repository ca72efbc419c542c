from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import time
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from infra.provenance import ROOT
from tasks.tabular.errors import MissingColumnsError
from tasks.tabular.neural import MissingExtraError, NeuralClassifier, NeuralRegressor
from tasks.tabular.neural_layers import Coder

N = 400
QUICK: dict[str, Any] = {"width": 32, "members": 2, "epochs": 12}


@pytest.fixture
def rows(rng: np.random.Generator) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "f0": rng.normal(size=N),
            "f1": rng.lognormal(size=N) * 1e6,
            "flag": rng.integers(0, 2, N).astype(float),
            "constant": 7.0,
            "empty": np.nan,
            "few": pd.Categorical(rng.choice(["a", "b"], N)),
            "many": pd.Categorical(rng.choice(list("uvwxyz"), N)),
        }
    )
    frame.loc[::7, "f1"] = np.nan
    frame.loc[::11, "many"] = np.nan
    frame.loc[3, "f1"], frame.loc[4, "f1"] = np.inf, -np.inf
    return frame


@pytest.fixture
def labels(rows: pd.DataFrame) -> np.ndarray:
    score = rows["f0"] + (rows["few"] == "a")
    return np.select([score < 0, score < 1], ["low", "mid"], "high")


@pytest.fixture
def values(rows: pd.DataFrame) -> np.ndarray:
    return (100 + 10 * rows["f0"] + 5 * (rows["few"] == "a")).to_numpy()


def test_classes_are_learned(rows: pd.DataFrame, labels: np.ndarray) -> None:
    model = NeuralClassifier(**QUICK).fit(rows, labels)
    shares = model.predict_proba(rows)

    assert list(model.classes_) == ["high", "low", "mid"]
    assert shares.shape == (N, 3)
    assert shares.dtype == np.float64
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (model.predict(rows) == labels).mean() > 0.8
    assert model.score(rows, labels) > 0.8


def test_values_are_learned_and_stay_near_their_range(
    rows: pd.DataFrame, values: np.ndarray
) -> None:
    model = NeuralRegressor(**QUICK).fit(rows, values)
    scores = model.predict(rows)
    far = model.predict(rows.assign(f0=1e12))

    assert scores.shape == (N,)
    assert scores.dtype == np.float64
    assert np.corrcoef(scores, values)[0, 1] > 0.9
    assert far.max() <= values.max() + 0.05 * np.ptp(values)


def test_what_was_never_seen_is_scored(rows: pd.DataFrame, labels: np.ndarray) -> None:
    clean = rows.dropna(subset=["many"])
    model = NeuralClassifier(**QUICK).fit(clean, labels[clean.index])
    strange = rows.head(6).copy()
    strange["many"] = pd.Categorical(["new", None, "u", "newer", "z", "v"])
    strange["few"] = pd.Categorical(["c", None, "a", "b", "d", "a"])
    strange["f0"] = [np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0]
    shares = model.predict_proba(strange.assign(empty=3.0, constant=-np.inf))

    assert np.isfinite(shares).all()
    # a category that is not known is a gap
    unknown = strange.assign(many=pd.Categorical([None] * 6), few=pd.Categorical([None] * 6))
    as_text = strange.assign(many="other", few="other")
    np.testing.assert_array_equal(model.predict_proba(unknown), model.predict_proba(as_text))


def test_category_codes_do_not_matter_but_names_do(rows: pd.DataFrame, labels: np.ndarray) -> None:
    model = NeuralClassifier(**QUICK).fit(rows, labels)
    recoded = rows.assign(many=rows["many"].cat.set_categories(list("zyxwvut")))

    np.testing.assert_array_equal(model.predict_proba(recoded), model.predict_proba(rows))


def test_columns_are_found_by_name(rows: pd.DataFrame, labels: np.ndarray) -> None:
    model = NeuralClassifier(**QUICK).fit(rows, labels)

    np.testing.assert_array_equal(
        model.predict_proba(rows[rows.columns[::-1]].assign(extra=1)), model.predict_proba(rows)
    )
    with pytest.raises(MissingColumnsError, match="f0"):
        model.predict(rows.drop(columns="f0"))


@pytest.mark.parametrize("rows_left", [0, 1, 5, 33])
def test_scores_do_not_depend_on_the_batch(
    rows_left: int, rows: pd.DataFrame, labels: np.ndarray, values: np.ndarray
) -> None:
    classifier = NeuralClassifier(**QUICK).fit(rows, labels)
    regressor = NeuralRegressor(**QUICK).fit(rows, values)
    part = rows.head(rows_left)

    assert classifier.predict(part).shape == (rows_left,)
    np.testing.assert_allclose(
        classifier.predict_proba(part), classifier.predict_proba(rows)[:rows_left], atol=1e-5
    )
    np.testing.assert_allclose(
        regressor.predict(part), regressor.predict(rows)[:rows_left], rtol=1e-5
    )


@pytest.mark.parametrize("count", [2, 3, 33, 65])
def test_few_rows_and_remainders_train(
    count: int, rows: pd.DataFrame, labels: np.ndarray, values: np.ndarray
) -> None:
    part = rows.head(count)

    model = NeuralClassifier(**QUICK, batch_size=32).fit(part, labels[:count])
    assert model.predict_proba(part).shape == (count, len(np.unique(labels[:count])))
    assert np.isfinite(NeuralRegressor(**QUICK).fit(part, values[:count]).predict(part)).all()


def test_one_class_and_no_information_are_no_failure(rows: pd.DataFrame) -> None:
    constant = rows[["constant", "empty"]].fillna(1.0)

    assert (NeuralClassifier(**QUICK).fit(rows, np.ones(N)).predict_proba(rows) == 1).all()
    prior = NeuralClassifier(**QUICK).fit(constant, np.arange(N) % 2).predict_proba(constant)
    np.testing.assert_allclose(prior, 0.5, atol=0.1)
    assert (NeuralRegressor(**QUICK).fit(rows, np.full(N, 3.0)).predict(rows) == 3).all()


def test_arrays_are_tables_too(rng: np.random.Generator) -> None:
    table = rng.normal(size=(N, 3))
    y = (table[:, 0] > 0).astype(int)
    model = NeuralClassifier(**QUICK).fit(table, y, validation=(table[:50], y[:50]))

    assert (model.predict(table) == y).mean() > 0.9
    assert model.fit(table[:, :2], y).predict_proba(table[:1, :2]).shape == (1, 2)


def test_weights_matter(rng: np.random.Generator) -> None:
    table = rng.normal(size=(N, 2))
    y = np.arange(N) % 2
    model = NeuralClassifier(**QUICK)

    heavy = model.fit(table, y, sample_weight=np.where(y == 1, 9.0, 1.0)).predict_proba(table)
    assert heavy[:, 1].mean() == pytest.approx(0.9, abs=0.05)
    alike = model.fit(table, y, sample_weight=np.full(N, 5.0)).predict_proba(table)
    np.testing.assert_array_equal(alike, model.fit(table, y).predict_proba(table))


def test_training_stops_early_with_the_best_weights(rng: np.random.Generator) -> None:
    table, noise = rng.normal(size=(N, 5)), rng.normal(size=N)
    watched = rng.normal(size=(200, 5)), rng.normal(size=200)
    model = NeuralRegressor(epochs=100, patience=5).fit(table, noise, validation=watched)

    assert model.epochs_ == model.best_epoch_ + 5 < 100
    loss = np.mean((model.predict(watched[0]) - watched[1]) ** 2) / model.scale_**2
    assert loss == pytest.approx(model.loss_, rel=0.02)


def test_classes_may_be_absent_or_unknown_in_validation(
    rows: pd.DataFrame, labels: np.ndarray
) -> None:
    known = labels != "high"
    model = NeuralClassifier(**QUICK)

    assert model.fit(rows, labels, validation=(rows[known], labels[known])).loss_ < 1
    model.fit(rows[known], labels[known], validation=(rows, labels))
    assert list(model.classes_) == ["low", "mid"]
    assert model.loss_ < 1
    model.fit(rows[known], labels[known], validation=(rows[~known], labels[~known]))
    assert model.loss_ < 1


@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_time_is_kept(seconds: float, rng: np.random.Generator) -> None:
    table = rng.normal(size=(30_000, 20))
    y = table[:, 0] * table[:, 1] > 0
    start = time.monotonic()
    model = NeuralClassifier().fit(table, y, stop_at=start + seconds)
    spent = time.monotonic() - start

    assert spent < max(seconds, 1.5) + 0.5  # coding and a step take what they take
    assert model.epochs_ < 30
    if seconds:
        assert model.score(table, y) > 0.8


def test_pickled_models_predict_the_same_without_torch(
    rows: pd.DataFrame, labels: np.ndarray, tmp_path: Any
) -> None:
    model = NeuralClassifier(**QUICK).fit(rows, labels)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps((model, rows)))
    code = (
        "import pathlib, pickle, sys; sys.modules['tasks.tabular.neural_training'] = None;"
        "model, rows = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes());"
        "pathlib.Path(sys.argv[2]).write_bytes(pickle.dumps(model.predict_proba(rows)))"
    )
    paths = [str(tmp_path / name) for name in ("model.pickle", "scores.pickle")]
    subprocess.run([sys.executable, "-c", code, *paths], cwd=ROOT, check=True)
    scores = pickle.loads((tmp_path / "scores.pickle").read_bytes())

    np.testing.assert_array_equal(scores, model.predict_proba(rows))


def test_two_processes_train_the_same() -> None:
    code = """
import hashlib, numpy as np, pandas as pd
from tasks.tabular.neural import NeuralClassifier, NeuralRegressor
rng = np.random.default_rng(0)
rows = pd.DataFrame(rng.normal(size=(900, 4)), columns=list("abcd"))
rows["e"] = pd.Categorical(rng.choice(list("uvwxyz"), 900))
y = rows["a"] + rows["b"] ** 2
first = NeuralRegressor(epochs=5, random_state=3).fit(rows, y).predict(rows)
second = NeuralClassifier(epochs=5, random_state=3).fit(rows, y > 1).predict_proba(rows)
print(hashlib.sha256(first.tobytes() + second.tobytes()).hexdigest())
"""
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]

    assert runs[0] == runs[1]
    assert len(runs[0].strip()) == hashlib.sha256().digest_size * 2


def test_parameters_are_scikit_learns(rows: pd.DataFrame, values: np.ndarray) -> None:
    model = NeuralRegressor(**QUICK, random_state=1)
    same = clone(model)

    assert same.get_params() == model.get_params()
    before = torch.get_num_threads()
    state = torch.random.get_rng_state()
    first, other = model.fit(rows, values).predict(rows), same.fit(rows, values).predict(rows)
    np.testing.assert_array_equal(first, other)
    assert (clone(model).set_params(random_state=2).fit(rows, values).predict(rows) != first).any()
    assert torch.get_num_threads() == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_without_torch_the_error_says_what_to_do(rows: pd.DataFrame, values: np.ndarray) -> None:
    absent = {"torch": None, "tasks.tabular.neural_training": None}
    with patch.dict(sys.modules, absent), pytest.raises(MissingExtraError, match="make torch"):
        NeuralRegressor().fit(rows, values)


def test_frequent_values_leave_pieces_to_others(rng: np.random.Generator) -> None:
    gains = np.where(rng.random(1000) < 0.95, 0.0, rng.lognormal(8, 1, 1000))
    coder = Coder(16).fit(pd.DataFrame({"gain": gains}))

    assert coder.scale.starts.shape[1] > 10
    placed = coder.code(pd.DataFrame({"gain": np.sort(gains)})).pieces[0]
    assert (np.diff(placed.sum(axis=1)) >= -1e-5).all()
