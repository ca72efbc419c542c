"""Serving stage: a model version becomes a Bento, a warm server, and traffic."""

from __future__ import annotations

import time
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.transactions import Transaction, get_transaction

from infra.aliases import BESIDE, PRODUCTION
from infra.database.engine import open_database
from infra.database.ledger import Releases
from infra.database.routes import Role, Route, Routes, Target
from infra.errors import (
    ModelServerError,
    ReleaseFailedError,
    RouteNotFoundError,
    ServiceUnavailableError,
    SmokeTestError,
    SupersededError,
)
from infra.ports import LOOPBACK, find_free
from infra.refs import ModelRef
from infra.routing_errors import UnknownAliasError
from infra.serving import bentos, open_servers, switching
from infra.serving.asking import address_of, open_predictor
from infra.serving.protocol import MODEL_PREFIX
from infra.settings import Settings, get_settings
from infra.storage import open_store
from infra.tracking import Tracking
from tasks.retries import if_transient
from tasks.tabular.pool import cores

_POLL_SECONDS = 0.2
_SMOKE_TOLERANCE = 1e-9


@task(cache_policy=NO_CACHE)
def find_route(model: ModelRef) -> Route:
    """Return where the model's requests go, or raise `RouteNotFoundError`."""
    route = switching.current_route(get_settings(), model.registered_name)
    if route is None:
        raise RouteNotFoundError(model.registered_name, ())
    return route


@task(cache_policy=NO_CACHE)
def find_live(model: ModelRef, alias: str = PRODUCTION) -> Route | None:
    """Return the version's server behind an alias if it is in use and answers."""
    served = _served(model, alias)
    in_use = served is not None and served.version == model.version and bentos.is_ready(served.url)
    return served if in_use else None


@task(cache_policy=NO_CACHE)
def find_warm(model: ModelRef, alias: str) -> list[Route]:
    """Return the version's server that stands beside the live one and may become it at once."""
    if alias != PRODUCTION:
        return []
    targets = Routes(open_database(get_settings().database)).targets()
    return [
        each.route
        for each in targets
        if (each.model, each.version) == (model.registered_name, model.version)
        and bentos.is_ready(each.url)
    ][:1]


def _served(model: ModelRef, alias: str) -> Route | None:
    """Return where requests for an alias of the model go."""
    settings, name = get_settings(), model.registered_name
    if alias == PRODUCTION:
        return switching.current_route(settings, name)
    target = switching.current_target(settings, name, role_of(alias))
    return target.route if target is not None else None


def role_of(alias: str) -> Role:
    """Return what an alias releases beside the live one, or raise `UnknownAliasError`."""
    if alias not in BESIDE:
        raise UnknownAliasError(alias, (PRODUCTION, *BESIDE))
    return cast("Role", alias)


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def build_bento(model: ModelRef) -> Path:
    """Pack a version's files and contract into a Bento, and keep it in the store.

    One that is built already is taken from there.

    Raises
    ------
    EvidenceMissingError
        If nothing is recorded of what the version should answer.
    BuildError
        If BentoML cannot build it.
    """
    settings = get_settings()
    tracking, store = Tracking(settings.tracking), open_store(settings.storage)
    run_id = tracking.run_of(model)
    name = model.registered_name.replace(".", "_")
    version = f"v{model.version}-{run_id[:8]}"
    key, home = f"bentos/{name}/{version}.bento", settings.serving.home
    if key in store.keys(key):  # built here or elsewhere
        bento = bentos.unpack(store.read(key), name=name, version=version, home=home)
    else:
        bento = _built(tracking, model, run_id, name=name, version=version)
        store.write(key, bentos.pack(bento))
    get_run_logger().info("Bento %s", bento)
    return bento


def _built(tracking: Tracking, model: ModelRef, run_id: str, *, name: str, version: str) -> Path:
    labels = {"model": model.registered_name, "version": str(model.version), "run": run_id}
    with TemporaryDirectory() as folder:
        ingredients = bentos.Ingredients(
            tracking.download(model, Path(folder) / "model"),
            tracking.plan(run_id, Path(folder)),
            _manifest(model, run_id, tracking.evidence(run_id)),
            labels,
        )
        home = get_settings().serving.home
        return bentos.build(ingredients, name=name, version=version, home=home)


