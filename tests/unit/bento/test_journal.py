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

from bento import journal as module
from bento.journal import Journal, JournalFullError
from infra.predictions.segments import Damage, list_segments, read, read_all, taken
from infra.provenance import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODEL = "churn"


def line(place: int, *, padding: int = 0) -> bytes:
    """A line as a model server notes it."""
    content = {
        "id": f"p{place}",
        "time": 1_700_000_000.0 + place,
        "model": MODEL,
        "version": 1,
        "caller": "x" * padding,
        "latency": 0.001,
        "rows": 1,
        "request": {"rows": [{"x": place}]},
        "response": {"predictions": []},
    }
    return json.dumps(content).encode() + b"\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "predictions" / MODEL


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    journal = Journal(folder)
    yield journal
    journal.close()


@pytest.fixture
def beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals of this test look after themselves every hundredth of a second."""
    monkeypatch.setattr(module, "_BEAT_SECONDS", 0.01)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))


def written(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in segments(folder))


def ids(tmp_path: Path) -> list[str]:
    return [each.id for each in read_all(tmp_path, MODEL)]


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


class Disk:
    """What `os.write` becomes: takes `room` bytes more, then is full."""

    def __init__(self, room: float) -> None:
        self.room = room
        self._write = os.write

    def write(self, file: int, content: bytes) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._write(file, content[: int(min(self.room, len(content)))])
        self.room -= taken
        return taken


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(float("inf"))
    monkeypatch.setattr(module.os, "write", disk.write)
    return disk


def test_a_line_is_in_the_file_before_append_returns(journal: Journal, folder: Path) -> None:
    for place in range(20):
        journal.append(line(place))

        assert written(folder).endswith(line(place))
    assert journal.lines == 20


def test_a_journal_that_nobody_writes_to_makes_no_segment(journal: Journal, folder: Path) -> None:
    assert list(folder.iterdir()) == []


def test_a_segment_that_is_large_is_followed_by_another(
    journal: Journal, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 4 * len(line(0)))
    for place in range(10):
        journal.append(line(place))

    assert [each.read_bytes().count(b"\n") for each in segments(folder)] in (
        [4, 4, 2],
        [4, 2, 4],  # two segments of a millisecond are in no order
        [2, 4, 4],
    )
    assert sorted(ids(tmp_path)) == [f"p{place}" for place in range(10)]


@pytest.mark.usefixtures("beat")
def test_a_segment_that_is_old_is_let_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_SECONDS", 0.05)
    journal = Journal(folder)
    journal.append(line(0))
    (first,) = segments(folder)
    until(lambda: is_free(first))
    journal.append(line(1))
    journal.close()

    assert len(segments(folder)) == 2


def test_a_segment_is_locked_while_it_is_written(journal: Journal, folder: Path) -> None:
    journal.append(line(0))
    (path,) = segments(folder)

    assert not is_free(path)
    journal.close()
    assert is_free(path)


def test_a_full_segment_is_free_at_once(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1)
    journal.append(line(0))
    (path,) = segments(folder)

    assert is_free(path)


def test_a_segment_is_locked_before_it_can_be_seen(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    flock = fcntl.flock

    def look(file: int, operation: int) -> None:
        seen.append([each.suffix for each in folder.iterdir()])
        flock(file, operation)

    monkeypatch.setattr(module.fcntl, "flock", look)
    journal.append(line(0))

    assert seen == [[".new"]]
    assert [each.suffix for each in folder.iterdir()] == [".log"]


def test_the_archive_leaves_a_segment_alone_until_it_is_closed(
    journal: Journal, tmp_path: Path
) -> None:
    journal.append(line(0))
    (segment,) = list_segments(tmp_path)

    with taken(segment) as file:
        assert file is None
    journal.close()
    with taken(segment) as file:
        assert file is not None
        assert [each.id for each in read(file, MODEL)] == ["p0"]


_WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from journal import Journal
journal, line = Journal(__import__("pathlib").Path(sys.argv[2])), sys.stdin.buffer.readline()
place = 0
while True:
    journal.append(line.replace(b'"p0"', b'"p%d"' % place))
    sys.stdout.write(f"{place}\\n")
    sys.stdout.flush()
    place += 1
"""


@pytest.mark.parametrize("acknowledged", [1, 17, 400, 1_500, 3_000])
def test_a_killed_writer_loses_no_acknowledged_line(
    folder: Path, tmp_path: Path, acknowledged: int
) -> None:
    command = [sys.executable, "-I", "-S", "-c", _WRITER, ROOT / "bento", folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line(0))
        process.stdin.flush()
        heard = [int(process.stdout.readline()) for _ in range(acknowledged)]
        (path,) = segments(folder)
        assert not is_free(path)
        process.send_signal(signal.SIGKILL)
        heard += [int(each) for each in process.stdout.read().splitlines() if each]
    found = ids(tmp_path)

    assert is_free(path)
    assert found[: len(heard)] == [f"p{place}" for place in heard]
    assert len(found) <= len(heard) + 1  # the one after the last acknowledged


