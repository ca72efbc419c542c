from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import infra.predictions.archive
from bento.segment import SUFFIX
from infra.database.engine import open_database
from infra.database.predictions import Label, PredictionEntry, Predictions, Window
from infra.errors import ServiceUnavailableError
from infra.predictions.archive import ArchiveReport, archive, fetch, find
from infra.predictions.errors import PredictionNotFoundError
from infra.provenance import ROOT
from tests.segments import framed, packed, write_segment

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings
    from infra.storage.local import LocalStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL = Window("churn")


@pytest.fixture
def home(platform: Settings) -> Path:
    return platform.serving.home


@pytest.fixture
def predictions(platform: Settings) -> Predictions:
    return Predictions(open_database(platform.database))


def record(identity: str, minutes: float = 0, **changes: object) -> bytes:
    time = (NOON + timedelta(minutes=minutes)).timestamp()
    return packed(**{"id": identity, "time": time, "version": 1, "caller": ""} | changes)


def write(home: Path, content: bytes, name: str = "a", model: str = "churn") -> Path:
    return write_segment(home / "predictions" / model, name, content)


def stored(store: LocalStore) -> list[str]:
    """The ids in all archived files, each as often as it is in one."""
    found = []
    for key in store.keys("predictions/"):
        with store.opened(key) as path:
            found += pq.read_table(path, columns=["id"])["id"].to_pylist()
    return sorted(found)


def entry(identity: str, minutes: float = 0, **changes: Any) -> PredictionEntry:
    values = {"time": NOON + timedelta(minutes=minutes), "model": "churn", "version": 1} | changes
    return PredictionEntry(
        id=identity, caller="", latency_seconds=0.1, rows=1, archive="key", **values
    )


def entered(predictions: Predictions) -> list[str]:
    return sorted(each.id for each in predictions.find(ALL, limit=100_000))


def test_predictions_are_entered_once(predictions: Predictions) -> None:
    predictions.add([entry("a"), entry("a"), entry("b")])
    predictions.add([entry("b", version=9), entry("c")])

    assert predictions.count(ALL) == 3
    assert predictions.get("b") == entry("b")
    assert predictions.get("d") is None


def test_nothing_may_be_entered(predictions: Predictions) -> None:
    predictions.add([])

    assert predictions.label([]) == 0
    assert predictions.labels_of([]) == {}


def test_tens_of_thousands_are_entered_at_once(predictions: Predictions) -> None:
    predictions.add(entry(f"{number:x}") for number in range(20_000))

    assert predictions.count(ALL) == 20_000


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window("churn"), ["d", "c", "b", "a"]),
        (Window("churn", since=NOON + timedelta(minutes=1)), ["d", "c", "b"]),
        (Window("churn", until=NOON + timedelta(minutes=1)), ["a"]),
        (Window("churn", NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)), ["b"]),
        (Window("churn", version=2), ["c"]),
        (Window("other"), ["e"]),
        (Window("nobody"), []),
    ],
)
def test_a_window_holds_its_beginning_and_not_its_end(
    predictions: Predictions, window: Window, expected: list[str]
) -> None:
    times = {"a": 0, "b": 1, "c": 2, "d": 3}
    predictions.add(entry(name, minutes) for name, minutes in times.items() if name != "c")
    predictions.add([entry("c", 2, version=2), entry("e", model="other")])

    assert [each.id for each in predictions.find(window)] == expected
    assert predictions.count(window) == len(expected)


def test_the_zone_of_a_bound_does_not_matter(predictions: Predictions) -> None:
    predictions.add([entry("a"), entry("b", 1)])
    zone = timezone(timedelta(hours=14))

    found = predictions.find(Window("churn", since=(NOON + timedelta(minutes=1)).astimezone(zone)))

    assert [each.id for each in found] == ["b"]


