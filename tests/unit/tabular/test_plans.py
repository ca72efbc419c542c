"""Plans: whatever a fitted pipeline answers, its plan answers without it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from infra.provenance import ROOT
from tasks.tabular.calibrations import Isotonic, Sigmoid, Temperature
from tasks.tabular.compiled import (
    Compilation,
    compile_model,
    compile_proven,
    dump_plan,
    load_plan,
)
from tasks.tabular.ensemble import EnsembleClassifier, EnsembleRegressor, Member
from tasks.tabular.evidence import json_rows
from tasks.tabular.features import Family, prepare
from tasks.tabular.learners import LEARNERS, make_learner, make_model, predict_scores
from tasks.tabular.plans import native
from tasks.tabular.plans.encoders import Builder, Features, compile_preparation
from tasks.tabular.plans.errors import NotCompiledError
from tasks.tabular.plans.learners import compile_learner
from tasks.tabular.plans.native import LightGBMTrees, NativeError, XGBoostTrees
from tasks.tabular.plans.plan import Plan
from tasks.tabular.plans.proof import ULPS
from tasks.tabular.problem import Problem, identify
from tasks.tabular.rows import Batch, Reader
from tasks.tabular.schema import Column, Schema
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.stacking import fit_stacker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.tabular.zoo.entry import Learner


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Small tables are fitted sooner by one thread than by many that wait for each other."""
    with threadpool_limits(1):
        yield


N = 200
KINDS = ("binary", "multiclass", "regression")
TYPES = {
    "age": "numeric",
    "count": "numeric",
    "hour": "numeric",
    "twin": "numeric",
    "flat": "numeric",
    "flag": "boolean",
    "job": "categorical",
    "town": "categorical",
    "born": "datetime",
    "left": "datetime",
    "note": "text",
}
WHOLE = ("count", "hour")


def _table() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    count = rng.integers(0, 50, N)
    born = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 2e6, N), "min")
    words = ["late", "paid", "new", "odd", "big", "red"]
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, N),
            "count": count,
            "hour": rng.integers(0, 24, N),
            "twin": 3.0 * count + rng.normal(size=N) / 100,
            "flat": np.full(N, 4.0),
            "flag": rng.random(N) < 0.5,
            "job": rng.choice(["cook", "driver", "nurse", "baker"], N, p=[0.5, 0.3, 0.18, 0.02]),
            "town": [f"town {each}" for each in rng.integers(0, 60, N)],
            "born": born.as_unit("us"),
            "left": (born + pd.to_timedelta(rng.integers(0, 1e8, N), "s")).as_unit("us"),
            "note": [" ".join(rng.choice(words, 4)) for _ in range(N)],
        }
    )
    for name in ("age", "job", "left"):
        frame.loc[rng.random(N) < 0.1, name] = None
    return frame


TABLE = _table()
GAPPY = [name for name in TABLE if TABLE[name].isna().any()]


def schema_of(*names: str) -> Schema:
    columns = [
        Column(
            name,
            TYPES[name],
            nullable=name in GAPPY,
            informative=True,
            type="int64" if name in WHOLE else "",
        )
        for name in names
    ]
    return Schema(tuple(columns))


USUAL = schema_of("age", "count", "flag", "job", "town", "born")
ALL = schema_of(*TYPES)


@cache
def targets(kind: str) -> pd.Series[Any]:
    rng = np.random.default_rng(8)
    signal = (
        TABLE["age"].fillna(40.0) / 10 + TABLE["count"] / 25 + (TABLE["job"] == "cook")
    ).to_numpy() + rng.normal(size=N) / 3
    if kind == "regression":
        return pd.Series(100 * signal, name="y")
    cuts = [np.median(signal)] if kind == "binary" else np.quantile(signal, [0.3, 0.6])
    labels = np.array(["no", "yes"] if kind == "binary" else ["low", "mid", "top"])
    return pd.Series(labels[np.digitize(signal, cuts)], name="y")


def problem_of(kind: str) -> Problem:
    named = "regression" if kind == "regression" else None
    return identify(TABLE.assign(y=targets(kind)), "y", named)


