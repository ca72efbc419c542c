"""What a running stack needs before it can work, brought about again and again without harm.

Tables, pools, queues, automations, deployments and the registry's webhook.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException
from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.workers.process import ProcessWorker

from infra.database.engine import open_database, upgrade
from infra.errors import StackError
from infra.local import postgres
from infra.provenance import ROOT
from infra.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prefect.client.orchestration import SyncPrefectClient

    from infra.local.stack import Stack

CPU, GPU = "cpu", "gpu"
TRAINING, SERVING = "training", "serving"
WEBHOOK = "millrace"
RECONCILE = "reconcile/every-30-seconds"
ZOMBIE_SECONDS = 90
"""Without a heartbeat for this long (they come every 30 s) a run is taken for dead."""


def bootstrap(stack: Stack, tell: Callable[[str], None]) -> None:
    """Prepare a stack whose servers answer; what is there already stays or is updated."""
    environment = stack.environment()
    if stack.layout.runs_postgres:  # one of before lacks what was added since
        postgres.ensure_databases(stack.layout)
    upgrade(open_database(DatabaseSettings(url=environment["MILLRACE_DATABASE__URL"])))
    ensure_webhook(stack, environment["MILLRACE_GATEWAY__WEBHOOK_SECRET"], tell)
    tell("tables and webhook are in place")
    with (
        temporary_settings({PREFECT_API_URL: stack.layout.prefect_url}),
        get_client(sync_client=True) as client,
    ):
        _ensure_pools(client, stack.layout.settings.stack.worker_limit)
        stack.start_workers()
        _deploy(environment)
        tell("flows are deployed")
        for automation in _automations(client):
            _ensure_automation(client, automation)


def ensure_webhook(stack: Stack, secret: str, tell: Callable[[str], None]) -> None:
    """Have MLflow tell the gateway of every alias that is set."""
    client = mlflow.MlflowClient(stack.layout.mlflow_url, stack.layout.mlflow_url)
    wanted: dict[str, Any] = {
        "url": f"{stack.layout.gateway_url}/hooks/mlflow",
        "events": ["model_version_alias.created"],
        "secret": secret,
        "description": "Releases what the alias `production` points to",
    }
    try:
        known = [each for each in client.list_webhooks(max_results=100) if each.name == WEBHOOK]
        if known:
            client.update_webhook(known[0].webhook_id, **wanted)
        else:
            client.create_webhook(WEBHOOK, **wanted)
    except MlflowException as error:
        if not stack.layout.runs_mlflow:
            tell(f"your MLflow refused the webhook, releases take up to 30 s: {error}")
            return
        raise StackError(
            f"MLflow does not take the webhook: {error}", "read .millrace/logs/mlflow.log"
        ) from error


def _ensure_pools(client: SyncPrefectClient, worker_limit: int) -> None:
    """Make the pools; a training may not take the places that releases need."""
    template = ProcessWorker.get_default_base_job_template()
    variables = template["variables"]["properties"]
    variables["command"]["default"] = f"{shlex.quote(sys.executable)} -m prefect.engine"
    variables["working_dir"]["default"] = str(ROOT)
    for name, description in (
        (CPU, "Flow runs on this machine"),
        (GPU, "Flow runs that want a GPU; served where a machine has one"),
    ):
        try:
            client.read_work_pool(name)
            update = WorkPoolUpdate(base_job_template=template, description=description)
            client.update_work_pool(name, update)
        except ObjectNotFound:
            client.create_work_pool(
                WorkPoolCreate(
                    name=name,
                    type=ProcessWorker.type,
                    base_job_template=template,
                    description=description,
                )
            )
    for name, priority, limit in (
        (SERVING, 1, None),
        (TRAINING, 2, max(1, worker_limit - 2)),
    ):
        queue = _queue(client, name)
        client.update_work_queue(queue, priority=priority, concurrency_limit=limit)


def _queue(client: SyncPrefectClient, name: str) -> Any:
    try:
        return client.read_work_queue_by_name(name, work_pool_name=CPU).id
    except ObjectNotFound:
        return client.create_work_queue(name, work_pool_name=CPU).id


def _deploy(environment: dict[str, str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=ROOT,
        env={**environment, "MILLRACE_ROOT": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise StackError(
            f"the flows could not be deployed: {(result.stdout + result.stderr).strip()[-500:]}",
            "check prefect.yaml",
        )


def _automations(client: SyncPrefectClient) -> Iterator[AutomationCore]:
    yield AutomationCore(
        name="runs that died are crashed",
        description="A run that stops sending heartbeats would hold its place for ever",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=ZOMBIE_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"no heartbeat for {ZOMBIE_SECONDS} s: its process is gone",
            )
        ],
    )
    yield AutomationCore(
        name="failed triggers are made up for",
        description="An event whose action failed started nothing; reconcile does what it meant",
        trigger=EventTrigger(
            expect={"prefect.automation.action.failed"},
            match=ResourceSpecification({"prefect.resource.name": "on-alias*"}),
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[RunDeployment(deployment_id=client.read_deployment_by_name(RECONCILE).id)],
    )


def _ensure_automation(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    known = client.read_automations_by_name(wanted.name)
    if known:
        client.update_automation(known[0].id, wanted)
    else:
        client.create_automation(wanted)
