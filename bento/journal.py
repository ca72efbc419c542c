"""The prediction log's first station: segments on this machine, a line per request.

A line is handed to the kernel before its answer is sent, which takes microseconds: an
acknowledged prediction survives whatever kills this process. A thread beside it makes lines
durable on disk, begins a new segment when one is large or old, and tries again what the disk did
not take. Whoever archives segments takes those that nobody holds locked.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections import deque
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT_BYTES = 16_000_000
SEGMENT_SECONDS = 30.0
_BEAT_SECONDS = 0.5


class JournalFullError(RuntimeError):
    """The disk takes no lines and no more of them can be held: no prediction without its line."""


class Journal:
    """Append-only segments in `folder`; `held` lines wait for the disk, up to `most_held_bytes`."""

    def __init__(self, folder: Path, *, most_held_bytes: int = 64_000_000) -> None:
        self._folder = folder
        self._most = most_held_bytes
        self._held: deque[bytes] = deque()
        self.held_bytes = 0
        self.lines = 0
        self._lock = Lock()
        self._file: int | None = None
        self._path: Path | None = None
        self._size = 0
        self._opened = 0.0
        self._dirty = False
        self._ended = Event()
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = Thread(target=self._keep, name="journal", daemon=True)
        self._thread.start()

    @property
    def held(self) -> int:
        """Lines that wait for the disk."""
        return len(self._held)

    def append(self, line: bytes) -> None:
        """Write a line, which ends in a line feed; the kernel has it when this returns.

        Raises
        ------
        JournalFullError
            If it can neither be written nor held.
        """
        with self._lock:
            if self._held:
                self._hold(line)
                return
            try:
                self._write(line)
            except OSError:
                self._hold(line)

    def close(self) -> None:
        """Write what is held, sync, and let the segment go."""
        self._ended.set()
        self._thread.join(timeout=5)
        with self._lock:
            self._retry()
            self._let_go(sync=True)

    def _hold(self, line: bytes) -> None:
        if self.held_bytes + len(line) > self._most:
            raise JournalFullError
        self._held.append(line)
        self.held_bytes += len(line)

    def _write(self, line: bytes) -> None:
        if self._file is None:
            self._open()
        assert self._file is not None  # noqa: S101 - just opened
        written = os.write(self._file, line)
        self._dirty = True
        self._size += written
        if written < len(line):  # the rest would begin a line of its own: none may follow it
            self._let_go(sync=False)
            raise OSError("the disk is full")
        self.lines += 1
        if self._size >= SEGMENT_BYTES:
            self._let_go(sync=False)

    def _open(self) -> None:
        """Make a segment that is locked before anybody can see it as one."""
        name = f"{int(time.time() * 1000)}-{uuid4().hex}"
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{name}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        file = os.open(draft, flags, 0o640)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._path = draft.rename(self._folder / f"{name}.log")
        except OSError:
            os.close(file)
            draft.unlink(missing_ok=True)
            raise
        self._file, self._size, self._opened = file, 0, time.monotonic()

    def _let_go(self, *, sync: bool) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if sync and self._dirty:
                os.fsync(file)
        finally:
            self._dirty = False
            os.close(file)  # and with it the lock

    def _retry(self) -> None:
        while self._held:
            try:
                self._write(self._held[0])
            except OSError:
                return
            self.held_bytes -= len(self._held.popleft())

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
            if self._file is not None and self._is_old():
                self._let_go(sync=False)  # archived within the minute, and synced there
            if self._file is None or not self._dirty:
                return
            file = os.dup(self._file)
            self._dirty = False
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def _is_old(self) -> bool:
        return self._size > 0 and time.monotonic() - self._opened > SEGMENT_SECONDS
