"""Switches of the live version under an open-loop load, and the way back."""

from __future__ import annotations

import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.benchmarks.serving import stack, wire
from tests.benchmarks.serving.figures import Bar, at_most, percentile
from tests.benchmarks.serving.figures import milliseconds as ms
from tests.benchmarks.serving.open_loop import OpenSpec, Sent
from tests.benchmarks.serving.servers import ask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from tests.benchmarks.serving.servers import Bench
    from tests.running_stack import RunningStack

PER_SECOND = 50.0
QUIET_SECONDS = 20.0
"""Of load before the first switch: what latencies around switches are held against."""
AROUND_SECONDS, SETTLED_SECONDS, ROLLBACK_SECONDS = 2.0, 5.0, 60.0
SLOWER = "p99 around switches to before: <= 3x"
ROLLBACK = "rollback called to first answer of the old version: <= 1 s"


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch on the machine's monotonic clock: when it was asked for, and when it was seen."""

    version: int
    asked: float
    seen: float


def switches(
    bench: Bench, running: RunningStack, versions: tuple[int, int], requests: int, count: int
) -> tuple[list[Bar], dict[str, Any]]:
    """Set the alias to either version in turn while requests come in at their own pace."""
    old, new = versions
    stack.set_alias(running, old)
    stack.await_version(running, old)
    time.sleep(10)  # the server of before has gone
    spec = OpenSpec(
        port=running.ports["gateway_port"],
        path=f"/predict/{stack.MODEL}",
        body=str(stack.write_row(bench.folder)),
        answers=str(bench.folder / "answers.jsonl"),
        stop=str(bench.folder / "stop"),
        requests=requests,
        per_second=PER_SECOND,
    )
    module = "tests.benchmarks.serving.open_loop"
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(bench.run, [sys.executable, "-m", module, spec.to_json()])
        try:
            time.sleep(QUIET_SECONDS)
            made = [_switch(running, old if place % 2 else new) for place in range(count)]
            time.sleep(AROUND_SECONDS)
        finally:
            Path(spec.stop).touch()
        sending.result()
    lines = Path(spec.answers).read_text().splitlines()
    sent = [Sent(**json.loads(line)) for line in lines]
    raw = {
        "switches": [[each.version, each.asked, each.seen] for each in made],
        "requests": [[e.due, e.seconds, e.kept_alive, e.version, e.failure] for e in sent],
    }
    return judge(sent, made), raw


def _switch(running: RunningStack, version: int) -> Switch:
    asked = time.monotonic()
    stack.set_alias(running, version)
    stack.await_version(running, version)
    return Switch(version, asked, time.monotonic())


def judge(sent: Sequence[Sent], made: Sequence[Switch]) -> list[Bar]:
    """Hold what became of the requests to the bars.

    "Around" is from the call that sets an alias until two seconds after the first answer of the
    version: all that a switch does to a request, the start of a server on the same cores included.
    """
    failed = [each for each in sent if each.failure]
    first = made[0].asked
    before = [each.seconds for each in sent if each.due < first]
    around = _within(sent, [(each.asked, each.seen + AROUND_SECONDS) for each in made])
    close = _within(sent, [(e.seen - AROUND_SECONDS, e.seen + AROUND_SECONDS) for e in made])
    quiet = percentile(before, 0.99)
    ratios = [percentile(each, 0.99) / quiet for each in (around, close)]
    took = statistics.median(each.seen - each.asked for each in made)
    kinds = "; ".join(sorted({each.failure for each in failed})[:3])
    words = (
        f"{ratios[0]:.1f}x ({ms(percentile(around, 0.99))} / {ms(quiet)}); within"
        f" {AROUND_SECONDS:.0f} s of the first new answer alone {ratios[1]:.1f}x;"
        f" alias to answer {took:.1f} s"
    )
    told = f"{len(failed)} of {len(sent):,} requests" + (f": {kinds}" if kinds else "")
    lost = f"{len(made)} switches under load: failed requests: 0"
    return [at_most(lost, len(failed), 0, told), at_most(SLOWER, ratios[0], 3.0, words)]


def _within(sent: Sequence[Sent], spans: Sequence[tuple[float, float]]) -> list[float]:
    return [e.seconds for e in sent if any(begin <= e.due <= end for begin, end in spans)]


def rollback(
    bench: Bench, running: RunningStack, versions: tuple[int, int], rounds: int
) -> tuple[list[Bar], dict[str, Any]]:
    """Go back from the new version to the old, every round anew."""
    raw: dict[str, Any] = {"seconds": [], "call_seconds": [], "live": []}
    token, body = stack.gateway_token(running), stack.write_row(bench.folder).read_bytes()
    message = wire.request(f"/predict/{stack.MODEL}", body)
    for _ in range(rounds):
        for version in versions:
            if running.version_served(stack.MODEL, stack.ROW) != version:
                stack.set_alias(running, version)
                stack.await_version(running, version)
                time.sleep(SETTLED_SECONDS)
        with ThreadPoolExecutor(1) as pool:
            began = time.perf_counter()
            calling = pool.submit(_call, running, token)
            answered = _first_answer(running, message, versions[0], calling)
            response, ended = calling.result()
        if answered is None:
            words = f"skipped, the gateway says {response.status_code}: {response.text[:200]}"
            return [Bar(ROLLBACK, words)], raw
        raw["seconds"].append(answered - began)
        raw["call_seconds"].append(ended - began)
        raw["live"].append(response.json())
        time.sleep(SETTLED_SECONDS)
    seconds = statistics.median(raw["seconds"])
    words = f"{seconds:.2f} s (the call alone {statistics.median(raw['call_seconds']):.2f} s)"
    return [at_most(ROLLBACK, seconds, 1.0, words)], raw


def _call(running: RunningStack, token: str) -> tuple[httpx.Response, float]:
    """Ask for the version before; return the answer and when it was there."""
    response = httpx.post(
        f"{running.stack.layout.gateway_url}/deploy/{stack.MODEL}/rollback",
        headers={"authorization": f"Bearer {token}"},
        timeout=120,
    )
    return response, time.perf_counter()


def _first_answer(
    running: RunningStack,
    message: bytes,
    version: int,
    calling: Future[tuple[httpx.Response, float]],
) -> float | None:
    """Return when the first answer of a version was there; None where the call was refused."""
    wanted = f'"version":{version}'.encode()
    deadline = time.perf_counter() + ROLLBACK_SECONDS
    while time.perf_counter() < deadline:
        if calling.done() and not calling.result()[0].is_success:
            return None
        answer = ask(running.ports["gateway_port"], message)
        if wanted in answer.body:
            return time.perf_counter()
        time.sleep(0.005)
    raise TimeoutError(f"version {version} does not answer {ROLLBACK_SECONDS:.0f} s after the call")
