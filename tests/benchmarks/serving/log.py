"""The prediction log: what a kill -9 loses of it, and what it costs."""

from __future__ import annotations

import random
import statistics
from typing import TYPE_CHECKING, Any

import psutil

from bento.segment import SUFFIX, read_segment
from tests.benchmarks.serving.figures import Bar, at_most, paired_ratio
from tests.benchmarks.serving.model import MODEL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.serving.servers import Bench, Server

CONNECTIONS, LEAST = 8, 10_000


def kill(bench: Bench, rounds: int, _seconds: float) -> tuple[list[Bar], dict[str, Any]]:
    """Kill the server under load, every round at another moment, and look for what it said."""
    raw: dict[str, Any] = {"acknowledged": [], "logged": [], "lost": [], "twice": [], "cut": []}
    for place in range(rounds):
        name = f"killed-{place}"
        server = bench.ours(name)
        identities = bench.folder / f"{name}.txt"
        after = LEAST + random.randrange(1_000)
        loaded = bench.load(
            server.spec(
                connections=CONNECTIONS,
                kill=server.process.pid,
                kill_after=after,
                identities=str(identities),
                core=bench.load_core,
            )
        )
        psutil.wait_procs([server.process], timeout=10)
        bench.stop(server)
        acknowledged = identities.read_text().split()
        logged = logged_identities(bench.log_of(name) / MODEL)
        raw["acknowledged"].append(len(acknowledged))
        raw["logged"].append(len(logged))
        raw["lost"].append(len(set(acknowledged) - set(logged)))
        raw["twice"].append(len(logged) - len(set(logged)))
        raw["cut"].append(loaded.cut)
    lost, total = sum(raw["lost"]), sum(raw["acknowledged"])
    words = f"{lost} lost of {total:,} acknowledged in {rounds} kills; {sum(raw['twice'])} twice"
    return [at_most("kill -9 under load: acknowledged predictions lost: 0", lost, 0, words)], raw


def logged_identities(folder: Path) -> list[str]:
    """Return the identity of every whole record."""
    found = []
    for segment in sorted(folder.glob(f"*{SUFFIX}")):
        with segment.open("rb") as file:
            found += [record.id for record in read_segment(file) if record is not None]
    return found


def cost(bench: Bench, rounds: int, seconds: float) -> tuple[list[Bar], dict[str, Any]]:
    """Measure eight callers with the log and without; who is first changes every round."""
    servers = [bench.ours("logging"), bench.ours("silent", logs=False)]
    raw: dict[str, Any] = {each.name: [] for each in servers}
    for place in range(rounds):
        for server in servers if place % 2 else reversed(servers):
            raw[server.name].append(_rate(bench, server, seconds))
    for server in servers:
        bench.stop(server)
    share = 1 - paired_ratio(raw["logging"], raw["silent"])
    with_, without = (statistics.median(raw[each.name]) for each in servers)
    words = f"{share:.1%} ({with_:,.0f} of {without:,.0f} answers/s)"
    return [at_most("cost of the log, concurrency 8: <= 5 %", share, 0.05, words)], raw


def _rate(bench: Bench, server: Server, seconds: float) -> float:
    spec = server.spec(connections=CONNECTIONS, seconds=seconds, core=bench.load_core)
    loaded = bench.load(spec)
    return len(loaded.latencies) / loaded.seconds
