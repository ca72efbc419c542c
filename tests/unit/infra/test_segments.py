from __future__ import annotations

import fcntl
import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from infra.predictions.segments import (
    Damage,
    PredictionRecord,
    Segment,
    list_segments,
    look_up,
    read,
    read_all,
    taken,
)

if TYPE_CHECKING:
    from pathlib import Path

LINE: dict[str, Any] = {
    "id": "f00",
    "time": 1_700_000_000.25,
    "model": "churn",
    "version": 3,
    "caller": "shop",
    "latency": 0.002,
    "rows": 1,
    "request": {"rows": [{"x": 1}]},
    "response": {"predictions": []},
}


def line(**changes: object) -> bytes:
    return json.dumps(LINE | changes).encode() + b"\n"


def raw(name: str, text: bytes) -> bytes:
    """A line in which a field is written as it is given."""
    return line(**{name: "HERE"}).replace(b'"HERE"', text)


def segment(home: Path, content: bytes, name: str = "a.log", model: str = "churn") -> Segment:
    path = home / "predictions" / model / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Segment(path, model)


def ids(of: Segment, damage: Damage | None = None) -> list[str]:
    with of.path.open("rb") as file:
        return [each.id for each in read(file, of.model, damage)]


def test_a_record_is_what_was_written(tmp_path: Path) -> None:
    segment(tmp_path, line())

    assert list(read_all(tmp_path, "churn")) == [
        PredictionRecord(
            id="f00",
            time=datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC),
            model="churn",
            version=3,
            caller="shop",
            latency=0.002,
            rows=1,
            request='{"rows": [{"x": 1}]}',
            response='{"predictions": []}',
        )
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"0.10000000000000000000001", id="more digits than a float"),
        pytest.param(b"1" * 5_000, id="more digits than Python reads"),
        pytest.param(b"1e999", id="larger than a float"),
        pytest.param(b'"\\u0000 \xc3\xa9"', id="a null character"),
        pytest.param(b'{"a": 1, "a": 2}', id="a repeated key"),
        pytest.param(b"[" * 200 + b"]" * 200, id="deep"),
    ],
)
def test_a_request_is_kept_digit_for_digit(tmp_path: Path, text: bytes) -> None:
    segment(tmp_path, raw("request", text))

    (record,) = read_all(tmp_path, "churn")

    assert record.request.encode() == text


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(line(id="last")[:-20], id="cut off"),
        pytest.param(line(id="last")[:-1], id="whole but for the newline"),
        pytest.param(b"\0" * 100, id="zeros of a crashed disk"),
        pytest.param(b"{\n", id="no JSON"),
        pytest.param(b'{"caller": "\xc3', id="cut inside a character"),
    ],
)
def test_a_torn_tail_is_dropped_and_counted(tmp_path: Path, tail: bytes) -> None:
    damage = Damage()

    found = ids(segment(tmp_path, line(id="a") + line(id="b") + tail), damage)

    assert (found, damage) == (["a", "b"], Damage(torn=1))


@pytest.mark.parametrize(
    "middle",
    [
        pytest.param(b"{\n", id="no JSON"),
        pytest.param(b"\n", id="empty"),
        pytest.param(b"\xff\xfe\n", id="no text"),
        pytest.param(b"[1]\n", id="no object"),
        pytest.param(raw("request", b"[" * 100_000 + b"]" * 100_000), id="bottomless"),
        pytest.param(raw("request", b'"\xff"'), id="text in no encoding"),
        pytest.param(raw("time", b"NaN"), id="no time"),
        pytest.param(line(time=1e18), id="a time after the last year"),
        pytest.param(line(version=2**31), id="a version too large to enter"),
        pytest.param(line(model="other"), id="of another model"),
        pytest.param(line(id="x" * 65), id="an id too long to enter"),
        pytest.param(line(id="../x"), id="an id that is a path"),
        pytest.param(line(id="x\n"), id="an id of two lines"),
        pytest.param(line(id=""), id="no id"),
        pytest.param(line(rows=None), id="no count of rows"),
    ],
)
def test_a_broken_line_is_passed_over_and_counted(tmp_path: Path, middle: bytes) -> None:
    damage = Damage()

    found = ids(segment(tmp_path, line(id="a") + middle + line(id="b")), damage)

    assert (found, damage) == (["a", "b"], Damage(broken=1))


def test_null_characters_are_taken_from_callers(tmp_path: Path) -> None:
    segment(tmp_path, line(caller="sh\0op"))

    assert [each.caller for each in read_all(tmp_path, "churn")] == ["shop"]


def test_only_files_of_registered_names_are_segments(tmp_path: Path) -> None:
    kept = segment(tmp_path, line(), model="telco.churn")
    segment(tmp_path, line(), name="a.tmp")
    segment(tmp_path, line(), model="My Model")
    (tmp_path / "predictions" / "churn" / "folder.log").mkdir()

    assert list_segments(tmp_path) == [kept]
    assert list_segments(tmp_path, "churn") == []


def test_a_home_without_predictions_has_no_segments(tmp_path: Path) -> None:
    assert list_segments(tmp_path) == []
    assert list(read_all(tmp_path, "churn")) == []


@pytest.mark.parametrize("model", ["..", "*", "../outside", ""])
def test_no_name_of_a_model_leaves_the_home(tmp_path: Path, model: str) -> None:
    segment(tmp_path / "home", line())
    (tmp_path / "home" / "predictions" / "x.log").write_bytes(line())
    (tmp_path / "home" / "outside").mkdir()
    (tmp_path / "home" / "outside" / "x.log").write_bytes(line())

    assert list_segments(tmp_path / "home", model) == []


def test_a_segment_is_taken_when_its_writer_lets_go(tmp_path: Path) -> None:
    written = segment(tmp_path, line())
    with written.path.open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with taken(written) as file:
            assert file is None

    with taken(written) as file:
        assert file is not None


def test_a_segment_is_in_one_hand(tmp_path: Path) -> None:
    written = segment(tmp_path, line())

    with taken(written) as first, taken(written) as second:
        assert first is not None
        assert second is None


def test_a_segment_that_was_archived_cannot_be_taken(tmp_path: Path) -> None:
    written = segment(tmp_path, line())
    with taken(written):
        written.path.unlink()

    with taken(written) as file:
        assert file is None


def test_a_segment_that_is_archived_while_it_is_opened_cannot_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = segment(tmp_path, line())
    lock = fcntl.flock

    def lock_too_late(file: Any, how: int) -> None:
        written.path.unlink()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock_too_late)

    with taken(written) as file:
        assert file is None


@pytest.mark.parametrize(("age", "finished"), [(0.0, False), (120.0, True)])
def test_an_empty_segment_is_left_until_its_writer_must_have_locked_it(
    tmp_path: Path, *, age: float, finished: bool
) -> None:
    empty = segment(tmp_path, b"")
    os.utime(empty.path, (time.time() - age,) * 2)

    with taken(empty) as file:
        assert (file is not None) is finished


def test_one_record_is_looked_up_in_whole_lines(tmp_path: Path) -> None:
    segment(tmp_path, line(id="a", caller="b") + b"b {\n" + line(id="b") + line(id="c")[:-1])

    found = look_up(tmp_path, "churn", "b")

    assert found is not None
    assert found.id == "b"
    assert look_up(tmp_path, "churn", "c") is None
    assert look_up(tmp_path, "telco.churn", "b") is None
