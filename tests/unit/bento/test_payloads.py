from __future__ import annotations

import importlib.util
import sys

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.provenance import ROOT
from tasks.tabular.evidence import json_rows
from tasks.tabular.schema import Schema, conform, infer

_SPEC = importlib.util.spec_from_file_location("payloads", ROOT / "bento" / "payloads.py")
payloads = importlib.util.module_from_spec(_SPEC)
sys.modules["payloads"] = payloads
_SPEC.loader.exec_module(payloads)

FRAME = pd.DataFrame(
    {
        "age": [20, 30, 41],
        "score": [0.1 + 0.2, None, 1e-300],
        "job": ["a", None, "7"],
        "member": [True, False, True],
        "born": pd.to_datetime(["2020-02-29 13:00:00.5", None, "1969-12-31"], format="ISO8601"),
    }
)
SCHEMA = infer(FRAME)
COLUMNS = SCHEMA.to_json()["columns"]
ROW = json_rows(FRAME)[0]


def test_rows_become_the_frame_the_model_was_trained_on() -> None:
    read = payloads.read_rows(json_rows(FRAME), COLUMNS)

    pd.testing.assert_frame_equal(read, conform(FRAME, SCHEMA))


def test_columns_may_come_in_any_order_and_with_others() -> None:
    shuffled = dict(reversed({**ROW, "extra": 1}.items()))

    pd.testing.assert_frame_equal(
        payloads.read_rows([shuffled], COLUMNS), payloads.read_rows([ROW], COLUMNS)
    )


@pytest.mark.parametrize("age", [20, 20.0, "20", " 20 "])
def test_a_number_may_be_written_as_text(age: object) -> None:
    assert payloads.read_rows([{**ROW, "age": age}], COLUMNS)["age"].tolist() == [20.0]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"age": "old"}, r"rows\[0\].age: 'old' is no numeric value"),
        ({"age": True}, r"rows\[0\].age"),
        ({"age": "nan"}, r"rows\[0\].age"),
        ({"age": 1e400}, r"rows\[0\].age"),
        ({"age": None}, r"rows\[0\].age: is null"),
        ({"member": "perhaps"}, r"rows\[0\].member"),
        ({"born": "yesterday"}, r"rows\[0\].born"),
        ({"born": True}, r"rows\[0\].born"),
        ({"born": 1e300}, r"rows\[0\].born"),
        ({"born": "0000-01-01"}, r"rows\[0\].born"),
        ({"born": "9999-12-31T23:00:00-05:00"}, r"rows\[0\].born"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(changed: dict, says: str) -> None:
    with pytest.raises(payloads.RowError, match=says):
        payloads.read_rows([{**ROW, **changed}], COLUMNS)


def test_a_missing_column_is_named_unless_the_model_knows_it_missing() -> None:
    with pytest.raises(payloads.RowError, match=r"rows\[1\].age: is missing"):
        payloads.read_rows([ROW, {"member": True}], COLUMNS)

    assert payloads.read_rows([{"age": 1, "member": 0}], COLUMNS)["job"].isna().all()


def test_no_rows_are_refused() -> None:
    with pytest.raises(payloads.RowError, match="at least one"):
        payloads.read_rows([], COLUMNS)


JSON = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), st.text(max_size=20)
)


@given(st.lists(st.dictionaries(st.sampled_from(SCHEMA.names), JSON), max_size=3))
def test_any_json_is_read_or_refused(rows: list[dict]) -> None:
    try:
        frame = payloads.read_rows(rows, COLUMNS)
    except payloads.RowError:
        return

    assert conform(frame, Schema(SCHEMA.columns)).shape == (len(rows), len(COLUMNS))


def test_a_date_may_be_unix_seconds() -> None:
    column = {"name": "born", "kind": "datetime", "nullable": False}

    frame = payloads.read_rows([{"born": 0}, {"born": "1970-01-01T00:00:01.5Z"}], [column])

    assert frame["born"].tolist() == [
        pd.Timestamp(0, tz="UTC"),
        pd.Timestamp("1970-01-01 00:00:01.5", tz="UTC"),
    ]


@pytest.mark.parametrize(
    ("scores", "threshold", "place"),
    [((0.6, 0.4), 0.5, 0), ((0.6, 0.4), 0.3, 1), ((0.2, 0.3, 0.5), 0.1, 2)],
)
def test_a_threshold_moves_the_decision_between_two_classes(
    scores: tuple[float, ...], threshold: float, place: int
) -> None:
    assert payloads.decide(scores, threshold) == place
