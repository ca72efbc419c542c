"""Segments: what model servers note of their predictions until it is archived.

A server appends a record per request to files under `predictions/<registered name>/` of its home
and holds an exclusive lock on the file it writes to. The lock, which the kernel releases however a
process ends, says whether a segment is finished. A name is never used twice, since archived files
are named after their segment. `bento.segment` says how records lie in a file.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bento.segment import IDENTITY, SUFFIX, read_segment
from infra.errors import ModelNotFoundError
from infra.refs import ModelRef

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from bento.segment import Record


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of predictions of one model."""

    path: Path
    model: str


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """One request and its answer, both as JSON text; `latency` is in seconds, `time` in UTC."""

    id: str
    time: datetime
    model: str
    version: int
    caller: str
    latency: float
    rows: int
    request: str
    response: str


@dataclass(slots=True)
class Damage:
    """Records that cannot be read: `torn` at the end of a segment, `broken` before."""

    torn: int = 0
    broken: int = 0


def is_identity(text: str) -> bool:
    """Whether a prediction can be called so."""
    return re.fullmatch(IDENTITY, text) is not None


def list_segments(home: Path, model: str | None = None) -> list[Segment]:
    """Return the segments under a home by name, all or those of one model."""
    found = sorted((home / "predictions").glob(f"*/*{SUFFIX}"))
    return [
        Segment(path, path.parent.name)
        for path in found
        if model in {None, path.parent.name} and _is_registered(path.parent.name) and path.is_file()
    ]


@contextmanager
def taken(segment: Segment) -> Iterator[BinaryIO | None]:
    """Keep a finished segment from others for the length of the block, which may delete it.

    Yields None where it is still written, in other hands, or gone.
    """
    try:
        file = segment.path.open("r+b")  # a network file system locks what may be written only
    except FileNotFoundError:
        yield None
        return
    with file:
        yield file if _lock(file) and _is_there(file) else None


def read(file: BinaryIO, model: str, damage: Damage | None = None) -> Iterator[PredictionRecord]:
    """Yield the records of a segment of `model`, one in memory at a time."""
    damage = damage or Damage()
    bad = False
    for record in read_segment(file):
        damage.broken += bad  # one follows it, so it was not the torn one
        bad = record is None
        if record is not None:
            yield _told(record, model)
    damage.torn += bad


def read_all(home: Path, model: str) -> Iterator[PredictionRecord]:
    """Yield what lies in the segments of a model, those still being written included."""
    for file in _opened(home, model):
        yield from read(file, model)


def look_up(home: Path, model: str, identity: str) -> PredictionRecord | None:
    """Return the record of this id from the segments of a model, if it lies there."""
    for file in _opened(home, model):
        for record in read_segment(file):
            if record is not None and record.id == identity:
                return _told(record, model)
    return None


def _opened(home: Path, model: str) -> Iterator[BinaryIO]:
    """Open one segment after the other; one that was archived meanwhile is left out."""
    for segment in list_segments(home, model):
        try:
            file = segment.path.open("rb")
        except FileNotFoundError:
            continue
        with file:
            yield file


def _told(record: Record, model: str) -> PredictionRecord:
    return PredictionRecord(
        id=record.id,
        time=datetime.fromtimestamp(record.time, UTC),
        model=model,
        version=record.version,
        caller=record.caller.replace("\0", ""),  # which PostgreSQL does not take
        latency=record.latency,
        rows=record.rows,
        request=record.request.decode(errors="replace"),
        response=record.response.decode(errors="replace"),
    )


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_there(file: BinaryIO) -> bool:
    """Whether the locked file was not archived by the one who held the lock before."""
    return os.fstat(file.fileno()).st_nlink > 0


def _is_registered(name: str) -> bool:
    """Whether a folder is named after a model."""
    try:
        ModelRef.from_registered(name, version=1)
    except ModelNotFoundError:
        return False
    return True
