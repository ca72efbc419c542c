from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.utils.class_weight import compute_sample_weight

from tasks.tabular import vae
from tasks.tabular.errors import LeakageError, ResamplingError
from tasks.tabular.features import prepare
from tasks.tabular.fitting import (
    FittedModel,
    NoRowsLeftError,
    fit,
    fit_features,
    require_separate,
    threshold_of,
)
from tasks.tabular.learners import LEARNERS, UnfittedModel, make_model
from tasks.tabular.problem import Problem, identify
from tasks.tabular.resampling import MADE, Balancing, Method, Resampled, lacking, resample
from tasks.tabular.schema import Schema, conform, infer
from tasks.tabular.splitting import Split, split
from tasks.tabular.steps.rows import DropDuplicates, DropNulls

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = {"usual": 120, "odd": 50, "rare": 25}
N = sum(COUNTS.values())
THREE = Problem("multiclass", "y", tuple(sorted(COUNTS)))
BINARY = Problem("binary", "y", ("no", "yes"))

METHODS = get_args(Method)
WHOLE = ("none", "class_weights", "threshold")
DRAWING = ("random_over", "random_under")
MAKING = tuple(each for each in METHODS if each not in WHOLE + DRAWING)
NUMBERS_ONLY = ("borderline_smote", "adasyn")
SMOTES = ("smote", "smote_nc", *NUMBERS_ONLY)


@pytest.fixture(autouse=True)
def _quick_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """How well the autoencoder learns is told by its own tests."""
    monkeypatch.setattr(vae, "VaePolicy", partial(vae.VaePolicy, min_steps=10, max_steps=40))


def _labels(rng: np.random.Generator) -> pd.Series:
    return pd.Series(rng.permutation(np.repeat(list(COUNTS), list(COUNTS.values()))), name="y")


def _numbers(y: pd.Series, rng: np.random.Generator) -> pd.DataFrame:
    """Classes that overlap, on scales of their own."""
    place = y.map({"usual": 0.0, "odd": 0.7, "rare": 1.4}).to_numpy()
    return pd.DataFrame(
        {"x": place + rng.normal(size=len(y)), "z": 1_000 * (rng.normal(size=len(y)) - place)}
    )


def _mixed(y: pd.Series, rng: np.random.Generator) -> pd.DataFrame:
    rows = len(y)
    return _numbers(y, rng).assign(
        job=rng.choice(["cook", "nurse", "smith"], rows),
        member=rng.random(rows) < 0.3,
        children=rng.poisson(2, rows),
        born=pd.Timestamp("1980-01-01", tz="Europe/Berlin")
        + pd.to_timedelta(rng.integers(0, 10**9, rows), unit="s"),
    )


def _gappy(y: pd.Series, rng: np.random.Generator) -> pd.DataFrame:
    """Every second column has gaps, truth values among them."""
    frame = _mixed(y, rng).astype({"member": "boolean"})
    for name in ("x", "job", "member", "born"):
        frame[name] = frame[name].mask(rng.random(len(y)) < 0.2)
    return frame


TABLES = {"numbers": _numbers, "mixed": _mixed, "gappy": _gappy}


def _table(
    method: str, rng: np.random.Generator, kind: str = "mixed"
) -> tuple[pd.DataFrame, pd.Series, Schema]:
    """A table the method suits: rows, labels and schema."""
    y = _labels(rng)
    frame = _numbers(y, rng) if method in NUMBERS_ONLY else TABLES[kind](y, rng)
    return conform(frame, infer(frame)), y, infer(frame)


def _made(given_: Resampled) -> tuple[pd.DataFrame, pd.Series]:
    synthetic = given_.origins == MADE
    return given_.rows[synthetic], given_.y[synthetic]


def _require_valid(made: pd.DataFrame, real: pd.DataFrame, schema: Schema) -> None:
    assert made.dtypes.equals(real.dtypes)
    pd.testing.assert_frame_equal(conform(made, schema), made)
    for column in schema.columns:
        seen, values = real[column.name], made[column.name]
        if seen.notna().all():
            assert values.notna().all()
        if column.kind in ("categorical", "boolean", "text"):
            assert set(values.dropna()) <= set(seen.dropna())
        elif values.notna().any():
            assert seen.min() <= values.min()
            assert values.max() <= seen.max()


@pytest.mark.parametrize("changed", [{"ratio": 0}, {"ratio": 1.1}, {"neighbors": 0}])
def test_a_balancing_that_means_nothing_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Balancing(method="smote", **changed)


