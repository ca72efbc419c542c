"""Fits in processes of their own: one that crashes, hangs or eats the memory costs itself.

A pool has a server process, which holds the data and forks a child for every job: a child sees
libraries and data without copying them, and can be killed without leaving anything behind. The
server is itself forked, from a template that has imported the libraries once for all pools of a
process. Neither has ever run a parallel region, without which forking would not be safe. When
whoever opened the pool is gone, however it went, the server and its children go too.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Self

import cloudpickle
import joblib
import psutil

from tasks.tabular.search_errors import PoolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.tabular.jobs import Bench, Job

Ending = Literal["done", "failed", "too long", "too large", "crashed"]

_STOP_SECONDS = 3.0

MAX_SLOTS = 8
"""Jobs at a time, at most: more cores give each job more threads."""

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may use: wall seconds (0 for any), and bytes beyond what the server holds."""

    seconds: float = 0.0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended; `value` is its result, `error` says what went wrong."""

    number: int
    ending: Ending
    value: Any = None
    error: str = ""
    seconds: float = 0.0


class _Template:
    """A process that has imported everything, from which servers are forked."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._line, theirs = socket.socketpair()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            # the children share the cores among themselves
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "tasks.tabular.pool_server", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()

    @property
    def usable(self) -> bool:
        """Whether it lives and is ours, not that of a process we were forked from."""
        return self.owner == os.getpid() and self._process.poll() is None

    def fork(self) -> Connection:
        """Have a server forked and return the line to it."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._line, [b"+"], [theirs.fileno()])
        return Connection(ours.detach())


_templates: list[_Template] = []
_lock = threading.Lock()


def _forked() -> Connection:
    """Return the line to a new server; the first of a process waits for the libraries."""
    with _lock:
        if not _templates or not _templates[0].usable:
            _templates[:] = [_Template()]
        try:
            return _templates[0].fork()
        except OSError:  # it has died since
            _templates[:] = [_Template()]
            return _templates[0].fork()


class Pool:
    """A server of forked jobs; use it as a context, so that nothing stays behind.

    Parameters
    ----------
    slots : int
        Jobs that may run at a time.
    folder : path
        Where jobs leave what is too large to travel; the owner deletes it.
    """

    def __init__(self, slots: int, folder: Path) -> None:
        self.slots = slots
        self.folder = folder
        self.running: dict[int, float] = {}
        self.server = 0
        """Process id, once it has said so."""
        self._numbers = 0
        self._line = _forked()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def give(self, bench: Bench) -> None:
        """Hand over what jobs work on."""
        self._send(("bench", cloudpickle.dumps(bench)))

    @property
    def free(self) -> int:
        """Slots without a job."""
        return self.slots - len(self.running)

    def submit(self, job: Job, limits: Limits) -> int:
        """Start a job; its number comes back with its outcome."""
        self._numbers += 1
        self.running[self._numbers] = time.monotonic()
        self._send(("run", self._numbers, cloudpickle.dumps(job), limits))
        return self._numbers

    def cancel(self, number: int) -> None:
        """Kill a job; nothing is heard of it."""
        if self.running.pop(number, None) is not None:
            self._send(("cancel", number))

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has ended, at the latest after `seconds`.

        Raises
        ------
        PoolError
            If the server is gone.
        """
        found: list[Outcome] = []
        try:
            while self._line.poll(0 if found else max(0.0, seconds)):
                message = self._line.recv()
                if isinstance(message, int):
                    self.server = message
                elif self.running.pop(message.number, None) is not None:
                    found.append(message)
        except (EOFError, OSError) as error:
            raise PoolError("their server has ended") from error
        return found

    def close(self) -> None:
        """Kill whatever runs; again changes nothing."""
        if self._line.closed:
            return
        while not self.server and self.running:  # it has begun and will say who it is
            try:
                self.wait(_STOP_SECONDS)
            except PoolError:
                break
        self._line.close()  # the server sees it, kills its children and ends
        until = time.monotonic() + _STOP_SECONDS
        while self.server and _lives(self.server) and time.monotonic() < until + 1:
            if time.monotonic() > until:
                with suppress(ProcessLookupError):
                    os.killpg(self.server, signal.SIGKILL)
            time.sleep(0.01)

    def _send(self, message: tuple[Any, ...]) -> None:
        try:
            self._line.send(message)
        except OSError as error:
            raise PoolError("their server has ended") from error


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def opened(threads: int) -> Iterator[Pool]:
    """Open a pool for so many threads; its folder goes with it."""
    slots = min(MAX_SLOTS, max(1, threads))
    with TemporaryDirectory(prefix="millrace-fits-") as folder, Pool(slots, Path(folder)) as pool:
        yield pool


def cores() -> int:
    """Return the cores this process may use, by its affinity and its container's share."""
    return int(joblib.cpu_count())


def spare_memory(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes that the machine has left, or this process's container if that is less."""
    spare = int(psutil.virtual_memory().available)
    for limit, used, stale in _CONTAINER:
        try:
            most, now = (int((groups / file).read_text()) for file in (limit, used))
            told = (groups / used).with_name("memory.stat").read_text().split()
        except (OSError, ValueError):  # no container, or one without a limit
            continue
        cached = int(told[told.index(stale) + 1]) if stale in told else 0  # given back at need
        spare = min(spare, max(0, most - now + cached))
    return spare


_CONTAINER = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
"""Limit, use and what of it is only cached, in both versions of Linux's control groups."""
