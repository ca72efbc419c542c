"""Servers as processes: started, awaited, pinned, and gone whatever ends the measuring."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import psutil

from infra.ports import find_free
from infra.processes import stop_tree
from infra.provenance import ROOT
from infra.serving import bentos
from tests.benchmarks.serving import wire
from tests.benchmarks.serving.load import Loaded, Spec, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FIRST_PORT, LAST_PORT = 30_000, 32_700
READY_SECONDS = 90.0
_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and the request it is measured with; `expected` is in every answer."""

    name: str
    process: psutil.Process
    port: int
    path: str
    body: Path
    expected: str
    ready_seconds: float

    def spec(self, **changes: Any) -> Spec:
        """Return the load of its own request."""
        given = {"path": self.path, "body": str(self.body), "expected": self.expected}
        return Spec(port=self.port, **{**given, **changes})

    def libraries(self) -> list[str]:
        """Name the loop and the HTTP parser whose compiled parts are in use."""
        mapped: set[str] = set()
        for each in (self.process, *self.process.children(recursive=True)):
            mapped |= {part for file in each.memory_maps() for part in file.path.split("/")}
        return sorted(mapped & {"uvloop", "httptools"})


class Bench:
    """A folder with the model, and every process started below it.

    Parameters
    ----------
    folder : Path
        Where `tests.benchmarks.serving.model` has laid out its files.
    pinned : bool
        Hold servers to the last core and the load to the first, where there are two.
    """

    def __init__(self, folder: Path, *, pinned: bool = True) -> None:
        self.folder = folder
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.pinned = pinned and len(cores) > 1
        self.load_core = cores[0] if self.pinned else None
        self.server_core = cores[-1] if self.pinned else None
        self._running: list[psutil.Process] = []
        # what killed processes leave lies here and goes with the folder
        self._temporary = folder / "tmp"
        self._temporary.mkdir(exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in reversed(self._running):
            stop_tree(each, grace_seconds=5)

    def run(self, command: Sequence[str], **variables: str) -> str:
        """Run a command to its end and return what it printed; it is ended with the bench."""
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(TMPDIR=str(self._temporary), **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        known = psutil.Process(process.pid)
        self._running.append(known)
        out, errors = process.communicate()
        self._running.remove(known)
        if process.returncode:
            raise RuntimeError(f"{command[2:4]}: {(errors.strip() or out)[-600:]}")
        return out

    def load(self, spec: Spec) -> Loaded:
        """Run a load in a process of its own."""
        module = "tests.benchmarks.serving.load"
        return Loaded(**json.loads(self.run([sys.executable, "-m", module, spec.to_json()])))

    def start(self, command: Sequence[str], name: str, **variables: str) -> psutil.Process:
        """Start a server, its output below the folder."""
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            process = psutil.Popen(
                command,
                cwd=ROOT,
                env=environment(TMPDIR=str(self._temporary), **variables),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def stop(self, server: Server) -> None:
        """End a server."""
        stop_tree(server.process, grace_seconds=10)
        self._running.remove(server.process)

    def serve(
        self,
        name: str,
        command: Callable[[int], Sequence[str]],
        request: tuple[str, str, str],
        *,
        ready: str,
        pinned: bool = True,
        **variables: str,
    ) -> Server:
        """Start a server on a free port and wait until `ready` answers 200.

        `command` is given the port; `request` is a path, a file below the folder, and what every
        answer holds.
        """
        port = free_port()
        began = time.perf_counter()
        process = self.start(command(port), name, **variables)
        took = self._await(process, port, ready, began, name)
        if pinned and self.server_core is not None:
            pin(process, self.server_core)
        path, body, expected = request
        return Server(name, process, port, path, self.folder / body, expected, took)

    def ours(
        self, name: str = "millrace", *, logs: bool = True, threads: int = 1, pinned: bool = True
    ) -> Server:
        """Serve the Bento as the platform does; without `logs` nothing is written down."""

        def command(port: int) -> list[str]:
            made = bentos.serve_command(
                self.folder / "bento", port, log=self.log_of(name), threads=threads
            )
            if not logs:
                place = made.index("--log")
                del made[place : place + 2]
            return made

        request = ("/predict", "one.json", '"prediction"')
        return self.serve(name, command, request, ready="/health/ready", pinned=pinned)

    def log_of(self, name: str) -> Path:
        """Return the folder of a server's prediction log."""
        return self.folder / "predictions" / name

    def _await(
        self, process: psutil.Process, port: int, path: str, began: float, name: str
    ) -> float:
        while time.perf_counter() - began < READY_SECONDS:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                break
            if status_of(port, path) == 200:
                return time.perf_counter() - began
            time.sleep(_POLL_SECONDS)
        last = (self.folder / f"{name}.log").read_text(errors="replace").strip()[-600:]
        raise RuntimeError(f"{name} did not get ready: {last or 'no output'}")


def environment(**variables: str) -> dict[str, str]:
    """Return this environment without the platform's variables, and `variables`."""
    # without bytecode every start would be seconds slower
    foreign = ("MILLRACE_", "MLFLOW_", "PREFECT_", "PREDICTION_", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT)} | variables


def free_port() -> int:
    """Return a free port below those the system gives to clients."""
    return find_free(FIRST_PORT, LAST_PORT)


def pin(process: psutil.Process, core: int) -> None:
    """Hold all threads of a process and its descendants to a core."""
    for each in [process, *process.children(recursive=True)]:
        for thread in each.threads():
            os.sched_setaffinity(thread.id, {core})


def ask(port: int, message: bytes, timeout: float = 30.0) -> wire.Answer:
    """Ask once over a connection of its own."""
    with connect(port) as connection:
        connection.settimeout(timeout)
        connection.sendall(message)
        received = b""
        while (answer := wire.parse(received)) is None:
            if not (more := connection.recv(1 << 20)):
                raise ConnectionError("closed in the middle of an answer")
            received += more
    return answer


def status_of(port: int, path: str) -> int | None:
    """Return the status a path answers with; None where nobody answers."""
    try:
        return ask(port, wire.request(path, b""), timeout=2.0).status
    except (OSError, wire.AnswerError):
        return None


def end_on_terminate() -> None:
    """Make SIGTERM an exception, so that it cleans up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
