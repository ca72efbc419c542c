"""What the gateway adds: the same request through it and past it, by turns."""

from __future__ import annotations

import json
import statistics
import sys
from typing import TYPE_CHECKING, Any

import httpx

from tests.benchmarks.serving.figures import Bar, at_most, percentile
from tests.benchmarks.serving.figures import milliseconds as ms
from tests.benchmarks.serving.model import MODEL

if TYPE_CHECKING:
    from tests.benchmarks.serving.servers import Bench, Server

TOKEN = "benchmark"
BAR = "through the gateway: added p50 <= 1.5 ms"


def gateway(bench: Bench, rounds: int, seconds: float) -> tuple[list[Bar], dict[str, Any]]:
    """Measure one caller and eight; nothing is pinned but the load, as a machine runs them."""
    direct = bench.ours(pinned=False)
    try:
        through = _started(bench, direct)
    except (RuntimeError, httpx.HTTPError) as error:
        reason = str(error).strip().splitlines()[-1][:300]
        return [Bar(BAR, f"skipped, the gateway does not start: {reason}")], {"error": str(error)}
    raw: dict[str, Any] = {
        each: {"p50": [], "p99": [], "per_second_8": []} for each in ("direct", "gateway")
    }
    for _ in range(rounds):
        for name, server in (("direct", direct), ("gateway", through)):
            note = raw[name]
            alone = bench.load(server.spec(seconds=seconds, core=bench.load_core))
            note["p50"].append(percentile(alone.latencies, 0.5))
            note["p99"].append(percentile(alone.latencies, 0.99))
            together = bench.load(server.spec(seconds=seconds, connections=8, core=bench.load_core))
            note["per_second_8"].append(len(together.latencies) / together.seconds)
    bench.stop(through)
    bench.stop(direct)
    return [_bar(raw)], raw


def _bar(raw: dict[str, Any]) -> Bar:
    past, by = raw["direct"], raw["gateway"]
    middle = statistics.median
    pairs = zip(by["p50"], past["p50"], strict=True)
    added = middle(one - other for one, other in pairs)
    words = (
        f"{ms(added)} ({ms(middle(by['p50']))} - {ms(middle(past['p50']))});"
        f" p99 {ms(middle(by['p99']))} - {ms(middle(past['p99']))}; concurrency 8"
        f" {middle(by['per_second_8']):,.0f} of {middle(past['per_second_8']):,.0f} answers/s"
    )
    return at_most(BAR, added, 0.0015, words)


def _started(bench: Bench, server: Server) -> Server:
    """Start a gateway without neighbours and point a route at the server."""
    home = bench.folder / "gateway"
    home.mkdir()
    settings = {
        "STACK__HOME": home,
        "STORAGE__KIND": "local",
        "STORAGE__ROOT": home / "store",
        "DATABASE__URL": f"sqlite:///{home / 'millrace.db'}",
        "TRACKING__URL": f"sqlite:///{home / 'mlflow.db'}",
        "TRACKING__ARTIFACTS": home / "artifacts",
        "SERVING__HOME": home / "serving",
        "SOURCES__STAGING": home / "staging",
        "GATEWAY__TOKEN": TOKEN,
    }
    variables = {f"MILLRACE_{name}": str(value) for name, value in settings.items()}
    through = bench.serve(
        "gateway",
        lambda port: ["env", f"MILLRACE_STACK__GATEWAY_PORT={port}", sys.executable, *_MODULE],
        (f"/predict/{MODEL}", "one.json", '"prediction"'),
        ready="/health/live",
        pinned=False,
        **variables,
    )
    route = {
        "model": MODEL,
        "version": 1,
        "url": f"http://127.0.0.1:{server.port}",
        "program": "benchmark",
    }
    httpx.put(
        f"http://127.0.0.1:{through.port}/routes/{MODEL}",
        content=json.dumps(route),
        headers={"authorization": f"Bearer {TOKEN}", "content-type": "application/json"},
        timeout=30,
    ).raise_for_status()
    return through


_MODULE = ("-m", "infra.gateway")