@cache
def strangers(schema: Schema) -> pd.DataFrame:
    """The rows of the table, and rows with gaps, unseen texts, and values far away."""
    seen = TABLE[list(schema.names)].astype(object)
    odd = seen.head(12).copy()
    changes: dict[str, list[Any]] = {
        "age": [None, 0.0, -0.0, 1e-320, 1e15, -1e15, 3e38, -3e38],
        "count": [0, -1, 2**31, 2**53, -(2**53), 255, 7, 8],
        "hour": [25, -1, 2**31, 0, 1, 2, 3, 4],
        "job": [None, "pilot", "", "None", "nan", "COOK", " cook", "x" * 1_000],
        "town": ["Atlantis", "", "日本", "town 1 ", "town", "0", "\x00", "TOWN 1"],
        "left": [
            None,
            *pd.to_datetime(
                [
                    "1970-01-01T00:00:00Z",
                    "2000-02-29T23:59:59.999999Z",
                    "1969-12-31T23:59:59.5Z",
                    "2024-03-31T00:59:59Z",
                    "2024-03-31T01:00:00Z",
                    "2024-10-27T00:30:00Z",
                    "2024-10-27T01:30:00Z",
                ],
                format="ISO8601",
            ),
        ],
        "born": list(
            pd.to_datetime(
                [
                    "2024-12-30T23:30:00Z",
                    "2021-01-03T23:59:59Z",
                    "2024-10-27T01:30:00Z",
                    "2024-03-31T00:59:59.999999Z",
                    "2024-07-01T21:59:59Z",
                    "2024-07-01T22:00:00Z",
                    "1999-12-31T23:00:00Z",
                    "2020-02-29T00:00:00Z",
                ],
                format="ISO8601",
            )
        ),
        "note": ["", "never heard", "late", "LATE paid", "日本 late", "a b c", "x" * 999, "\x00"],
    }
    for name in schema.names:
        if name in changes:
            odd.loc[odd.index[: len(changes[name])], name] = pd.Series(
                changes[name], dtype=object, index=odd.index[: len(changes[name])]
            )
    return pd.concat([seen, odd], ignore_index=True).astype(object)


def batch_of(plan: Plan, rows: pd.DataFrame) -> Batch:
    return Reader(plan.columns).read(json.dumps({"rows": json_rows(rows)}).encode())


SMALL = {"n_estimators": 6, "iterations": 6, "max_iter": 6, "interactions": 1, "epochs": 3}


def small(learner: Learner) -> dict[str, Any]:
    """Sizes that are quick to fit; linear learners keep theirs, which are."""
    if learner.family == "linear" and learner.name != "mlp":
        return {}
    params = {name: each for name, each in SMALL.items() if name in learner.space}
    return params | ({"epochs": 3} if learner.name == "neural_network" else {})


@cache
def fitted(name: str, kind: str, schema: Schema = USUAL) -> Pipeline:
    learner = LEARNERS[name]
    if learner.extra:
        pytest.importorskip(learner.extra)
    preparation, features = features_of(learner.family, kind, schema)
    estimator = make_learner(learner, small(learner), kind, seed=1, threads=1)
    rows = 60 if name == "gaussian_process" else N  # it takes the cube of them
    estimator.fit(features[:rows], targets(kind).head(rows))
    return Pipeline([*preparation.steps, ("learner", estimator)])


@cache
def features_of(family: Family, kind: str, schema: Schema) -> tuple[Pipeline, Any]:
    """A fitted preparation, which all learners of a family share, and what it makes."""
    pipeline = prepare(schema, family, problem=problem_of(kind)).pipeline
    return pipeline, pipeline.fit_transform(TABLE[list(schema.names)], targets(kind))


def stored(model: Any, kind: str, schema: Schema = USUAL) -> Plan:
    """The plan of a model, as it is read back from the store."""
    return load_plan(dump_plan(compile_model(model, schema, problem_of(kind))))


def assert_equal(found: np.ndarray, expected: np.ndarray, *, exact: bool) -> None:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype == np.float64
    if exact:
        np.testing.assert_array_equal(found, expected)
        return
    allowed = ULPS * np.finfo(float).eps * np.fmax(1.0, np.abs(expected))
    off = np.where(found == expected, 0.0, np.abs(found - expected))
    assert (off <= allowed).all(), off.max()


def assert_answers_alike(
    plan: Plan, model: Any, kind: str, schema: Schema = USUAL, rows: pd.DataFrame | None = None
) -> None:
    """Together and one by one: a single row has a path of its own."""
    given = strangers(schema) if rows is None else rows
    problem = problem_of(kind)
    expected = predict_scores(model, given, problem)
    assert_equal(plan.scores(batch_of(plan, given)), expected, exact=plan.exact)
    for place in (0, len(given) - 1):
        row = given.iloc[[place]]
        alone = plan.scores(batch_of(plan, row))
        assert_equal(alone, predict_scores(model, row, problem), exact=plan.exact)


# learners


def able() -> list[tuple[str, str]]:
    return [(name, kind) for name in LEARNERS for kind in KINDS if LEARNERS[name].handles(kind)]


@pytest.mark.parametrize(("name", "kind"), able())
def test_every_learner_is_compiled_and_answers_alike(name: str, kind: str) -> None:
    model = fitted(name, kind)

    plan = stored(model, kind)

    tame = strangers(USUAL).head(N)  # kernels and forests refuse some of what is far away
    assert_answers_alike(plan, model, kind, rows=tame)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "random_forest", "hist_gradient_boosting"])
