"""The servers of pools, and the template they are forked from."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import cloudpickle
import psutil

from tasks.tabular.errors import LeakageError
from tasks.tabular.jobs import PrepareJob
from tasks.tabular.learners import FITTING_ERRORS
from tasks.tabular.pool import Limits, Outcome

if TYPE_CHECKING:
    from tasks.tabular.jobs import Bench, Job
    from tasks.tabular.pool import Ending

_LOOK_SECONDS = 0.2
"""Between two looks at how long and how large the children are."""

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


@dataclass(slots=True)
class _Child:
    number: int
    pid: int
    line: Connection
    job: Job
    limits: Limits
    started: float
    shared: int
    """Bytes it has of the server's own, from when it was forked."""


class Server:
    """Forks a child for every job and watches it."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._bench: Bench | None = None
        self._children: dict[int, _Child] = {}
        self._own = psutil.Process()

    def serve(self) -> None:
        """Work until the other end is gone."""
        try:
            while True:
                lines = [self._line, *(each.line for each in self._children.values())]
                ready = wait(lines, _LOOK_SECONDS if self._children else None)
                if self._line in ready:
                    self._take(self._line.recv())
                for child in list(self._children.values()):
                    if child.line in ready:
                        self._finish(child)
                self._look()
        except (EOFError, OSError):
            pass  # whoever asked is gone
        finally:
            for child in list(self._children.values()):
                self._kill(child)

    def _take(self, message: tuple[Any, ...]) -> None:
        match message:
            case ("bench", content):
                self._bench = cloudpickle.loads(content)
                gc.collect()
                gc.freeze()  # a child that collects would copy all of it
            case ("run", number, content, limits):
                try:
                    job = cloudpickle.loads(content)
                except Exception as error:  # noqa: BLE001 - it may be anything that was sent
                    said = f"the job cannot be read: {error}"[:300]
                    self._line.send(Outcome(number, "failed", None, said))
                    return
                self._start(number, job, limits)
            case ("cancel", number):
                for child in [each for each in self._children.values() if each.number == number]:
                    self._kill(child)

    def _start(self, number: int, job: Job, limits: Limits) -> None:
        self._preload(job)
        ours, theirs = Pipe(duplex=False)
        try:
            pid = os.fork()
        except OSError as error:
            self._line.send(Outcome(number, "failed", None, f"no process could be made: {error}"))
            return
        if pid == 0:
            ours.close()
            self._line.close()
            _work(job, self._bench, theirs)
        theirs.close()
        self._children[pid] = _Child(
            number, pid, ours, job, limits, time.monotonic(), max(0, self._shared())
        )

    def _preload(self, job: Job) -> None:
        """Import here what every child of a learner would import for itself."""
        if self._bench is None or isinstance(job, PrepareJob):
            return
        learner = self._bench.learners.get(job.learner)
        for module in learner.modules if learner is not None else ():
            with suppress(Exception):  # the job will say so
                import_module(module)

    def _finish(self, child: _Child) -> None:
        try:
            ending, value, error = child.line.recv()
        except (EOFError, OSError):
            ending, value, error = "crashed", None, self._reason(child)
        except Exception as fault:  # noqa: BLE001 - what a child sends may be anything
            ending, value, error = "crashed", None, f"its result cannot be read: {fault}"[:300]
        if ending == "done" and isinstance(child.job, PrepareJob) and self._bench is not None:
            try:
                self._bench.load(child.job.key)
            except Exception as fault:  # noqa: BLE001 - too large, most likely
                ending, value, error = "failed", None, f"features cannot be loaded: {fault}"[:300]
            gc.freeze()
        self._end(child, ending, value, error)

    def _reason(self, child: _Child) -> str:
        """Word how a child ended that said nothing."""
        until = time.monotonic() + _LOOK_SECONDS
        while True:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > until:
                return "it closed its line and went on"
            time.sleep(0.005)
        child.pid = 0
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            return f"its process was killed by {signal.Signals(-code).name}"
        return f"its process ended with {code}"

    def _look(self) -> None:
        """Kill children that are over their limits."""
        now = time.monotonic()
        for child in list(self._children.values()):
            seconds, memory = child.limits.seconds, child.limits.memory
            if seconds and now - child.started > seconds:
                self._end(child, "too long", None, f"it took longer than {seconds:.0f} s")
            elif memory and self._size(child) > memory:
                said = f"it needed more than {memory / 2**20:.0f} MiB"
                self._end(child, "too large", None, said)

    def _size(self, child: _Child) -> int:
        """Return the bytes a child has beyond what it shares with the server."""
        with suppress(psutil.Error):
            found = psutil.Process(child.pid).memory_info()
            return int(found.rss - getattr(found, "shared", 0) - child.shared)
        return 0

    def _shared(self) -> int:
        found = self._own.memory_info()
        return int(found.rss - getattr(found, "shared", 0))

    def _end(self, child: _Child, ending: Ending, value: object, error: str) -> None:
        self._kill(child)
        seconds = time.monotonic() - child.started
        self._line.send(Outcome(child.number, ending, value, error, seconds))

    def _kill(self, child: _Child) -> None:
        self._children = {
            pid: each for pid, each in self._children.items() if each.number != child.number
        }
        if child.pid:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)  # what it has started
            with suppress(ChildProcessError):
                os.waitpid(child.pid, 0)
        child.line.close()


def _work(job: Job, bench: Bench | None, line: Connection) -> None:
    """Do a job in a child and end it, whatever happens: nothing may reach the server's code."""
    try:
        os.setpgid(0, 0)  # what it starts is killed with it
        _die_with_parent()
        line.send(_answer(job, bench))
    except BaseException as error:  # noqa: BLE001 - even an exit is this child's own
        with suppress(BaseException):
            line.send(("failed", None, f"{type(error).__name__}: {error}"[:300]))
    finally:
        os._exit(0)  # nothing of the server is to be cleaned up by its child


def _answer(job: Job, bench: Bench | None) -> tuple[Ending, object, str]:
    try:
        return "done", job.run(bench), ""  # type: ignore[arg-type]  # there is one by now
    except LeakageError as error:
        return "failed", error, str(error)
    except FITTING_ERRORS as error:
        return "failed", None, f"{type(error).__name__}: {error}"[:300]


def _die_with_parent() -> None:
    """Have Linux kill this process when its parent ends, even by `kill -9`."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def main() -> None:
    """Fork a server for every descriptor that is sent, until whoever sends them is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner decides what ends
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # servers are nobody's to wait for
    asking = socket.socket(fileno=int(sys.argv[1]))
    gc.collect()
    gc.freeze()
    while True:
        _, descriptors, _, _ = socket.recv_fds(asking, 1, 1)
        if not descriptors:
            return
        if os.fork() == 0:
            asking.close()
            _serve(descriptors[0])
        os.close(descriptors[0])


def _serve(descriptor: int) -> None:
    """Be a server, in a group of its own, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    try:
        line = Connection(descriptor)
        line.send(os.getpid())
        Server(line).serve()
    finally:
        os._exit(0)  # nothing of the template is to be cleaned up


if __name__ == "__main__":
    main()
