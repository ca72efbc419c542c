"""How soon a model server is ready, and what it holds after a thousand requests."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from tests.benchmarks.serving import wire
from tests.benchmarks.serving.figures import Bar, at_most
from tests.benchmarks.serving.servers import ask

if TYPE_CHECKING:
    from tests.benchmarks.serving.servers import Bench, Server

REQUESTS = 1_000


def start(bench: Bench, rounds: int, _seconds: float) -> tuple[list[Bar], dict[str, Any]]:
    """Start the server anew every round."""
    raw: dict[str, Any] = {"ready_seconds": [], "resident_mb": [], "own_mb": []}
    for _ in range(rounds):
        server = bench.ours(pinned=False)
        raw["ready_seconds"].append(server.ready_seconds)
        _ask_often(server)
        processes = [server.process, *server.process.children(recursive=True)]
        memory = [each.memory_full_info() for each in processes]
        raw["resident_mb"].append(sum(each.rss for each in memory) / 1e6)
        raw["own_mb"].append(sum(each.uss for each in memory) / 1e6)
        bench.stop(server)
    ready, resident = (statistics.median(raw[name]) for name in ("ready_seconds", "resident_mb"))
    spread = f"{min(raw['ready_seconds']):.2f} to {max(raw['ready_seconds']):.2f} s"
    own = statistics.median(raw["own_mb"])
    return [
        at_most("process start to ready: <= 4 s", ready, 4, f"{ready:.2f} s ({spread})"),
        at_most(
            "resident memory after 1,000 requests: <= 350 MB",
            resident,
            350,
            f"{resident:.0f} MB, of which its own {own:.0f} MB",
        ),
    ], raw


def _ask_often(server: Server) -> None:
    message = wire.request(server.path, server.body.read_bytes())
    for _ in range(REQUESTS):
        ask(server.port, message).require(server.expected.encode())