def test_trees_answer_strangers_to_the_bit(name: str, kind: str) -> None:
    model = fitted(name, kind)

    plan = stored(model, kind)

    assert plan.exact == (name != "hist_gradient_boosting" or kind == "regression")
    assert_answers_alike(plan, model, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["logistic_regression", "ridge", "catboost", "ebm", "neural_network"]
)
def test_other_learners_answer_strangers_to_the_last_digits(name: str, kind: str) -> None:
    if not LEARNERS[name].handles(kind):
        pytest.skip(f"{name} does not do {kind}")
    model = fitted(name, kind)
    rows = strangers(USUAL).copy()
    rows.loc[rows["age"].map(lambda age: age is not None and abs(age) > 1e9), "age"] = 1e3

    assert_answers_alike(stored(model, kind), model, kind, rows=rows)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "catboost", "random_forest", "ridge"])
def test_an_opened_plan_is_stored_as_it_was(name: str) -> None:
    plan = compile_model(fitted(name, "regression"), USUAL, problem_of("regression"))
    closed = dump_plan(plan)
    plan.open()

    assert dump_plan(plan) == closed


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("lightgbm", ("lightgbm",)),
        ("xgboost", ("xgboost",)),
        ("random_forest", ("lightgbm",)),
        ("logistic_regression", ()),
        ("svm", ("numpy", "scikit-learn")),
    ],
)
def test_a_plan_says_what_it_needs(name: str, needs: tuple[str, ...]) -> None:
    plan = stored(fitted(name, "binary"), "binary")

    assert set(plan.needs) - {"numpy", "scipy"} == set(needs) - {"numpy", "scipy"}


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "random_forest", "neural_network"])
def test_many_threads_may_ask_one_plan(name: str) -> None:
    plan = stored(fitted(name, "multiclass"), "multiclass")
    rows = strangers(USUAL).head(40)
    batches = [batch_of(plan, rows.iloc[[place]]) for place in range(40)]
    expected = [plan.scores(each) for each in batches]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(plan.scores, batches * 25))

    np.testing.assert_array_equal(found, expected * 25)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "random_forest"])
def test_threads_do_not_change_answers(name: str, kind: str) -> None:
    content = dump_plan(compile_model(fitted(name, kind), USUAL, problem_of(kind)))
    one, two = load_plan(content), load_plan(content, threads=2)
    rows = strangers(USUAL)

    np.testing.assert_array_equal(one.scores(batch_of(one, rows)), two.scores(batch_of(two, rows)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["random_forest", "lightgbm", "linear_regression"])
def test_columns_of_one_kind_are_enough(name: str, kind: str) -> None:
    if not LEARNERS[name].handles(kind):
        pytest.skip(f"{name} does not do {kind}")
    for schema in (schema_of("age"), schema_of("job", "town"), schema_of("born", "left")):
        model = fitted(name, kind, schema)

        assert_answers_alike(
            stored(model, kind, schema), model, kind, schema, TABLE[list(schema.names)]
        )


@pytest.mark.parametrize("stop", [3, 10])
@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_boosters_that_stopped_early_answer_with_their_best(name: str, stop: int) -> None:
    params = {"n_estimators": 60, "learning_rate": 0.5}
    given = (LEARNERS[name], params, problem_of("binary"), USUAL)
    model = make_model(*given, seed=1, threads=1).pipeline
    model.fit(TABLE[list(USUAL.names)], targets("binary"))
    last = model[-1]
    while hasattr(last, "estimator_"):
        last = last.estimator_
    if name == "xgboost":
        last.get_booster().best_iteration = stop
    else:
        last._best_iteration = stop
        last.booster_.best_iteration = stop

    assert_answers_alike(stored(model, "binary"), model, "binary")


# forests as LightGBM reads them


def numbers(gaps: float) -> np.ndarray:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(300, 4))
    x[:, 1] = np.round(x[:, 1], 1)
    x[rng.random(x.shape) < gaps] = np.nan
    return x


def scored(estimator: Any, rows: np.ndarray) -> np.ndarray:
    """What the plan of a learner alone says of its features."""
    builder = Builder(())
    features = Features(0, rows.shape[1], {})
    classes = estimator.classes_ if is_classifier(estimator) else None
    compile_learner(builder, estimator, features, classes)
    plan: Plan = pickle.loads(pickle.dumps(Plan((), tuple(builder.operations), exact=True)))
    plan.open()
    return plan.scores(Batch(len(rows), rows))


def thresholds(estimator: Any) -> np.ndarray:
    """Rows at the thresholds of a forest's first tree, and a step to either side."""
    trees = getattr(estimator, "estimators_", [estimator])
    tree = np.ravel(np.asarray(trees, dtype=object))[0].tree_
    # gaps are split from the rest at infinity; nearly zero has a test of its own
    inner = (tree.children_left >= 0) & np.isfinite(tree.threshold) & (tree.threshold != 0)
    rows = np.zeros((3 * inner.sum(), 4))
    for place, (at, cut) in enumerate(zip(tree.feature[inner], tree.threshold[inner], strict=True)):
        single = np.float32(cut)
        rows[3 * place : 3 * place + 3, at] = [
            cut,
            np.nextafter(single, np.float32(-np.inf)),
            np.nextafter(single, np.float32(np.inf)),
        ]
    return rows


