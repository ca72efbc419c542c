"""The preparation's figures, each beside its bar and its peer. Run with `make bench`."""

from __future__ import annotations

import json
import os
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from feature_engine.datetime import DatetimeFeatures
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from tasks.tabular.derivation import preview
from tasks.tabular.features import MAX_CATEGORIES, MIN_FREQUENCY, prepare, usable
from tasks.tabular.fitting import fit, require_separate
from tasks.tabular.inference import infer_file
from tasks.tabular.learners import LEARNERS, make_model, predict_scores
from tasks.tabular.problem import identify
from tasks.tabular.resampling import Balancing, resample
from tasks.tabular.schema import conform, infer
from tasks.tabular.spec import PipelineSpec
from tests.benchmarks.figures import ROUNDS, note, show, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

    from tasks.tabular.problem import Problem
    from tasks.tabular.schema import Schema

pytestmark = pytest.mark.timeout(3600)

SPEC = PipelineSpec.parse(
    {
        "steps": [
            {
                "step": "date_parts",
                "parts": ["year", "month", "day", "dayofweek", "hour", "dayofyear"],
            }
        ]
    }
)
"""The parts of dates that `by_hand` takes too; the other steps are the usual ones."""

RARE = ("creditcard_fraud_10k", "mammography", "car_insurance")


@pytest.fixture(autouse=True)
def _only_when_asked(benchmark: BenchmarkFixture) -> None:
    if benchmark.disabled:
        pytest.skip("it takes minutes: run `make bench`")


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    yield
    show()


@pytest.fixture
def load(data_folder: Path) -> Callable[[str], tuple[pd.DataFrame, str]]:
    """A real data set by name, dates read as dates, and its target."""

    def loaded(name: str) -> tuple[pd.DataFrame, str]:
        known = {
            each["name"]: each for each in json.loads((data_folder / "index.json").read_text())
        }
        entry = known[name]
        frame = pd.read_csv(data_folder / entry["file"])
        for column in frame.columns.intersection(["time_hour"]):
            frame[column] = pd.to_datetime(frame[column], utc=True)
        return frame.dropna(subset=[entry["target"]]).reset_index(drop=True), entry["target"]

    return loaded


def by_hand(frame: pd.DataFrame, schema: Schema) -> Any:
    """The steps of the usual linear preparation, as one would write them without a platform."""

    def filled() -> Any:
        return make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())

    categories = schema.of_kind("categorical")
    many = [name for name in categories if frame[name].nunique() > MAX_CATEGORIES]
    encoder = TargetEncoder(cv=StratifiedKFold(5, shuffle=True, random_state=0))
    dates = DatetimeFeatures(
        features_to_extract=["year", "month", "day_of_month", "day_of_week", "hour", "day_of_year"]
    )
    parts = (
        ("numbers", filled(), schema.of_kind("numeric", "boolean")),
        ("many", make_pipeline(encoder, filled()), many),
        (
            "few",
            OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                max_categories=MAX_CATEGORIES,
                min_frequency=MIN_FREQUENCY,
            ),
            [name for name in categories if name not in many],
        ),
        ("dates", make_pipeline(dates, filled()), schema.of_kind("datetime")),
    )
    return ColumnTransformer([each for each in parts if each[2]])


@pytest.mark.parametrize("name", ["adult", "nyc_flights"])
def bench_a_preparation_beside_the_same_steps_by_hand(
    benchmark: BenchmarkFixture, load: Callable[[str], tuple[pd.DataFrame, str]], name: str
) -> None:
    frame, target = load(name)
    problem, schema = identify(frame, target), usable(infer(frame), target)
    y = frame[target]
    spans: dict[str, list[float]] = {"ours": [], "by hand": []}

    def timed(who: str, pipeline: Any) -> tuple[int, int]:
        started = time.perf_counter()
        made = pipeline.fit_transform(frame, y)
        pipeline.transform(frame)
        spans[who].append(time.perf_counter() - started)
        return tuple(made.shape)

    for _ in range(3 * ROUNDS):  # each takes less than a few seconds
        timed("by hand", by_hand(frame, schema))
        shape = timed("ours", prepare(schema, "linear", problem=problem, spec=SPEC).pipeline)
    ours, hand = (statistics.median(spans[who]) for who in ("ours", "by hand"))
    benchmark.pedantic(lambda: None, rounds=1)
    note(
        f"fit and transform {name}, {shape[0]:,} x {shape[1]}",
        f"{ours / hand:.2f} x ({ours:.2f} s against {hand:.2f} s)",
        "<= 1.3 x by hand",
    )


@pytest.mark.parametrize("name", ["adult", "nyc_flights"])
def bench_a_preview(
    benchmark: BenchmarkFixture,
    load: Callable[[str], tuple[pd.DataFrame, str]],
    tmp_path: Path,
    name: str,
) -> None:
    frame, target = load(name)
    path = tmp_path / "frame.parquet"
    frame.to_parquet(path, index=False, row_group_size=2**16)
    schema = infer_file(path, frame.isna().sum().to_dict())

    take(benchmark, f"preview of {name}", "< 1 s", lambda: preview(path, schema, None, target))