def test_pages_join(predictions: Predictions) -> None:
    predictions.add(entry(f"{number}", number // 3) for number in range(10))

    pages = [predictions.find(ALL, limit=4, offset=offset) for offset in (0, 4, 8)]

    assert [len(page) for page in pages] == [4, 4, 2]
    assert [each for page in pages for each in page] == predictions.find(ALL)


def test_the_last_label_of_a_row_holds(predictions: Predictions) -> None:
    given = [Label("a", 1, "1", NOON), Label("a", 0, "2", NOON), Label("a", 1, "3", NOON)]

    assert predictions.label(given) == 2
    assert predictions.label([Label("a", 0, "4", NOON)]) == 1
    assert predictions.labels_of(["a", "b"]) == {
        "a": (Label("a", 0, "4", NOON), Label("a", 1, "3", NOON))
    }


def test_a_finished_segment_becomes_files_by_day_and_an_index(
    home: Path, store: LocalStore, predictions: Predictions
) -> None:
    path = write(home, record("a") + record("b", 11 * 60) + record("c", 13 * 60), "s7")

    report = archive(home, store, predictions)

    assert report == ArchiveReport(segments=1, files=2, records=3)
    assert list(store.keys("predictions/")) == [
        "predictions/churn/2026/03/01/s7-0.parquet",
        "predictions/churn/2026/03/02/s7-1.parquet",
    ]
    assert predictions.get("c").archive == "predictions/churn/2026/03/02/s7-1.parquet"
    assert not path.exists()
    assert archive(home, store, predictions) == ArchiveReport()


def test_a_file_says_what_its_columns_are(
    home: Path, store: LocalStore, predictions: Predictions
) -> None:
    write(home, record("a"))
    archive(home, store, predictions)

    with store.opened("predictions/churn/2026/03/01/a-0.parquet") as path:
        file = pq.ParquetFile(path)
        columns = {each.name: str(each.type) for each in file.schema_arrow}
        codec = file.metadata.row_group(0).column(0).compression

    assert columns == {
        "id": "string",
        "time": "timestamp[us, tz=UTC]",
        "model": "string",
        "version": "int64",
        "caller": "string",
        "latency": "double",
        "rows": "int64",
        "request": "string",
        "response": "string",
    }
    assert codec == "ZSTD"


def test_a_large_segment_becomes_several_files(
    home: Path, store: LocalStore, predictions: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infra.predictions.archive, "_FILE_RECORDS", 4)
    write(home, b"".join(record(f"{number}") for number in range(10)))

    assert archive(home, store, predictions).files == 3
    assert stored(store) == entered(predictions) == [f"{number}" for number in range(10)]


def test_a_file_is_full_when_its_texts_are_long(
    home: Path, store: LocalStore, predictions: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infra.predictions.archive, "_FILE_CHARACTERS", 1_000)
    write(home, b"".join(record(f"{number}", request="x" * 600) for number in range(4)))

    assert archive(home, store, predictions).files == 2


def test_damage_is_told_and_the_rest_is_kept(
    home: Path, store: LocalStore, predictions: Predictions, caplog: pytest.LogCaptureFixture
) -> None:
    write(home, record("a") + framed([]) + record("b") + record("c")[:50])
    write(home, framed([]), "b")

    report = archive(home, store, predictions)

    assert report == ArchiveReport(segments=2, files=1, records=2, torn=2, broken=1)
    assert "a.records: 1 broken records were left out, 1 torn at its end" in caplog.text
    assert "b.records" in caplog.text


def test_nothing_is_archived_where_nothing_was_served(
    home: Path, store: LocalStore, predictions: Predictions
) -> None:
    assert archive(home, store, predictions) == ArchiveReport()


class Killed(BaseException):
    """The process is killed here."""


@pytest.mark.parametrize("victim", ["write", "add", "unlink"])
@pytest.mark.parametrize("nth", [0, 1])
def test_a_killed_run_is_made_up_for(
    home: Path,
    store: LocalStore,
    predictions: Predictions,
    monkeypatch: pytest.MonkeyPatch,
    *,
    victim: str,
    nth: int,
) -> None:
    """Killed before the first or second file, index entry or removal, and run again."""
    monkeypatch.setattr(infra.predictions.archive, "_FILE_RECORDS", 2)
    expected = [f"{number}" for number in range(6)]
    write(home, b"".join(map(record, expected[:3])), "a")
    write(home, b"".join(map(record, expected[3:])), "b")
    owner = {"write": type(store), "add": Predictions, "unlink": type(home)}[victim]
    real, calls = getattr(owner, victim), iter(range(100))

    def die(*arguments: Any, **options: Any) -> Any:
        is_ours = victim != "unlink" or arguments[0].suffix == SUFFIX
        if is_ours and next(calls) == nth:
            raise Killed
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, victim, die)
        with pytest.raises(Killed):
            archive(home, store, predictions)
    found = find(home, predictions, ALL)
    archive(home, store, predictions)

    assert sorted(each.entry.id for each in found) == expected
    assert stored(store) == entered(predictions) == expected
    assert not list(home.rglob(f"*{SUFFIX}"))


def test_a_store_that_is_away_leaves_the_segments(
    home: Path, store: LocalStore, predictions: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise ServiceUnavailableError("the store", "refused")

    write(home, record("a"))
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "write", refuse)
        with pytest.raises(ServiceUnavailableError):
            archive(home, store, predictions)

    assert archive(home, store, predictions).records == 1


WRITER = """
import sys, time
from pathlib import Path
from bento.segment import SegmentWriter
from tests.segments import packed
writer = SegmentWriter(Path(sys.argv[1]))
for number in range(1000):
    writer.append(packed(id=f"{number:x}", request="x" * 600))
print("written", flush=True)
time.sleep(60)
"""


def test_what_a_killed_server_wrote_is_archived(
    home: Path, store: LocalStore, predictions: Predictions
) -> None:
    command = [sys.executable, "-c", WRITER, home / "predictions" / "churn"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "written\n"
        busy = archive(home, store, predictions)
        seen = find(home, predictions, ALL, limit=2_000)
        server.send_signal(signal.SIGKILL)

    report = archive(home, store, predictions)

    assert busy == ArchiveReport()
    assert len(seen) == 1_000
    assert report == ArchiveReport(segments=1, files=1, records=1_000)
    assert stored(store) == entered(predictions) == sorted(f"{n:x}" for n in range(1_000))


def test_archivers_at_once_do_each_segment_once(
    home: Path, store: LocalStore, predictions: Predictions
) -> None:
    expected = sorted(f"{segment}-{number}" for segment in range(12) for number in range(20))
    for segment in range(12):
        records = [record(f"{segment}-{number}") for number in range(20)]
        write(home, b"".join(records), f"{segment}")

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: archive(home, store, predictions), range(4)))

    assert sum(report.segments for report in reports) == 12
    assert stored(store) == entered(predictions) == expected


