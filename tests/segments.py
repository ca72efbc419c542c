"""Segments of the prediction log as model servers leave them."""

from __future__ import annotations

import errno
import json
import os
import struct
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec

from bento.segment import SUFFIX, Record, SegmentWriter, pack

if TYPE_CHECKING:
    from pathlib import Path

FIELDS: dict[str, Any] = {
    "id": "f00",
    "time": 1_700_000_000.25,
    "version": 3,
    "caller": "shop",
    "latency": 0.002,
    "rows": 1,
    "request": {"rows": [{"x": 1}]},
    "response": {"predictions": []},
}


def packed(**changes: Any) -> bytes:
    """A record in its frame; a request or response that is no bytes is written as JSON."""
    fields = FIELDS | changes
    for name in ("request", "response"):
        if not isinstance(fields[name], bytes):
            fields[name] = json.dumps(fields[name]).encode()
    return pack([Record(**fields)])


def framed(content: Any) -> bytes:
    """What is not a record, in a frame like one's; what is no bytes as MessagePack."""
    if not isinstance(content, bytes):
        content = msgspec.msgpack.encode(content)
    return struct.pack("<II", len(content), crc32(content)) + content


def write_segment(folder: Path, name: str, *blocks: bytes) -> Path:
    """Write blocks as a server does that has ended."""
    writer = SegmentWriter(folder)
    for block in blocks:
        writer.append(block)
    writer.close()
    return writer.path.rename(folder / f"{name}{SUFFIX}")


class Disk:
    """What `os.pwrite` becomes: takes `room` bytes more, then is full."""

    def __init__(self, room: float) -> None:
        self.room = room
        self._write = os.pwrite

    def pwrite(self, file: int, content: bytes, place: int) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._write(file, content[: int(min(self.room, len(content)))], place)
        self.room -= taken
        return taken