def _manifest(model: ModelRef, run_id: str, evidence: dict[str, Any]) -> dict[str, Any]:
    """Return what a Bento says it was built for."""
    kept = ("schema", "problem", "dataset", "metric")
    return {
        "model": model.registered_name,
        "version": model.version,
        "run_id": run_id,
        "title": str(evidence.get("learner", "")).replace("_", " ").title(),
        "threshold": evidence.get("threshold", 0.5),
        "sample": evidence["sample"][:2],
        **{key: evidence[key] for key in kept if key in evidence},
    }


@task(cache_policy=NO_CACHE)
def launch_servers(model: ModelRef, bento: Path, count: int = 1) -> list[Route]:
    """Start servers for the version beside those in use. Undone by stopping them."""
    serving = get_settings().serving
    active, started = get_transaction(), []
    for _ in range(count):
        port = find_free(serving.first_port, serving.last_port)
        program = f"{MODEL_PREFIX}{model.registered_name}-v{model.version}-{port}"
        started.append(
            Route(model.registered_name, model.version, f"http://{LOOPBACK}:{port}", program)
        )
        if active is not None:  # always: a task runs in a transaction of its own
            active.set("programs", [each.program for each in started])
        command = bentos.serve_command(
            bento, port, log=serving.home / "predictions", threads=serving.threads or cores()
        )
        log = open_servers(serving).start(program, command)
        get_run_logger().info("%s on port %d, log %s", program, port, log)
    return started


@launch_servers.on_rollback
def _stop_launched(transaction: Transaction) -> None:
    servers = open_servers(get_settings().serving)
    for program in transaction.get("programs", []):
        servers.stop(program)


@task(cache_policy=NO_CACHE)
def await_server(route: Route) -> float:
    """Wait until a server has loaded its model and return the seconds it took.

    Raises
    ------
    ModelServerError
        If it dies or is not ready in time.
    """
    serving = get_settings().serving
    servers = open_servers(serving)
    log = str(serving.home / "logs" / f"{route.program}.log")
    started = time.monotonic()
    while not bentos.is_ready(route.url):
        waited = time.monotonic() - started
        if not servers.is_running(route.program):
            raise ModelServerError(route.program, "its process ended", log)
        if waited > serving.start_timeout_seconds:
            raise ModelServerError(route.program, f"no answer after {waited:.0f} s", log)
        time.sleep(_POLL_SECONDS)
    waited = time.monotonic() - started
    get_run_logger().info("%s ready after %.1f s", route.url, waited)
    return waited


@task(cache_policy=NO_CACHE)
def smoke_test(model: ModelRef, route: Route) -> float:
    """Send the recorded sample to a server and return the largest difference of its scores.

    Raises
    ------
    SmokeTestError
        If it answers anything else than the model did when it was trained.
    """
    tracking = Tracking(get_settings().tracking)
    evidence = tracking.evidence(tracking.run_of(model))
    answer = _predict(f"{route.url}/predict", evidence["sample"], "smoke test")
    if (answer["model"], answer["version"]) != (model.registered_name, model.version):
        raise SmokeTestError(str(model), f"it says it is {answer['model']} v{answer['version']}")
    scores = np.asarray(
        [
            list(each["probabilities"].values()) if each["probabilities"] else each["prediction"]
            for each in answer["predictions"]
        ],
        dtype=float,
    )
    recorded = np.asarray(evidence["scores"], dtype=float)
    if scores.shape != recorded.shape:
        raise SmokeTestError(str(model), f"{scores.shape} scores instead of {recorded.shape}")
    difference = float(np.abs(scores - recorded).max())
    if not difference <= _SMOKE_TOLERANCE:
        raise SmokeTestError(str(model), f"scores differ by up to {difference:.3g}")
    get_run_logger().info("%d recorded rows answered alike", len(recorded))
    return difference