def test_archived_and_waiting_predictions_are_one_list(
    home: Path, store: LocalStore, predictions: Predictions
) -> None:
    write(home, record("a", 0) + record("c", 2))
    archive(home, store, predictions)
    write(home, record("b", 1) + record("d", 3, version=2) + record("a", 0), "b")
    write(home, record("x"), model="telco.churn")

    def ids(window: Window = ALL, **page: int) -> list[str]:
        return [each.entry.id for each in find(home, predictions, window, **page)]

    assert ids() == ["d", "c", "b", "a"]
    assert ids(limit=2, offset=1) == ["c", "b"]
    assert ids(offset=4) == []
    assert ids(Window("churn", version=2)) == ["d"]
    assert ids(Window("churn", NOON + timedelta(minutes=1), NOON + timedelta(minutes=2))) == ["b"]


def test_what_moves_while_it_is_listed_is_listed_once(
    home: Path, store: LocalStore, predictions: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home, record("a") + record("b"))
    search = Predictions.find

    def search_late(self: Predictions, *arguments: Any, **options: Any) -> Any:
        archive(home, store, predictions)
        return search(self, *arguments, **options)

    monkeypatch.setattr(Predictions, "find", search_late)

    assert [each.entry.id for each in find(home, predictions, ALL)] == ["b", "a"]


def test_a_label_may_come_before_its_prediction_is_archived(
    home: Path, store: LocalStore, predictions: Predictions
) -> None:
    label = Label("a", 0, '"yes"', NOON)
    predictions.label([label])
    write(home, record("a"))

    waiting = find(home, predictions, ALL)
    archive(home, store, predictions)
    archived = find(home, predictions, ALL)

    assert [each.labels for each in (*waiting, *archived)] == [(label,), (label,)]


def test_a_whole_record_is_the_same_before_and_after(
    home: Path, store: LocalStore, predictions: Predictions
) -> None:
    write(home, record("a") + record("b", request={"x": 0.1}))
    predictions.label([Label("b", 0, "1", NOON)])

    waiting = fetch(home, store, predictions, "churn", "b")
    archive(home, store, predictions)
    archived = fetch(home, store, predictions, "churn", "b")

    assert waiting == archived
    assert archived.request == '{"x": 0.1}'
    assert archived.labels == (Label("b", 0, "1", NOON),)


def test_what_moves_while_it_is_looked_up_is_found(
    home: Path, store: LocalStore, predictions: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home, record("a"))

    def look_up_late(*_arguments: object) -> None:
        archive(home, store, predictions)

    monkeypatch.setattr(infra.predictions.archive, "look_up", look_up_late)

    assert fetch(home, store, predictions, "churn", "a").entry.id == "a"


@pytest.mark.parametrize("identity", ["b", "../a", "a\0", "", "*", "a" * 65])
def test_what_was_never_answered_is_not_found(
    home: Path, store: LocalStore, predictions: Predictions, identity: str
) -> None:
    write(home, record("a"))
    archive(home, store, predictions)

    with pytest.raises(PredictionNotFoundError):
        fetch(home, store, predictions, "churn", identity)


def test_a_prediction_belongs_to_its_model(
    home: Path, store: LocalStore, predictions: Predictions
) -> None:
    write(home, record("a"))
    archive(home, store, predictions)

    with pytest.raises(PredictionNotFoundError):
        fetch(home, store, predictions, "telco.churn", "a")
