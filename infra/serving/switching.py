"""Point a model's traffic to another server: the gateway's to do, in milliseconds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import httpx

from infra.database.engine import open_database
from infra.database.routes import Route, Routes
from infra.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from infra.settings import Settings

_TIMEOUT_SECONDS = 10.0


def check(settings: Settings) -> None:
    """Raise `ServiceUnavailableError` where a gateway is configured and does not answer."""
    if settings.gateway.url is None:
        return
    try:
        httpx.get(
            f"{settings.gateway.url}/health/live", timeout=_TIMEOUT_SECONDS
        ).raise_for_status()
    except httpx.HTTPError as error:
        raise ServiceUnavailableError("the gateway", str(error)) from error


def current_route(settings: Settings, model: str) -> Route | None:
    """Return where requests for `model` go now."""
    return Routes(open_database(settings.database)).get(model)


def switch_route(settings: Settings, route: Route) -> None:
    """Send requests for the route's model to its server from now on.

    The gateway switches and writes the routing table; where none runs, the table is all.
    """
    if settings.gateway.url is None:
        Routes(open_database(settings.database)).put(route)
        return
    _call(settings, route)


def restore(settings: Settings, model: str, route: Route | None) -> None:
    """Write back the route a model had; the gateway reads the table again within seconds."""
    routes = Routes(open_database(settings.database))
    if route is None:
        routes.remove(model)
    else:
        routes.put(route)


def _call(settings: Settings, route: Route) -> None:
    token = settings.gateway.token.get_secret_value()
    try:
        response = httpx.put(
            f"{settings.gateway.url}/routes/{route.model}",
            json=asdict(route),
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT_SECONDS,
        )
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise ServiceUnavailableError("the gateway", str(error)) from error
