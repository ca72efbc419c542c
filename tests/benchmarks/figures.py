"""Figures taken several times and shown beside their bars; nothing is asserted about time."""

from __future__ import annotations

import os
import statistics
import time
from typing import TYPE_CHECKING

import psutil
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = int(os.environ.get("MILLRACE_BENCH_ROUNDS", "3"))

_FIGURES: list[tuple[str, str, str]] = []


def note(figure: str, measured: str, bar: str) -> None:
    """Note a figure for the table."""
    _FIGURES.append((figure, measured, bar))


def take(
    benchmark: BenchmarkFixture,
    figure: str,
    bar: str,
    action: Callable[[], object],
    *,
    before: Callable[[], object] = lambda: None,
    rounds: int = ROUNDS,
) -> float:
    """Take a figure several times, note its median and return it, in seconds."""
    seconds: list[float] = []

    def once() -> None:
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)

    benchmark.pedantic(once, setup=lambda: before() and None, rounds=rounds, iterations=1)
    benchmark.extra_info["bar"] = bar
    median = statistics.median(seconds)
    note(figure, f"{median:.1f} s", bar)
    return median


def show() -> None:
    """Print the figures noted so far, and begin anew."""
    memory = psutil.virtual_memory().total / 2**30
    title = f"medians of {ROUNDS} rounds, {os.cpu_count()} cores, {memory:.0f} GiB"
    table = Table("figure", "measured", "bar", title=title)
    for row in _FIGURES:
        table.add_row(*row)
    Console(width=130).print(table)
    _FIGURES.clear()
