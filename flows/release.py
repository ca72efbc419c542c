"""A model version goes into service, or everything is as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prefect import flow
from prefect.runtime import flow_run
from prefect.transactions import transaction

from flows import scripts
from infra.aliases import PRODUCTION
from infra.database.engine import open_database
from infra.database.ledger import Releases
from infra.errors import SupersededError
from infra.refs import ModelRef
from infra.settings import get_settings
from tasks.serving import (
    await_server,
    bring_back,
    build_bento,
    find_live,
    find_warm,
    launch_servers,
    retire_servers,
    smoke_test,
    switch_traffic,
)


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """How a release ended; `url` is the base address of the server that answers."""

    model: ModelRef
    outcome: Literal["released", "live already", "in progress elsewhere", "superseded"]
    url: str = ""
    reason: str = ""


@flow
def release_model(
    model: ModelRef,
    alias: str = PRODUCTION,
) -> ReleaseReport:
    """Build a Bento, start it beside the server in use, prove it, then switch.

    A step that fails undoes those before it; traffic never leaves the old server for one that
    is not proven. Releasing what is live already changes nothing. The server of before stays warm
    for a rollback.

    Args:
        model: The version to serve.
        alias: Must point to the version. production: it becomes the live one; canary: it gets a
            share of the requests; shadow: copies of them; staging, dev: it is served beside.
    """
    live = find_live(model, alias)
    if live is not None:
        return ReleaseReport(model, "live already", live.url)
    releases = Releases(open_database(get_settings().database))
    try:
        with releases.attempt(model, alias, flow_run.get_id()) as claimed:
            if not claimed:
                return ReleaseReport(model, "in progress elsewhere")
            bento = build_bento(model)
            with transaction():  # its tasks are not retried: a failed try undoes the whole block
                count = get_settings().serving.replicas if alias == PRODUCTION else 1
                warm = find_warm(model, alias)
                servers = warm + launch_servers(model, bento, count - len(warm))
                for server in servers:
                    await_server(server)
                    smoke_test(model, server)
                unneeded = switch_traffic(model, alias, servers)
            if unneeded:
                retire_servers(unneeded)
    except SupersededError as error:
        return ReleaseReport(model, "superseded", reason=str(error))
    return ReleaseReport(model, "released", servers[0].url)


@flow
def rollback_model(model: str, reason: str = "") -> int:
    """Bring back the version before the live one, at once, and return it.

    The same as `POST /deploy/{model}/rollback` of the gateway, which needs no run: alias, route
    and audit follow each other there.

    Args:
        model: Registered name, as the registry shows it.
        reason: Kept in the audit.
    """
    return bring_back(model, reason)


if __name__ == "__main__":
    arguments = scripts.parser("flows.release", release_model.__doc__)
    scripts.add_model(arguments)
    scripts.run(arguments, lambda given: release_model(scripts.model_ref(given)))
