"""Requests, read into columns: tolerant where nothing is lost, and exact about what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.tabular.rows import MOST_FAULTS, Batch, Column, Reader, RowsError, columns_of

GAPPY = (
    Column("ratio", "numeric", nullable=True),
    Column("count", "numeric", nullable=True, whole=True),
    Column("flag", "boolean", nullable=True),
    Column("group", "categorical", nullable=True),
    Column("note", "text", nullable=True),
    Column("moment", "datetime", nullable=True),
)
FULL = tuple(Column(each.name, each.kind, nullable=False, whole=each.whole) for each in GAPPY)
NAMES = [each.name for each in FULL]
ROW = {
    "ratio": 0.5,
    "count": 5,
    "flag": True,
    "group": "x",
    "note": "late again",
    "moment": "2024-02-29T12:30:00Z",
}
NOON = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)


def sent(*rows: Any) -> bytes:
    return json.dumps({"rows": rows}).encode()


def read(*rows: Any, columns: tuple[Column, ...] = FULL) -> Batch:
    return Reader(columns).read(sent(*rows))


def faults(body: bytes, columns: tuple[Column, ...] = FULL) -> list[tuple[str, str]]:
    """What is wrong with a request; anything but `RowsError` fails the test."""
    with pytest.raises(RowsError) as caught:
        Reader(columns).read(body)
    return list(caught.value.faults)


def assert_alike(one: Batch, other: Batch) -> None:
    assert one.size == other.size
    assert one.numbers.dtype == other.numbers.dtype == np.float64
    np.testing.assert_array_equal(one.numbers, other.numbers, strict=True)
    assert one.texts == other.texts
    assert one.instants == other.instants


def alone(kind: str, value: Any, *, nullable: bool = False, whole: bool = False) -> Any:
    """The one value of a one-column model."""
    batch = Reader((Column("it", kind, nullable, whole),)).read(sent({"it": value}))
    if kind == "datetime":
        return batch.instants[0][0]
    return batch.texts[0][0] if batch.texts else batch.numbers[0, 0]


# well-typed rows


def test_well_typed_rows_become_columns() -> None:
    batch = read(ROW, {**ROW, "ratio": -3, "flag": False, "group": "y"})

    np.testing.assert_array_equal(batch.numbers, [[0.5, 5.0, 1.0], [-3.0, 5.0, 0.0]])
    assert batch.texts == (["x", "y"], ["late again", "late again"])
    assert batch.instants == ([NOON, NOON],)
    assert (batch.size, batch.single) == (2, False)


def test_well_typed_rows_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "_tolerant", lambda *_: pytest.fail("looked at"))

    assert read(ROW).size == 1


def test_columns_come_in_any_order_and_company() -> None:
    row = {"stranger": {"deep": [1, None]}, **dict(reversed(ROW.items())), "\x00": 1}

    assert_alike(read(row), read(ROW))
    assert_alike(read({**row, "count": "5"}), read(ROW))


def test_the_columns_of_a_schema_are_whole_where_their_type_is() -> None:
    kinds = {"a": ("numeric", "int64"), "b": ("numeric", "double"), "c": ("categorical", "string")}
    schema = {
        "columns": [
            {"name": name, "kind": kind, "nullable": name == "b", "type": type_}
            for name, (kind, type_) in kinds.items()
        ]
    }

    assert columns_of(schema) == (
        Column("a", "numeric", nullable=False, whole=True),
        Column("b", "numeric", nullable=True),
        Column("c", "categorical", nullable=False),
    )


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        pytest.param(FULL[3:], {**ROW}, id="no numbers"),
        pytest.param(FULL[:3], {**ROW}, id="no texts"),
        *(pytest.param((each,), {each.name: ROW[each.name]}, id=each.name) for each in FULL),
    ],
)
def test_some_kinds_of_columns_may_be_absent(
    columns: tuple[Column, ...], row: dict[str, Any]
) -> None:
    numbers = [each for each in columns if each.kind in ("numeric", "boolean")]

    batch = read(row, row, row, columns=columns)

    assert batch.numbers.shape == (3, len(numbers))
    assert len(batch.texts) == sum(each.kind in ("categorical", "text") for each in columns)
    assert len(batch.instants) == sum(each.kind == "datetime" for each in columns)
    strange = {**row, "other": 1}
    assert_alike(Reader(columns).read_named([row, strange, row]), batch)


@pytest.mark.parametrize("name", ['6" pipe', "a\\b", "a\nb", "a\tb", "\x00", "", " ", "é", "f0"])
def test_a_column_may_have_any_name(name: str) -> None:
    reader = Reader((Column(name, "numeric", nullable=False), Column("f1", "text", nullable=True)))

    batch = reader.read(sent({name: 2.5, "f1": "x"}))

    assert batch.numbers.tolist() == [[2.5]]


# tolerance


@pytest.mark.parametrize("value", [5, "5", 5.0, "5.0", " 5 ", "+5", "5e0", "0.5e1"])
def test_a_whole_number_is_one_however_it_is_written(value: Any) -> None:
    assert alone("numeric", value, whole=True) == 5.0


@pytest.mark.parametrize("value", [5.5, "5.5", 5.000001, "5e-1", -0.1])
def test_a_fraction_is_no_whole_number(value: Any) -> None:
    assert faults(sent(ROW, {**ROW, "count": value})) == [
        (
            "rows[1].count",
            f"{value} is no whole number, and the column holds whole numbers only",
        )
    ]


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5.0), ("0.1", 0.1), ("-1e-3", -1e-3), (".5", 0.5), ("5.", 5.0), (1e308, 1e308), (-0.0, 0)],
)
def test_numbers_may_be_texts(value: Any, number: float) -> None:
    assert alone("numeric", value) == number


@pytest.mark.parametrize(
    "value",
    ["abc", "", " ", "1_000", "0x10", "nan", "inf", "1e999", "1,5", "\u0665", True, [], {}, [1]],
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    ((place, words),) = faults(sent({**ROW, "ratio": value}))

    assert place == "rows[0].ratio"
    assert words == f"{value!r} is no numeric value"


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "True", "TRUE", " true ", "1", "1.0"])
def test_true_is_spelled_in_many_ways(value: Any) -> None:
    assert alone("boolean", value) == 1.0


@pytest.mark.parametrize("value", [False, 0, 0.0, "false", "False", " FALSE", "0", "0.0"])
def test_false_is_spelled_in_many_ways(value: Any) -> None:
    assert alone("boolean", value) == 0.0


@pytest.mark.parametrize("value", [2, -1, 0.5, "perhaps", "yes", "", [], {}])
def test_what_is_no_truth_is_refused(value: Any) -> None:
    assert faults(sent({**ROW, "flag": value})) == [
        ("rows[0].flag", f"{value!r} is no boolean value")
    ]


@pytest.mark.parametrize(("value", "text"), [("5", "5"), (5, "5"), ("", ""), ("x\x00y", "x\x00y")])
@pytest.mark.parametrize("kind", ["categorical", "text"])
def test_texts_are_taken_as_they_are_and_numbers_as_texts(kind: str, value: Any, text: str) -> None:
    assert alone(kind, value) == text


@pytest.mark.parametrize("value", [[], {}, ["x"], {"x": 1}])
def test_what_is_no_text_is_refused(value: Any) -> None:
    assert faults(sent({**ROW, "group": value})) == [
        ("rows[0].group", f"{value!r} is no categorical value")
    ]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("2024-02-29T12:30:00Z", id="Z"),
        pytest.param("2024-02-29T12:30:00", id="naive is UTC"),
        pytest.param("2024-02-29 12:30:00", id="a blank"),
        pytest.param("2024-02-29T12:30", id="no seconds"),
        pytest.param("2024-02-29T14:30:00+02:00", id="zoned"),
        pytest.param("2024-02-28T23:30:00-13:00", id="the day before"),
        pytest.param(" 2024-02-29T12:30:00Z ", id="blanks around it"),
        pytest.param(NOON.timestamp(), id="Unix seconds"),
        pytest.param(int(NOON.timestamp()), id="whole Unix seconds"),
    ],
)
def test_instants_are_in_utc_however_they_are_written(value: Any) -> None:
    found = alone("datetime", value)

    assert found == NOON
    assert found.utcoffset() == timedelta(0)


def test_a_date_is_its_midnight() -> None:
    assert alone("datetime", "2024-02-29") == datetime(2024, 2, 29, tzinfo=UTC)


def test_fractions_of_seconds_are_kept() -> None:
    assert alone("datetime", "1969-12-31T23:59:59.5Z") == datetime.fromtimestamp(-0.5, UTC)
    assert alone("datetime", -0.5) == datetime.fromtimestamp(-0.5, UTC)


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "",
        "2024-13-01",
        "2023-02-29",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        1e300,
        -1e300,
        10**30,
        True,
        [],
        {},
    ],
)
def test_what_is_no_instant_is_refused(value: Any) -> None:
    assert faults(sent({**ROW, "moment": value})) == [
        ("rows[0].moment", f"{value!r} is no datetime value")
    ]


@pytest.mark.parametrize("fraction", ["1234567", "123456789", "9999999"])
def test_fractions_beyond_microseconds_are_read_alike_on_both_paths(fraction: str) -> None:
    moment = f"2024-01-01T00:00:00.{fraction}Z"

    typed, tolerant = read({**ROW, "moment": moment}), read({**ROW, "count": "5", "moment": moment})

    assert typed.instants == tolerant.instants


# gaps


@pytest.mark.parametrize("name", NAMES)
def test_a_gap_is_null_or_left_out_where_the_model_has_seen_one(name: str) -> None:
    null = {**ROW, name: None}
    absent = {key: value for key, value in ROW.items() if key != name}

    batch = read(null, absent, columns=GAPPY)

    assert Reader(GAPPY).gaps(batch) == [name]
    at = NAMES.index(name)
    missing = [np.nan, np.nan] if at < 3 else [None, None]
    found = [*batch.numbers.T.tolist(), *batch.texts, *batch.instants][at]
    np.testing.assert_array_equal(np.array(found), np.array(missing))
    assert_alike(Reader(GAPPY).read_named([null, absent]), batch)


@pytest.mark.parametrize("name", NAMES)
def test_a_gap_is_refused_where_the_model_has_seen_none(name: str) -> None:
    kind = FULL[NAMES.index(name)].kind
    absent = {key: value for key, value in ROW.items() if key != name}
    never = f"and the model has never seen it missing; send a {kind} value"

    found = faults(sent(ROW, {**ROW, name: None}, absent))

    assert found == [
        (f"rows[1].{name}", f"is null, {never}"),
        (f"rows[2].{name}", f"is missing, {never}"),
    ]


def test_no_gaps_are_named_where_there_are_none() -> None:
    assert Reader(GAPPY).gaps(read(ROW, columns=GAPPY)) == []


def test_gaps_are_named_in_the_order_of_the_columns() -> None:
    assert Reader(GAPPY).gaps(read({}, ROW, columns=GAPPY)) == NAMES


# positions


def test_one_row_of_features_is_a_row() -> None:
    reader = Reader(FULL)
    body = json.dumps({"features": list(ROW.values())}).encode()

    batch = reader.read(body)

    assert batch.single
    assert_alike(batch, read(ROW))


def test_a_list_of_rows_of_features_is_rows() -> None:
    features = [list(ROW.values()), list({**ROW, "count": "7"}.values())]

    batch = Reader(FULL).read(json.dumps({"features": features}).encode())

    assert not batch.single
    assert_alike(batch, read(ROW, {**ROW, "count": 7}))


def test_a_value_that_is_wrong_is_named_by_its_place_and_column() -> None:
    wrong = list({**ROW, "count": 5.5}.values())

    single = faults(json.dumps({"features": wrong}).encode())
    many = faults(json.dumps({"features": [list(ROW.values()), wrong]}).encode())

    assert [place for place, _ in single] == ["features[1] (count)"]
    assert [place for place, _ in many] == ["features[1][1] (count)"]


@pytest.mark.parametrize("width", range(len(NAMES)))
def test_columns_that_features_lack_are_named(width: int) -> None:
    features = list(ROW.values())[:width]
    words = f"has {width} values instead of 6; missing: {', '.join(NAMES[width:])}"

    assert faults(json.dumps({"features": features}).encode()) == [("features", words)]
    assert faults(json.dumps({"features": [[*ROW.values()], features]}).encode()) == [
        ("features[1]", words)
    ]


def test_features_beyond_the_columns_are_refused() -> None:
    features = [*ROW.values(), 1]

    assert faults(json.dumps({"features": features}).encode()) == [
        ("features", f"has 7 values instead of 6: {', '.join(NAMES)}")
    ]


@pytest.mark.parametrize("features", [None, 1, "x", {}, {"ratio": 1}, True])
def test_features_are_a_list(features: Any) -> None:
    assert faults(json.dumps({"features": features}).encode()) == [("features", "is no list")]


def test_rows_among_values_are_told() -> None:
    assert faults(json.dumps({"features": [1, list(ROW.values())]}).encode()) == [
        ("features[0]", "is no list of values")
    ]


# wrappers


@pytest.mark.parametrize(
    "inner", [{"rows": [ROW]}, {"features": list(ROW.values())}, {"features": [[*ROW.values()]]}]
)
def test_either_may_be_inside_input_data(inner: dict[str, Any]) -> None:
    wrapped = Reader(FULL).read(json.dumps({"input_data": inner}).encode())

    assert_alike(wrapped, read(ROW))


def test_which_rows_are_meant_does_not_depend_on_how_they_are_typed() -> None:
    inner = {"rows": [{**ROW, "count": 2}]}
    bodies = [{"rows": [{**ROW, "count": count}], "input_data": inner} for count in (1, "1")]

    strict, tolerant = (Reader(FULL).read(json.dumps(each).encode()) for each in bodies)

    assert_alike(strict, tolerant)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"rows": ROW},
        {"rows": None},
        {"rows": "x"},
        {"input_data": None},
        {"input_data": [ROW]},
        {"input_data": {}},
        {"input_data": {"input_data": {"rows": [ROW]}}},
        {"data": [ROW]},
    ],
)
def test_a_request_without_rows_is_told_what_to_send(content: Any) -> None:
    ((place, words),) = faults(json.dumps(content).encode())

    assert place == ""
    assert words.startswith("send {")


# several faults


def test_faults_are_told_together() -> None:
    found = faults(sent({**ROW, "ratio": "x", "flag": 2}, 5, [1]))
    columns = faults(sent({**ROW, "ratio": "x", "moment": []}, {**ROW, "flag": 2}))

    assert [place for place, _ in found] == ["rows[1]", "rows[2]"]
    assert [place for place, _ in columns] == ["rows[0].ratio", "rows[1].flag", "rows[0].moment"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"rows": [{**ROW, "ratio": "x", "flag": "x"}] * 50}, id="values"),
        pytest.param({"rows": [1] * 50}, id="no rows"),
        pytest.param({"features": [[1]] * 50}, id="widths"),
    ],
)
def test_no_more_faults_are_told_than_people_read(content: Any) -> None:
    assert len(faults(json.dumps(content).encode())) == MOST_FAULTS


def test_the_words_of_an_error_name_places() -> None:
    with pytest.raises(RowsError) as caught:
        read({**ROW, "ratio": "x", "flag": 2})

    assert str(caught.value) == (
        "rows[0].ratio: 'x' is no numeric value; rows[0].flag: 2 is no boolean value"
    )


def test_long_values_are_cut_in_what_is_told() -> None:
    ((_, words),) = faults(sent({**ROW, "ratio": "x" * 100_000}))

    assert len(words) < 100


# the number of rows


@pytest.mark.parametrize("key", ["rows", "features"])
def test_no_more_rows_are_read_than_the_limit(key: str) -> None:
    reader = Reader(FULL, most_rows=3)
    row: Any = ROW if key == "rows" else list(ROW.values())

    assert reader.read(json.dumps({key: [row] * 3}).encode()).size == 3
    with pytest.raises(RowsError, match="rows: 4 rows are more than 3"):
        reader.read(json.dumps({key: [row] * 4}).encode())
    with pytest.raises(RowsError, match="rows: 4 rows are more than 3"):
        reader.read_table({}, 4)


def test_no_rows_are_refused() -> None:
    assert faults(sent()) == [("rows", "is empty; send at least one row")]
    with pytest.raises(RowsError, match="is empty"):
        Reader(FULL).read_table({name: [] for name in NAMES}, 0)


# hostile requests

DEEP = 100_000
DIGITS = 5_000


def around(value: str) -> list[bytes]:
    """A value in every column, as a row, as rows, and where nobody looks."""
    whole = json.dumps(ROW)[1:-1]
    bodies = [f'{{"rows": [{{{whole}, "{name}": {value}}}]}}' for name in [*NAMES, "other"]]
    bodies += [f'{{"rows": {value}}}', f'{{"rows": [{value}]}}', f'{{"features": {value}}}', value]
    bodies += [f'{{"input_data": {value}}}', f'{{"features": [[{value}]]}}']
    return [each.encode("utf-8", "surrogatepass") for each in bodies]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("[" * DEEP, id="opened lists"),
        pytest.param("[" * DEEP + "]" * DEEP, id="deep lists"),
        pytest.param('{"rows":' * DEEP + "1" + "}" * DEEP, id="deep objects"),
        pytest.param("1e999", id="beyond floats"),
        pytest.param("-1e999", id="below floats"),
        pytest.param("NaN", id="NaN"),
        pytest.param("Infinity", id="Infinity"),
        pytest.param('"\\ud800"', id="half a surrogate pair"),
        pytest.param('"\\udc00\\ud800"', id="a pair the wrong way round"),
        pytest.param('"\ud800"', id="a surrogate in UTF-8"),
        pytest.param("1" * DIGITS, id="more digits than Python reads"),
        pytest.param("1" * 400, id="more digits than floats have"),
        pytest.param("-" + "9" * 4_299, id="as many digits as Python reads"),
        pytest.param('"' + "1" * DIGITS + '"', id="digits in a text"),
        pytest.param("1e-999", id="nearly nothing"),
        pytest.param("'x'", id="another quote"),
        pytest.param("", id="nothing"),
        pytest.param("//", id="a comment"),
        pytest.param('"\x00"', id="a bare null byte"),
        pytest.param('"\\u0000"', id="a null byte"),
        pytest.param("[1, 2", id="cut off"),
        pytest.param("1}]} x", id="something after it"),
    ],
)
def test_a_hostile_value_is_read_or_refused(value: str) -> None:
    for body in around(value):
        try:
            batch = Reader(GAPPY).read(body)
        except RowsError as error:
            assert error.faults  # noqa: PT017 - refusing is as good as reading
        else:
            assert not np.isinf(batch.numbers).any()


@pytest.mark.parametrize("shape", ["[]", '{"":}'])
@pytest.mark.parametrize("name", NAMES)
def test_depths_around_the_recursion_limit_are_refused(name: str, shape: str) -> None:
    opening, closing = shape[:-1], shape[-1]
    inner = "1" if closing == "}" else ""

    for depth in range(800, 1_050):
        value = opening * depth + inner + closing * depth
        assert faults(f'{{"rows": [{{"{name}": {value}}}]}}'.encode())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" \n", id="blank"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'[{"ratio": 1}]', id="a list of rows"),
        pytest.param(b'"rows"', id="a text"),
        pytest.param(b"5", id="a number"),
        pytest.param(b"true", id="a truth"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
        pytest.param(b'{"rows": [{"group": "\xff"}]}', id="no UTF-8 in a text"),
        pytest.param(b'{"\xc3\x28": 1, "rows": []}', id="no UTF-8 in a name"),
        pytest.param(b"\xef\xbb\xbf" + sent(ROW), id="a byte order mark"),
        pytest.param(sent(ROW).decode().encode("utf-16"), id="UTF-16"),
        pytest.param(sent(ROW)[:-1], id="cut off"),
        pytest.param(sent(ROW) + sent(ROW), id="twice"),
        pytest.param(b"\x00" * 100, id="null bytes"),
        pytest.param(b"\x80\x04K\x01.", id="a pickle"),
        pytest.param(b"rows=1", id="a form"),
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    assert len(faults(body)) == 1


def test_of_keys_that_are_there_twice_the_last_counts() -> None:
    whole = json.dumps({**ROW, "count": 1})[:-1]

    typed = Reader(FULL).read(f'{{"rows": [{whole}, "count": 2}}]}}'.encode())
    tolerant = Reader(FULL).read(f'{{"rows": [{whole}, "count": "2"}}]}}'.encode())

    assert typed.numbers[0, 1] == tolerant.numbers[0, 1] == 2.0


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    assert faults(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["rows", "features", "input_data", *NAMES]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(JSON)
def test_any_json_is_read_or_refused(content: Any) -> None:
    try:
        batch = Reader(GAPPY).read(json.dumps(content).encode())
    except RowsError as error:
        assert 0 < len(error.faults) <= MOST_FAULTS  # noqa: PT017 - refusing is as good
    else:
        assert batch.numbers.shape == (batch.size, 3)


# both paths


MOMENTS = st.datetimes(
    datetime(2, 1, 1),
    datetime(9998, 12, 31),
    timezones=st.none() | st.sampled_from([UTC, timezone(timedelta(hours=-7, minutes=-30))]),
)
TYPED = st.fixed_dictionaries(
    {},
    optional={
        "ratio": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
        "count": st.none() | st.integers(-(2**70), 2**70),
        "flag": st.none() | st.booleans(),
        "group": st.none() | st.text(max_size=5),
        "note": st.none() | st.text(max_size=20),
        "moment": st.none() | MOMENTS.map(lambda moment: moment.isoformat()),
        "other": st.none() | st.integers() | st.lists(st.text(max_size=3), max_size=2),
    },
)


@settings(max_examples=150)
@given(st.lists(TYPED, min_size=1, max_size=5))
def test_both_paths_read_the_same(rows: list[dict[str, Any]]) -> None:
    body = sent(*rows)
    reader = Reader(GAPPY)

    assert_alike(reader.read(body), reader.read_named(json.loads(body)["rows"]))


@settings(max_examples=50)
@given(st.lists(TYPED, min_size=1, max_size=5))
def test_positions_and_names_read_the_same(rows: list[dict[str, Any]]) -> None:
    features = [[row.get(name) for name in NAMES] for row in rows]
    reader = Reader(GAPPY)

    batch = reader.read(json.dumps({"features": features}).encode())

    assert_alike(batch, reader.read(sent(*rows)))


# tables

TABLE = {
    "moment": ["2024-02-29T12:30:00Z", "2024-02-29"],
    "note": ["late again", "x, y"],
    "group": ["x", "5"],
    "flag": ["True", "0"],
    "count": ["5", "7.0"],
    "ratio": ["0.5", "1e3"],
    "other": ["?", "?"],
}


def test_a_table_of_texts_is_read_as_what_its_columns_hold() -> None:
    batch = Reader(FULL).read_table(TABLE, 2)

    np.testing.assert_array_equal(batch.numbers, [[0.5, 5.0, 1.0], [1000.0, 7.0, 0.0]])
    assert batch.texts == (["x", "5"], ["late again", "x, y"])
    assert batch.instants == ([NOON, datetime(2024, 2, 29, tzinfo=UTC)],)


def test_a_table_of_values_is_read_alike() -> None:
    values = {
        "ratio": [0.5, 1000],
        "count": [5, 7.0],
        "flag": [True, 0],
        "group": ["x", 5],
        "note": TABLE["note"],
        "moment": [NOON, datetime(2024, 2, 29)],
    }

    assert_alike(Reader(FULL).read_table(values, 2), Reader(FULL).read_table(TABLE, 2))


def test_empty_cells_of_a_table_are_gaps() -> None:
    reader = Reader(GAPPY)

    batch = reader.read_table({name: ["", None] for name in NAMES}, 2)

    assert reader.gaps(batch) == NAMES
    assert_alike(batch, reader.read_table({}, 2))
    assert_alike(batch, read({}, {}, columns=GAPPY))


@pytest.mark.parametrize("name", NAMES)
def test_nan_in_a_table_is_a_gap(name: str) -> None:
    reader = Reader(GAPPY)

    batch = reader.read_table({**TABLE, name: [float("nan"), TABLE[name][1]]}, 2)

    assert reader.gaps(batch) == [name]


def test_empty_cells_are_refused_where_the_model_has_seen_none() -> None:
    with pytest.raises(RowsError) as caught:
        Reader(FULL).read_table({**TABLE, "count": ["5", ""], "group": ["", "y"]}, 2)

    assert [place for place, _ in caught.value.faults] == [
        "row 2, column count",
        "row 1, column group",
    ]


def test_columns_a_table_lacks_are_named() -> None:
    with pytest.raises(RowsError, match="lacks the columns count, note"):
        Reader(FULL).read_table(
            {name: cells for name, cells in TABLE.items() if name not in ("count", "note")}, 2
        )


def test_nullable_columns_may_be_absent_from_a_table() -> None:
    mixed = (*FULL[:2], *GAPPY[2:])
    reader = Reader(mixed)

    batch = reader.read_table({"ratio": ["1"], "count": ["2"]}, 1)

    assert batch.numbers[0, :2].tolist() == [1.0, 2.0]
    assert reader.gaps(batch) == NAMES[2:]


def test_wrong_cells_of_a_table_are_told_by_row_and_column() -> None:
    with pytest.raises(RowsError) as caught:
        Reader(FULL).read_table({**TABLE, "count": ["5", "5.5"], "flag": ["maybe", "0"]}, 2)

    assert caught.value.faults == (
        ("row 2, column count", "5.5 is no whole number, and the column holds whole numbers only"),
        ("row 1, column flag", "'maybe' is no boolean value"),
    )
