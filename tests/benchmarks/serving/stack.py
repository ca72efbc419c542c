"""The embedded stack with one model in two versions, for what only the whole platform does."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from infra.provenance import ROOT
from tests.running_stack import ROW, RunningStack

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "adult"
ALIAS = "production"
_SWITCH_SECONDS = 120.0
_TRAINING_SECONDS = 600.0


@contextmanager
def two_versions(folder: Path) -> Iterator[tuple[RunningStack, tuple[int, int]]]:
    """Start a stack and take a table from file to endpoint twice."""
    with _home() as home:
        running = RunningStack(home)
        try:
            started = running.command("up")
            assert started.returncode == 0, started.stdout + started.stderr
            for rows in (3_000, 4_000):
                _train(running, folder, rows)
            registered = running.registry.search_model_versions(f"name='{MODEL}'")
            old, new = sorted(int(each.version) for each in registered)[-2:]
            yield running, (old, new)
        finally:
            running.command("down")


@contextmanager
def _home() -> Iterator[Path]:
    """Yield a folder of the stack's own, gone afterwards whatever happened."""
    made = Path(tempfile.mkdtemp(prefix="millrace-"))
    try:
        yield made / "home"
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _train(running: RunningStack, folder: Path, rows: int) -> None:
    path = folder / f"{MODEL}.csv"
    pd.read_csv(ROOT / "infra/local/data/adult.csv.gz", nrows=rows).to_csv(path, index=False)
    run = running.start_run(
        "run-lifecycle/from-file-to-endpoint",
        source=str(path),
        request={"target": "income", "budget_seconds": 3, "learners": ["lightgbm"]},
    )
    state = running.finish(run, _TRAINING_SECONDS)
    assert state["type"] == "COMPLETED", state["message"]


def set_alias(running: RunningStack, version: int) -> None:
    """Say which version is live; the platform is to do the rest."""
    running.registry.set_registered_model_alias(MODEL, ALIAS, str(version))


def await_version(running: RunningStack, version: int) -> None:
    """Wait until the gateway answers with a version."""
    deadline = time.monotonic() + _SWITCH_SECONDS
    while running.version_served(MODEL, ROW) != version:
        if time.monotonic() > deadline:
            raise TimeoutError(f"version {version} does not answer after {_SWITCH_SECONDS:.0f} s")
        time.sleep(0.05)


def write_row(folder: Path) -> Path:
    """Write the request every prediction of the stack is asked with."""
    path = folder / "row.json"
    path.write_text(json.dumps({"rows": [ROW]}))
    return path


def gateway_token(running: RunningStack) -> str:
    """Return what opens the gateway's internal routes."""
    return str(running.stack.environment()["MILLRACE_GATEWAY__TOKEN"])