@pytest.mark.parametrize("method", WHOLE)
def test_rows_are_left_as_they_are_where_the_learner_is_told(
    method: Method, rng: np.random.Generator
) -> None:
    rows, y, schema = _table(method, rng)

    found = resample(rows, y, schema, Balancing(method=method), seed=1)

    pd.testing.assert_frame_equal(found.rows, rows)
    assert found.y.equals(y)
    assert found.origins.tolist() == list(range(N))


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("method", [each for each in ("random_over", *MAKING) if each != "adasyn"])
def test_rare_classes_grow_to_the_ratio(
    method: Method, ratio: float, rng: np.random.Generator
) -> None:
    rows, y, schema = _table(method, rng)
    expected = {label: max(count, round(ratio * 120)) for label, count in COUNTS.items()}

    found = resample(rows, y, schema, Balancing(method=method, ratio=ratio), seed=1)

    assert found.y.value_counts().to_dict() == expected


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.77, 1.0])
def test_adasyn_grows_rare_classes_to_about_the_ratio(
    ratio: float, rng: np.random.Generator
) -> None:
    rows, y, schema = _table("adasyn", rng)
    expected = {label: max(count, round(ratio * 120)) for label, count in COUNTS.items()}

    found = resample(rows, y, schema, Balancing(method="adasyn", ratio=ratio), seed=1)

    rounded = COUNTS["odd"] / 2  # what it makes of a row is a whole number
    assert found.y.value_counts().to_dict() == pytest.approx(expected, abs=rounded)


def test_adasyn_says_that_it_rounds_to_nothing(rng: np.random.Generator) -> None:
    rows, y, schema = _table("adasyn", rng)

    with pytest.raises(ResamplingError, match="No samples will be generated"):
        resample(rows, y, schema, Balancing(method="adasyn", ratio=51 / 120), seed=1)


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.5, 0.77, 1.0])
def test_frequent_classes_shrink_to_the_ratio(ratio: float, rng: np.random.Generator) -> None:
    rows, y, schema = _table("random_under", rng)
    expected = {label: min(count, round(25 / ratio)) for label, count in COUNTS.items()}

    found = resample(rows, y, schema, Balancing(method="random_under", ratio=ratio), seed=1)

    assert found.y.value_counts().to_dict() == expected


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=5),
    ratio=st.floats(0.01, 1),
    method=st.sampled_from(DRAWING),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_rows_that_are_drawn_again_keep_their_label_and_content(
    counts: list[int], ratio: float, method: Method, seed: int
) -> None:
    y = pd.Series(np.repeat(np.arange(len(counts)), counts))
    rows = pd.DataFrame({"place": np.arange(len(y), dtype=float)})

    found = resample(rows, y, infer(rows), Balancing(method=method, ratio=ratio), seed=seed)

    assert found.rows["place"].tolist() == found.origins.tolist()
    assert found.y.tolist() == y.iloc[found.origins].tolist()
    after = found.y.value_counts()
    least, most = (
        (after.min(), max(counts)) if method == "random_over" else (min(counts), after.max())
    )
    assert least >= ratio * most - 1


def test_random_over_repeats_real_rows_and_loses_none(rng: np.random.Generator) -> None:
    rows, y, schema = _table("random_over", rng)

    found = resample(rows, y, schema, Balancing(method="random_over"), seed=1)

    pd.testing.assert_frame_equal(found.rows, rows.iloc[found.origins].reset_index(drop=True))
    assert set(found.origins) == set(range(N))
    assert Counter(found.origins[found.y == "usual"]).most_common(1)[0][1] == 1


def test_random_under_leaves_out_rows_of_frequent_classes_only(rng: np.random.Generator) -> None:
    rows, y, schema = _table("random_under", rng)

    found = resample(rows, y, schema, Balancing(method="random_under"), seed=1)

    pd.testing.assert_frame_equal(found.rows, rows.iloc[found.origins].reset_index(drop=True))
    assert (np.diff(found.origins) > 0).all()
    assert set(np.flatnonzero(y == "rare")) <= set(found.origins)


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("method", MAKING)
def test_synthetic_rows_follow_the_real_ones_and_are_valid(
    method: Method, kind: str, rng: np.random.Generator
) -> None:
    if method == "smote_nc" and kind == "numbers":
        kind = "mixed"
    rows, y, schema = _table(method, rng, kind)

    found = resample(rows, y, schema, Balancing(method=method), seed=1)

    made, labels = _made(found)
    pd.testing.assert_frame_equal(found.rows.iloc[:N], rows)
    assert found.y.iloc[:N].tolist() == y.tolist()
    assert found.origins.tolist() == [*range(N), *[MADE] * len(made)]
    assert set(labels) == {"odd", "rare"}
    _require_valid(made, rows, schema)