FORESTS = [
    RandomForestClassifier(7, random_state=0),
    RandomForestRegressor(7, random_state=0),
    ExtraTreesClassifier(7, random_state=0),
    ExtraTreesRegressor(7, random_state=0),
    DecisionTreeClassifier(random_state=0),
    DecisionTreeRegressor(random_state=0),
]
BOOSTED = [
    GradientBoostingClassifier(n_estimators=7, random_state=0),
    GradientBoostingRegressor(n_estimators=7, random_state=0),
    HistGradientBoostingClassifier(max_iter=7, random_state=0),
    HistGradientBoostingRegressor(max_iter=7, random_state=0),
    HistGradientBoostingRegressor(loss="absolute_error", max_iter=7, random_state=0),
]


def learned(estimator: Any, gaps: float, classes: int) -> Any:
    x = numbers(gaps)
    signal = np.nan_to_num(x[:, 0]) + np.abs(np.nan_to_num(x[:, 1])) + np.isnan(x[:, 2])
    cuts = np.quantile(signal, np.linspace(0, 1, classes + 1)[1:-1])
    y: Any = np.digitize(signal, cuts) if is_classifier(estimator) else signal
    return estimator.fit(x, y)


def asked(estimator: Any, rows: np.ndarray) -> np.ndarray:
    ask = estimator.predict_proba if is_classifier(estimator) else estimator.predict
    return np.asarray(ask(rows), dtype=float)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("gaps", [0.0, 0.2])
@pytest.mark.parametrize("forest", FORESTS, ids=lambda each: type(each).__name__)
def test_a_forest_is_written_to_the_bit(forest: Any, gaps: float, classes: int) -> None:
    model = learned(forest, gaps, classes)
    unseen = np.random.default_rng(1).normal(size=(200, 4))
    far = np.array([[3e38, -3e38, 1e-320, -0.0], [0.1, 0.1, 0.1, 0.1], [2**53, 1, -1, 0]])

    for rows in (numbers(gaps), unseen, far, thresholds(model), numbers(0.5 if gaps else 0.0)):
        np.testing.assert_array_equal(scored(model, rows), asked(model, rows), strict=True)
        np.testing.assert_array_equal(scored(model, rows[:1]), asked(model, rows[:1]))


@pytest.mark.parametrize("tiny", [1e-36, 1e-38, 1e-45, -1e-45])
def test_what_is_nearly_nothing_is_not_nothing(tiny: float) -> None:
    x = np.array([[-1.0], [1.0]] * 20)
    model = DecisionTreeClassifier().fit(x, x[:, 0] > 0)
    assert model.tree_.threshold[0] == 0.0
    rows = np.array([[tiny], [0.0], [1.0]])

    np.testing.assert_array_equal(scored(model, rows), model.predict_proba(rows))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("boosted", BOOSTED, ids=lambda each: f"{type(each).__name__} {each.loss}")
def test_boosted_trees_of_scikit_learn_are_written(boosted: Any, classes: int) -> None:
    gaps = 0.2 if "Hist" in type(boosted).__name__ else 0.0
    model = learned(boosted, gaps, classes)

    for rows in (numbers(gaps), np.random.default_rng(1).normal(size=(200, 4))):
        assert_equal(scored(model, rows), asked(model, rows), exact=not is_classifier(model))


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestRegressor(3, max_leaf_nodes=2),
        DecisionTreeRegressor(),
        GradientBoostingRegressor(n_estimators=2),
        HistGradientBoostingRegressor(max_iter=2),
    ],
    ids=lambda each: type(each).__name__,
)
def test_trees_without_a_split_are_written(forest: Any) -> None:
    x = numbers(0.0)
    model = forest.fit(x, np.full(len(x), 0.1))

    np.testing.assert_array_equal(scored(model, x), model.predict(x))


def test_forests_of_wide_rows_are_written() -> None:
    x = np.random.default_rng(3).normal(size=(60, 400))
    model = RandomForestClassifier(5, random_state=0).fit(x, (x[:, 399] > 0).astype(int))

    np.testing.assert_array_equal(scored(model, x), model.predict_proba(x))


def test_trees_that_split_by_categories_are_not_written() -> None:
    x = np.column_stack([np.arange(300) % 5, np.arange(300)]).astype(float)
    model = HistGradientBoostingRegressor(categorical_features=[0], max_iter=3)
    model.fit(x, (x[:, 0] % 2) * 10)

    with pytest.raises(NotCompiledError, match="split by categories"):
        scored(model, x)


def test_a_loss_with_a_link_of_its_own_is_not_written() -> None:
    x = numbers(0.0)
    model = HistGradientBoostingRegressor(loss="poisson", max_iter=3).fit(x, np.abs(x[:, 0]))

    with pytest.raises(NotCompiledError, match="poisson"):
        scored(model, x)


# native libraries


def test_a_library_refuses_what_is_no_model() -> None:
    with pytest.raises(NativeError, match="LightGBM"):
        LightGBMTrees("no model", 1, 1, raw=True)
    with pytest.raises(NativeError, match="XGBoost"):
        XGBoostTrees(b"no model", 1, (0, 0))