@task(cache_policy=NO_CACHE)
def switch_traffic(model: ModelRef, alias: str, servers: list[Route]) -> list[str]:
    """Send the requests of an alias to `servers` and return the programs nobody needs any more.

    The live server of before stays as the standby; that of the version before it goes. It is the
    last step that can fail, and undoes itself if it does.

    Raises
    ------
    SupersededError
        If the alias no longer points to the version.
    ServiceUnavailableError
        If the gateway did not confirm the switch.
    """
    settings = get_settings()
    current = Tracking(settings.tracking).version_of(model.registered_name, alias)
    if current != model.version:
        pointed = f"v{current}" if current is not None else "nothing"
        raise SupersededError(str(model), alias, pointed)
    before = _programs(model.registered_name)
    if alias == PRODUCTION:
        _switch_live(settings, servers)
    else:
        weight = settings.serving.canary_weight if alias == "canary" else 0.0
        target = Target(**asdict(servers[0]), role=role_of(alias), weight=weight)
        switching.put_target(settings, target)
    get_run_logger().info("%s now answers with v%d", alias, model.version)
    return sorted(before - _programs(model.registered_name))


def _switch_live(settings: Settings, servers: list[Route]) -> None:
    first, *others = servers
    previous = switching.current_route(settings, first.model)
    try:
        switching.switch_route(settings, first)
        for each in others:
            switching.put_target(settings, Target(**asdict(each), role="replica"))
    except ServiceUnavailableError:  # it may have switched before it fell silent
        switching.restore(settings, first.model, previous)
        raise


def _programs(model: str) -> set[str]:
    """Return the programs of all servers of a model that the routing table knows."""
    routes = Routes(open_database(get_settings().database))
    live = routes.get(model)
    beside = {each.program for each in routes.targets() if each.model == model}
    return beside | ({live.program} if live is not None else set())


@task(cache_policy=NO_CACHE)
def retire_servers(programs: list[str]) -> None:
    """Stop servers that no longer get requests, after those under way had time to end."""
    serving = get_settings().serving
    time.sleep(serving.drain_seconds)
    for program in programs:
        open_servers(serving).stop(program)
        get_run_logger().info("stopped %s", program)


@task(cache_policy=NO_CACHE)
def bring_back(model: str, reason: str) -> int:
    """Have the gateway bring back the version before the live one and return it.

    Raises
    ------
    NothingToRollBackError
        If none is kept warm.
    """
    return switching.roll_back(get_settings(), model, reason, actor="flow rollback_model")


@task(cache_policy=NO_CACHE)
def await_release(model: ModelRef, alias: str, timeout_seconds: float) -> Route:
    """Wait until whoever hears of the alias has released the version.

    Raises
    ------
    ReleaseFailedError
        If its release failed, or nothing happened in time.
    """
    settings = get_settings()
    releases = Releases(open_database(settings.database))
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        route = switching.current_route(settings, model.registered_name)
        if route is not None and route.version == model.version:
            return route
        last = releases.last(model)
        if last is not None and last.state == "failed":
            raise ReleaseFailedError(str(model), last.reason)
        time.sleep(_POLL_SECONDS)
    raise ReleaseFailedError(
        str(model),
        f"{alias} was set {timeout_seconds:.0f} s ago and nothing was released; look at the runs "
        "of release-model and at the gateway's log",
    )


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def fetch_prediction(model: ModelRef, route: Route) -> dict[str, Any]:
    """Ask for a prediction as any client would; return the request and the answer."""
    settings = get_settings()
    tracking = Tracking(settings.tracking)
    rows = tracking.evidence(tracking.run_of(model))["sample"][:1]
    url = address_of(settings, route.model)
    return {"url": url, "request": {"rows": rows}, "response": _predict(url, rows, "lifecycle")}


def _predict(url: str, rows: list[dict[str, Any]], caller: str) -> dict[str, Any]:
    with open_predictor(url, caller=caller) as ask:
        status, answer = ask({"rows": rows})
    if status != HTTPStatus.OK:
        raise SmokeTestError(url, f"HTTP {status}: {str(answer)[:300]}")
    found: dict[str, Any] = answer
    return found
