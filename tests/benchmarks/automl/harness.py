"""One run: a system on a table in a process of its own, measured from outside."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import time
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from tests.benchmarks.automl.data import CORES, Dataset, Split, write_folder
from tests.benchmarks.automl.environments import HERE, KEPT, ROOT
from tests.benchmarks.automl.scoring import ScoringError, score_file

if TYPE_CHECKING:
    from pathlib import Path

POLL_SECONDS = 0.2
UNSCORABLE = (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile)
"""What files that are absent, cut short or of the wrong content raise."""

GRACE_SECONDS = 120.0
"""A run is killed this long after twice its budget."""


@dataclass(frozen=True, slots=True)
class Measured:
    """How a process ended and what its whole tree took."""

    wall_seconds: float
    peak_bytes: int
    returncode: int
    killed: bool


def pin(cores: int = CORES) -> None:
    """Hold this process, and so every system it starts, to its first `cores` cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def key_of(record: dict[str, Any]) -> tuple[str, str, float, int]:
    """What makes a run the same run."""
    return record["system"], record["dataset"], float(record["budget"]), int(record["seed"])


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read the last record of every run; a line cut short by a kill is passed over."""
    latest: dict[tuple[str, str, float, int], dict[str, Any]] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                record = json.loads(line)
                latest[key_of(record)] = record
    return list(latest.values())


def append_result(path: Path, record: dict[str, Any]) -> None:
    """Add one record, on a line of its own whatever the file ended with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.exists() and path.read_bytes()[-1:] not in {b"", b"\n"}
    with path.open("a") as file:
        file.write(("\n" if torn else "") + json.dumps(record) + "\n")


def run_system(
    system: str,
    python: Path,
    dataset: Dataset,
    parts: Split,
    *,
    budget: float,
    seed: int,
    script: Path | None = None,
) -> dict[str, Any]:
    """Run a system once and say how it went; what it does wrong is in `reason`."""
    name = f"{dataset.name}-{system}-{budget:g}-{seed}"
    folder = KEPT / "runs" / f"{name}-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    write_folder(folder, parts, dataset, budget=budget, seed=seed)
    log = KEPT / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    limit = 2 * budget + GRACE_SECONDS
    command = [str(python), "-P", str(script or HERE / "systems" / f"{system}.py"), str(folder)]
    measured = measure(command, log, limit)

    record: dict[str, Any] = {
        "system": system,
        "dataset": dataset.name,
        "task": dataset.task,
        "metric": dataset.metric,
        "budget": budget,
        "seed": seed,
        "cores": CORES,
        "wall_seconds": round(measured.wall_seconds, 2),
        "peak_mb": round(measured.peak_bytes / 2**20, 1),
        "ended": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }
    try:
        record |= {"status": "ok", "score": _score(folder, parts, dataset, measured, limit)}
        record |= json.loads((folder / "result.json").read_text())
    except UNSCORABLE as error:
        record |= {"status": "failed", "score": None, "reason": f"{error} ({_last_line(log)})"}
    shutil.rmtree(folder, ignore_errors=True)
    return record


def measure(command: list[str], log: Path, limit: float) -> Measured:
    """Run a command to its end or to `limit` seconds, after which its whole tree is killed."""
    # an environment that forbids bytecode makes every import of a peer seconds slower
    variables = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
    started = time.perf_counter()
    seen: dict[int, psutil.Process] = {}
    peak, killed = 0, False
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=variables,
            cwd=log.parent,
            start_new_session=True,
        )
        try:
            watched = psutil.Process(process.pid)
            while process.poll() is None:
                peak = max(peak, _resident(watched, seen))
                if time.perf_counter() - started > limit:
                    killed = True
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
        finally:
            wall = time.perf_counter() - started
            _kill(process, seen)
    return Measured(wall, peak, process.returncode, killed)


def _resident(root: psutil.Process, seen: dict[int, psutil.Process]) -> int:
    """Resident bytes of a process and its descendants; pages they share count in each."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
                seen[process.pid] = process
    return total


def _kill(process: subprocess.Popen[bytes], seen: dict[int, psutil.Process]) -> None:
    """Kill the group, and what left it (H2O's server does), by what was seen of the tree."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for other in seen.values():
        # psutil compares the time of creation, so a process that got the number later is spared
        with contextlib.suppress(psutil.Error):
            other.kill()
    process.wait()


def _score(folder: Path, parts: Split, dataset: Dataset, measured: Measured, limit: float) -> float:
    if measured.killed:
        raise ScoringError(f"killed after {limit:.0f} s")
    if measured.returncode:
        raise ScoringError(f"ended with {measured.returncode}")
    score = score_file(folder / "predictions.npz", parts, dataset.metric)
    if not math.isfinite(score):
        raise ScoringError("the score is not finite")
    return score


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "no output"
