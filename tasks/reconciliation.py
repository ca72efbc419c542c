"""Reconciliation stage: where registry, routes and servers have drifted apart."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from infra.database.engine import open_database
from infra.database.ledger import Releases
from infra.database.routes import Routes
from infra.errors import ModelNotFoundError
from infra.refs import ModelRef
from infra.serving import bentos, open_servers, switching
from infra.settings import get_settings
from infra.tracking import Tracking
from tasks.retries import if_transient


@dataclass(frozen=True, slots=True)
class Divergence:
    """What must happen so that traffic follows the registry again.

    `failing` versions hold the alias but failed their release for a reason that time does not
    cure, or again and again; setting the alias again tries once more. `strays` are servers
    nobody routes to.
    """

    to_release: tuple[ModelRef, ...]
    failing: tuple[str, ...]
    strays: tuple[str, ...]


@task(
    cache_policy=NO_CACHE,
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=if_transient,
)
def find_divergence(alias: str) -> Divergence:
    """Compare the versions behind `alias` with the routes and the servers behind those.

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
    busy = releases.in_progress()
    routes = {route.model: route for route in Routes(engine).all()}
    to_release: list[ModelRef] = []
    failing: list[str] = []
    for name, version in Tracking(settings.tracking).aliased(alias).items():
        route = routes.get(name)
        if name in busy or (
            route is not None
            and route.version == version
            and (servers.is_running(route.program) or bentos.is_ready(route.url))
        ):
            continue
        try:
            model = ModelRef.from_registered(name, version)
        except ModelNotFoundError as error:
            failing.append(str(error))
            continue
        reason = releases.given_up(model)
        if reason is not None:
            failing.append(f"{model}: {reason}")
        else:
            to_release.append(model)
    wanted = {route.program for route in routes.values()}
    strays = [
        program
        for program in servers.programs()
        if program not in wanted and not any(program.startswith(f"model-{m}-v") for m in busy)
    ]
    divergence = Divergence(tuple(to_release), tuple(failing), tuple(strays))
    get_run_logger().info(
        "%d to release, %d failing, %d strays", len(to_release), len(failing), len(strays)
    )
    return divergence


@task(cache_policy=NO_CACHE)
def stop_strays(programs: tuple[str, ...]) -> None:
    """Stop servers that nobody routes to."""
    servers = open_servers(get_settings().serving)
    for program in programs:
        servers.stop(program)
        get_run_logger().info("stopped %s", program)
