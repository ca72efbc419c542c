from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tasks.tabular.schema import Schema, conform, infer

FRAME = pd.DataFrame(
    {
        "age": [1, 2, 3],
        "income": [1.5, np.nan, 2.5],
        "job": ["a", None, "b"],
        "member": [True, False, True],
        "born": pd.to_datetime(["2020-01-01", "2021-01-01", None]),
        "unit": ["kg", "kg", "kg"],
    }
)


def test_kinds_and_missing_values_are_inferred() -> None:
    schema = infer(FRAME)

    assert [column.kind for column in schema.columns] == [
        "numeric",
        "numeric",
        "categorical",
        "boolean",
        "datetime",
        "categorical",
    ]
    assert [c.name for c in schema.columns if c.nullable] == ["income", "job", "born"]


def test_constants_and_identifiers_are_left_out_of_models() -> None:
    frame = pd.DataFrame({"id": [f"row {n}" for n in range(50)], "x": range(50), "unit": "kg"})
    frame["y"] = frame["x"] % 2

    assert infer(frame).features("y").names == ("x",)


def test_a_column_that_is_only_sometimes_missing_tells_something() -> None:
    flag = infer(pd.DataFrame({"flag": ["yes", None, "yes"]})).columns[0]

    assert flag.informative


def test_a_schema_survives_json() -> None:
    schema = infer(FRAME)

    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_models_are_given_floats_texts_and_instants() -> None:
    rows = conform(FRAME, infer(FRAME))

    assert rows.dtypes.astype(str).tolist() == [
        "float64",
        "float64",
        "object",
        "float64",
        "datetime64[us, UTC]",
        "object",
    ]
    assert rows["job"].tolist() == ["a", None, "b"]


def test_conforming_selects_and_orders_columns() -> None:
    schema = infer(FRAME[["job", "age"]])

    assert conform(FRAME, schema).columns.tolist() == ["job", "age"]


def test_conforming_twice_changes_nothing() -> None:
    once = conform(FRAME, infer(FRAME))

    pd.testing.assert_frame_equal(conform(once, infer(FRAME)), once)


@pytest.mark.parametrize("value", [7, 7.5, True])
def test_a_category_that_is_no_text_becomes_one(value: object) -> None:
    frame = pd.DataFrame({"mixed": pd.Series([value, "x"], dtype=object)})

    assert conform(frame, infer(frame))["mixed"].tolist() == [str(value), "x"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2011-01-01", "2012-02-29"], "datetime"),
        (["2011-01-01", None, "2012-02-29"], "datetime"),
        (["2011-01-01T10:00:00", "2012-02-29T00:00:01"], "datetime"),
        (["2011-01-01", "soon"], "categorical"),
        (["2011-01-01", ""], "categorical"),
        (["2011-13-01", "2011-12-01"], "categorical"),
        (["2011-01-01"] * 300 + ["never"], "categorical"),
        ([None, None], "categorical"),
    ],
)
def test_iso_dates_left_as_texts_are_dates(values: list[str | None], kind: str) -> None:
    frame = pd.DataFrame({"when": pd.Series(values, dtype=object)})

    schema = infer(frame)

    assert schema.columns[0].kind == kind
    conformed = conform(frame, schema)["when"]
    assert conformed.isna().tolist() == frame["when"].isna().tolist()
