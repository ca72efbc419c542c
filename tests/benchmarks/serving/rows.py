"""A thousand rows in a request, held against LightGBM's own prediction of the same rows."""

from __future__ import annotations

import json
import statistics
import sys
from typing import TYPE_CHECKING, Any

from tests.benchmarks.serving.figures import Bar, at_least, paired_ratio, percentile
from tests.benchmarks.serving.figures import milliseconds as ms
from tests.benchmarks.serving.model import MANY

if TYPE_CHECKING:
    from tests.benchmarks.serving.servers import Bench, Server

BODIES = {
    "json": "application/json",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
}


def many(bench: Bench, rounds: int, seconds: float) -> tuple[list[Bar], dict[str, Any]]:
    """Measure one thread and two; with two, neither server nor booster is held to a core."""
    bars, raw = [], {}
    for threads in (1, 2):
        noted = _measure(bench, threads, rounds, seconds)
        raw[f"{threads} threads"] = noted
        bars.append(_bar(noted, threads))
    return bars, raw


def _measure(bench: Bench, threads: int, rounds: int, seconds: float) -> dict[str, list[float]]:
    server = bench.ours(f"millrace-{threads}", threads=threads, pinned=threads == 1)
    noted: dict[str, list[float]] = {name: [] for name in ("native", *BODIES)}
    for _ in range(rounds):
        noted["native"].append(_native(bench, threads, seconds))
        for name in BODIES:
            noted[name].append(_served(bench, server, name, threads, seconds))
    bench.stop(server)
    return noted


def _native(bench: Bench, threads: int, seconds: float) -> float:
    """Return the median seconds of a call in-process, on the cores the server would have."""
    core = "all" if threads > 1 or bench.server_core is None else str(bench.server_core)
    module = "tests.benchmarks.serving.native"
    arguments = [str(bench.folder), str(threads), str(seconds), core]
    taken = json.loads(bench.run([sys.executable, "-m", module, *arguments]))
    return percentile(taken, 0.5)


def _served(bench: Bench, server: Server, name: str, threads: int, seconds: float) -> float:
    spec = server.spec(
        body=str(bench.folder / f"many.{name}"),
        media_type=BODIES[name],
        expected='"predictions"',
        seconds=seconds,
        core=bench.load_core if threads == 1 else None,
    )
    return percentile(bench.load(spec).latencies, 0.5)


def _bar(noted: dict[str, list[float]], threads: int) -> Bar:
    native = noted["native"]
    shares = {name: paired_ratio(native, noted[name]) for name in BODIES}
    middle = {name: statistics.median(each) for name, each in noted.items()}
    words = (
        f"JSON {shares['json']:.2f}, CSV {shares['csv']:.2f}, Arrow {shares['arrow']:.2f}"
        f" (JSON {ms(middle['json'])} = {MANY / middle['json']:,.0f} rows/s, CSV"
        f" {ms(middle['csv'])}, Arrow {ms(middle['arrow'])}, native {ms(middle['native'])})"
    )
    plural = "s" if threads > 1 else ""
    bar = f"1,000 rows as JSON, rows/s to the native booster, {threads} thread{plural}: >= 0.8"
    return at_least(bar, shares["json"], 0.8, words)