def test_lines_wait_for_a_full_disk_and_are_written_in_order(
    journal: Journal, disk: Disk, tmp_path: Path
) -> None:
    journal.append(line(0))
    disk.room = 0
    for place in range(1, 6):
        journal.append(line(place))
    held, held_bytes = journal.held, journal.held_bytes
    disk.room = float("inf")
    journal.close()

    assert (held, held_bytes) == (5, sum(len(line(place)) for place in range(1, 6)))
    assert (journal.held, journal.held_bytes, journal.lines) == (0, 0, 6)
    assert ids(tmp_path) == [f"p{place}" for place in range(6)]


@pytest.mark.usefixtures("beat")
def test_held_lines_are_written_without_another_request(disk: Disk, folder: Path) -> None:
    journal = Journal(folder)
    disk.room = 0
    journal.append(line(0))
    disk.room = float("inf")
    until(lambda: journal.held == 0)

    assert written(folder) == line(0)
    journal.close()


def test_no_line_overtakes_one_that_waits(journal: Journal, disk: Disk, tmp_path: Path) -> None:
    disk.room = 0
    journal.append(line(0))
    disk.room = float("inf")
    journal.append(line(1))
    journal.close()

    assert ids(tmp_path) == ["p0", "p1"]


def test_what_waits_is_bounded(disk: Disk, folder: Path, tmp_path: Path) -> None:
    journal = Journal(folder, most_held_bytes=3 * len(line(0)))
    disk.room = 0
    for place in range(3):
        journal.append(line(place))
    with pytest.raises(JournalFullError):
        journal.append(line(3))
    disk.room = float("inf")
    journal.close()

    assert ids(tmp_path) == ["p0", "p1", "p2"]


@pytest.mark.parametrize("part", [1, 100, len(line(1)) - 1])
def test_a_torn_line_is_alone_at_the_end_of_its_segment(
    journal: Journal, disk: Disk, folder: Path, tmp_path: Path, part: int
) -> None:
    journal.append(line(0))
    (torn,) = segments(folder)
    disk.room = part
    journal.append(line(1))
    assert journal.held == 1
    disk.room = float("inf")
    journal.close()

    assert torn.read_bytes() == line(0) + line(1)[:part]
    damage = Damage()
    with torn.open("rb") as file:
        assert [each.id for each in read(file, MODEL, damage)] == ["p0"]
    assert (damage.torn, damage.broken) == (1, 0)
    assert sorted(ids(tmp_path)) == ["p0", "p1"]


def test_a_disk_that_takes_one_line_now_and_then_gets_every_line_once(
    disk: Disk, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 3 * len(line(0)))
    journal = Journal(folder)
    for place in range(30):
        disk.room = (place % 4) * 0.5 * len(line(0))
        journal.append(line(place))
    disk.room = float("inf")
    journal.close()

    assert sorted(ids(tmp_path), key=lambda each: int(each[1:])) == [f"p{p}" for p in range(30)]
    for path in segments(folder):
        assert all(each.endswith(b"}\n") for each in path.read_bytes().splitlines(True)[:-1])


def test_a_folder_that_cannot_be_written_holds_lines(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "open", refuse)
        journal.append(line(0))
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
        patch.setattr(module.os, "dup", refuse)
        journal.append(line(0))
        assert tried.wait(10)
    disk.room = 0
    journal.append(line(1))
    disk.room = float("inf")
    until(lambda: journal.held == 0)

    journal.close()


def test_two_threads_write_whole_lines(
    journal: Journal, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 50_000)
    ranges = (range(1_000), range(1_000, 2_000))
    threads = [
        threading.Thread(target=lambda each=each: [journal.append(line(p)) for p in each])
        for each in ranges
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    journal.close()
    found = ids(tmp_path)

    assert sorted(found) == sorted(f"p{place}" for place in range(2_000))
    for path in segments(folder):  # of each thread, in its order
        places = [int(json.loads(each)["id"][1:]) for each in path.read_bytes().splitlines()]
        for each in ranges:
            mine = [place for place in places if place in each]
            assert mine == sorted(mine)


def test_long_lines_come_back_whole(journal: Journal, tmp_path: Path) -> None:
    journal.append(line(0, padding=5_000_000))
    journal.append(line(1))

    assert [len(each.caller) for each in read_all(tmp_path, MODEL)] == [5_000_000, 0]


def test_closing_twice_is_closing_once(journal: Journal, folder: Path) -> None:
    journal.append(line(0))
    journal.close()
    journal.close()

    assert written(folder) == line(0)
