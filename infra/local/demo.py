"""Run the lifecycle through the work pool and tell what happens while it happens."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterLevel,
)
from prefect.client.schemas.sorting import ArtifactSort, LogSort
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled
from rich.table import Table

from infra.errors import StackError
from infra.refs import normalise_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from rich.console import Console

    from infra.local.stack import Stack

DATA = Path(__file__).parent / "data" / "adult.csv.gz"
TARGET = "income"
DEPLOYMENT = "run-lifecycle/from-file-to-endpoint"
_POLL_SECONDS = 0.5
_PICKUP_SECONDS = 90.0
_INFO = 20
_LEADERS = 5
_MECHANICS = (
    "Worker ",
    "Running ",
    "Executing deployment step",
    "Deployment step",
    "All deployment steps",
    "Finished in state Completed",
)
"""How Prefect's own lines about starting and ending begin: not news to somebody who waits."""


def run_demo(stack: Stack, console: Console, *, data: Path, target: str, budget: float) -> None:
    """Run the lifecycle on a file and print its stages, leaders and a prediction.

    Raises
    ------
    StackError
        If the run does not complete; its own sentence is in the message.
    """
    name = normalise_name(data.name)
    parameters = {
        "source": str(data.absolute()),
        "name": name,
        "request": {"target": target, "budget_seconds": budget},
    }
    with (
        temporary_settings({PREFECT_API_URL: stack.layout.prefect_url}),
        get_client(sync_client=True) as client,
    ):
        deployment = client.read_deployment_by_name(DEPLOYMENT)
        run = client.create_flow_run_from_deployment(
            deployment.id, parameters=parameters, state=Scheduled()
        )
        finished = _follow(stack, client, run.id, console)
        if finished.state is None or not finished.state.is_completed():
            message = finished.state.message if finished.state else "no state"
            raise StackError(f"the lifecycle failed: {message}", "open the run in the Prefect UI")
        key = name.replace("_", "-")
        stages = json.loads(_artifact(client, f"lifecycle-default-{key}"))
        leaders = json.loads(_artifact(client, f"leaderboard-default-{key}"))
        prediction = _fenced_json(_artifact(client, f"prediction-default-{key}"))
    console.print(_table("Lifecycle", stages))
    console.print(_table("Leaderboard", [_brief(line) for line in leaders[:_LEADERS]]))
    if prediction:
        _print_prediction(console, prediction)
    else:
        console.print("No model was promoted, so none is served: the table says why.")
    _print_addresses(stack, console, name)


def _follow(stack: Stack, client: SyncPrefectClient, run_id: UUID, console: Console) -> FlowRun:
    """Print the run's log, its subflows' included, until it has ended."""
    seen: set[UUID] = set()
    began = time.monotonic()
    with console.status("waiting for the worker") as status:
        while True:
            run = client.read_flow_run(run_id)
            for line in _new_lines(client, run_id, seen):
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            if run.state is not None and run.state.is_final():
                return run
            if run.start_time is None and time.monotonic() - began > _PICKUP_SECONDS:
                log = stack.layout.logs / "worker.log"
                raise StackError("no worker takes the run", f"read {log} and run `make doctor`")
            status.update(f"{run.state_name}: {run.name}")
            time.sleep(_POLL_SECONDS)


def _new_lines(client: SyncPrefectClient, run_id: UUID, seen: set[UUID]) -> Iterator[str]:
    children = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run_id])
        )
    )
    family = [run_id, *(child.id for child in children)]
    logs = client.read_logs(
        LogFilter(flow_run_id=LogFilterFlowRunId(any_=family), level=LogFilterLevel(ge_=_INFO)),
        sort=LogSort.TIMESTAMP_DESC,
        limit=200,
    )
    for log in sorted(logs, key=lambda each: each.timestamp):
        text = log.message.splitlines()[0] if log.message else ""
        if log.id not in seen and not text.startswith(_MECHANICS):
            yield f"  {log.timestamp:%H:%M:%S}  {text}"
        seen.add(log.id)


def _artifact(client: SyncPrefectClient, key: str) -> str:
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
        sort=ArtifactSort.CREATED_DESC,
        limit=1,
    )
    if not found:
        raise StackError(f"the run left no artifact {key}", "open the run in the Prefect UI")
    return str(found[0].data)


def _fenced_json(markdown: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(markdown.removeprefix("```json\n").removesuffix("\n```"))
    return content


def _brief(line: dict[str, Any]) -> dict[str, Any]:
    """Return a leaderboard line without its long columns; the artifact has them."""
    return {
        key: round(value, 5) if isinstance(value, float) else value
        for key, value in line.items()
        if key not in {"parameters", "error"}
    }


def _table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    return table


def _print_prediction(console: Console, prediction: dict[str, Any]) -> None:
    body = json.dumps(prediction["request"])
    console.print("[bold]A prediction[/bold]")
    console.print(
        f"curl -s {prediction['url']} -H 'content-type: application/json' -d '{body}'",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print_json(json.dumps(prediction["response"]))


def _print_addresses(stack: Stack, console: Console, model: str) -> None:
    console.print("[bold]Look around[/bold]")
    for what, address in (
        ("Prefect", stack.layout.prefect_url.removesuffix("/api")),
        ("MLflow", stack.layout.mlflow_url),
        ("Gateway", f"{stack.layout.gateway_url}/docs"),
        (f"Swagger page of {model}", stack.model_url(model)),
    ):
        console.print(f"  {what:24} {address}", highlight=False)
    console.print("The stack stays up; `make down` stops it.")
