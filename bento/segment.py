"""A segment of the prediction log: how records lie in a file, and how a killed writer leaves them.

A file begins with a stage, which its writer maps: to append is to copy, without a system call and
into memory that stays warm, and what was copied is in the kernel's hands however the process
ends. A full stage is written behind the blocks before it. The first eight bytes say where the
blocks end and how much of the stage counts, in one word, which changes at once: what does not
count yet, or no longer, is not there.

Records are MessagePack in frames: length and CRC-32, four bytes each, the least first.
"""

from __future__ import annotations

import fcntl
import io
import mmap
import os
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4
from zlib import crc32

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

SUFFIX = ".records"
"""What names of segments end in."""

IDENTITY = r"[0-9A-Za-z_-]{1,64}"
"""What the id of a prediction looks like."""

STAGE_BYTES = 1 << 18
"""Of a few hundred records, and small beside a core's cache."""

_WORD = struct.Struct("=Q")
_STAGED_BITS = 24
_ROOM = STAGE_BYTES - _WORD.size
_FRAME = struct.Struct("<II")
_YEAR_10000 = 253_402_300_800

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class Record(msgspec.Struct, array_like=True, gc=False):
    """One request and its answer, both JSON; what it must hold, so that a database takes it.

    `time` is when it was answered, in seconds since 1970; `latency` in seconds.
    """

    id: Annotated[str, msgspec.Meta(pattern=rf"\A{IDENTITY}\Z")]
    time: Annotated[float, msgspec.Meta(ge=0, lt=_YEAR_10000)]
    version: _Count
    caller: str
    latency: float
    rows: _Count
    request: bytes
    response: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def pack(records: Iterable[Record]) -> bytes:
    """Return the frames of some records, one after the other.

    Examples
    --------
    >>> len(pack([Record("f00", 1.7e9, 1, "shop", 0.001, 1, b"{}", b"{}")]))
    46
    """
    parts = []
    for record in records:
        content = _encode(record)
        parts.append(_FRAME.pack(len(content), crc32(content)))
        parts.append(content)
    return b"".join(parts)


class SegmentWriter:
    """A new segment in `folder`, under an exclusive lock until it is closed.

    Attributes
    ----------
    end : int
        Bytes of the file: the stage, whatever of it counts, and the blocks.
    path : Path
        Where it lies.
    opened : float
        When it was made, by the monotonic clock.

    Raises
    ------
    OSError
        If it cannot be made; nothing is left of it.
    """

    def __init__(self, folder: Path) -> None:
        self.opened = time.monotonic()
        self.end = STAGE_BYTES
        self._staged = 0
        self.path = folder / f"{int(time.time() * 1000)}-{uuid4().hex}{SUFFIX}"
        self._file, self._map = _made(self.path)
        self._stage = memoryview(self._map)[_WORD.size :]
        self._word = memoryview(self._map)[: _WORD.size].cast("Q")
        self._word[0] = self.end << _STAGED_BITS

    def append(self, block: bytes) -> None:
        """Add packed records; the kernel has them when this returns.

        Raises
        ------
        OSError
            If the disk has no room; nothing of the block is in the segment.
        """
        staged = self._staged + len(block)
        if staged > _ROOM:
            self._write(self._stage[: self._staged])
            staged = len(block)
        if staged > _ROOM:
            self._write(block)
            return
        self._stage[self._staged : staged] = block
        self._staged = staged
        self._word[0] = self.end << _STAGED_BITS | staged

    def descriptor(self) -> int:
        """Return a file descriptor of its own, for whoever syncs the segment and closes it."""
        return os.dup(self._file)

    def close(self) -> None:
        """Give up the lock."""
        self._word.release()
        self._stage.release()
        self._map.close()
        os.close(self._file)

    def _write(self, content: bytes | memoryview) -> None:
        """Write a block, which may be the stage's content: that does not count twice."""
        place, rest = self.end, memoryview(content)
        while rest:
            written = os.pwrite(self._file, rest, place)
            place, rest = place + written, rest[written:]
        self.end, self._staged = place, 0
        self._word[0] = place << _STAGED_BITS


def read_segment(file: BinaryIO) -> Iterator[Record | None]:
    """Yield the records of a segment, written still or finished; None for one that is damaged.

    Nothing is found behind a frame that does not say where it ends.
    """
    end, stage = _look(file.fileno())
    end = min(end, os.fstat(file.fileno()).st_size)  # of what a crashed disk left
    file.seek(STAGE_BYTES)
    yield from _frames(file, end - STAGE_BYTES)
    yield from _frames(io.BytesIO(stage), len(stage))


def _made(path: Path) -> tuple[int, mmap.mmap]:
    """Make a file that is whole and locked before anybody can see it as a segment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.new")
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        # a mapped page that the disk has no room for would end the process
        if os.pwrite(file, bytes(STAGE_BYTES), 0) < STAGE_BYTES:
            raise OSError("no room for a segment")  # noqa: TRY301 - removed as after any other
        stage = mmap.mmap(file, STAGE_BYTES)
        draft.rename(path)
    except OSError:
        os.close(file)
        with suppress(OSError):
            draft.unlink()
        raise
    return file, stage


def _look(file: int) -> tuple[int, bytes]:
    """Return where the blocks end and what is staged, both of one moment."""
    while True:
        head = os.pread(file, STAGE_BYTES, 0)
        if len(head) < STAGE_BYTES:  # as above
            return STAGE_BYTES, b""
        (word,) = _WORD.unpack_from(head)
        (then,) = _WORD.unpack(os.pread(file, _WORD.size, 0))
        if then >> _STAGED_BITS == word >> _STAGED_BITS:  # else the stage is another's by now
            staged = word & ((1 << _STAGED_BITS) - 1)
            return word >> _STAGED_BITS, head[_WORD.size : _WORD.size + staged]


def _frames(file: BinaryIO, left: int) -> Iterator[Record | None]:
    while left > 0:
        frame = file.read(_FRAME.size)
        length, check = _FRAME.unpack(frame) if len(frame) == _FRAME.size else (0, 0)
        left -= _FRAME.size
        if not 0 < length <= left:
            yield None
            return
        content = file.read(length)
        left -= length
        yield _decoded(content) if crc32(content) == check else None


def _decoded(content: bytes) -> Record | None:
    try:
        return _decode(content)
    except (msgspec.MsgspecError, ValueError):  # the latter for texts in no encoding
        return None
