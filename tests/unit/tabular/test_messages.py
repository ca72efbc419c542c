from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.provenance import ROOT
from tasks.tabular.experiment_errors import (
    DuplicateKeyError,
    MessageError,
    MessageLimitError,
    MessageShapeError,
    MessageSyntaxError,
    NotFiniteError,
)
from tasks.tabular.messages import MAX_BYTES, MAX_DEPTH, MAX_TOLD, read_message
from tests.unit.tabular.source_messages import FRAUD, SECOND

SOURCE = ROOT.parent / "shared" / "sources" / "e-ml-engineer-challenge.md"

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('",]}[{:\\ \n')),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


def with_commas(value: Any, draw: Any) -> str:
    """Write JSON with commas before some of its closing brackets, and space around them."""
    space = st.sampled_from(["", " ", "\n", "\r\n\t "])
    if isinstance(value, list | dict) and value:
        inner = (
            [with_commas(each, draw) for each in value]
            if isinstance(value, list)
            else [f"{json.dumps(name)}:{with_commas(each, draw)}" for name, each in value.items()]
        )
        comma = draw(st.sampled_from(["", ","]))
        first, last = "[]" if isinstance(value, list) else "{}"
        middle = (draw(space) + ",").join(inner)
        return f"{first}{draw(space)}{middle}{draw(space)}{comma}{draw(space)}{last}"
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=4), st.data())
def test_trailing_commas_change_nothing(value: dict[str, Any], data: st.DataObject) -> None:
    text = with_commas(value, data.draw)

    message = read_message(text)

    assert message.content == value
    assert read_message(json.dumps(value)).content == value
    assert read_message(json.dumps(value)).warnings == ()


@given(st.text() | st.text(st.sampled_from('{}[],:" \\0a\n'), max_size=30))
def test_any_text_is_read_as_json_reads_it_or_refused(text: str) -> None:
    try:
        message = read_message(text)
    except MessageError:
        return

    try:
        plain = json.loads(text)
    except json.JSONDecodeError:
        assert message.warnings
    else:
        assert plain == message.content


def test_the_examples_of_the_source_are_read_as_written() -> None:
    assert read_message(FRAUD).content["experiment_config"]["target"] == "Class"
    assert read_message(FRAUD).warnings == ()
    assert read_message(SECOND).content["pipeline"][0]["MLSteps"][1]["train_model"] == {
        "feature_engineering_params": {"fix_imbalance": False},
        "modeling_params": {
            "estimator_list": ["dt", "lr"],
            "fold": 2,
            "n_select": 1,
            "tune": False,
        },
        "finalize": False,
    }
    assert [each.split(":")[0] for each in read_message(SECOND).warnings] == [
        "line 9, column 44",
        "line 16, column 35",
    ]


@pytest.mark.skipif(not SOURCE.exists(), reason="the sources are not here")
def test_the_copies_are_those_of_the_source() -> None:
    found = re.findall(r"```json\n(.*?)\n```", SOURCE.read_text(), re.DOTALL)

    assert found == [FRAUD, SECOND]


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ('{"a": }', 1, 7, "a value"),
        ('{"a": 1\n "b": 2}', 2, 2, "a comma"),
        ('{"a" 1}', 1, 6, "a colon"),
        ("{'a': 1}", 1, 2, "a key in double quotes"),
        ('{"a": 1}}', 1, 9, "the end of the message"),
        ('{"a": "b', 1, 7, "a closing quote"),
        ('{"a": "b\nc"}', 1, 9, "a text without line breaks"),
        ('{"a": "\\x"}', 1, 8, "one of the escapes"),
        ('{"a": "\\u12"}', 1, 9, "four hexadecimal digits"),
        ("", 1, 1, "a value"),
        ("\ufeff{}", 1, 1, "a message without a byte order mark"),
        ('{"a": [,]}', 1, 8, "a value"),
        ('{"a": [1,,]}', 1, 10, "a value"),
        ("{,}", 1, 2, "a key in double quotes"),
        ('{"a":,}', 1, 6, "a value"),
        ('{"a": 1},', 1, 9, "the end of the message"),
        ('{"a": [1,}', 1, 10, "a comma"),
        ('{"a": 1,', 1, 9, "a key in double quotes"),
        ('{"a": 1 // one\n}', 1, 9, "a comma"),
        ('{"a": 01}', 1, 8, "a comma"),
        ('{"a": [1,\u00a0]}', 1, 10, "a"),
        ('{"a": ' + "1" * 5_000 + "}", 1, 7, "a value of at most"),
        ('{"a": "\\ud800"}', 1, 7, "a text of whole characters"),
        ('{"a": "\ud800"}', 1, 7, "a text of whole characters"),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, line: int, column: int, expected: str) -> None:
    with pytest.raises(MessageSyntaxError) as caught:
        read_message(text)

    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.expected.startswith(expected)


