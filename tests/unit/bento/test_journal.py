from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from bento.segment import STAGE_BYTES, SUFFIX, Record, pack
from infra.predictions.segments import Damage, list_segments, read, read_all, taken
from infra.provenance import ROOT
from tests.segments import Disk
from tests.template import load_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODEL = "churn"
LARGE = STAGE_BYTES // 3
"""Of such records two are staged; the third has the stage written out."""

module = load_template(ROOT / "bento", "segment", "journal")["journal"]
Journal = module.Journal


def record(place: int, *, padding: int = 0) -> Record:
    """A record as a model server notes it."""
    request = json.dumps({"rows": [{"x": place}], "padding": "x" * padding}).encode()
    return Record(f"p{place}", 1.7e9 + place, 1, "", 0.001, 1, request, b"{}")


def note(journal: Any, *places: int, padding: int = 0) -> None:
    """What a model server does for the requests that it answers together."""
    journal.taken.extend(record(place, padding=padding) for place in places)
    journal.write()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "predictions" / MODEL


@pytest.fixture
def journal(folder: Path) -> Iterator[Any]:
    journal = Journal(folder)
    yield journal
    journal.close()


@pytest.fixture
def beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals of this test look after themselves every hundredth of a second."""
    monkeypatch.setattr(module, "_BEAT_SECONDS", 0.01)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def ids(tmp_path: Path) -> list[str]:
    return [each.id for each in read_all(tmp_path, MODEL)]


def ids_in(path: Path, damage: Damage | None = None) -> list[str]:
    with path.open("rb") as file:
        return [each.id for each in read(file, MODEL, damage)]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_free(path: Path) -> bool:
    """Whether another process gets the lock."""
    script = (
        "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    )
    command = [sys.executable, "-I", "-S", "-c", script, path]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0 or b"BlockingIOError" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(float("inf"))
    monkeypatch.setattr(os, "pwrite", disk.pwrite)
    return disk


def test_a_record_is_in_the_file_before_write_returns(journal: Any, tmp_path: Path) -> None:
    for place in range(20):
        note(journal, place)

        assert ids(tmp_path) == [f"p{each}" for each in range(place + 1)]
    assert journal.records == 20


def test_records_are_written_together_by_whoever_is_first(journal: Any, tmp_path: Path) -> None:
    note(journal, *range(20))
    journal.write()

    assert ids(tmp_path) == [f"p{each}" for each in range(20)]
    assert journal.records == 20


def test_a_write_waits_for_the_one_that_writes_its_record(
    journal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that another thread is about to write is not in the kernel yet."""
    writing, go_on, seen = threading.Event(), threading.Event(), []

    def wait(records: Any) -> bytes:
        writing.set()
        assert go_on.wait(10)
        return pack(records)

    monkeypatch.setattr(module, "pack", wait)
    journal.taken.append(record(0))
    first = threading.Thread(target=journal.write)
    first.start()
    assert writing.wait(10)
    second = threading.Thread(target=lambda: (journal.write(), seen.extend(ids(tmp_path))))
    second.start()
    second.join(0.05)
    assert second.is_alive()
    go_on.set()
    first.join()
    second.join()

    assert seen == ["p0"]


def test_a_journal_that_nobody_writes_to_makes_no_segment(journal: Any, folder: Path) -> None:
    assert list(folder.iterdir()) == []


