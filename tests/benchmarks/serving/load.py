"""Closed-loop load from a process of its own: `python -m tests.benchmarks.serving.load SPEC`.

Every connection has one request under way and sends the next when the answer is whole and
checked. Only the warm-up is left out of the figures. One connection is a blocking socket; several
are one thread over epoll, so that the load takes as little of the machine as it can.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import socket
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter

from tests.benchmarks.serving.wire import parse, request

_CHUNK = 1 << 20
_SECONDS_OF_SILENCE = 60.0
_IDENTITY = re.compile(rb'"prediction_id":"([0-9a-f]+)"')


@dataclass(frozen=True, slots=True)
class Spec:
    """What to send, for how long, and what every answer must hold.

    `kill` is a process that is killed, as by kill -9, once `kill_after` answers were
    acknowledged; what is under way then may still be answered, and the identities of all
    acknowledged predictions go to the file `identities`.
    """

    port: int
    path: str
    body: str
    expected: str
    media_type: str = "application/json"
    connections: int = 1
    seconds: float = 2.0
    warm_up: float = 0.5
    least: int = 20
    core: int | None = None
    kill: int | None = None
    kill_after: int = 0
    identities: str = ""

    def bytes(self) -> bytes:
        """Return the request."""
        return request(self.path, Path(self.body).read_bytes(), media_type=self.media_type)

    def to_json(self) -> str:
        """Return the argument of the command."""
        return json.dumps(asdict(self))


@dataclass(slots=True)
class Loaded:
    """Seconds of every measured answer, the seconds all of them took, and what was torn off."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cut: int = 0


def connect(port: int) -> socket.socket:
    """Return a connection that sends at once."""
    made = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS_OF_SILENCE)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def one_by_one(spec: Spec) -> Loaded:
    """Ask over a single blocking connection."""
    message, expected, loaded = spec.bytes(), spec.expected.encode(), Loaded()
    with connect(spec.port) as connection:

        def ask() -> float:
            began = perf_counter()
            connection.sendall(message)
            received = connection.recv(_CHUNK)
            while (answer := parse(received)) is None:
                if not (more := connection.recv(_CHUNK)):
                    raise ConnectionError("closed in the middle of an answer")
                received += more
            took = perf_counter() - began
            answer.require(expected)
            return took

        until, asked = perf_counter() + spec.warm_up, 0
        while perf_counter() < until or asked < 3:
            ask()
            asked += 1
        began = perf_counter()
        while perf_counter() - began < spec.seconds or len(loaded.latencies) < spec.least:
            loaded.latencies.append(ask())
        loaded.seconds = perf_counter() - began
    return loaded


class _Together:
    """Several connections in one thread."""

    def __init__(self, spec: Spec) -> None:
        self._spec, self._loaded = spec, Loaded()
        self._message, self._expected = spec.bytes(), spec.expected.encode()
        self._selector = selectors.DefaultSelector()
        self._sent: dict[socket.socket, float] = {}
        self._received: dict[socket.socket, bytes] = {}
        self._identities: list[str] = []
        self._acknowledged = 0
        self._killed = spec.kill is None

    def run(self) -> Loaded:
        spec = self._spec
        for _ in range(spec.connections):
            connection = connect(spec.port)
            self._selector.register(connection, selectors.EVENT_READ)
            self._send(connection)
        started = perf_counter()
        measured = started + (0.0 if spec.kill else spec.warm_up)
        end = measured + spec.seconds
        while self._sent:
            for key, _ in self._wait():
                self._read(key.fileobj, measured, end)
        self._loaded.seconds = spec.seconds
        if spec.identities:
            Path(spec.identities).write_text("\n".join(self._identities))
        return self._loaded

    def _wait(self) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._selector.select(_SECONDS_OF_SILENCE)
        if not ready:
            raise TimeoutError(f"no answer for {_SECONDS_OF_SILENCE:.0f} s")
        return ready

    def _send(self, connection: socket.socket) -> None:
        self._received[connection] = b""
        self._sent[connection] = perf_counter()
        connection.sendall(self._message)

    def _read(self, connection: socket.socket, measured: float, end: float) -> None:
        try:
            more = connection.recv(_CHUNK)
        except ConnectionError:
            more = b""
        if not more:
            self._lose(connection)
            return
        received = self._received[connection] + more
        answer = parse(received)
        if answer is None:
            self._received[connection] = received
            return
        now = perf_counter()
        answer.require(self._expected)
        self._acknowledge(answer.body)
        if measured <= now <= end:
            self._loaded.latencies.append(now - self._sent[connection])
        if self._spec.kill is None and now > end:
            self._drop(connection)
            return
        try:
            self._send(connection)
        except ConnectionError:
            self._lose(connection)

    def _acknowledge(self, body: bytes) -> None:
        if self._spec.identities:
            found = _IDENTITY.search(body)
            assert found is not None, body[:200]
            self._identities.append(found[1].decode())
        self._acknowledged += 1
        if not self._killed and self._acknowledged >= self._spec.kill_after:
            assert self._spec.kill is not None
            os.kill(self._spec.kill, signal.SIGKILL)
            self._killed = True

    def _lose(self, connection: socket.socket) -> None:
        """A connection that ends is an error, unless the server was killed for it."""
        if self._spec.kill is None or not self._killed:
            raise ConnectionError("the server closed a connection under load")
        self._loaded.cut += 1
        self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._sent[connection]
        connection.close()


def hold(core: int | None) -> None:
    """Hold this process to a core; to none in particular where it is None."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def load(spec: Spec) -> Loaded:
    """Ask as the spec says."""
    hold(spec.core)
    return one_by_one(spec) if spec.connections == 1 else _Together(spec).run()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(load(Spec(**json.loads(sys.argv[1]))))))
