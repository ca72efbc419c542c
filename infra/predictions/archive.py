"""The prediction archive: segments become Parquet files and an index, and are found in either."""

from __future__ import annotations

import heapq
import io
import logging
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from infra.database.predictions import PredictionEntry
from infra.predictions.errors import PredictionNotFoundError
from infra.predictions.segments import (
    Damage,
    PredictionRecord,
    is_identity,
    list_segments,
    look_up,
    read,
    read_all,
    taken,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date
    from pathlib import Path
    from typing import BinaryIO

    from infra.database.predictions import Label, Predictions, Window
    from infra.predictions.segments import Segment
    from infra.storage.protocol import ArtifactStore

_LOGGER = logging.getLogger("millrace.predictions")

_FILE_RECORDS = 20_000
_FILE_CHARACTERS = 32_000_000
"""A file is written when it holds as much: all of it lies in memory until then."""

_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "time": pa.timestamp("us", tz="UTC"),
        "model": pa.string(),
        "version": pa.int64(),
        "caller": pa.string(),
        "latency": pa.float64(),
        "rows": pa.int64(),
        "request": pa.string(),
        "response": pa.string(),
    }
)


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What was archived, and how many records cannot be read: at the end of a segment, before."""

    segments: int = 0
    files: int = 0
    records: int = 0
    torn: int = 0
    broken: int = 0

    def __add__(self, other: ArchiveReport) -> ArchiveReport:
        return ArchiveReport(
            self.segments + other.segments,
            self.files + other.files,
            self.records + other.records,
            self.torn + other.torn,
            self.broken + other.broken,
        )


@dataclass(frozen=True, slots=True)
class FoundPrediction:
    """A prediction in a list, with what came true by row."""

    entry: PredictionEntry
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class WholePrediction(FoundPrediction):
    """A prediction with what was asked and answered, both as JSON text."""

    request: str
    response: str


def archive(home: Path, store: ArtifactStore, predictions: Predictions) -> ArchiveReport:
    """Move every finished segment under a home of model servers into the archive.

    Killed anywhere and run again, it loses nothing and doubles nothing: a segment gives the
    same files each time and goes last.

    Raises
    ------
    ServiceUnavailableError
        If the store or the database does not answer; the segments stay.
    """
    report = ArchiveReport()
    for segment in list_segments(home):
        with taken(segment) as file:
            if file is not None:
                report += _archive(segment, file, store, predictions)
                segment.path.unlink(missing_ok=True)
    return report


def find(
    home: Path, predictions: Predictions, window: Window, *, limit: int = 100, offset: int = 0
) -> list[FoundPrediction]:
    """Return a page of predictions, newest first, archived or not.

    Segments are read before the index: what is archived meanwhile is seen twice, not missed.
    """
    wanted = offset + limit
    recent = (
        each for each in read_all(home, window.model) if window.holds(each.time, each.version)
    )
    waiting = heapq.nlargest(wanted, (_entry(each) for each in recent), key=_AGE)
    archived = predictions.find(window, limit=wanted)
    entries = {each.id: each for each in [*waiting, *archived]}
    page = sorted(entries.values(), key=_AGE, reverse=True)[offset:wanted]
    labels = predictions.labels_of([each.id for each in page])
    return [FoundPrediction(each, labels.get(each.id, ())) for each in page]


def fetch(
    home: Path, store: ArtifactStore, predictions: Predictions, model: str, identity: str
) -> WholePrediction:
    """Return all that is known of one prediction, wherever it lies.

    Raises
    ------
    PredictionNotFoundError
        If `model` has logged no such prediction.
    """
    if not is_identity(identity):
        raise PredictionNotFoundError(identity, model)
    record = (
        _look_up_archived(store, predictions, model, identity)
        or look_up(home, model, identity)
        or _look_up_archived(store, predictions, model, identity)  # it moved between the two
    )
    if record is None:
        raise PredictionNotFoundError(identity, model)
    labels = predictions.labels_of([identity]).get(identity, ())
    return WholePrediction(_entry(record), labels, record.request, record.response)


_AGE = attrgetter("time", "id")


def _archive(
    segment: Segment, file: BinaryIO, store: ArtifactStore, predictions: Predictions
) -> ArchiveReport:
    """Write the files of a segment, each before what the index says of it."""
    damage, files, records = Damage(), 0, 0
    for day, part in _parts(read(file, segment.model, damage)):
        folder = f"predictions/{segment.model}/{day:%Y/%m/%d}"
        key = f"{folder}/{segment.path.stem}-{files}.parquet"
        store.write(key, _parquet(part))
        predictions.add(_entry(each, key) for each in part)
        files += 1
        records += len(part)
    if damage.broken or damage.torn:
        _LOGGER.warning(
            "%s: %d broken records were left out, %d torn at its end",
            segment.path.name,
            damage.broken,
            damage.torn,
        )
    return ArchiveReport(1, files, records, damage.torn, damage.broken)


def _parts(
    records: Iterable[PredictionRecord],
) -> Iterator[tuple[date, list[PredictionRecord]]]:
    """Divide the records of a segment into those of one file each, which are of one day."""
    for batch in _batches(records):
        for day, same in groupby(sorted(batch, key=_AGE), key=lambda each: each.time.date()):
            yield day, list(same)


def _batches(records: Iterable[PredictionRecord]) -> Iterator[list[PredictionRecord]]:
    batch: list[PredictionRecord] = []
    characters = 0
    for record in records:
        batch.append(record)
        characters += len(record.request) + len(record.response)
        if len(batch) >= _FILE_RECORDS or characters >= _FILE_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _parquet(records: list[PredictionRecord]) -> bytes:
    columns = [[getattr(each, name) for each in records] for name in _SCHEMA.names]
    table = pa.table(columns, schema=_SCHEMA)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _entry(record: PredictionRecord, key: str = "") -> PredictionEntry:
    return PredictionEntry(
        id=record.id,
        time=record.time,
        model=record.model,
        version=record.version,
        caller=record.caller,
        latency_seconds=record.latency,
        rows=record.rows,
        archive=key,
    )


def _look_up_archived(
    store: ArtifactStore, predictions: Predictions, model: str, identity: str
) -> PredictionRecord | None:
    entry = predictions.get(identity)
    if entry is None or entry.model != model:
        return None
    with store.opened(entry.archive) as path:
        rows = pq.read_table(path, filters=[("id", "==", identity)]).to_pylist()
    return PredictionRecord(**rows[0]) if rows else None
