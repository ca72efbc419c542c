from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from infra.provenance import ROOT
from tasks.tabular.errors import ColumnValueError, MissingColumnsError, SpecError, StepError
from tasks.tabular.features import Family, complete, prepare, usable
from tasks.tabular.problem import Problem
from tasks.tabular.schema import Column, Schema, conform, infer
from tasks.tabular.spec import PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from sklearn.pipeline import Pipeline

FAMILIES: tuple[Family, ...] = ("linear", "tree", "native")
BINARY = Problem("binary", "y", (0, 1))
KINDS = ("numeric", "boolean", "categorical", "datetime")

NUMBERS = st.floats(-1e9, 1e9) | st.integers(-(10**6), 10**6).map(float)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "numeric": NUMBERS,
    "boolean": st.booleans(),
    "categorical": st.text(max_size=3) | st.sampled_from(["a", "b", "None", "nan", "(other)"]),
    "datetime": st.datetimes(pd.Timestamp(1900, 1, 1), pd.Timestamp(2100, 1, 1)),
}
WRONG = {"numeric": "many", "boolean": "perhaps", "datetime": "soon"}

SPEC = """
steps:
  - {step: drop_duplicates}
  - {step: clip}
  - {step: expression, formulas: {ratio: age / (pay + 1)}}
  - {step: target_encode, columns: [town]}
  - {step: text, components: 3}
  - {step: date_parts, parts: [year, month, holiday], country: DE, timezone: Europe/Berlin}
  - {step: impute, indicator: true}
  - {step: one_hot}
  - {step: select, method: forest, features: 30}
"""


@st.composite
def tables(draw: st.DrawFn) -> tuple[pd.DataFrame, Schema]:
    """Twelve to thirty rows of one to five columns of any kinds with gaps."""
    rows = draw(st.integers(12, 30))
    columns, values = [], {}
    for place, kind in enumerate(draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5))):
        name = f"{kind[:3]} {place}"
        cell = st.none() | VALUES[kind]
        values[name] = draw(st.lists(cell, min_size=rows, max_size=rows))
        columns.append(Column(name, kind, nullable=True, informative=True))
    return pd.DataFrame(values, dtype=object), Schema(tuple(columns))


def targets(rows: int) -> np.ndarray:
    return np.arange(rows) % 2


def trained(frame: pd.DataFrame, schema: Schema, family: Family) -> Pipeline:
    return prepare(schema, family, problem=BINARY).pipeline.fit(frame, targets(len(frame)))


def stored(features: Any) -> bytes:
    """Return every cell of features in one text, gaps included."""
    if isinstance(features, pd.DataFrame):
        return features.to_csv(index=False, float_format="%.17g").encode()
    return (features.toarray() if sparse.issparse(features) else np.asarray(features)).tobytes()


