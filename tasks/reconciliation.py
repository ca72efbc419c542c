"""Reconciliation stage: where registry, routes and servers have drifted apart."""

from __future__ import annotations

import time
from dataclasses import dataclass

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from infra.aliases import PRODUCTION
from infra.database.engine import open_database
from infra.database.ledger import Releases
from infra.database.routes import Route, Routes, Target
from infra.errors import ModelNotFoundError
from infra.refs import ModelRef
from infra.serving import bentos, open_servers, switching
from infra.serving.protocol import MODEL_PREFIX, ModelServers
from infra.settings import get_settings
from infra.tracking import Tracking
from tasks.retries import if_transient

_RESTART_SECONDS = 12
"""A model server that was restarted answers within this time."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """What must happen so that traffic follows the registry again.

    `to_release` are versions and the alias each holds. `failing` versions hold an alias but failed
    their release for a reason that time does not cure, or again and again; setting the alias
    again tries once more. `strays` are servers nobody routes to.
    """

    to_release: tuple[tuple[ModelRef, str], ...]
    failing: tuple[str, ...]
    strays: tuple[str, ...]


@task(
    cache_policy=NO_CACHE,
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=if_transient,
)
def find_divergence(aliases: tuple[str, ...]) -> Divergence:
    """Compare the versions behind `aliases` with the routes and the servers behind those.

    A route whose alias is gone stays: a registry that answers with less than it has must not
    stop traffic.

    Raises
    ------
    ServiceUnavailableError
        If the registry, the database or the gateway does not answer: then nothing is done.
    """
    settings = get_settings()
    engine = open_database(settings.database)
    switching.check(settings)
    releases, servers = Releases(engine), open_servers(settings.serving)
    # in this order, so that the server of a release that begins or ends meanwhile is no stray
    programs = servers.programs()
    busy = releases.in_progress()
    table = Routes(engine)
    live, beside = table.all(), table.targets()
    to_release: list[tuple[ModelRef, str]] = []
    failing: list[str] = []
    for alias, wanted in _wanted(Tracking(settings.tracking), table, aliases).items():
        routes = _behind(alias, live, beside)
        unserved = {
            name: version
            for name, version in wanted.items()
            if name not in busy and not _serves(routes.get(name), version, servers)
        }
        found, given_up = _sort(unserved, releases)
        to_release += [(model, alias) for model in found]
        failing += given_up
    used = {each.program for each in live} | {each.program for each in beside}
    strays = _strays(programs, used, busy)
    get_run_logger().info(
        "%d to release, %d failing, %d strays", len(to_release), len(failing), len(strays)
    )
    return Divergence(tuple(to_release), tuple(failing), strays)


@task(cache_policy=NO_CACHE)
def stop_strays(programs: tuple[str, ...]) -> None:
    """Stop servers that nobody routes to."""
    servers = open_servers(get_settings().serving)
    for program in programs:
        servers.stop(program)
        get_run_logger().info("stopped %s", program)


def _serves(route: Route | None, version: int, servers: ModelServers) -> bool:
    """Whether a route leads to the version on a server that answers, if need be after a restart."""
    if route is None or route.version != version:
        return False
    for _ in range(_RESTART_SECONDS):
        if bentos.is_ready(route.url):
            return True
        if not servers.is_running(route.program):
            return False
        time.sleep(1.0)
    return False


def _sort(
    unserved: dict[str, int], releases: Releases
) -> tuple[tuple[ModelRef, ...], tuple[str, ...]]:
    """Tell versions to release from those that were given up or are not ours."""
    to_release: list[ModelRef] = []
    failing: list[str] = []
    for name, version in unserved.items():
        try:
            model = ModelRef.from_registered(name, version)
        except ModelNotFoundError as error:
            failing.append(str(error))
            continue
        reason = releases.given_up(model)
        if reason is None:
            to_release.append(model)
        else:
            failing.append(f"{model}: {reason}")
    return tuple(to_release), tuple(failing)


def _strays(programs: list[str], used: set[str], busy: set[str]) -> tuple[str, ...]:
    """Return the servers no route leads to, except those of models being released now."""
    starting = tuple(f"{MODEL_PREFIX}{model}-v" for model in busy)
    return tuple(
        program for program in programs if program not in used and not program.startswith(starting)
    )


def _behind(alias: str, live: list[Route], beside: list[Target]) -> dict[str, Route]:
    """Return where the requests of an alias go, by model."""
    if alias == PRODUCTION:
        return {route.model: route for route in live}
    return {each.model: each.route for each in beside if each.role == alias}


def _wanted(
    tracking: Tracking, table: Routes, aliases: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    """Return the versions behind aliases, after setting those a rollback could not set."""
    for alias in aliases:
        for name, version in table.pending(alias).items():
            tracking.set_alias(ModelRef.from_registered(name, version), alias)
            table.settle(name, alias)
    served = {route.model for route in table.all()}  # nothing is beside where nothing is live
    return {
        alias: {n: v for n, v in found.items() if alias == PRODUCTION or n in served}
        for alias, found in tracking.aliased(aliases).items()
    }
