"""A real embedded stack on free ports, for behaviour tests and benchmarks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import mlflow
import psutil

from infra.launcher import MARK
from infra.local.stack import SUPERVISOR, Stack
from infra.ports import find_free
from infra.processes import Records, marked
from infra.provenance import ROOT
from infra.settings import ServingSettings, Settings, StackSettings, TrackingSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def wait_until(condition: Callable[[], Any], seconds: float = 120.0, poll: float = 0.1) -> Any:
    """Return what `condition` gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"it did not happen in {seconds:.0f} s"
        time.sleep(poll)
    return result


@dataclass
class RunningStack:
    """Commands, addresses and observations of one stack below `home`."""

    home: Path
    ports: dict[str, int] = field(
        default_factory=lambda: {
            f"{name}_port": find_free(first, first + 900)
            for name, first in (("prefect", 26000), ("mlflow", 27000), ("gateway", 28000))
        }
    )

    @property
    def stack(self) -> Stack:
        return Stack(
            Settings(
                stack=StackSettings(home=self.home, **self.ports),
                tracking=TrackingSettings(artifacts=self.home / "artifacts"),
                serving=ServingSettings(
                    home=self.home / "serving", first_port=29000, last_port=29900
                ),
            )
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m infra.local`, as the Makefile does."""
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MILLRACE_", "PREFECT_", "MLFLOW_"))
        }
        settings = {
            "STACK__HOME": self.home,
            "STORAGE__KIND": "local",
            "STORAGE__ROOT": self.home / "store",
            "TRACKING__ARTIFACTS": self.home / "artifacts",
            "SERVING__HOME": self.home / "serving",
            "SERVING__FIRST_PORT": 29000,
            "SERVING__LAST_PORT": 29900,
            **{f"STACK__{name.upper()}": port for name, port in self.ports.items()},
        }
        return subprocess.run(
            [sys.executable, "-m", "infra.local", *arguments],
            cwd=ROOT,
            env=inherited | {f"MILLRACE_{name}": str(value) for name, value in settings.items()},
            capture_output=True,
            text=True,
            check=False,
        )

    # Prefect

    def prefect(self, path: str, body: dict[str, Any]) -> Any:
        response = httpx.post(f"{self.stack.layout.prefect_url}/{path}", json=body, timeout=30)
        response.raise_for_status()
        return response.json()

    def start_run(self, deployment: str, **parameters: Any) -> str:
        url = f"{self.stack.layout.prefect_url}/deployments/name/{deployment}"
        found = httpx.get(url, timeout=30).raise_for_status().json()["id"]
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self.prefect(f"deployments/{found}/create_flow_run", body)["id"])

    def finish(self, run: str, seconds: float = 240.0) -> dict[str, Any]:
        """Wait until a run has ended and return its state."""

        def ended() -> dict[str, Any] | None:
            url = f"{self.stack.layout.prefect_url}/flow_runs/{run}"
            state: dict[str, Any] = httpx.get(url, timeout=30).json()["state"]
            final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
            return state if state["type"] in final else None

        state: dict[str, Any] = wait_until(ended, seconds)
        return state

    def runs_of(self, flow: str) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.prefect(
            "flow_runs/filter",
            {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_DESC"},
        )
        return runs

    # MLflow

    @property
    def registry(self) -> mlflow.MlflowClient:
        url = self.stack.layout.mlflow_url
        return mlflow.MlflowClient(url, url)

    def copy_version(self, model: str, version: int) -> int:
        """Register the model of a version once more, as a version of its own."""
        source = self.registry.get_model_version(model, str(version))
        copied = self.registry.create_model_version(
            model,
            source.source,
            run_id=source.run_id,
            model_id=source.source.removeprefix("models:/"),
        )
        return int(copied.version)

    # the gateway

    def predict(self, model: str, row: dict[str, Any]) -> httpx.Response:
        url = f"{self.stack.layout.gateway_url}/predict/{model}"
        return httpx.post(url, json={"rows": [row]}, timeout=30)

    def version_served(self, model: str, row: dict[str, Any]) -> int | None:
        try:
            response = self.predict(model, row)
        except httpx.TransportError:
            return None
        return int(response.json()["version"]) if response.is_success else None

    # processes

    def programs(self) -> dict[str, list[psutil.Process]]:
        """Return every process of the stack by program, the first one first."""
        found: dict[str, list[psutil.Process]] = {}
        home = str(self.home)
        for process in sorted(
            marked(MARK, lambda mark: mark.startswith(home)), key=lambda p: p.pid
        ):
            try:
                name = process.environ()[MARK].rpartition(":")[2]
            except psutil.Error:
                continue
            found.setdefault(name, []).append(process)
        record = Records(self.home / "processes").get(SUPERVISOR)
        if record is not None and (process := record.process()) is not None:
            found[SUPERVISOR] = [process]
        return found

    def is_well(self) -> bool:
        """Whether every program runs and every server does real work."""
        layout = self.stack.layout
        states = self.stack.states()
        if not states or any(each.state != "RUNNING" for each in states):
            return False
        try:
            for check in (
                httpx.get(f"{layout.gateway_url}/health/ready", timeout=5),
                httpx.get(
                    f"{layout.mlflow_url}/api/2.0/mlflow/registered-models/search", timeout=5
                ),
                httpx.post(f"{layout.prefect_url}/flow_runs/filter", json={"limit": 1}, timeout=5),
            ):
                if not check.is_success:
                    return False
        except httpx.TransportError:
            return False
        return True

    def leftovers(self) -> list[psutil.Process]:
        return self.stack._processes()


ROW = {
    "age": 39,
    "workclass": "State-gov",
    "fnlwgt": 77516,
    "education": "Bachelors",
    "education_num": 13,
    "marital_status": "Never-married",
    "occupation": "Adm-clerical",
    "relationship": "Not-in-family",
    "race": "White",
    "sex": "Male",
    "capital_gain": 2174,
    "capital_loss": 0,
    "hours_per_week": 40,
    "native_country": "United-States",
}


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder outside pytest's own, which every new session closes to PostgreSQL's user."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-"))
    try:
        yield folder / "home"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