def bench_target_encoding_of_noise(benchmark: BenchmarkFixture) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"town": rng.integers(0, 2_000, 40_000).astype(str)})
    y = pd.Series(rng.integers(0, 2, len(rows)))
    problem = identify(rows.assign(y=y), "y")
    pipeline = prepare(infer(rows), "linear", problem=problem).pipeline
    folds = StratifiedKFold(10, shuffle=True, random_state=1)
    model = Pipeline([*pipeline.steps, ("learner", LogisticRegression())])

    scores = cross_val_predict(model, rows, y, cv=folds, method="predict_proba")[:, 1]
    leaking = make_pipeline(TargetEncoder(cv=2), LogisticRegression())
    naive = leaking[0].fit(rows, y).transform(rows)

    benchmark.pedantic(lambda: None, rounds=1)
    note(
        "target encoding of a random target, CV AUC",
        f"{roc_auc_score(y, scores):.4f}",
        "0.5 +- 0.01",
    )
    note("  the same fitted on its own rows", f"{roc_auc_score(y, naive):.4f}", "leaks")


@pytest.mark.parametrize("name", RARE)
def bench_balancing_rare_classes(
    benchmark: BenchmarkFixture, load: Callable[[str], tuple[pd.DataFrame, str]], name: str
) -> None:
    """PR-AUC of the rarer class by 5 x 2 cross-validation, and how real synthetic rows look."""
    frame, target = load(name)
    problem, schema = identify(frame, target), usable(infer(frame), target)
    rows, y = conform(frame, schema), frame[target]
    rare = y.value_counts().index[-1]
    smote = "smote_nc" if schema.of_kind("categorical") else "smote"
    methods = ("none", "class_weights", smote, "vae")
    repeats = int(os.environ.get("MILLRACE_BENCH_REPEATS", "5"))
    cutter = RepeatedStratifiedKFold(n_splits=2, n_repeats=repeats, random_state=0)
    scores: dict[str, list[float]] = {method: [] for method in methods}
    seconds: list[float] = []
    for training, validation in cutter.split(rows, y):
        for method in methods:
            started = time.perf_counter()
            score = _judged(
                rows, y, problem, schema, (training, validation), method=method, rare=rare
            )
            scores[method].append(score)
            if method == "vae":
                seconds.append(time.perf_counter() - started)
    benchmark.pedantic(lambda: None, rounds=1)
    means = {method: f"{np.mean(each):.3f}±{np.std(each):.3f}" for method, each in scores.items()}
    note(f"PR-AUC {name}", ", ".join(f"{m} {s}" for m, s in means.items()), "reported")
    note("  autoencoder: fit, sample, train", f"{statistics.median(seconds):.0f} s", "<= 60 s")
    for method in (smote, "vae"):
        auc = _told_apart(rows, y, schema, method, rare)
        note(f"  two-sample AUC, {method} rows", f"{auc:.3f}", "reported; 0.5 is real")


def _judged(
    rows: pd.DataFrame,
    y: pd.Series[Any],
    problem: Problem,
    schema: Schema,
    fold: tuple[Any, Any],
    *,
    method: str,
    rare: Any,
) -> float:
    training, validation = fold
    model = make_model(LEARNERS["lightgbm"], {}, problem, schema, seed=0, threads=2)
    balancing = Balancing.model_validate({"method": method, "ratio": 0.5})
    fitted = fit(model, rows.iloc[training], y.iloc[training], problem, schema, balancing=balancing)
    require_separate(training[fitted.origins], validation, "validation fold")
    scores = predict_scores(fitted.pipeline, rows.iloc[validation], problem)
    place = list(problem.classes).index(rare)
    return float(average_precision_score(y.iloc[validation] == rare, scores[:, place]))


def _told_apart(
    rows: pd.DataFrame, y: pd.Series[Any], schema: Schema, method: str, rare: Any
) -> float:
    """AUC of a classifier that tells synthetic rows from real ones it was made without."""
    half = np.random.default_rng(0).permutation(len(rows)) % 2 == 0
    seen, seen_y = rows[half], y[half]
    balancing = Balancing.model_validate({"method": method, "ratio": 0.5})
    made = resample(seen, seen_y, schema, balancing, seed=0)
    synthetic = made.rows[made.origins < 0]
    real = rows[~half & (y == rare).to_numpy()]
    count = min(len(synthetic), len(real))
    both = pd.concat([real.sample(count, random_state=0), synthetic.sample(count, random_state=0)])
    is_made = np.repeat([0, 1], count)
    matrix = prepare(schema, "native").pipeline.fit_transform(both.reset_index(drop=True))
    told = cross_val_predict(
        LGBMClassifier(n_estimators=100, verbosity=-1),
        matrix,
        is_made,
        cv=5,
        method="predict_proba",
    )
    return float(roc_auc_score(is_made, told[:, 1]))