def codes(features: Any) -> np.ndarray:
    """Return features as numbers."""
    if isinstance(features, pd.DataFrame):
        categories = features.select_dtypes("category").columns
        coded = features.assign(**{each: features[each].cat.codes for each in categories})
        return coded.to_numpy(dtype=float)
    return features.toarray() if sparse.issparse(features) else np.asarray(features)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Three hundred rows of all kinds of columns, in an order of their own."""
    rng = np.random.default_rng(7)
    n = 300
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n),
            "pay": rng.lognormal(size=n),
            "job": rng.choice(["cook", "driver", "nurse"], n),
            "town": [f"town {each}" for each in rng.integers(0, 80, n)],
            "born": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 9e4, n), "h"),
            "member": rng.random(n) < 0.5,
            "note": [f"{' '.join(rng.choice(list('abcdefg'), 4))} {k}" for k in range(n)],
        }
    )
    gaps = rng.random((n, 7)) < 0.1
    return frame.astype(object).mask(gaps, None).set_axis(rng.permutation(n))


@pytest.fixture(scope="module")
def schema() -> Schema:
    kinds = {
        "age": "numeric",
        "pay": "numeric",
        "job": "categorical",
        "town": "categorical",
        "born": "datetime",
        "member": "boolean",
        "note": "text",
    }
    return Schema(
        tuple(Column(name, kind, nullable=True, informative=True) for name, kind in kinds.items())
    )


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25)
@given(table=tables())
def test_gaps_and_unseen_values_have_an_answer(
    family: Family, table: tuple[pd.DataFrame, Schema]
) -> None:
    frame, schema = table
    pipeline = trained(frame, schema, family)
    odd = {"categorical": "never seen", "datetime": "2031-05-05T05:05:05"}
    unseen = {each.name: odd.get(each.kind, True) for each in schema.columns}
    served = pd.DataFrame([unseen, dict.fromkeys(schema.names)], index=[7, 3])

    answer = codes(pipeline.transform(served))

    assert answer.shape == (2, len(pipeline.get_feature_names_out()))
    assert not np.isinf(answer).any()
    assert family != "linear" or np.isfinite(answer).all()


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25)
@given(table=tables(), data=st.data())
def test_extra_and_reordered_columns_change_nothing(
    family: Family, table: tuple[pd.DataFrame, Schema], data: st.DataObject
) -> None:
    frame, schema = table
    pipeline = trained(frame, schema, family)
    order = data.draw(st.permutations([*schema.names, "extra"]))

    again = pipeline.transform(frame.assign(extra="anything")[order])

    assert stored(again) == stored(pipeline.transform(frame))


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25)
@given(table=tables(), data=st.data())
def test_rows_are_answered_one_by_one_as_together(
    family: Family, table: tuple[pd.DataFrame, Schema], data: st.DataObject
) -> None:
    frame, schema = table
    pipeline = trained(frame, schema, family)
    place = data.draw(st.integers(0, len(frame) - 1))

    alone = codes(pipeline.transform(frame.iloc[[place]]))

    np.testing.assert_allclose(alone, codes(pipeline.transform(frame))[[place]], rtol=1e-12)


@settings(max_examples=50)
@given(table=tables(), data=st.data())
def test_a_wrong_value_is_blamed_on_its_column(
    table: tuple[pd.DataFrame, Schema], data: st.DataObject
) -> None:
    frame, schema = table
    wrong = [each for each in schema.columns if each.kind in WRONG]
    pipeline = prepare(schema, "tree", problem=BINARY).pipeline[:1].fit(frame)
    if not wrong:
        return
    column = data.draw(st.sampled_from(wrong))
    served = frame.copy()
    served.iloc[-1, frame.columns.get_loc(column.name)] = WRONG[column.kind]

    with pytest.raises(ColumnValueError) as caught:
        pipeline.transform(served)

    assert caught.value.column == column.name
    assert WRONG[column.kind] in str(caught.value)


@settings(max_examples=50)
@given(table=tables(), data=st.data())
def test_missing_columns_are_named(table: tuple[pd.DataFrame, Schema], data: st.DataObject) -> None:
    frame, schema = table
    missing = data.draw(st.lists(st.sampled_from(schema.names), min_size=1, unique=True))
    pipeline = prepare(schema, "tree", problem=BINARY).pipeline[:1].fit(frame)

    with pytest.raises(MissingColumnsError) as caught:
        pipeline.transform(frame.drop(columns=missing))

    assert set(caught.value.missing) == set(missing)


@settings(max_examples=50)
@given(table=tables())
def test_conforming_twice_is_conforming_once(table: tuple[pd.DataFrame, Schema]) -> None:
    once = conform(*table)

    pd.testing.assert_frame_equal(conform(once, table[1]), once)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("numeric", "many"),
        ("numeric", pd.Timestamp("2020-01-01")),
        ("numeric", pd.Timedelta(days=1)),
        ("numeric", [1.0]),
        ("numeric", {}),
        ("numeric", b"1x"),
        ("boolean", "perhaps"),
        ("datetime", "soon"),
        ("datetime", "2024-02-30"),
        ("datetime", [1]),
        ("datetime", {}),
        ("datetime", float("inf")),
        ("datetime", 1e300),
    ],
)
def test_values_of_another_kind_are_told(kind: Any, value: Any) -> None:
    schema = Schema((Column("it", kind, nullable=True, informative=True),))
    frame = pd.DataFrame({"it": pd.Series([None, value], dtype=object)})

    with pytest.raises(ColumnValueError, match="'it'"):
        conform(frame, schema)
    with pytest.raises(ColumnValueError, match="'it'"):
        conform(frame.tail(1).infer_objects(), schema)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, None, pd.NA, "", "inf"])
def test_what_is_no_finite_number_is_missing_or_told(value: Any) -> None:
    schema = Schema((Column("it", "numeric", nullable=True, informative=True),))
    frame = pd.DataFrame({"it": pd.Series([1, value], dtype=object)})

    try:
        number = conform(frame, schema)["it"].iloc[1]
    except ColumnValueError as error:
        assert error.column == "it"  # noqa: PT017 - either will do
    else:
        assert np.isnan(number)


@pytest.mark.parametrize("family", FAMILIES)
def test_columns_of_the_model_are_all_there(
    family: Family, rows: pd.DataFrame, schema: Schema
) -> None:
    pipeline = prepare(schema, family, problem=BINARY).pipeline

    features = pipeline.fit_transform(rows, targets(len(rows)))

    names = pipeline.get_feature_names_out()
    assert features.shape == (len(rows), len(names))
    assert all(any(str(name).startswith(each) for name in names) for each in schema.names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_the_index_does_not_matter(
    family: Family, rows: pd.DataFrame, schema: Schema
) -> None:
    pipeline = prepare(schema, family, problem=BINARY).pipeline
    y = targets(len(rows))

    shuffled = stored(pipeline.fit_transform(rows, y))

    assert stored(clone(pipeline).fit_transform(rows.reset_index(drop=True), y)) == shuffled


@pytest.mark.parametrize("family", FAMILIES)
def test_components_of_all_numbers_stay_with_their_rows(
    family: Family, rows: pd.DataFrame, schema: Schema
) -> None:
    spec = PipelineSpec.read(
        "steps: [{step: drop_columns, columns: [note]}, {step: one_hot, columns: [job]},"
        " {step: impute, columns: [age, pay, member]},"
        " {step: pca, columns: [age, pay, job=cook, job=nurse], components: 2}]"
    )
    pipeline = prepare(schema, family, problem=BINARY, spec=spec).pipeline
    y = targets(len(rows))

    shuffled = codes(pipeline.fit_transform(rows, y))

    again = codes(clone(pipeline).fit_transform(rows.reset_index(drop=True), y))
    np.testing.assert_allclose(shuffled, again)
    assert pipeline.transform(rows.iloc[[5, 3]]).shape[0] == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_pipelines_can_be_cloned(family: Family, rows: pd.DataFrame, schema: Schema) -> None:
    spec = PipelineSpec.read(SPEC) if family == "linear" else None
    pipeline = prepare(schema, family, problem=BINARY, spec=spec).pipeline
    fitted = pipeline.fit(rows, targets(len(rows)))

    again = clone(fitted)

    assert joblib.hash(again) == joblib.hash(clone(pipeline))
    assert stored(again.fit(rows, targets(len(rows))).transform(rows)) == stored(
        fitted.transform(rows)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_answering_changes_nothing_that_was_fitted(
    family: Family, rows: pd.DataFrame, schema: Schema
) -> None:
    spec = PipelineSpec.read(SPEC) if family == "linear" else None
    pipeline = prepare(schema, family, problem=BINARY, spec=spec).pipeline
    fitted = pipeline.fit(rows, targets(len(rows)))
    before = joblib.hash(fitted)

    fitted.transform(rows.head(2).assign(born="2044-12-25T12:00:00", job="pilot"))

    assert joblib.hash(fitted) == before


FIT = """
import sys