def test_an_absent_package_is_named() -> None:
    with pytest.raises(NativeError, match="no_such_package is not installed"):
        native._load("no_such_package", "lib")
    with pytest.raises(NativeError, match=r"msgspec has no lib_msgspec"):
        native._load("msgspec", "lib_msgspec")


# steps

STEPS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "usual": ("tree", []),
    "usual, scaled": ("linear", []),
    **{
        f"scale {method}": (
            "tree",
            [{"step": "scale", "columns": ["age", "twin"], "method": method}],
        )
        for method in ("standard", "min_max", "max_abs", "robust", "quantile", "power")
    },
    "scale a flat column": ("tree", [{"step": "scale", "columns": ["flat", "hour"]}]),
    "one_hot": ("tree", [{"step": "one_hot", "columns": ["job"]}]),
    "one_hot, rare ones shared": (
        "tree",
        [{"step": "one_hot", "columns": ["job", "town"], "min_frequency": 5, "max_categories": 10}],
    ),
    "ordinal": ("tree", [{"step": "ordinal", "columns": ["job", "town"]}]),
    "ordinal, rare ones shared": (
        "tree",
        [{"step": "ordinal", "columns": ["job", "town"], "max_categories": 5}],
    ),
    "target_encode": ("tree", [{"step": "target_encode", "columns": ["job", "town"]}]),
    "target_encode, smoothed": (
        "tree",
        [{"step": "target_encode", "columns": ["town"], "smooth": 10.0}],
    ),
    "count_encode": ("tree", [{"step": "count_encode", "columns": ["job", "town"]}]),
    "count_encode frequency": (
        "tree",
        [{"step": "count_encode", "columns": ["town"], "method": "frequency"}],
    ),
    **{
        f"impute {strategy}": (
            "tree",
            [
                {
                    "step": "impute",
                    "columns": ["age", "count", "twin"],
                    "strategy": strategy,
                    "indicator": True,
                    **({"fill_value": -1.5} if strategy == "constant" else {}),
                }
            ],
        )
        for strategy in ("mean", "median", "constant", "most_frequent")
    },
    "impute texts": (
        "tree",
        [{"step": "impute", "columns": ["job"], "strategy": "constant", "fill_value": "none"}],
    ),
    "impute texts by the most frequent": (
        "tree",
        [
            {"step": "impute", "columns": ["job"], "strategy": "most_frequent"},
            {"step": "one_hot", "columns": ["job"]},
        ],
    ),
    "impute numbers and texts": (
        "tree",
        [{"step": "impute", "columns": ["age", "job", "hour"], "strategy": "most_frequent"}],
    ),
    **{
        f"clip {method}": (
            "tree",
            [{"step": "clip", "columns": ["age", "count"], "method": method, **limits}],
        )
        for method, limits in (
            ("quantile", {}),
            ("iqr", {}),
            ("fixed", {"lower": 10.0, "upper": 40.5}),
        )
    },
    "clip below": ("tree", [{"step": "clip", "method": "fixed", "lower": 0.0}]),
    "polynomial": (
        "tree",
        [{"step": "polynomial", "columns": ["age", "hour", "twin"], "degree": 3}],
    ),
    "products": (
        "tree",
        [{"step": "polynomial", "columns": ["age", "hour"], "interaction_only": True}],
    ),
    "trigonometry": ("tree", [{"step": "trigonometry", "columns": ["age", "hour"]}]),
    "cyclical": ("tree", [{"step": "cyclical", "columns": ["hour"], "period": 24}]),
    "expression": (
        "tree",
        [
            {
                "step": "expression",
                "formulas": {"ratio": "age / (count - 7)", "hour": "hour + 1", "log": "log(age)"},
            }
        ],
    ),
    **{
        f"elapsed {unit}": (
            "tree",
            [{"step": "elapsed", "columns": ["born", "left"], "unit": unit}],
        )
        for unit in ("days", "hours", "minutes", "seconds")
    },
    "date_parts": (
        "tree",
        [
            {
                "step": "date_parts",
                "parts": [
                    *("year", "quarter", "month", "week", "day", "dayofweek", "dayofyear"),
                    *("hour", "minute", "second", "weekend", "days"),
                ],
                "cyclical": True,
                "since": "2019-06-01",
            }
        ],
    ),
    "date_parts of a zone": (
        "tree",
        [
            {
                "step": "date_parts",
                "columns": ["born"],
                "parts": ["year", "week", "day", "weekend", "hour", "minute", "days"],
                "timezone": "Europe/Berlin",
                "cyclical": True,
            }
        ],
    ),
    "text": ("tree", [{"step": "text", "components": 3}]),
    "text of characters": (
        "tree",
        [{"step": "text", "components": 4, "analyzer": "char", "ngrams": [1, 2]}],
    ),
    "text of few words": ("tree", [{"step": "text", "components": 50}]),
    "pca": (
        "tree",
        [
            {"step": "impute", "columns": ["age", "count", "twin"]},
            {"step": "pca", "columns": ["age", "count", "twin"], "components": 2},
        ],
    ),
    "pca of indicators": (
        "tree",
        [
            {"step": "one_hot", "columns": ["town"]},
            {"step": "pca", "columns": ["town=town 21", "town=town 31", "count"], "components": 2},
        ],
    ),
    **{
        f"select {method}": (
            "tree",
            [
                {"step": "impute", "columns": ["age", "count", "hour"]},
                {
                    "step": "select",
                    "columns": ["age", "count", "hour"],
                    "method": method,
                    "features": 2,
                },
            ],
        )
        for method in ("f_test", "mutual_information", "forest")
    },
    **{
        f"bin {strategy}": (
            "tree",
            [{"step": "bin", "columns": ["twin", "hour"], "strategy": strategy, "bins": 4}],
        )
        for strategy in ("uniform", "quantile", "kmeans")
    },
    "drop_columns": ("tree", [{"step": "drop_columns", "columns": ["age", "job", "born", "note"]}]),
    "drop_constant": ("tree", [{"step": "drop_constant"}]),
    "drop_correlated": (
        "tree",
        [{"step": "impute"}, {"step": "drop_correlated", "columns": ["count", "twin", "hour"]}],
    ),
    "drop_collinear": (
        "tree",
        [{"step": "impute"}, {"step": "drop_collinear", "columns": ["count", "twin", "hour"]}],
    ),
    "everything, scaled": (
        "linear",
        [
            {"step": "clip"},
            {"step": "expression", "formulas": {"ratio": "count / (age + 1)"}},
            {"step": "polynomial", "columns": ["count", "hour"]},
            {"step": "target_encode", "columns": ["town"]},
            {"step": "scale", "columns": ["count", "hour"], "method": "min_max"},
        ],
    ),
}

