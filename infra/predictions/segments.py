"""Segments: what model servers note of their predictions until it is archived.

A server appends one JSON line per request to files under `predictions/<registered name>/` of
its home and holds an exclusive lock on the file it writes to. The lock, which the kernel
releases however a process ends, says whether a segment is finished. A name is never used
twice, since archived files are named after their segment.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

from infra.errors import ModelNotFoundError
from infra.refs import ModelRef

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

IDENTITY = r"[0-9A-Za-z_-]{1,64}"
"""What the id of a prediction looks like."""

_EMPTY_FOR = 60.0
"""Seconds an empty segment stays: its writer makes the file before it can lock it."""

_YEAR_10000 = 253_402_300_800
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


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
    """Lines that were no records: `torn` at the end of a segment, `broken` before."""

    torn: int = 0
    broken: int = 0


class _Line(msgspec.Struct):
    """A record as it is written; what it must hold, so that database and store take it."""

    id: Annotated[str, msgspec.Meta(pattern=rf"\A{IDENTITY}\Z")]
    time: Annotated[float, msgspec.Meta(ge=0, lt=_YEAR_10000)]
    model: str
    version: _Count
    caller: str
    latency: float
    rows: _Count
    request: msgspec.Raw
    response: msgspec.Raw


_DECODER = msgspec.json.Decoder(_Line)


def is_identity(text: str) -> bool:
    """Whether a prediction can be called so."""
    return re.fullmatch(IDENTITY, text) is not None


def list_segments(home: Path, model: str | None = None) -> list[Segment]:
    """Return the segments under a home by name, all or those of one model."""
    found = sorted((home / "predictions").glob("*/*.log"))
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
        yield file if _lock(file) and _is_finished(file) else None


def read(file: BinaryIO, model: str, damage: Damage | None = None) -> Iterator[PredictionRecord]:
    """Yield the records of a segment of `model`, one line in memory at a time."""
    damage = damage or Damage()
    bad = False
    for line in file:
        damage.broken += bad  # a line follows it, so it was not the torn one
        record = _parse(line, model)
        bad = record is None
        if record is not None:
            yield record
    damage.torn += bad


def read_all(home: Path, model: str) -> Iterator[PredictionRecord]:
    """Yield what lies in the segments of a model, those still being written included."""
    for file in _opened(home, model):
        yield from read(file, model)


def look_up(home: Path, model: str, identity: str) -> PredictionRecord | None:
    """Return the record of this id from the segments of a model, if it lies there."""
    for file in _opened(home, model):
        for line in file:
            record = _parse(line, model) if identity.encode() in line else None
            if record is not None and record.id == identity:
                return record
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


def _parse(line: bytes, model: str) -> PredictionRecord | None:
    """Read a line, or return None if it is no whole record of `model`."""
    if not line.endswith(b"\n"):
        return None
    try:
        written = _DECODER.decode(line)
        request, response = bytes(written.request).decode(), bytes(written.response).decode()
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    if written.model != model:
        return None
    return PredictionRecord(
        id=written.id,
        time=datetime.fromtimestamp(written.time, UTC),
        model=model,
        version=written.version,
        caller=written.caller.replace("\0", ""),  # which PostgreSQL does not take
        latency=written.latency,
        rows=written.rows,
        request=request,
        response=response,
    )


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_finished(file: BinaryIO) -> bool:
    """Whether the locked file is still there, and no writer is about to lock it."""
    state = os.fstat(file.fileno())
    if state.st_nlink == 0:  # the one who held the lock before has archived it
        return False
    return state.st_size > 0 or time.time() - state.st_mtime > _EMPTY_FOR


def _is_registered(name: str) -> bool:
    """Whether a folder is named after a model."""
    try:
        ModelRef.from_registered(name, version=1)
    except ModelNotFoundError:
        return False
    return True
