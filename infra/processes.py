"""Processes that outlive their parent: recorded by pid and start time, found and stopped again."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SAME_START = 1.0
"""Seconds by which two readings of one process's start time may differ."""


@dataclass(frozen=True, slots=True)
class Record:
    """A started process; the start time tells it from a later one with the same pid."""

    name: str
    pid: int
    started: float

    def process(self) -> psutil.Process | None:
        """Return the process if it still runs."""
        try:
            process = psutil.Process(self.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE
            same = abs(process.create_time() - self.started) < _SAME_START
        except psutil.Error:
            return None
        return process if alive and same else None


class Records:
    """The recorded processes of one stack, a file each under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, pid: int) -> Record:
        """Record a process that was just started."""
        record = Record(name, pid, psutil.Process(pid).create_time())
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{name}.{pid}"
        draft.write_text(json.dumps(asdict(record)))
        draft.replace(self._path(name))
        return record

    def get(self, name: str) -> Record | None:
        """Return the record of `name`, whether its process runs or not."""
        try:
            return Record(**json.loads(self._path(name).read_text()))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None

    def alive(self) -> list[Record]:
        """Return the records whose process runs."""
        names = sorted(path.stem for path in self._folder.glob("[!.]*.json"))
        records = (self.get(name) for name in names)
        return [record for record in records if record is not None and record.process()]

    def remove(self, name: str) -> None:
        """Forget a process."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def marked(variable: str, matches: Callable[[str], bool]) -> list[psutil.Process]:
    """Return the other processes whose environment has a matching value of `variable`."""
    found = []
    for process in psutil.process_iter():
        try:
            value = process.environ().get(variable) if process.pid != os.getpid() else None
        except psutil.Error:  # another user's, or gone
            continue
        if value is not None and matches(value):
            found.append(process)
    return found


def stop_tree(process: psutil.Process, *, grace_seconds: float) -> None:
    """Ask a process and its descendants to end, and kill those that have not after the grace."""
    tree = [process]
    try:
        tree += process.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    _signal(tree[:1], signal.SIGTERM)
    _gone, left = psutil.wait_procs(tree, timeout=grace_seconds)
    _signal(left, signal.SIGKILL)
    psutil.wait_procs(left, timeout=5)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            continue