SUPERVISED = [name for name in STEPS if "target_encode" in name or "usual" in name]


def around(name: str) -> Schema:
    """The columns a step names and two of other kinds; all where it names none."""
    _, steps = STEPS[name]
    named = [each.get("columns", "any") for each in steps]
    if not steps or any(isinstance(each, str) for each in named) or "=" in str(named):
        texts = ("note",) if "text" in name or "usual" in name else ()
        return schema_of(*(each for each in TYPES if each != "note"), *texts)
    wanted = {column for columns in named for column in columns} | {"count", "job"}
    return schema_of(*(each for each in TYPES if each in wanted))


def compiled(
    family: Family, steps: list[dict[str, Any]], kind: str = "binary", schema: Schema = ALL
) -> tuple[Pipeline, Plan]:
    spec = PipelineSpec.parse({"steps": steps})
    problem = problem_of(kind)
    pipeline = prepare(schema, family, problem=problem, spec=spec, seed=0).pipeline
    pipeline.fit(TABLE[list(schema.names)], problem.encode(targets(kind)))
    builder = Builder.of(schema)
    compile_preparation(builder, pipeline)
    plan = load_plan(dump_plan(Plan(builder.columns, tuple(builder.operations), exact=True)))
    return pipeline, plan


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "binary") for name in STEPS]
    + [(name, kind) for name in SUPERVISED for kind in ("multiclass", "regression")],
)
def test_every_step_makes_the_same_features(name: str, kind: str) -> None:
    family, steps = STEPS[name]
    schema = around(name)
    pipeline, plan = compiled(family, steps, kind, schema)
    rows = strangers(schema)

    features = pipeline.transform(rows)
    expected = features.toarray() if sparse.issparse(features) else np.asarray(features)

    np.testing.assert_array_equal(plan.scores(batch_of(plan, rows)), expected)
    for place in (len(rows) - 12, len(rows) - 11):
        alone = plan.scores(batch_of(plan, rows.iloc[[place]]))
        one = pipeline.transform(rows.iloc[[place]])
        one = one.toarray() if sparse.issparse(one) else np.asarray(one)
        np.testing.assert_allclose(alone, one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("2050-07-01T12:00:00Z", id="a summer after 2037"),
        pytest.param("1890-01-01T00:00:00Z", id="before there were zones"),
        pytest.param("1000-01-02T00:00:00Z", id="long ago"),
        pytest.param("9998-07-01T12:00:00Z", id="far ahead"),
        pytest.param("1945-06-01T12:00:00Z", id="a double summer time"),
    ],
)
def test_clocks_of_a_zone_show_the_same_at_any_time(moment: str) -> None:
    schema = schema_of("born")
    parts = ["year", "day", "hour", "minute", "second", "days"]
    step = {"step": "date_parts", "parts": parts, "timezone": "Europe/Berlin"}
    pipeline, plan = compiled("tree", [step], schema=schema)
    rows = pd.DataFrame({"born": pd.Series([moment], dtype=object)})

    found = plan.scores(batch_of(plan, rows))

    np.testing.assert_array_equal(found, np.asarray(pipeline.transform(rows)))