import joblib
import numpy as np

from tasks.tabular.features import prepare
from tasks.tabular.problem import Problem
from tasks.tabular.schema import Schema
from tasks.tabular.spec import PipelineSpec

rows, schema, specs = joblib.load(sys.argv[1])
problem = Problem("binary", "y", (0, 1))
without = Schema(tuple(each for each in schema.columns if each.kind != "text"))
for texts, columns in (("with texts", schema), ("without texts", without)):
    for name, text in specs.items():
        spec = PipelineSpec.read(text)
        for family in ("linear", "tree", "native"):
            pipeline = prepare(columns, family, problem=problem, spec=spec).pipeline
            digest = joblib.hash(pipeline.fit(rows, np.arange(len(rows)) % 2))
            print(f"{family}, {name}, {texts}", digest, sep="=")
"""


@pytest.fixture(scope="module")
def digests(
    rows: pd.DataFrame, schema: Schema, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, str]]:
    """The digests of fitted pipelines in two processes whose sets have other orders."""
    content = tmp_path_factory.mktemp("processes") / "content"
    joblib.dump((rows, schema, {"usual steps": "{}", "own steps": SPEC}), content)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", FIT, content],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    printed = [each.communicate()[0].splitlines() for each in running]
    return [dict(line.split("=") for line in lines) for lines in printed]


@pytest.mark.parametrize("texts", ["with texts", "without texts"])
@pytest.mark.parametrize("name", ["usual steps", "own steps"])
@pytest.mark.parametrize("family", FAMILIES)
def test_two_processes_fit_the_same(
    digests: list[dict[str, str]], family: Family, name: str, texts: str
) -> None:
    one, other = (each[f"{family}, {name}, {texts}"] for each in digests)

    assert one == other


def test_a_random_target_cannot_be_told_from_many_categories() -> None:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"shop": [f"shop {each}" for each in rng.integers(0, 4_000, 20_000)]})
    y = rng.integers(0, 2, 20_000)
    schema = infer(frame)
    model = make_pipeline(prepare(schema, "linear", problem=BINARY).pipeline, LogisticRegression())

    scores = cross_val_predict(model, frame, y, cv=StratifiedKFold(5), method="predict_proba")[:, 1]

    assert roc_auc_score(y, scores) == pytest.approx(0.5, abs=0.01)


def test_encoding_does_not_give_the_target_away_in_training() -> None:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"shop": [f"shop {each}" for each in rng.integers(0, 4_000, 20_000)]})
    y = rng.integers(0, 2, 20_000)
    pipeline = prepare(infer(frame), "tree", problem=BINARY).pipeline

    encoded = pipeline.fit_transform(frame, y)[:, 0]

    assert roc_auc_score(y, encoded) == pytest.approx(0.5, abs=0.02)
    assert roc_auc_score(y, pipeline.transform(frame)[:, 0]) > 0.6


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_left_over_can_be_dropped(
    family: Family, rows: pd.DataFrame, schema: Schema
) -> None:
    spec = PipelineSpec(remainder="drop")
    pipeline = prepare(schema, family, problem=BINARY, spec=spec).pipeline

    pipeline.fit(rows, targets(len(rows)))

    assert pipeline.get_feature_names_out().tolist() == ["age", "pay", "member"]


def test_what_is_left_over_can_be_refused(rows: pd.DataFrame, schema: Schema) -> None:
    spec = PipelineSpec(remainder="refuse")

    with pytest.raises(StepError, match="'job'"):
        prepare(schema, "tree", problem=BINARY, spec=spec).pipeline.fit(rows, targets(len(rows)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_compiled_specification_says_all(family: Family, schema: Schema) -> None:
    whole = prepare(schema, family, problem=BINARY, spec=PipelineSpec.read(SPEC)).spec

    assert PipelineSpec.read(whole.to_yaml()) == whole
    assert complete(whole, schema, family, BINARY) == whole
    assert whole.remainder == "refuse"


def test_rows_are_left_out_by_filters_alone(schema: Schema) -> None:
    preparation = prepare(schema, "tree", problem=BINARY, spec=PipelineSpec.read(SPEC))

    assert [each.step for each in preparation.filters] == ["drop_duplicates"]
    assert "drop_duplicates" not in preparation.pipeline.named_steps


def test_steps_of_a_kind_are_told_apart(schema: Schema) -> None:
    spec = PipelineSpec.read(
        "steps: [{step: scale, columns: [age]}, {step: scale, columns: [pay]}]"
    )

    names = list(prepare(schema, "tree", problem=BINARY, spec=spec).pipeline.named_steps)

    assert names[:3] == ["columns", "scale", "scale_2"]


def test_a_step_that_needs_a_target_says_so(schema: Schema) -> None:
    spec = PipelineSpec.read("steps: [{step: target_encode}]")

    with pytest.raises(StepError, match=r"'target_encode'.*target"):
        prepare(schema, "tree", spec=spec)


INFORMATIVE = Schema(
    (
        Column("age", "numeric", nullable=False, informative=True),
        Column("id", "categorical", nullable=False, informative=False),
        Column("y", "numeric", nullable=True, informative=True),
    )
)


def usable_with(text: str) -> tuple[str, ...]:
    return usable(INFORMATIVE, "y", PipelineSpec.read(text)).names


def test_models_use_what_tells_something_and_what_is_named() -> None:
    assert usable(INFORMATIVE, "y").names == ("age",)
    assert usable_with("steps: [{step: hash_encode, columns: [id]}]") == ("age", "id")
    assert usable_with("steps: [{step: expression, formulas: {a: col('id') + 1}}]") == ("age", "id")


def test_a_column_that_only_chooses_rows_is_no_feature() -> None:
    assert usable_with("steps: [{step: drop_duplicates, columns: [id]}]") == ("age",)


def test_rows_may_be_left_out_by_their_target() -> None:
    assert usable_with("steps: [{step: drop_nulls, columns: [y]}]") == ("age",)


@pytest.mark.parametrize(
    "step",
    [
        "{step: scale, columns: [y]}",
        "{step: expression, formulas: {leak: y * 2}}",
        "{step: expression, formulas: {leak: \"col('y')\"}}",
    ],
)
def test_features_are_not_made_of_the_target(step: str) -> None:
    with pytest.raises(SpecError, match="target"):
        usable_with(f"steps: [{step}]")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rows: rows.assign(job="pilot"), id="unseen category"),
        pytest.param(lambda rows: rows.assign(age=1e300, pay=-1e300), id="great numbers"),
        pytest.param(lambda rows: rows.assign(age=np.inf), id="infinite number"),
        pytest.param(lambda rows: rows.assign(born="1700-01-01"), id="distant date"),
        pytest.param(lambda rows: rows.assign(note=""), id="empty text"),
        pytest.param(lambda rows: rows.assign(job=3), id="number for a category"),
        pytest.param(lambda rows: rows.assign(**dict.fromkeys(rows)), id="nothing"),
        pytest.param(lambda rows: rows.iloc[[0, 0]], id="the same row twice"),
    ],
)
def test_odd_rows_have_an_answer(
    family: Family,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    rows: pd.DataFrame,
    schema: Schema,
) -> None:
    pipeline = trained(rows, schema, family)
    served = change(rows.head(3))

    answer = codes(pipeline.transform(served))

    assert len(answer) == len(served)
    assert not np.isinf(answer).any()
    assert family != "linear" or np.isfinite(answer).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_row_has_one_answer_whatever_its_index(
    rows: pd.DataFrame, schema: Schema, count: int
) -> None:
    spec = PipelineSpec.read(
        "steps: [{step: drop_columns, columns: [note]}, {step: one_hot, columns: [job]},"
        " {step: pca, columns: [job=cook, job=nurse], components: 1}]"
    )
    pipeline = prepare(schema, "tree", problem=BINARY, spec=spec).pipeline

    pipeline.fit(rows.reset_index(drop=True), targets(len(rows)))
    answer = pipeline.transform(rows.head(count).set_axis(range(900, 900 + count)))

    assert answer.shape[0] == count


def test_many_indicators_stay_sparse(rows: pd.DataFrame, schema: Schema) -> None:
    spec = PipelineSpec.read(
        "steps: [{step: one_hot, columns: [town], max_categories: 1000},"
        " {step: drop_columns, columns: [note]}]"
    )
    pipeline = prepare(schema, "tree", problem=BINARY, spec=spec).pipeline

    features = pipeline.fit_transform(rows, targets(len(rows)))

    assert sparse.issparse(features)
    assert features.shape[1] > 80