def _nearest_segment(point: np.ndarray, ends: np.ndarray) -> float:
    """The distance of a point to the nearest line between two of the ends."""
    starts, stops = (
        each.reshape(-1, ends.shape[1]) for each in np.broadcast_arrays(ends[:, None], ends[None])
    )
    along = stops - starts
    length = np.maximum((along**2).sum(axis=1), 1e-300)
    share = np.clip(((point - starts) * along).sum(axis=1) / length, 0, 1)
    return float(np.linalg.norm(starts + share[:, None] * along - point, axis=1).min())


@pytest.mark.parametrize("method", SMOTES)
def test_synthetic_rows_lie_between_two_real_ones_of_their_class(
    method: Method, rng: np.random.Generator
) -> None:
    rows, y, schema = _table(method, rng)
    scale = rows[["x", "z"]].std().to_numpy()

    made, labels = _made(resample(rows, y, schema, Balancing(method=method), seed=1))

    points = made[["x", "z"]].to_numpy() / scale
    for label in ("odd", "rare"):
        ends = rows.loc[y == label, ["x", "z"]].to_numpy() / scale
        assert max(_nearest_segment(each, ends) for each in points[labels == label]) < 1e-9


@pytest.mark.parametrize("method", ["smote", "smote_nc"])
def test_synthetic_categories_are_seen_in_their_class(
    method: Method, rng: np.random.Generator
) -> None:
    y = _labels(rng)
    frame = _mixed(y, rng).assign(job=y.str.cat(rng.choice(["A", "B"], N)), member=y == "rare")
    schema = infer(frame)

    made, labels = _made(
        resample(conform(frame, schema), y, schema, Balancing(method=method), seed=1)
    )

    assert (made["job"].str[:-1] == labels).all()
    assert (made["member"] == (labels == "rare")).all()


@pytest.mark.parametrize("method", ["smote", "smote_nc", "vae"])
def test_a_table_of_nothing_but_categories_is_balanced(
    method: Method, rng: np.random.Generator
) -> None:
    y = _labels(rng)
    frame = pd.DataFrame(
        {"job": rng.choice(["cook", "nurse"], N), "member": rng.random(N) < 0.5, "town": y.str[0]}
    )
    schema = infer(frame)
    rows = conform(frame, schema)

    found = resample(rows, y, schema, Balancing(method=method), seed=1)

    assert found.y.value_counts().tolist() == [120] * 3
    _require_valid(_made(found)[0], rows, schema)


@pytest.mark.parametrize("method", ["smote", "vae"])
def test_gaps_stay_of_the_kind_encoders_know(method: Method, rng: np.random.Generator) -> None:
    rows, y, schema = _table(method, rng, "gappy")

    made, _ = _made(resample(rows, y, schema, Balancing(method=method), seed=1))

    gaps = made.loc[made["job"].isna(), "job"]
    assert len(gaps)
    assert all(each is None for each in gaps)


@pytest.mark.parametrize("method", ["smote", "smote_nc", "vae"])
def test_free_texts_are_taken_from_the_table(method: Method, rng: np.random.Generator) -> None:
    y = _labels(rng)
    texts = pd.Series([f"letter number {n} of many" for n in range(N)])
    frame = _numbers(y, rng).assign(letter=texts.mask(rng.random(N) < 0.1))
    schema = infer(frame)
    rows = conform(frame, schema)

    made, _ = _made(resample(rows, y, schema, Balancing(method=method), seed=1))

    assert schema.of_kind("text") == ["letter"]
    _require_valid(made, rows, schema)


