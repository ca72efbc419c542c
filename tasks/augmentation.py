"""Augmentation stage: rows of rare classes are added to a dataset, as a version of its own."""

from __future__ import annotations

import time
from typing import Any, Literal

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run, task_run
from prefect.states import Cancelled, Running

from infra.database.catalogue import Catalogue, DatasetEntry
from infra.database.engine import open_database
from infra.errors import PersonalDataError, PoolUnservedError, PreparationError
from infra.frames import keep_made, read_frame
from infra.refs import DatasetRef, Name
from infra.settings import get_settings
from infra.storage import open_store
from tasks.retries import if_transient
from tasks.tabular import derivation, problem
from tasks.tabular.pii import unmasked
from tasks.tabular.resampling import Balancing
from tasks.tabular.schema import Schema
from tasks.tabular.splitting import SplitPolicy

SUFFIX = "_augmented"
"""What the name of an augmented dataset ends in, where none is given."""

GPU = "gpu"
"""The work pool of machines with one."""

GpuPolicy = Literal["prefer", "require", "never"]

_POLL_SECONDS = 5.0
_RUN_POLL_SECONDS = 1.0
_PREFERRED_SECONDS = 60.0
"""How long a run that may as well be done here waits to be taken up."""


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def find_augmented(
    dataset: DatasetRef,
    target: str,
    balancing: Balancing,
    *,
    name: Name | None,
    seed: int,
    split: SplitPolicy,
) -> DatasetRef | None:
    """Return the version that was made before by the same recipe, if there is one."""
    catalogue = Catalogue(open_database(get_settings().database))
    recipe = _recipe(target, balancing, split, seed)
    known = catalogue.derived(dataset, name or f"{dataset.name}{SUFFIX}", recipe)
    if known is None:
        return None
    get_run_logger().info("%s was made before", known.ref)
    return known.ref


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def augment_rows(
    dataset: DatasetRef,
    target: str,
    balancing: Balancing,
    *,
    name: Name | None = None,
    split: SplitPolicy | None = None,
    seed: int = 0,
    allow_personal_data: bool = False,
) -> DatasetRef:
    """Make a version with rows of rare classes added, made from its training rows alone.

    Every row says in `millrace_part` whether it is of the training, validation or holdout
    part or synthetic; whoever trains on the version keeps to that.

    Raises
    ------
    DatasetRejectedError
        If the version has not passed validation.
    PersonalDataError
        If it holds unmasked personal data and that is not allowed.
    ResamplingError
        If the classes cannot be balanced as asked.
    """
    settings = get_settings()
    catalogue, store = Catalogue(open_database(settings.database)), open_store(settings.storage)
    version = catalogue.trusted(dataset)
    if (found := unmasked(version.findings)) and not allow_personal_data:
        raise PersonalDataError(str(dataset), found)
    frame, schema = read_frame(store, version.frame_digest), Schema.from_json(version.schema)
    goal = problem.identify(frame, target)
    policy = split or SplitPolicy()
    made = derivation.augmented(frame, schema, goal, balancing, seed=seed, policy=policy)
    digest, derived = keep_made(store, "frames", lambda path: derivation.write(made, path))
    entry = DatasetEntry.derived(
        version,
        "augmentation of",
        digest,
        derived.to_json(),
        rows=len(made.frame),
        notes=(f"{balancing.method}: {made.made} rows added, {len(made.dropped)} left out",),
        recipe=_recipe(target, balancing, policy, seed),
    )
    ref = catalogue.add_trusted(version, name or f"{dataset.name}{SUFFIX}", entry)
    _tell(ref, made, target, entry.notes[0])
    return ref


