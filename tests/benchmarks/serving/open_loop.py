"""Open-loop load in a process of its own: `python -m tests.benchmarks.serving.open_loop SPEC`.

Requests leave at their times whether or not earlier ones are answered, and each is timed from
when it was due: a server that stands still is charged for all who wait. Every other request has a
connection of its own, the rest share those that are kept alive. Nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from tests.benchmarks.serving.wire import Answer, AnswerError, parse, request

SECONDS_PER_REQUEST = 30.0
_IDLE_SECONDS = 2.0  # servers close idle connections after five: none of these is one of them
_VERSION = re.compile(rb'"version":\s*(\d+)')


@dataclass(frozen=True, slots=True)
class OpenSpec:
    """Where to send what, how often; at least `requests`, and on until the file `stop` is there.

    `answers` is the file that gets a line per request.
    """

    port: int
    path: str
    body: str
    answers: str
    stop: str
    requests: int = 10_000
    per_second: float = 50.0
    most: int = 200_000

    def to_json(self) -> str:
        """Return the argument of the command."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Sent:
    """A request: when it was due on the machine's monotonic clock, and what became of it."""

    due: float
    seconds: float
    kept_alive: bool
    version: int | None
    failure: str = ""


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class OpenLoop:
    """The load under way."""

    def __init__(self, spec: OpenSpec) -> None:
        self._spec = spec
        body = Path(spec.body).read_bytes()
        self._messages = {kept: request(spec.path, body, close=not kept) for kept in (True, False)}
        self._idle: list[tuple[float, Connection]] = []
        self.sent: list[Sent] = []

    async def run(self) -> None:
        """Send until enough are sent and the file says so."""
        began, place = monotonic() + 0.1, 0
        async with asyncio.TaskGroup() as group:
            while place < self._spec.requests or not Path(self._spec.stop).exists():
                if place == self._spec.most:
                    raise RuntimeError(f"nobody stopped it after {place:,} requests")
                due = began + place / self._spec.per_second
                await asyncio.sleep(max(0.0, due - monotonic()))
                group.create_task(self._one(due, kept=place % 2 == 0))
                place += 1

    async def _one(self, due: float, *, kept: bool) -> None:
        version, failure = None, ""
        try:
            async with asyncio.timeout(SECONDS_PER_REQUEST):
                answer = await self._ask(kept=kept)
            answer.require(b'"prediction"')
            found = _VERSION.search(answer.body)
            version = int(found[1]) if found else None
        except (OSError, TimeoutError, AnswerError, EOFError) as error:
            failure = f"{type(error).__name__}: {error}"[:300]
        self.sent.append(Sent(due, monotonic() - due, kept, version, failure))

    async def _ask(self, *, kept: bool) -> Answer:
        reader, writer = await self._connection(kept=kept)
        reusable = False
        try:
            writer.write(self._messages[kept])
            answer = await _read(reader)
            reusable = kept and not answer.closes
        finally:
            if not reusable:
                writer.close()
        if reusable:
            self._idle.append((monotonic(), (reader, writer)))
        return answer

    async def _connection(self, *, kept: bool) -> Connection:
        while kept and self._idle:
            since, connection = self._idle.pop()
            if monotonic() - since < _IDLE_SECONDS:
                return connection
            connection[1].close()
        return await asyncio.open_connection("127.0.0.1", self._spec.port)


async def _read(reader: asyncio.StreamReader) -> Answer:
    received = b""
    while (answer := parse(received)) is None:
        if not (more := await reader.read(1 << 20)):
            raise EOFError(f"closed after {len(received)} bytes of an answer")
        received += more
    return answer


def main() -> None:
    """Run, then write a line per request in the order they were due."""
    spec = OpenSpec(**json.loads(sys.argv[1]))
    loop = OpenLoop(spec)
    asyncio.run(loop.run())
    lines = [json.dumps(asdict(each)) for each in sorted(loop.sent, key=lambda each: each.due)]
    Path(spec.answers).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