def test_a_segment_that_is_large_is_followed_by_another(
    journal: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", STAGE_BYTES + 1)
    for place in range(10):
        note(journal, place, padding=LARGE)

    assert sorted(len(ids_in(each)) for each in segments(folder)) == [1, 3, 3, 3]
    assert sorted(ids(tmp_path)) == [f"p{place}" for place in range(10)]


@pytest.mark.usefixtures("beat")
def test_a_segment_that_is_old_is_let_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_SECONDS", 0.05)
    journal = Journal(folder)
    note(journal, 0)
    (first,) = segments(folder)
    until(lambda: is_free(first))
    note(journal, 1)
    journal.close()

    assert len(segments(folder)) == 2


def test_a_segment_is_locked_while_it_is_written(journal: Any, folder: Path) -> None:
    note(journal, 0)
    (path,) = segments(folder)

    assert not is_free(path)
    journal.close()
    assert is_free(path)


def test_a_full_segment_is_free_at_once(
    journal: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1)
    note(journal, 0)
    (path,) = segments(folder)

    assert is_free(path)


def test_a_segment_is_locked_before_it_can_be_seen(
    journal: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    flock = fcntl.flock

    def look(file: int, operation: int) -> None:
        seen.append([each.suffix for each in folder.iterdir()])
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", look)
    note(journal, 0)

    assert seen == [[".new"]]
    assert [each.suffix for each in folder.iterdir()] == [SUFFIX]


def test_the_archive_leaves_a_segment_alone_until_it_is_closed(
    journal: Any, tmp_path: Path
) -> None:
    note(journal, 0)
    (segment,) = list_segments(tmp_path)

    with taken(segment) as file:
        assert file is None
    journal.close()
    with taken(segment) as file:
        assert file is not None
        assert [each.id for each in read(file, MODEL)] == ["p0"]


_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from journal import Journal
from segment import Record
journal, place = Journal(Path(sys.argv[2])), 0
while True:
    journal.taken.append(Record(f"p{place}", 1.7e9, 1, "", 0.001, 1, b"x" * 700, b"{}"))
    journal.write()
    sys.stdout.write(f"{place}\\n")
    sys.stdout.flush()
    place += 1
"""


@pytest.mark.parametrize("acknowledged", [1, 17, 400, 1_500, 3_000])
def test_a_killed_writer_loses_no_acknowledged_record(
    folder: Path, tmp_path: Path, acknowledged: int
) -> None:
    command = [sys.executable, "-I", "-c", _WRITER, ROOT / "bento", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        heard = [int(process.stdout.readline()) for _ in range(acknowledged)]
        (path,) = segments(folder)
        assert not is_free(path)
        process.send_signal(signal.SIGKILL)
        heard += [int(each) for each in process.stdout.read().splitlines() if each]
    found = ids(tmp_path)

    assert is_free(path)
    assert found[: len(heard)] == [f"p{place}" for place in heard]
    assert len(found) <= len(heard) + 1  # the one after the last acknowledged


def test_records_wait_for_a_full_disk_and_are_written_in_order(
    journal: Any, disk: Disk, tmp_path: Path
) -> None:
    note(journal, 0, 1, padding=LARGE)
    disk.room = 0
    for place in range(2, 5):
        note(journal, place, padding=LARGE)
    note(journal, 5, 6)
    held, held_bytes = journal.held, journal.held_bytes
    waiting = [record(place, padding=LARGE) for place in range(2, 5)] + [record(5), record(6)]
    disk.room = float("inf")
    journal.close()

    assert (held, held_bytes) == (5, len(pack(waiting)))
    assert (journal.held, journal.held_bytes, journal.records) == (0, 0, 7)
    assert ids(tmp_path) == [f"p{place}" for place in range(7)]


def test_a_full_disk_takes_what_there_is_room_for(journal: Any, disk: Disk, tmp_path: Path) -> None:
    note(journal, 0)
    disk.room = 0
    note(journal, *range(1, 100))

    assert journal.held == 0
    assert ids(tmp_path) == [f"p{place}" for place in range(100)]


@pytest.mark.usefixtures("beat")
def test_held_records_are_written_without_another_request(
    disk: Disk, folder: Path, tmp_path: Path
) -> None:
    journal = Journal(folder)
    disk.room = 0
    note(journal, 0)
    assert journal.held == 1
    disk.room = float("inf")
    until(lambda: journal.held == 0)

    assert ids(tmp_path) == ["p0"]
    journal.close()


def test_no_record_overtakes_one_that_waits(journal: Any, disk: Disk, tmp_path: Path) -> None:
    disk.room = 0
    note(journal, 0)
    disk.room = float("inf")
    note(journal, 1)
    journal.close()

    assert ids(tmp_path) == ["p0", "p1"]


def test_what_waits_is_bounded(disk: Disk, folder: Path, tmp_path: Path) -> None:
    journal = Journal(folder, most_held_bytes=3 * len(pack([record(0)])))
    disk.room = 0
    full = [journal.full]
    for place in range(3):
        note(journal, place)
        full.append(journal.full)
    disk.room = float("inf")
    journal.close()

    assert full == [False, False, False, True]
    assert not journal.full
    assert ids(tmp_path) == ["p0", "p1", "p2"]


@pytest.mark.usefixtures("beat")
def test_a_journal_that_was_full_takes_records_again(disk: Disk, folder: Path) -> None:
    journal = Journal(folder, most_held_bytes=1)
    disk.room = 0
    note(journal, 0)
    assert journal.full
    disk.room = float("inf")
    until(lambda: not journal.full)

    journal.close()


def test_a_disk_that_takes_a_block_now_and_then_gets_every_record_once(
    disk: Disk, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 2 * STAGE_BYTES)
    journal = Journal(folder)
    for place in range(40):
        disk.room = (place % 5) * 0.4 * STAGE_BYTES
        note(journal, place, padding=LARGE * (place % 7))
    disk.room = float("inf")
    journal.close()
    damage = Damage()
    found = [each for path in segments(folder) for each in ids_in(path, damage)]

    assert sorted(found, key=lambda each: int(each[1:])) == [f"p{place}" for place in range(40)]
    assert damage == Damage()


def test_a_folder_that_cannot_be_written_holds_records(
    journal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        note(journal, 0)
        assert journal.held == 1
    journal.close()

    assert ids(tmp_path) == ["p0"]


@pytest.mark.usefixtures("beat")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_upkeep_survives_a_lack_of_file_descriptors(
    folder: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, tried = Journal(folder), threading.Event()

    def refuse(_file: int) -> int:
        tried.set()
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", refuse)
        note(journal, 0)
        assert tried.wait(10)
    disk.room = 0
    note(journal, 1, padding=STAGE_BYTES)
    disk.room = float("inf")
    until(lambda: journal.held == 0)

    journal.close()


def test_two_threads_write_whole_records(
    journal: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", STAGE_BYTES + 1)
    ranges = (range(1_000), range(1_000, 2_000))
    threads = [
        threading.Thread(target=lambda each=each: [note(journal, p, padding=900) for p in each])
        for each in ranges
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    journal.close()

    assert sorted(ids(tmp_path)) == sorted(f"p{place}" for place in range(2_000))
    assert len(segments(folder)) > 1
    for path in segments(folder):  # of each thread, in its order
        places = [int(each[1:]) for each in ids_in(path)]
        for each in ranges:
            mine = [place for place in places if place in each]
            assert mine == sorted(mine)


def test_long_records_come_back_whole(journal: Any, tmp_path: Path) -> None:
    note(journal, 0, padding=5_000_000)
    note(journal, 1)

    sizes = [len(json.loads(each.request)["padding"]) for each in read_all(tmp_path, MODEL)]
    assert sizes == [5_000_000, 0]


def test_closing_writes_what_was_taken(folder: Path, tmp_path: Path) -> None:
    journal = Journal(folder)
    journal.taken.append(record(0))
    journal.close()

    assert ids(tmp_path) == ["p0"]


def test_closing_twice_is_closing_once(journal: Any, folder: Path) -> None:
    note(journal, 0)
    journal.close()
    journal.close()

    assert [len(ids_in(each)) for each in segments(folder)] == [1]
