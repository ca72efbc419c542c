"""The prediction log's first station: segments on this machine, a record per request.

A record is in the kernel's hands before its answer is sent, which takes microseconds: an
acknowledged prediction survives whatever kills this process. Records of answers that go out
together are written together. A thread beside it makes them durable on disk, begins a new segment
when one is large or old, and tries again what the disk did not take. Whoever archives segments
takes those that nobody holds locked.
"""

from __future__ import annotations

import os
import time
from collections import deque
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from segment import SegmentWriter, pack

if TYPE_CHECKING:
    from pathlib import Path

    from segment import Record

SEGMENT_BYTES = 16_000_000
SEGMENT_SECONDS = 30.0
_BEAT_SECONDS = 0.5


class Journal:
    """Append-only segments in `folder`; what waits for the disk is bounded.

    Parameters
    ----------
    most_held_bytes : int
        What may wait for the disk before the journal is full. Those that were taken beside each
        other when it got full still wait.

    Attributes
    ----------
    taken : deque of Record
        Where a record is put; `write` comes before its answer is sent.
    full : bool
        Whether no more may be taken.
    held_bytes, records : int
        What waits for the disk, and how many were written since the start.
    """

    def __init__(self, folder: Path, *, most_held_bytes: int = 64_000_000) -> None:
        self._folder = folder
        self._most = most_held_bytes
        self.taken: deque[Record] = deque()
        self._held: deque[tuple[bytes, int]] = deque()
        self.full = False
        self.held_bytes = 0
        self.records = 0
        self._lock = Lock()
        self._segment: SegmentWriter | None = None
        self._dirty = False
        self._ended = Event()
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = Thread(target=self._keep, name="journal", daemon=True)
        self._thread.start()

    @property
    def held(self) -> int:
        """Records that wait for the disk."""
        return sum(count for _, count in tuple(self._held))

    def write(self) -> None:
        """Write what was taken, by whomever; the kernel has it when this returns."""
        with self._lock:  # also where nothing is left: another thread may be about to write it
            self._write()

    def close(self) -> None:
        """Write what is there, sync, and let the segment go."""
        self._ended.set()
        self._thread.join(timeout=5)
        with self._lock:
            self._retry()
            self._write()
            self._let_go(sync=True)

    def _write(self) -> None:
        if not self.taken:
            return
        # one by one, since other threads put theirs there meanwhile
        records = [self.taken.popleft() for _ in range(len(self.taken))]
        block = pack(records)
        if self._held or not self._append(block, len(records)):
            self._held.append((block, len(records)))
            self._count_held(len(block))

    def _append(self, block: bytes, count: int) -> bool:
        """Append to a segment, or return False where the disk does not take it."""
        try:
            if self._segment is None:
                self._segment = SegmentWriter(self._folder)
            self._segment.append(block)
        except OSError:
            return False
        self._dirty = True
        self.records += count
        if self._segment.end >= SEGMENT_BYTES:
            self._let_go(sync=False)
        return True

    def _let_go(self, *, sync: bool) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        try:
            if sync and self._dirty:
                _sync(segment.descriptor())
        finally:
            self._dirty = False
            segment.close()

    def _retry(self) -> None:
        while self._held:
            block, count = self._held[0]
            if not self._append(block, count):
                return
            self._held.popleft()
            self._count_held(-len(block))

    def _count_held(self, added: int) -> None:
        self.held_bytes += added
        self.full = self.held_bytes >= self._most

    def _keep(self) -> None:
        """Sync, turn the page, try again: once a beat, off the way of answers."""
        while not self._ended.wait(_BEAT_SECONDS):
            try:
                self._beat()
            except OSError:  # the disk, or a lack of descriptors: the next beat tries again
                self._dirty = True

    def _beat(self) -> None:
        with self._lock:
            self._retry()
            if self._segment is not None and self._is_old(self._segment):
                self._let_go(sync=False)  # archived within the minute, and synced there
            if self._segment is None or not self._dirty:
                return
            file = self._segment.descriptor()
            self._dirty = False
        _sync(file)

    @staticmethod
    def _is_old(segment: SegmentWriter) -> bool:
        return time.monotonic() - segment.opened > SEGMENT_SECONDS


def _sync(file: int) -> None:
    try:
        os.fsync(file)
    finally:
        os.close(file)