@task(cache_policy=NO_CACHE)
def find_gpu(deployment: str, policy: GpuPolicy, wait_seconds: float) -> bool:
    """Say whether a deployment on the GPU pool is to do the work, waiting for one if required.

    Parameters
    ----------
    deployment : str
        `flow/name` of the deployment on the GPU pool.
    policy : {"prefer", "require", "never"}
        Without a worker on the pool: do the work here and say so, or wait for one.
    wait_seconds : float
        How long `require` waits; the run's state says what for.

    Raises
    ------
    PoolUnservedError
        If no worker came in time.
    """
    if policy == "never":
        return False
    started = time.monotonic()
    with get_client(sync_client=True) as client:
        while not _is_served(client, deployment):
            if policy == "prefer":
                get_run_logger().warning("no worker serves the pool %r: it is done here", GPU)
                return False
            waited = time.monotonic() - started
            if waited >= wait_seconds:
                raise PoolUnservedError(GPU, waited)
            _await(client, waited, wait_seconds)
        if time.monotonic() - started > _POLL_SECONDS:
            _say(client, Running())
    return True


@task(cache_policy=NO_CACHE)
def run_elsewhere(
    deployment: str, parameters: dict[str, object], policy: GpuPolicy, wait_seconds: float
) -> bool:
    """Have another deployment do the work and wait for it; say whether it did.

    A run that no worker takes up in time is cancelled: with `prefer` the work is then done
    here, with `require` that is an error.

    Raises
    ------
    PoolUnservedError
        If the run was not taken up and a GPU is required.
    PreparationError
        If it was, and did not complete.
    """
    limit = wait_seconds if policy == "require" else min(wait_seconds, _PREFERRED_SECONDS)
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        run = client.create_flow_run_from_deployment(
            found.id, parameters=parameters, idempotency_key=task_run.get_id()
        )
        started = time.monotonic()
        while run.state is None or not run.state.is_final():
            waited = time.monotonic() - started
            if waited >= limit and run.start_time is None:
                client.set_flow_run_state(
                    run.id, Cancelled(message="no worker took it up"), force=True
                )
                if policy == "require":
                    raise PoolUnservedError(GPU, waited)
                get_run_logger().warning("no worker took up %r: it is done here", run.name)
                return False
            time.sleep(_RUN_POLL_SECONDS)
            run = client.read_flow_run(run.id)
    if not run.state.is_completed():
        reason = run.state.message or str(run.state.name)
        raise PreparationError(f"{deployment} ({run.name})", reason)
    return True


def _recipe(target: str, balancing: Balancing, split: SplitPolicy, seed: int) -> dict[str, object]:
    """Return what the version is made by: the same recipe, the same version."""
    return {
        "kind": "augmentation",
        "target": target,
        "seed": seed,
        "split": split.model_dump(),
        **balancing.model_dump(),
    }


def _is_served(client: SyncPrefectClient, deployment: str) -> bool:
    online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    try:
        client.read_deployment_by_name(deployment)
        return bool(client.read_workers_for_work_pool(GPU, worker_filter=online))
    except ObjectNotFound:
        return False


def _await(client: SyncPrefectClient, waited: float, limit: float) -> None:
    """Say in the run's state what it waits for, and wait a little."""
    reason = f"waiting for a worker on the pool {GPU!r} ({waited:.0f} of {limit:.0f} s)"
    get_run_logger().info(reason)
    _say(client, Running(name="AwaitingWorker", message=reason))
    time.sleep(min(_POLL_SECONDS, max(0.0, limit - waited)))


def _say(client: SyncPrefectClient, state: State[Any]) -> None:
    """Set the state of the flow run, unless somebody is cancelling it."""
    run = flow_run.get_id()
    if run is not None:
        client.set_flow_run_state(run, state)


def _tell(ref: DatasetRef, made: derivation.Derived, target: str, note: str) -> None:
    get_run_logger().info("%s: %s", ref, note)
    counts = made.frame.groupby(derivation.PART)[target].value_counts().unstack(fill_value=0)
    create_table_artifact(
        key=f"augmentation-{ref.project}-{ref.name}".replace("_", "-"),
        table=[
            {"part": part, **{str(label): int(rows) for label, rows in row.items()}}
            for part, row in counts.iterrows()
        ],
        description=f"{ref}, {note}: rows of every class by part",
    )