@pytest.mark.parametrize("method", ["smote", "vae"])
def test_memory_does_not_grow_with_rows_times_texts(
    method: Method, rng: np.random.Generator
) -> None:
    rows = 3_000
    y = pd.Series(np.where(np.arange(rows) % 10 == 0, "rare", "usual"))
    texts = [f"letter number {n} of many" for n in range(rows)]
    frame = pd.DataFrame({"x": rng.normal(size=rows), "letter": texts})
    schema = infer(frame)
    conformed = conform(frame, schema)

    tracemalloc.start()
    resample(conformed, y, schema, Balancing(method=method), seed=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 100e6


@pytest.mark.parametrize("method", ["smote", "borderline_smote", "adasyn", "smote_nc", "vae"])
def test_whole_numbers_stay_whole(method: Method, rng: np.random.Generator) -> None:
    y = _labels(rng)
    frame = _numbers(y, rng).assign(
        steps=rng.integers(0, 10_000, N), gappy=pd.Series(rng.poisson(30, N)).mask(y.index % 7 == 0)
    )
    if method == "smote_nc":
        frame["job"] = rng.choice(["cook", "nurse"], N)
    schema = infer(frame)

    made, _ = _made(resample(conform(frame, schema), y, schema, Balancing(method=method), seed=1))

    for name in ("steps", "gappy"):
        assert (made[name].dropna() % 1 == 0).all()
    assert not (made["x"] % 1 == 0).all()


@pytest.mark.parametrize("method", ["smote", "vae"])
def test_dates_to_the_end_of_the_calendar_are_balanced(
    method: Method, rng: np.random.Generator
) -> None:
    y = _labels(rng)
    days = pd.Series(pd.date_range("2020", periods=N).astype("datetime64[us]"))
    frame = _numbers(y, rng).assign(
        until=days.mask(rng.random(N) < 0.3, pd.Timestamp("9999-12-31").as_unit("us"))
    )
    schema = infer(frame)
    rows = conform(frame, schema)

    made, _ = _made(resample(rows, y, schema, Balancing(method=method), seed=1))

    _require_valid(made, rows, schema)


@pytest.mark.parametrize("method", ["smote", "smote_nc", "vae"])
def test_a_column_without_values_stays_without(method: Method, rng: np.random.Generator) -> None:
    y = _labels(rng)
    frame = _mixed(y, rng).assign(
        empty=np.nan,
        never=pd.Series(pd.NaT, index=y.index, dtype="datetime64[ns]"),
        nobody=pd.Series(None, index=y.index, dtype=object),
    )
    schema = infer(frame)

    made, _ = _made(resample(conform(frame, schema), y, schema, Balancing(method=method), seed=1))

    assert made[["empty", "never", "nobody"]].isna().all(axis=None)


@pytest.mark.parametrize("method", ["smote", "smote_nc", "vae"])
def test_a_constant_stays_one(method: Method, rng: np.random.Generator) -> None:
    y = _labels(rng)
    frame = _mixed(y, rng).assign(three=3.1, unit="kg")
    schema = infer(frame)

    made, _ = _made(resample(conform(frame, schema), y, schema, Balancing(method=method), seed=1))

    assert set(made["three"]) == {3.1}
    assert set(made["unit"]) == {"kg"}


@pytest.mark.parametrize("method", [*DRAWING, *MAKING])
def test_the_same_seed_gives_the_same_rows_and_another_others(
    method: Method, rng: np.random.Generator
) -> None:
    rows, y, schema = _table(method, rng)

    one, again, other = (
        resample(rows, y, schema, Balancing(method=method), seed=seed) for seed in (1, 1, 2)
    )

    pd.testing.assert_frame_equal(one.rows, again.rows)
    assert one.y.equals(again.y)
    assert one.origins.tolist() == again.origins.tolist()
    assert not one.rows.equals(other.rows)


@pytest.mark.parametrize("method", METHODS)
def test_balanced_classes_are_left_alone(method: Method, rng: np.random.Generator) -> None:
    y = pd.Series(np.resize(list(COUNTS), 90))
    frame = _numbers(y, rng)

    found = resample(frame, y, infer(frame), Balancing(method=method), seed=1)

    assert found.origins.tolist() == list(range(90))


@pytest.mark.parametrize("method", [*DRAWING, *MAKING])
def test_origins_are_positions_whatever_the_index(method: Method, rng: np.random.Generator) -> None:
    rows, y, schema = _table(method, rng)
    names = rng.permutation(N) + 1_000

    plain = resample(rows, y, schema, Balancing(method=method), seed=1)
    named = resample(
        rows.set_axis(names), y.set_axis(names), schema, Balancing(method=method), seed=1
    )

    pd.testing.assert_frame_equal(plain.rows, named.rows)
    assert plain.origins.tolist() == named.origins.tolist()


@pytest.mark.parametrize("method", ["random_over", "random_under", "smote", "vae"])
@pytest.mark.parametrize(
    "labels",
    [(False, True), (0, 1), (0.0, 1.0), ("no", "yes")],
    ids=lambda each: type(each[0]).__name__,
)
def test_labels_keep_their_type_and_name(
    method: Method, labels: tuple[Any, Any], rng: np.random.Generator
) -> None:
    y = pd.Series(rng.permutation(np.repeat(labels, [70, 30])), name="target")
    frame = pd.DataFrame({"x": rng.normal(size=100)})

    found = resample(frame, y, infer(frame), Balancing(method=method), seed=1)

    assert found.y.dtype == y.dtype
    assert found.y.name == "target"
    assert set(found.y) == set(labels)


def test_fewer_neighbours_are_taken_of_fewer_rows(rng: np.random.Generator) -> None:
    y = pd.Series(["usual"] * 40 + ["rare"] * 3)
    rows = pd.DataFrame({"x": rng.normal(size=43)})

    found = resample(rows, y, infer(rows), Balancing(method="smote", neighbors=50), seed=1)

    assert found.y.value_counts().tolist() == [40, 40]


def test_what_classes_lack_is_counted() -> None:
    y = pd.Series(["a"] * 10 + ["b"] * 4 + ["c"] * 7)

    assert lacking(y, 1.0) == {"c": 3, "b": 6}
    assert lacking(y, 0.7) == {"b": 3}
    assert lacking(y, 0.4) == {}


@pytest.mark.parametrize("method", SMOTES)
def test_a_class_of_one_row_is_refused_by_name(method: Method, rng: np.random.Generator) -> None:
    rows, y, schema = _table(method, rng)
    alone = (y != "rare") | (y.index == y[y == "rare"].index[0])

    with pytest.raises(ResamplingError, match=f"{method}.*class 'rare' has one row"):
        resample(rows[alone], y[alone], schema, Balancing(method=method), seed=1)


@pytest.mark.parametrize("method", NUMBERS_ONLY)
@pytest.mark.parametrize("column", ["job", "member"])
def test_a_method_of_numbers_names_the_column_of_categories(
    method: Method, column: str, rng: np.random.Generator
) -> None:
    y = _labels(rng)
    frame = _mixed(y, rng)[["x", "z", column]]

    with pytest.raises(ResamplingError, match=f"'{column}' holds categories; use smote_nc"):
        resample(conform(frame, infer(frame)), y, infer(frame), Balancing(method=method), seed=1)


def test_smote_nc_without_categories_is_refused(rng: np.random.Generator) -> None:
    rows, y, schema = _table("smote", rng, "numbers")

    with pytest.raises(ResamplingError, match="no column holds categories; use smote"):
        resample(rows, y, schema, Balancing(method="smote_nc"), seed=1)


def test_too_few_rows_for_the_autoencoder_are_refused(rng: np.random.Generator) -> None:
    rows, y, schema = _table("vae", rng)
    few = (y != "rare") | (y == "rare").cumsum().le(vae.MIN_ROWS - 1)

    with pytest.raises(ResamplingError, match="class 'rare' has 19 rows, 20 are needed"):
        resample(rows[few], y[few], schema, Balancing(method="vae"), seed=1)


def test_a_missing_torch_is_worded_with_its_remedy(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, y, schema = _table("vae", rng)
    monkeypatch.setitem(sys.modules, "tasks.tabular.vae", None)

    with pytest.raises(ResamplingError, match="make torch"):
        resample(rows, y, schema, Balancing(method="vae"), seed=1)


@pytest.mark.parametrize("method", NUMBERS_ONLY)
def test_classes_too_far_apart_to_have_a_border_are_refused(
    method: Method, rng: np.random.Generator
) -> None:
    y = _labels(rng)
    rows = pd.DataFrame({"x": 1_000.0 * y.map({"usual": 0, "odd": 1, "rare": 2}) + rng.random(N)})

    with pytest.raises(ResamplingError, match=method):
        resample(rows, y, infer(rows), Balancing(method=method), seed=1)


class Recorder(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Keeps what it was fitted on."""

    def fit(self, X: pd.DataFrame, y: pd.Series, sample_weight: Any = None) -> Self:  # noqa: N803
        self.classes_ = np.unique(y)
        self.rows_, self.y_, self.weights_ = X, y, sample_weight
        return self


def _recording(*filters: Any) -> UnfittedModel:
    return UnfittedModel(Pipeline([("learner", Recorder())]), filters)


def _logistic(problem: Problem, schema: Schema) -> UnfittedModel:
    learner = LEARNERS["logistic_regression"]
    return make_model(learner, {}, problem, schema, seed=1, threads=1)


def test_weights_are_inverse_to_the_rows_of_a_class(rng: np.random.Generator) -> None:
    rows, y, schema = _table("class_weights", rng)

    balancing = Balancing(method="class_weights")
    learner = fit(_recording(), rows, y, THREE, schema, balancing=balancing).pipeline[-1]

    expected = [N / (3 * COUNTS[label]) for label in y]
    np.testing.assert_allclose(learner.weights_, expected)
    np.testing.assert_allclose(learner.weights_, compute_sample_weight("balanced", y))


@pytest.mark.parametrize(
    "method", [each for each in METHODS if each not in ("class_weights", "threshold")]
)
def test_no_other_method_gives_weights(method: Method, rng: np.random.Generator) -> None:
    rows, y, schema = _table(method, rng)

    fitted = fit(_recording(), rows, y, THREE, schema, balancing=Balancing(method=method))

    assert fitted.pipeline[-1].weights_ is None


def _imbalanced(rows: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.Series]:
    rare = rng.random(rows) < 0.08
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=rows) + 1.2 * rare,
            "job": np.where(rng.random(rows) < 0.5 + 0.2 * rare, "cook", "smith"),
        }
    )
    return frame, pd.Series(np.where(rare, "yes", "no"), name="y")


CHEAP: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "lightgbm": {"n_estimators": 20},
    "xgboost": {"n_estimators": 20},
    "catboost": {"iterations": 20},
}
UNWEIGHTED = {"lda", "qda", "nearest_neighbours", "gaussian_process"}
CLASSIFIERS = [each for each in LEARNERS.values() if each.classifier is not None]


@pytest.mark.parametrize("method", ["class_weights", "threshold", "random_over"])
@pytest.mark.parametrize("learner", CLASSIFIERS, ids=lambda each: each.name)
def test_every_learner_finds_more_of_a_rare_class(
    learner, method: Method, rng: np.random.Generator
) -> None:
    (frame, y), (fresh, _) = _imbalanced(600, rng), _imbalanced(600, rng)
    schema = infer(frame)
    rows = conform(frame, schema)

    def found(method: Method) -> int:
        model = make_model(learner, CHEAP.get(learner.name, {}), BINARY, schema, seed=1, threads=1)
        fitted = fit(model, rows, y, BINARY, schema, balancing=Balancing(method=method), seed=1)
        return int((np.ravel(fitted.pipeline.predict(conform(fresh, schema))) == "yes").sum())

    if method == "class_weights" and learner.name in UNWEIGHTED:
        with pytest.raises(ResamplingError, match="takes no weights"):
            found(method)
    else:
        assert found(method) > found("none")


def test_a_moved_threshold_raises_balanced_accuracy(rng: np.random.Generator) -> None:
    (frame, y), (fresh, truth) = _imbalanced(800, rng), _imbalanced(4_000, rng)
    schema = infer(frame)
    model, balancing = _logistic(BINARY, schema), Balancing(method="threshold")

    plain = fit(_logistic(BINARY, schema), frame, y, BINARY, schema).pipeline
    moved = fit(model, frame, y, BINARY, schema, balancing=balancing).pipeline

    before, after = (balanced_accuracy_score(truth, each.predict(fresh)) for each in (plain, moved))
    assert after > before + 0.1
    np.testing.assert_allclose(moved.predict_proba(fresh), plain.predict_proba(fresh))


def test_the_threshold_is_the_probability_from_which_a_model_says_so(
    rng: np.random.Generator,
) -> None:
    frame, y = _imbalanced(800, rng)
    schema = infer(frame)
    balancing = Balancing(method="threshold")

    moved = fit(_logistic(BINARY, schema), frame, y, BINARY, schema, balancing=balancing).pipeline

    threshold = threshold_of(moved)
    says_so = moved.predict_proba(frame)[:, 1] >= threshold
    assert threshold == moved[-1].best_threshold_ < 0.5
    assert (moved.predict(frame) == np.where(says_so, "yes", "no")).all()


def test_a_threshold_that_was_not_moved_is_a_half(rng: np.random.Generator) -> None:
    frame, y = _imbalanced(200, rng)

    fitted = fit(_logistic(BINARY, infer(frame)), frame, y, BINARY, infer(frame))

    assert threshold_of(fitted.pipeline) == 0.5


def test_a_threshold_is_moved_for_the_metric_where_it_matters_to_it(
    rng: np.random.Generator,
) -> None:
    frame, y = _imbalanced(800, rng)
    schema = infer(frame)

    def threshold(metric: str) -> float:
        balancing = Balancing(method="threshold")
        model = _logistic(BINARY, schema)
        fitted = fit(model, frame, y, BINARY, schema, balancing=balancing, metric=metric)
        return threshold_of(fitted.pipeline)

    assert threshold("accuracy") > threshold("balanced_accuracy")
    assert threshold("roc_auc") == threshold("balanced_accuracy")


def test_a_threshold_parts_two_classes_only(rng: np.random.Generator) -> None:
    rows, y, schema = _table("threshold", rng)

    with pytest.raises(ResamplingError, match="more than two classes"):
        fit(_recording(), rows, y, THREE, schema, balancing=Balancing(method="threshold"))


@pytest.mark.parametrize("method", [each for each in METHODS if each != "none"])
def test_a_quantity_has_no_classes_to_balance(method: Method, rng: np.random.Generator) -> None:
    rows, _, schema = _table(method, rng)
    y = pd.Series(rng.normal(size=N))

    with pytest.raises(ResamplingError, match="a quantity has no classes"):
        fit(
            _recording(),
            rows,
            y,
            Problem("regression", "y"),
            schema,
            balancing=Balancing(method=method),
        )


def _numbered(rng: np.random.Generator, *, binary: bool) -> tuple[pd.DataFrame, pd.Series]:
    """A table whose first column is the row's position."""
    y = pd.concat([_labels(rng), _labels(rng)], ignore_index=True)
    if binary:
        y = pd.Series(np.where(y == "usual", "no", "yes"), name="y")
    frame = pd.DataFrame({"place": np.arange(2.0 * N), "x": rng.normal(size=2 * N)})
    return frame.assign(x=frame["x"] + (y == y.iloc[0])), y


@pytest.mark.parametrize("method", [each for each in METHODS if each != "smote_nc"])
def test_no_row_that_is_judged_was_fitted_on(method: Method, rng: np.random.Generator) -> None:
    binary = method == "threshold"
    frame, y = _numbered(rng, binary=binary)
    problem, schema = (BINARY if binary else THREE), infer(frame)
    dealt = split(y, problem, seed=1)

    for training, validation in dealt.crossed:
        positions = dealt.training[training]
        fitted = fit(
            _logistic(problem, schema) if binary else _recording(),
            frame.iloc[positions],
            y.iloc[positions],
            problem,
            schema,
            balancing=Balancing(method=method),
            seed=1,
        )

        origins = positions[fitted.origins]
        require_separate(origins, dealt.training[validation], "validation fold")
        require_separate(origins, dealt.holdout, "holdout")
        assert set(origins) <= set(positions)
        if not binary:
            _require_honest(fitted, origins, frame)


def _require_honest(fitted: FittedModel, origins: np.ndarray, frame: pd.DataFrame) -> None:
    """Whether the rows a learner was given are those its origins name, then the synthetic."""
    given_ = fitted.pipeline[-1].rows_
    assert len(given_) == len(origins) + fitted.made
    np.testing.assert_array_equal(given_[: len(origins)], frame.iloc[origins])


@pytest.mark.parametrize("method", METHODS)
def test_rows_out_of_the_fold_change_nothing(method: Method, rng: np.random.Generator) -> None:
    rows, y, schema = _table(method, rng)
    problem = THREE
    if method == "threshold":
        y, problem = pd.Series(np.where(y == "usual", "no", "yes"), name="y"), BINARY
    dealt: Split = split(y, problem, seed=1)
    other = rows.copy()
    other.iloc[dealt.holdout, 0] = 1e6

    def scores(table: pd.DataFrame) -> np.ndarray:
        fitted = fit(
            _logistic(problem, schema),
            table.iloc[dealt.training],
            y.iloc[dealt.training],
            problem,
            schema,
            balancing=Balancing(method=method),
            seed=1,
        )
        return np.asarray(fitted.pipeline.predict_proba(rows))

    np.testing.assert_array_equal(scores(rows), scores(other))


@pytest.mark.parametrize(
    "origins",
    [
        pytest.param([0, 1, 7], id="a row"),
        pytest.param([0, 7, 7, 7, 1], id="a repeated row"),
    ],
)
def test_a_planted_leak_is_found_and_named(origins: list[int]) -> None:
    with pytest.raises(LeakageError, match="validation fold") as caught:
        require_separate(np.array(origins), np.array([5, 6, 7]), "validation fold")

    assert caught.value.rows == (7,)


def test_a_synthetic_row_that_is_judged_on_is_a_leak() -> None:
    with pytest.raises(LeakageError, match="holdout"):
        require_separate(np.array([0, 1]), np.array([2, MADE]), "holdout")


def test_rows_apart_are_no_leak() -> None:
    require_separate(np.array([0, 0, 1]), np.array([2, 3]), "holdout")
    require_separate(np.array([], dtype=int), np.array([2, 3]), "holdout")


def test_uses_are_counted_for_every_row_given() -> None:
    fitted = FittedModel(Pipeline([("learner", Recorder())]), np.array([0, 2, 2, 2]), 5)

    assert fitted.uses(5).tolist() == [1, 0, 3, 0, 0]


@pytest.mark.parametrize("method", ["none", *DRAWING, "smote"])
def test_origins_count_the_rows_before_the_filters(
    method: Method, rng: np.random.Generator
) -> None:
    frame, y = _numbered(rng, binary=False)
    frame.loc[frame["place"] % 5 == 0, "x"] = np.nan
    model = _recording(DropNulls(columns=("x",)))

    fitted = fit(model, frame, y, THREE, infer(frame), balancing=Balancing(method=method))

    assert (fitted.origins % 5 != 0).all()
    _require_honest(fitted, fitted.origins, frame)


def test_rows_that_differ_in_their_target_only_are_no_duplicates(
    rng: np.random.Generator,
) -> None:
    rows = pd.DataFrame({"x": [1.0, 1.0, 1.0, 2.0], "z": 0.0})
    y = pd.Series(["no", "no", "yes", "yes"], name="y")

    fitted = fit(_recording(DropDuplicates()), rows, y, BINARY, infer(rows))

    assert fitted.origins.tolist() == [0, 2, 3]


@pytest.mark.parametrize("left", [[], ["no"]], ids=["no row", "one class"])
def test_filters_that_leave_nothing_to_learn_are_refused(left: list[str]) -> None:
    y = pd.Series(["no", "yes"] * 10, name="y")
    rows = pd.DataFrame({"x": np.where(y.isin(left), 1.0, np.nan), "z": np.arange(20.0)})

    with pytest.raises(NoRowsLeftError, match=f"leave {10 * len(left)} of 20"):
        fit(_recording(DropNulls()), rows, y, BINARY, infer(rows))


@pytest.mark.parametrize("method", [*DRAWING, "smote"])
def test_a_fit_depends_on_its_seed_alone(method: Method, rng: np.random.Generator) -> None:
    rows, y, schema = _table(method, rng, "numbers")

    def given_to_the_learner(seed: int) -> pd.DataFrame:
        balancing = Balancing(method=method)
        fitted = fit(_recording(), rows, y, THREE, schema, balancing=balancing, seed=seed)
        return fitted.pipeline[-1].rows_

    assert given_to_the_learner(1).equals(given_to_the_learner(1))
    assert not given_to_the_learner(1).equals(given_to_the_learner(2))


def _state() -> Callable[[], bool]:
    """Note numpy's global state; the answer tells whether it is still the same."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    return lambda: bool((np.random.get_state()[1] == before).all())  # noqa: NPY002


@pytest.mark.parametrize("method", [*DRAWING, *MAKING])
def test_the_global_random_state_is_left_alone(method: Method, rng: np.random.Generator) -> None:
    rows, y, schema = _table(method, rng)
    unchanged = _state()

    resample(rows, y, schema, Balancing(method=method), seed=1)

    assert unchanged()


def test_copies_of_a_row_do_not_give_away_its_target(rng: np.random.Generator) -> None:
    rows = pd.DataFrame({"town": rng.integers(0, 400, 4_000).astype(str)})
    y = pd.Series(np.where(rng.random(4_000) < 0.06, "rare", "usual"))
    problem = identify(rows.assign(y=y), "y")
    schema = infer(rows)
    given = resample(rows, y, schema, Balancing(method="random_over"), seed=1)

    encoded = np.asarray(fit_features(prepare(schema, "tree", problem=problem).pipeline, given))

    assert abs(np.corrcoef(encoded[:, 0], given.y == "rare")[0, 1]) < 0.15
    first = pd.Series(encoded[:, 0]).groupby(given.origins).nunique()
    assert (first == 1).all()
