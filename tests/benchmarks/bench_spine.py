"""The road's figures: how long a user waits at each step. Run with `make bench`.

Each figure is taken on the real embedded stack and printed beside its bar; nothing is
asserted about time. `MILLRACE_BENCH_ROUNDS` sets how often each is taken (the median counts).
"""

from __future__ import annotations

import itertools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING

import httpx
import pandas as pd
import psutil
import pytest

from tests.benchmarks.figures import note, show, take
from tests.running_stack import ROW, RunningStack, temporary_home, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]


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
    show()


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


def bench_upload(benchmark: BenchmarkFixture, running: RunningStack, tmp_path: Path) -> None:
    """Upload 200 MB while the gateway's memory is watched."""
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write("a,b,c\n")
        for start in itertools.count(0, 50_000):
            if file.tell() >= 200_000_000:
                break
            file.write(
                "".join(f"{n},{n / 8},text {n % 50}\n" for n in range(start, start + 50_000))
            )
    (gateway, *_) = next(t for name, t in running.programs().items() if name == "gateway")
    processes = [gateway, *gateway.children(recursive=True)]

    def memory() -> int:
        return sum(each.memory_info().rss for each in processes)

    idle, peak = memory(), [0]

    def send() -> None:
        with path.open("rb") as file, ThreadPoolExecutor(1) as pool:
            sent = pool.submit(
                httpx.post,
                f"{running.stack.layout.gateway_url}/datasets/upload",
                files={"file": file},
                timeout=300,
            )
            while not sent.done():
                peak[0] = max(peak[0], memory())
                time.sleep(0.02)
        answer = sent.result()
        assert answer.status_code in {200, 201}, answer.text
        assert answer.json()["rows"] > 10**6

    take(benchmark, "upload of 200 MB to a described version", "none", send, rounds=1)
    note(
        "upload of 200 MB: gateway's memory grows by",
        f"{(peak[0] - idle) / 1e6:.0f} MB",
        "<= 150 MB",
    )


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
    note("alias set to run created", f"{statistics.median(to_run):.2f} s", "<= 1 s")


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
