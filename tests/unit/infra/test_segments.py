from __future__ import annotations

import fcntl
import io
import os
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from bento.segment import STAGE_BYTES, SegmentWriter
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
from tests.segments import FIELDS, Disk, framed, packed, write_segment

if TYPE_CHECKING:
    from pathlib import Path


def segment(home: Path, *blocks: bytes, name: str = "a", model: str = "churn") -> Segment:
    return Segment(write_segment(home / "predictions" / model, name, *blocks), model)


def ids(of: Segment, damage: Damage | None = None) -> list[str]:
    with of.path.open("rb") as file:
        return [each.id for each in read(file, of.model, damage)]


def fields(**changes: Any) -> dict[str, Any]:
    """A record as it is packed, or nearly so."""
    return FIELDS | {"request": b"{}", "response": b"{}"} | changes


def test_a_record_is_what_was_written(tmp_path: Path) -> None:
    segment(tmp_path, packed())

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
        pytest.param(b'{\r\n  "a": 1\n}', id="several lines"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep"),
    ],
)
def test_a_request_is_kept_digit_for_digit(tmp_path: Path, text: bytes) -> None:
    segment(tmp_path, packed(request=text))

    (record,) = read_all(tmp_path, "churn")

    assert record.request.encode() == text


def test_a_request_in_no_encoding_is_kept_but_for_its_faults(tmp_path: Path) -> None:
    segment(tmp_path, packed(request=b'{"a": "\xff"}'))

    (record,) = read_all(tmp_path, "churn")

    assert record.request == '{"a": "\ufffd"}'


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(packed(id="last")[:-20], id="cut off"),
        pytest.param(packed(id="last")[:5], id="cut in its frame"),
        pytest.param(bytes(100), id="zeros of a crashed disk"),
        pytest.param(packed(id="last")[:-1] + b"!", id="another than was written"),
        pytest.param(b"\xff" * 50, id="a frame larger than the file"),
    ],
)
@pytest.mark.parametrize("before", [packed(), packed(caller="x" * STAGE_BYTES)], ids=len)
def test_a_torn_tail_is_dropped_and_counted(tmp_path: Path, tail: bytes, before: bytes) -> None:
    damage = Damage()

    found = ids(segment(tmp_path, before, packed(id="b") + tail), damage)

    assert (found, damage) == (["f00", "b"], Damage(torn=1))


@pytest.mark.parametrize(
    "middle",
    [
        pytest.param(packed()[:-1] + b"!", id="another than was written"),
        pytest.param(framed(b"\xc1"), id="no MessagePack"),
        pytest.param(framed([]), id="empty"),
        pytest.param(framed("record"), id="no record"),
        pytest.param(framed(b"\x91" * 100_000), id="bottomless"),
        pytest.param(framed(list(fields(id=b"\xff").values())), id="bytes for a text"),
        pytest.param(framed(list(fields(time=float("nan")).values())), id="no time"),
        pytest.param(framed(list(fields(time=1e18).values())), id="a time after the last year"),
        pytest.param(packed(version=2**31), id="a version too large to enter"),
        pytest.param(packed(id="x" * 65), id="an id too long to enter"),
        pytest.param(packed(id="../x"), id="an id that is a path"),
        pytest.param(packed(id="x\n"), id="an id of two lines"),
        pytest.param(packed(id=""), id="no id"),
        pytest.param(packed(rows=None), id="no count of rows"),
    ],
)
def test_a_broken_record_is_passed_over_and_counted(tmp_path: Path, middle: bytes) -> None:
    damage = Damage()

    found = ids(segment(tmp_path, packed(id="a") + middle + packed(id="b")), damage)

    assert (found, damage) == (["a", "b"], Damage(broken=1))


def test_a_record_may_have_fields_that_are_not_known_yet(tmp_path: Path) -> None:
    later = framed([*fields(request=b"{}", response=b"{}").values(), "more"])

    assert ids(segment(tmp_path, later)) == ["f00"]


@pytest.mark.parametrize("size", [0, 7, 100, STAGE_BYTES - 1])
def test_a_segment_that_a_crash_cut_short_is_no_error(tmp_path: Path, size: int) -> None:
    cut = segment(tmp_path, packed())
    os.truncate(cut.path, size)

    assert ids(cut) == []


def test_blocks_that_a_crash_cut_off_are_told(tmp_path: Path) -> None:
    cut = segment(tmp_path, packed(id="a", caller="x" * STAGE_BYTES), packed(id="b"))
    os.truncate(cut.path, STAGE_BYTES + 1_000)
    damage = Damage()

    assert ids(cut, damage) == ["b"]  # which was staged
    assert damage == Damage(broken=1)