@pytest.mark.parametrize("timezone", ["Europe/Berlin", "Asia/Kolkata", "America/Los_Angeles"])
@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_the_ends_of_time_are_answered_or_refused_alike(moment: str, timezone: str) -> None:
    schema = schema_of("born")
    step = {"step": "date_parts", "parts": ["month", "day"], "timezone": timezone}
    pipeline, plan = compiled("tree", [step], schema=schema)
    rows = pd.DataFrame({"born": pd.Series([moment], dtype=object)})
    try:
        expected = np.asarray(pipeline.transform(rows))
    except (ValueError, OverflowError):
        return  # the model does not answer: whatever the plan says is as good

    np.testing.assert_array_equal(plan.scores(batch_of(plan, rows)), expected)


UNABLE: dict[str, list[dict[str, Any]]] = {
    "HashedCategories": [{"step": "hash_encode", "columns": ["town"], "features": 8}],
    "KNNImputer": [{"step": "impute", "columns": ["age", "count"], "strategy": "knn"}],
    "IterativeImputer": [{"step": "impute", "columns": ["age", "count"], "strategy": "iterative"}],
    "holiday": [{"step": "date_parts", "parts": ["year", "holiday"], "country": "DE"}],
    "DecisionTreeDiscretiser": [{"step": "bin", "columns": ["count"], "strategy": "tree"}],
    "gaps of texts are marked": [
        {
            "step": "impute",
            "columns": ["job"],
            "strategy": "most_frequent",
            "indicator": True,
        }
    ],
}


@pytest.mark.parametrize("reason", UNABLE)
def test_a_step_without_a_counterpart_leaves_the_model_as_it_is(reason: str) -> None:
    problem, spec = problem_of("binary"), PipelineSpec.parse({"steps": UNABLE[reason]})
    learner = LEARNERS["logistic_regression"]
    model = make_model(learner, {}, problem, ALL, seed=1, threads=1, spec=spec).pipeline
    model.fit(TABLE[list(ALL.names)], targets("binary"))

    found = compile_proven(model, ALL, problem, TABLE.head(20))

    assert found == Compilation(None, None, found.reason)
    assert reason in found.reason
    assert str(found) == f"as it is: {found.reason}"
    with pytest.raises(NotCompiledError, match=reason):
        compile_model(model, ALL, problem)