def test_offsets_after_a_comma_that_is_left_out_stay() -> None:
    with pytest.raises(MessageSyntaxError, match="line 2, column 6"):
        read_message('{"a": [1,],\n"b": }')


def test_commas_and_brackets_inside_texts_are_texts() -> None:
    value = {"a": ",]", 'b",}': ["\\", '\\",]', "x,}"]}

    message = read_message(json.dumps(value))

    assert message.content == value
    assert message.warnings == ()


@pytest.mark.parametrize(
    ("text", "line", "column", "key"),
    [
        ('{"a": 1, "a": 2}', 1, 10, "a"),
        ('{"b": {"a": 1,\n "\\u0061": 2}}', 2, 2, "a"),
        ('{"a": [{"x": 1}, {"x": 1, "x": 1}]}', 1, 27, "x"),
        ('{"": 1, "": 2}', 1, 9, ""),
    ],
)
def test_a_key_is_there_once(text: str, line: int, column: int, key: str) -> None:
    with pytest.raises(DuplicateKeyError) as caught:
        read_message(text)

    assert caught.value.args == (line, column, key)


def test_a_key_may_be_in_several_objects_and_a_value() -> None:
    text = '{"a": {"a": ["a", "a", {"a": "a"}]}, "b": "a", "c": {"a": "c"}}'

    assert read_message(text).content == json.loads(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("text", ['{"a":%s}', '{"a": [1, %s ]}'])
def test_numbers_are_finite(number: str, text: str) -> None:
    with pytest.raises(NotFiniteError) as caught:
        read_message(text % number)

    assert caught.value.number == number
    assert caught.value.column == text.index("%") + 1


def test_words_for_infinity_may_be_texts() -> None:
    assert read_message('{"NaN": "Infinity"}').content == {"NaN": "Infinity"}


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_depth_is_limited(brackets: str) -> None:
    def nested(levels: int) -> str:
        first, last = ("[", "]") if brackets == "[]" else ('{"a":', "}")
        return '{"a":' + first * levels + "1" + last * levels + "}"

    assert read_message(nested(MAX_DEPTH - 1))
    with pytest.raises(MessageLimitError, match="50 levels"):
        read_message(nested(MAX_DEPTH))
    with pytest.raises(MessageLimitError, match="50 levels"):
        read_message("[" * 900_000)


def test_size_is_limited_in_bytes() -> None:
    frame = len('{"a": ""}')

    assert read_message(json.dumps({"a": "x" * (MAX_BYTES - frame)}))
    with pytest.raises(MessageLimitError, match="bytes"):
        read_message(json.dumps({"a": "x" * (MAX_BYTES - frame + 1)}))
    with pytest.raises(MessageLimitError, match="bytes"):
        read_message(json.dumps({"a": "ü" * (MAX_BYTES // 2)}, ensure_ascii=False))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", "a list"),
        ("[1,]", "a list"),
        ('"a"', "a text"),
        ("1", "a number"),
        ("1.5", "a number"),
        ("true", "a truth value"),
        ("null", "null"),
    ],
)
def test_the_top_is_an_object(text: str, found: str) -> None:
    with pytest.raises(MessageShapeError, match=found):
        read_message(text)


def test_many_commas_are_told_shortly() -> None:
    message = read_message('{"a": [' + "[1,]," * 1_000 + "]}")

    assert len(message.warnings) == MAX_TOLD + 1
    assert message.warnings[-1].startswith("981 more")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"a": [' + "[1,]," * 190_000 + "]}", id="commas"),
        pytest.param('{"a": "' + "\\" * 900_000, id="escapes without an end"),
        pytest.param('"' * 900_000, id="quotes"),
        pytest.param("," * 900_000, id="commas alone"),
        pytest.param("[]" * 450_000, id="lists side by side"),
        pytest.param('{"a": [' + "NaN," * 200_000 + "1]}", id="no numbers"),
        pytest.param('{"a":' + " " * 900_000 + "}", id="space"),
    ],
)
def test_a_hostile_text_takes_no_time(text: str) -> None:
    started = time.process_time()
    with suppress(MessageError):
        read_message(text)

    assert time.process_time() - started < 20  # quadratic work would take hours
