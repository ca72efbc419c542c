"""Hold the model server to its bars: `python -m tests.benchmarks.serving --help`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import traceback
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from infra.provenance import ROOT
from tests.benchmarks.serving import gateway, log, rows, single, start, switches
from tests.benchmarks.serving.figures import Bar, table
from tests.benchmarks.serving.servers import Bench, end_on_terminate
from tests.benchmarks.serving.stack import two_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Measured = tuple[list[Bar], dict[str, Any]]

ALONE: dict[str, Callable[[Bench, int, float], Measured]] = {
    "single": single.latency,
    "throughput": single.throughput,
    "gateway": gateway.gateway,
    "rows": rows.many,
    "start": start.start,
    "kill": log.kill,
    "log": log.cost,
}
STACK = ("switches", "rollback")
PARTS = (*ALONE, *STACK)


def _say(words: object) -> None:
    print(words, flush=True)  # noqa: T201 - a command answers on standard output


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.serving", description=__doc__)
    parser.add_argument("--parts", type=_names, default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5, help="of every part; medians count")
    parser.add_argument("--seconds", type=float, default=3.0, help="of load in a round")
    parser.add_argument("--requests", type=int, default=10_000, help="while versions switch")
    parser.add_argument("--switches", type=int, default=20, help="of the live version under load")
    parser.add_argument("--no-pins", action="store_true", help="hold nothing to a core")
    parser.add_argument("--results", type=Path, default=ROOT / ".millrace-bench-serving.json")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return asked


def _machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        "load_average": list(os.getloadavg()),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


class Run:
    """Bars and raw figures so far; a part that fails is a line, and the others go on."""

    def __init__(self) -> None:
        self.machine = _machine()
        self.bars: list[Bar] = []
        self.raw: dict[str, Any] = {}
        self.failed = False

    @contextmanager
    def noting(self, name: str) -> Iterator[None]:
        """Turn what goes wrong into a line of the table, and an exit status."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - told in the table, and by the exit status
            traceback.print_exc()
            reason = f"failed, {type(error).__name__}: {str(error)[-300:]}"
            self.bars.append(Bar(name, reason))
            self.failed = True

    def take(self, name: str, measure: Callable[[], Measured]) -> None:
        """Measure a part."""
        _say(f"measuring {name}")
        with self.noting(name):
            bars, self.raw[name] = measure()
            self.bars += bars
            for each in bars:
                _say(f"  {each.bar}: {each.measured}")

    def write(self, path: Path) -> None:
        """Keep everything as JSON."""
        bars = [
            {"bar": each.bar, "measured": each.measured, "holds": each.holds} for each in self.bars
        ]
        content = {"machine": self.machine, "bars": bars, "raw": self.raw}
        path.write_text(json.dumps(content) + "\n")


def _measure(run: Run, asked: argparse.Namespace) -> None:
    with ExitStack() as cleaning:
        temporary = tempfile.TemporaryDirectory(prefix="millrace-bench-", dir="/tmp")
        folder = Path(cleaning.enter_context(temporary))
        bench = cleaning.enter_context(Bench(folder, pinned=not asked.no_pins))
        if alone := [part for part in ALONE if part in asked.parts]:
            _say("fitting the model and building its Bento")
            with run.noting("model"):
                bench.run([sys.executable, "-m", "tests.benchmarks.serving.model", str(folder)])
                for part in alone:
                    # processes of a part that failed are gone before the next
                    with Bench(folder, pinned=not asked.no_pins) as own:
                        run.take(part, partial(ALONE[part], own, asked.rounds, asked.seconds))
        if set(STACK) & set(asked.parts):
            _measure_stack(run, bench, asked)


def _measure_stack(run: Run, bench: Bench, asked: argparse.Namespace) -> None:
    _say("starting a stack and training two versions")
    with run.noting("stack"), two_versions(bench.folder) as (running, versions):
        given = bench, running, versions
        for part, measure in (
            ("switches", partial(switches.switches, *given, asked.requests, asked.switches)),
            ("rollback", partial(switches.rollback, *given, asked.rounds)),
        ):
            if part in asked.parts:
                run.take(part, measure)


def main() -> int:
    """Measure, print the table, keep the figures; only a part that could not run is a failure."""
    asked = _arguments()
    end_on_terminate()
    run = Run()
    try:
        _measure(run, asked)
    finally:
        run.write(asked.results)
    at = run.machine
    load = " ".join(f"{each:.1f}" for each in at["load_average"])
    _say(f"\nmedians of {asked.rounds} rounds, {at['cores']} cores, load average at start {load}\n")
    _say(table(run.bars))
    return int(run.failed)


if __name__ == "__main__":
    sys.exit(main())
