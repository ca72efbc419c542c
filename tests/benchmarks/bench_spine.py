"""The road's figures: how long a user waits at each step. Run with `make bench`.

Each figure is taken on the real embedded stack and printed beside its bar; nothing is
asserted about time. `MILLRACE_BENCH_ROUNDS` sets how often each is taken (the median counts).
"""

from __future__ import annotations

import os
import statistics
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd
import psutil
import pytest
from rich.console import Console
from rich.table import Table

from tests.running_stack import ROW, RunningStack, temporary_home, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]

ROUNDS = int(os.environ.get("MILLRACE_BENCH_ROUNDS", "3"))
FIGURES: list[tuple[str, float, str]] = []


@pytest.fixture(autouse=True)
def _only_when_asked(benchmark: BenchmarkFixture) -> None:
    if benchmark.disabled:
        pytest.skip("it takes minutes: run `make bench`")


@pytest.fixture(scope="module")
def running() -> Iterator[RunningStack]:
    with temporary_home() as home:
        stack = RunningStack(home)
        yield stack
        stack.command("down")
    table = Table("figure", "median", "bar", title=f"{ROUNDS} rounds, {_machine()}")
    for figure, seconds, bar in FIGURES:
        table.add_row(figure, f"{seconds:.1f} s", bar)
    Console(width=110).print(table)


def _machine() -> str:
    return f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"


def take(
    benchmark: BenchmarkFixture,
    figure: str,
    bar: str,
    action: Callable[[], object],
    *,
    before: Callable[[], object] = lambda: None,
    rounds: int = ROUNDS,
) -> None:
    """Take a figure several times and note its median."""
    seconds: list[float] = []

    def once() -> None:
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)

    benchmark.pedantic(once, setup=lambda: before() and None, rounds=rounds, iterations=1)
    benchmark.extra_info["bar"] = bar
    FIGURES.append((figure, statistics.median(seconds), bar))


def checked(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr


def bench_first_start(benchmark: BenchmarkFixture, running: RunningStack) -> None:
    take(
        benchmark,
        "stack, first start to ready (databases made)",
        "<= 40 s",
        lambda: checked(running.command("up")),
        rounds=1,
    )


def bench_start(benchmark: BenchmarkFixture, running: RunningStack) -> None:
    take(
        benchmark,
        "stack, start to ready",
        "<= 40 s",
        lambda: checked(running.command("up")),
        before=lambda: checked(running.command("down")),
    )


def bench_file_to_prediction(
    benchmark: BenchmarkFixture, running: RunningStack, tmp_path: Path
) -> None:
    names = iter(range(1000))
    data = pd.read_csv("infra/local/data/adult.csv.gz", nrows=10_000)

    def road() -> None:
        path = tmp_path / f"adult{next(names)}.csv"
        data.to_csv(path, index=False)
        run = running.start_run(
            "run-lifecycle/from-file-to-endpoint",
            source=str(path),
            request={"target": "income", "budget_seconds": 20},
        )
        assert running.finish(run)["type"] == "COMPLETED"
        assert running.predict(path.stem, ROW).status_code == 200

    take(benchmark, "10,000 x 14 rows, 20 s search: file to prediction", "<= 75 s", road)


def bench_alias_to_answer(benchmark: BenchmarkFixture, running: RunningStack) -> None:
    """Time both: until Prefect has created the run, by its own clock, and until it answers."""
    version: list[int] = []
    to_run: list[float] = []

    def prepare() -> None:
        time.sleep(15)  # the release of the figure before is over
        version[:] = [running.copy_version("adult0", 1)]

    def set_alias() -> None:
        began = time.time()
        running.registry.set_registered_model_alias("adult0", "production", str(version[0]))
        wait_until(lambda: running.version_served("adult0", ROW) == version[0])
        created = [run["created"] for run in running.runs_of("release-model")]
        after = [datetime.fromisoformat(each).timestamp() - began for each in created]
        to_run.append(min(each for each in after if each > 0))

    take(benchmark, "alias set to new version answering", "<= 20 s", set_alias, before=prepare)
    FIGURES.append(("alias set to run created", statistics.median(to_run), "<= 1 s"))


def bench_missed_webhook(benchmark: BenchmarkFixture, running: RunningStack) -> None:
    version: list[int] = []
    supervisor = running.stack.supervisor

    def prepare() -> None:
        time.sleep(5)
        version[:] = [running.copy_version("adult0", 1)]
        supervisor.stop("gateway")
        running.registry.set_registered_model_alias("adult0", "production", str(version[0]))
        time.sleep(15)  # MLflow has given up

    def restart() -> None:
        supervisor.start("gateway")
        wait_until(lambda: running.version_served("adult0", ROW) == version[0])

    take(
        benchmark, "webhook missed: receiver back to answering", "<= 60 s", restart, before=prepare
    )


@pytest.mark.parametrize(
    "program",
    ["supervisord", "sentinel", "postgres", "prefect", "mlflow", "gateway", "worker", "model-"],
)
def bench_kill(benchmark: BenchmarkFixture, running: RunningStack, program: str) -> None:
    def victim() -> psutil.Process | None:
        found = (tree for name, tree in running.programs().items() if name.startswith(program))
        return next((tree[0] for tree in found), None)

    def kill() -> None:
        process = wait_until(victim)
        process.kill()
        psutil.wait_procs([process], timeout=5)
        wait_until(running.is_well)
        wait_until(lambda: running.version_served("adult0", ROW))

    take(
        benchmark,
        f"kill -9 {program.rstrip('-')}: all is well again",
        "<= 15 s",
        kill,
        before=lambda: wait_until(running.is_well),
    )