def test_texts_without_words_leave_the_model_as_it_is() -> None:
    schema = schema_of("note", "count")
    rows = TABLE[["note", "count"]].assign(note=["-", "!"] * (N // 2))
    problem = problem_of("binary")
    given = (LEARNERS["logistic_regression"], {}, problem, schema)
    model = make_model(*given, seed=1, threads=1).pipeline.fit(rows, targets("binary"))

    with pytest.raises(NotCompiledError, match="no words"):
        compile_model(model, schema, problem)


def test_what_is_no_step_of_ours_leaves_the_model_as_it_is() -> None:
    model = fitted("ridge", "regression")
    foreign = type(model)([("columns", model[0]), ("mine", object()), *model.steps[2:]])

    with pytest.raises(NotCompiledError, match="step mine: object has no counterpart"):
        compile_model(foreign, USUAL, problem_of("regression"))


# ensembles


def bag(
    kind: str, names: tuple[str, ...], *, coded: bool = True, lacking: Any = None, **given: Any
) -> Any:
    """Models of two folds each; members of a family share the folds' preparations."""
    problem, y = problem_of(kind), targets(kind)
    codes = y if kind == "regression" else problem.encode(y)
    models, members, preparations = [], [], []
    places: dict[tuple[str, int], int] = {}
    for name in names:
        learner = LEARNERS[name]
        if learner.extra:
            pytest.importorskip(learner.extra)
        unfitted = make_model(learner, small(learner), problem, USUAL, seed=1, threads=1).pipeline
        models.append((name, unfitted))
        for fold in range(2):
            kept = np.arange(N) % 3 != fold
            if lacking is not None and fold == 0:
                kept &= (y != lacking).to_numpy()
            rows = TABLE.loc[kept, list(USUAL.names)]
            target = np.asarray(codes if coded else y)[kept]
            key = (learner.family, fold)
            if key not in places:
                places[key] = len(preparations)
                preparations.append(clone(unfitted[:-1]).fit(rows, target))
            features = preparations[places[key]].transform(rows)
            estimator = clone(unfitted[-1]).fit(features, target)
            share = 0.5 / len(names)
            members.append(Member(name, places[key], estimator, share, coded=coded))
    weights = {name: 1 / len(names) for name in names}
    if kind == "regression":
        last: Any = EnsembleRegressor.assembled(models, weights, preparations, members, **given)
    else:
        last = EnsembleClassifier.assembled(
            models, weights, preparations, members, problem=problem, **given
        )
    return Pipeline([("ensemble", last)])


TREES = ("lightgbm", "xgboost", "random_forest", "extra_trees")
MIXED = ("lightgbm", "logistic_regression", "ridge", "random_forest")


def names_of(kind: str) -> tuple[str, ...]:
    return tuple(name for name in MIXED if LEARNERS[name].handles(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bag_of_trees_is_equal_to_the_bit(kind: str) -> None:
    model = bag(kind, TREES)

    plan = stored(model, kind)

    assert plan.exact
    assert_answers_alike(plan, model, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bag_of_many_learners_answers_alike(kind: str) -> None:
    model = bag(kind, names_of(kind))
    rows = strangers(USUAL).head(N)

    assert_answers_alike(stored(model, kind), model, kind, rows=rows)


def test_members_share_their_preparation() -> None:
    one = compile_model(bag("binary", ("random_forest",)), USUAL, problem_of("binary"))
    two = compile_model(
        bag("binary", ("random_forest", "extra_trees")), USUAL, problem_of("binary")
    )

    assert len(two.operations) - len(one.operations) == 2  # the trees of two folds


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("lacking", ["low", "mid", "top"])
def test_a_class_a_member_lacks_has_no_probability(lacking: str, coded: bool) -> None:
    names = ("lightgbm", "xgboost", "random_forest", "logistic_regression")
    model = bag("multiclass", names, coded=coded, lacking=lacking)
    assert {len(np.ravel(each.estimator.classes_)) for each in model[-1].members_} == {2, 3}

    assert_answers_alike(
        stored(model, "multiclass"), model, "multiclass", rows=strangers(USUAL).head(N)
    )


@pytest.mark.parametrize(
    ("kind", "calibration"),
    [
        ("binary", Temperature(1.7)),
        ("multiclass", Temperature(0.4)),
        ("binary", Sigmoid(0.6, 1.5)),
        ("binary", Isotonic(((0.0, 0.1), (0.3, 0.2), (0.6, 0.7), (1.0, 0.95)))),
    ],
)
def test_a_calibration_is_compiled(kind: str, calibration: Any) -> None:
    model = bag(kind, TREES[:2], calibration=calibration, threshold=0.3)
    plan = stored(model, kind)

    assert plan.exact
    assert "scipy" in plan.needs
    assert_answers_alike(plan, model, kind)


def test_a_threshold_moves_no_score() -> None:
    plain, moved = (bag("binary", TREES[:2], threshold=each) for each in (0.5, 0.9))
    plans = [stored(each, "binary") for each in (plain, moved)]
    rows = strangers(USUAL)

    one, other = (plan.scores(batch_of(plan, rows)) for plan in plans)

    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stacker_is_compiled(kind: str) -> None:
    plain = bag(kind, TREES[:3])
    problem = problem_of(kind)
    rows = TABLE[list(USUAL.names)]
    means = [
        predict_scores(fitted(name, kind), rows, problem)
        for name in ("lightgbm", "xgboost", "random_forest")
    ]
    codes = np.asarray(targets(kind) if kind == "regression" else problem.encode(targets(kind)))
    plain[-1].stacker_ = fit_stacker(means, codes, seed=0)

    plan = stored(plain, kind)

    assert not plan.exact
    assert "scikit-learn" in plan.needs
    assert_answers_alike(plan, plain, kind)


def test_a_stacker_that_saw_one_class_is_compiled() -> None:
    model = bag("binary", TREES[:2])
    scores = np.full((4, 2), 0.5)
    model[-1].stacker_ = fit_stacker([scores, scores], np.zeros(4), seed=0)

    assert_answers_alike(stored(model, "binary"), model, "binary")


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_an_ensemble_that_was_fitted_again_is_compiled(kind: str) -> None:
    model = bag(kind, TREES[:2])
    model[-1].fit(TABLE[list(USUAL.names)], targets(kind))

    assert_answers_alike(stored(model, kind), model, kind)


# where the packages are not imported

SERVING = """
import json, pickle, sys
with open(sys.argv[1], "rb") as stream:
    content, body = pickle.load(stream)
plan = pickle.loads(content)
plan.open(1)
from tasks.tabular.rows import Reader
scores = plan.scores(Reader(plan.columns).read(body))
heavy = ("pandas", "sklearn", "lightgbm", "xgboost", "catboost", "scipy", "torch", "pyarrow")
print(json.dumps([scores.tolist(), [name for name in heavy if name in sys.modules]]))
"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lightgbm", "multiclass"),
        ("xgboost", "binary"),
        ("random_forest", "multiclass"),
        ("logistic_regression", "multiclass"),
        ("neural_network", "binary"),
    ],
)
def test_a_plan_scores_without_the_packages_it_was_made_with(
    name: str, kind: str, tmp_path: Path
) -> None:
    model = fitted(name, kind)
    content = dump_plan(compile_model(model, USUAL, problem_of(kind)))
    plan = load_plan(content)
    rows = strangers(USUAL)
    body = json.dumps({"rows": json_rows(rows)}).encode()
    (tmp_path / "plan").write_bytes(pickle.dumps((content, body)))

    run = subprocess.run(
        [sys.executable, "-c", SERVING, tmp_path / "plan"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr[-600:]
    scores, imported = json.loads(run.stdout)
    assert imported == []
    np.testing.assert_array_equal(scores, plan.scores(batch_of(plan, rows)))