def test_no_more_is_asked_of_a_file_than_it_holds(tmp_path: Path) -> None:
    """A crashed disk may leave any length: memory for it would be taken before it is read."""
    spoilt = segment(tmp_path, b"\xff" * STAGE_BYTES).path
    with spoilt.open("r+b") as file:
        file.write(struct.pack("=Q", 2**39 << 24))
    asked: list[int] = []

    class Watched(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(-1 if size is None else size)
            return super().read(size) or b""

    damage = Damage()
    with Watched(spoilt) as file:
        assert list(read(file, "churn", damage)) == []
    assert damage == Damage(torn=1)
    assert asked == [8]


@pytest.mark.parametrize("size", [1, 100, 3_000, 30_000, 300_000])
def test_what_is_appended_is_read_at_once_and_in_order(tmp_path: Path, size: int) -> None:
    writer = SegmentWriter(tmp_path / "predictions" / "churn")
    written = Segment(writer.path, "churn")
    for place in range(30):
        writer.append(packed(id=f"{place}", request=b"x" * size))
        assert ids(written) == [f"{each}" for each in range(place + 1)]
    writer.close()

    assert ids(written) == [f"{each}" for each in range(30)]


@pytest.mark.parametrize("room", [0, 1, 5_000, STAGE_BYTES // 2, 2 * STAGE_BYTES - 1])
def test_what_the_disk_does_not_take_is_not_in_the_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """The disk fills while a full stage, or a block as large, is written."""
    writer = SegmentWriter(tmp_path / "predictions" / "churn")
    written = Segment(writer.path, "churn")
    writer.append(packed(id="a"))
    disk = Disk(room)
    with monkeypatch.context() as patch:
        patch.setattr("bento.segment.os.pwrite", disk.pwrite)
        with pytest.raises(OSError, match="No space"):
            writer.append(packed(id="b", request=b"x" * 2 * STAGE_BYTES))
        assert ids(written) == ["a"]
    damage = Damage()
    writer.append(packed(id="c"))
    writer.append(packed(id="d", request=b"x" * STAGE_BYTES))
    writer.close()

    assert ids(written, damage) == ["a", "c", "d"]
    assert damage == Damage()


def test_a_segment_for_which_there_is_no_room_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bento.segment.os.pwrite", Disk(STAGE_BYTES - 1).pwrite)

    with pytest.raises(OSError, match="no room"):
        SegmentWriter(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_is_written_out_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has read where the blocks end finds another stage than the one that belongs there."""
    writer = SegmentWriter(tmp_path / "predictions" / "churn")
    written, read_at = Segment(writer.path, "churn"), os.pread
    for place in range(3):
        writer.append(packed(id=f"{place}", request=b"x" * 80_000))
    full = iter([packed(id="3", request=b"x" * 80_000)])

    def read_late(file: int, size: int, place: int) -> bytes:
        word = read_at(file, 8, place)
        for each in full:
            writer.append(each)
        return word + read_at(file, size - 8, place + 8)

    monkeypatch.setattr("bento.segment.os.pread", read_late)

    assert ids(written) == ["0", "1", "2", "3"]
    writer.close()


def test_null_characters_are_taken_from_callers(tmp_path: Path) -> None:
    segment(tmp_path, packed(caller="sh\0op"))

    assert [each.caller for each in read_all(tmp_path, "churn")] == ["shop"]


def test_only_files_of_registered_names_are_segments(tmp_path: Path) -> None:
    kept = segment(tmp_path, packed(), model="telco.churn")
    segment(tmp_path, packed(), name="b").path.rename(kept.path.with_suffix(".tmp"))
    segment(tmp_path, packed(), model="My Model")
    (tmp_path / "predictions" / "churn" / "folder.records").mkdir()

    assert list_segments(tmp_path) == [kept]
    assert list_segments(tmp_path, "churn") == []


def test_a_home_without_predictions_has_no_segments(tmp_path: Path) -> None:
    assert list_segments(tmp_path) == []
    assert list(read_all(tmp_path, "churn")) == []


@pytest.mark.parametrize("model", ["..", "*", "../outside", ""])
def test_no_name_of_a_model_leaves_the_home(tmp_path: Path, model: str) -> None:
    segment(tmp_path / "home", packed())
    (tmp_path / "home" / "predictions" / "x.records").write_bytes(packed())
    (tmp_path / "home" / "outside").mkdir()
    (tmp_path / "home" / "outside" / "x.records").write_bytes(packed())

    assert list_segments(tmp_path / "home", model) == []


def test_a_segment_is_taken_when_its_writer_lets_go(tmp_path: Path) -> None:
    written = segment(tmp_path, packed())
    with written.path.open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with taken(written) as file:
            assert file is None

    with taken(written) as file:
        assert file is not None


def test_a_segment_is_in_one_hand(tmp_path: Path) -> None:
    written = segment(tmp_path, packed())

    with taken(written) as first, taken(written) as second:
        assert first is not None
        assert second is None


def test_a_segment_that_was_archived_cannot_be_taken(tmp_path: Path) -> None:
    written = segment(tmp_path, packed())
    with taken(written):
        written.path.unlink()

    with taken(written) as file:
        assert file is None


def test_a_segment_that_is_archived_while_it_is_opened_cannot_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = segment(tmp_path, packed())
    lock = fcntl.flock

    def lock_too_late(file: Any, how: int) -> None:
        written.path.unlink()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock_too_late)

    with taken(written) as file:
        assert file is None


def test_one_record_is_looked_up_in_whole_ones(tmp_path: Path) -> None:
    segment(tmp_path, packed(id="a", caller="b"), framed("b"), packed(id="b"), packed(id="c")[:-1])

    found = look_up(tmp_path, "churn", "b")

    assert found is not None
    assert found.id == "b"
    assert look_up(tmp_path, "churn", "c") is None
    assert look_up(tmp_path, "telco.churn", "b") is None
