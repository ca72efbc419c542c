"""A row at a time: latency of one caller and throughput of eight, against servers people use."""

from __future__ import annotations

import json
import math
import statistics
import sys
from typing import TYPE_CHECKING, Any

from tests.benchmarks.serving import wire
from tests.benchmarks.serving.figures import Bar, at_least, at_most, paired_ratio, percentile
from tests.benchmarks.serving.figures import milliseconds as ms
from tests.benchmarks.serving.servers import ask

if TYPE_CHECKING:
    from tests.benchmarks.serving.servers import Bench, Server

OURS = "millrace"
CONNECTIONS = 8


def latency(bench: Bench, rounds: int, seconds: float) -> tuple[list[Bar], dict[str, Any]]:
    """Measure one caller, all servers by turns."""
    servers = _servers(bench)
    raw = _by_turns(bench, servers, rounds, seconds, 1)
    p50 = {name: each["p50"] for name, each in raw.items()}
    own = statistics.median(p50[OURS])

    def against(name: str) -> tuple[float, str]:
        ratio = paired_ratio(p50[OURS], p50[name])
        words = f"{ms(own)} / {ms(statistics.median(p50[name]))}"
        return ratio, f"{f'1/{1 / ratio:.1f}' if ratio < 1 else f'{ratio:.2f}x'} ({words})"

    signed = statistics.median(p50["mlflow-signed"])
    worst = {name: statistics.median(each["p99"]) for name, each in raw.items()}
    bars = []
    for name, words, most, asked in (
        ("mlflow", "mlflow models serve", 1 / 25, "1/25"),
        ("fastapi", "plain FastAPI", 1 / 20, "1/20"),
        ("empty", "an empty uvicorn endpoint", 4.0, "4x"),
    ):
        ratio, text = against(name)
        text += f", p99 {ms(worst[OURS])} / {ms(worst[name])}"
        if name == "mlflow":
            text += f"; with a signature MLflow takes {ms(signed)}"
        bars.append(at_most(f"one row, p50 to {words}: <= {asked}", ratio, most, text))
    return bars, raw


def throughput(bench: Bench, rounds: int, seconds: float) -> tuple[list[Bar], dict[str, Any]]:
    """Measure eight callers, all servers by turns."""
    servers = _servers(bench)
    raw = _by_turns(bench, servers, rounds, seconds, CONNECTIONS)
    rates = {name: each["per_second"] for name, each in raw.items()}
    ratio = paired_ratio(rates[OURS], rates["mlflow"])
    middle = {name: statistics.median(each) for name, each in rates.items()}
    others = ", ".join(f"{name} {rate:,.0f}" for name, rate in middle.items())
    words = f"{ratio:.1f}x (answers/s: {others})"
    return [
        at_least("concurrency 8, answers/s to mlflow models serve: >= 30x", ratio, 30, words)
    ], raw


def _servers(bench: Bench) -> list[Server]:
    """Start all servers and see that they answer the same probability."""
    python, folder = sys.executable, str(bench.folder)

    def mlflow(name: str) -> Server:
        return bench.serve(
            name,
            lambda port: [
                *(python, "-m", "mlflow", "models", "serve", "--env-manager", "local"),
                *("--model-uri", f"{folder}/{name}", "--port", str(port)),
            ],
            ("/invocations", "one.mlflow.json", '"predictions"'),
            ready="/ping",
            PATH=f"{sys.prefix}/bin:/usr/bin:/bin",
        )

    def peer(name: str, expected: str, ready: str) -> Server:
        module = "tests.benchmarks.serving.peers"
        return bench.serve(
            name,
            lambda port: [python, "-m", module, name, str(port), folder],
            ("/predict", "one.json", expected),
            ready=ready,
        )

    servers = [
        bench.ours(OURS),
        mlflow("mlflow"),
        mlflow("mlflow-signed"),
        peer("fastapi", '"predictions"', "/openapi.json"),
        peer("empty", "{}", "/"),
    ]
    for each in servers:
        if each.name != "empty":
            _require_same(each, json.loads((bench.folder / "probability.json").read_text()))
    return servers


def _require_same(server: Server, probability: float) -> None:
    answer = ask(server.port, wire.request(server.path, server.body.read_bytes()))
    answer.require(server.expected.encode())
    (found,) = json.loads(answer.body)["predictions"]
    value = list(found["probabilities"].values())[1] if isinstance(found, dict) else found[1]
    assert math.isclose(value, probability, rel_tol=1e-12), (server.name, value, probability)


def _by_turns(
    bench: Bench, servers: list[Server], rounds: int, seconds: float, connections: int
) -> dict[str, Any]:
    raw: dict[str, Any] = {
        each.name: {"libraries": each.libraries(), "p50": [], "p99": [], "per_second": []}
        for each in servers
    }
    for _ in range(rounds):
        for server in servers:
            loaded = bench.load(
                server.spec(seconds=seconds, connections=connections, core=bench.load_core)
            )
            note = raw[server.name]
            note["p50"].append(percentile(loaded.latencies, 0.5))
            note["p99"].append(percentile(loaded.latencies, 0.99))
            note["per_second"].append(len(loaded.latencies) / loaded.seconds)
    for server in servers:
        bench.stop(server)
    return raw
