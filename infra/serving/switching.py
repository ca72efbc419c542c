"""Point a model's traffic to another server: the gateway's to do, in milliseconds."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from infra.database.engine import open_database
from infra.database.routes import Role, Route, Routes, Target
from infra.errors import ServiceUnavailableError
from infra.routing_errors import NothingToRollBackError

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def current_target(settings: Settings, model: str, role: Role) -> Target | None:
    """Return the model's server in a role beside the live one."""
    return Routes(open_database(settings.database)).target(model, role)


def switch_route(settings: Settings, route: Route) -> None:
    """Send requests for the route's model to its server from now on.

    The gateway switches and writes the routing table; where none runs, the table is all.
    """
    if settings.gateway.url is None:
        Routes(open_database(settings.database)).put(route)
        return
    _call(settings, f"/routes/{route.model}", asdict(route))


def put_target(settings: Settings, target: Target) -> None:
    """Put a server in a role beside the live one, as `switch_route` does."""
    if settings.gateway.url is None:
        Routes(open_database(settings.database)).put_target(target)
        return
    body = {key: value for key, value in asdict(target).items() if key not in ("model", "role")}
    _call(settings, f"/routes/{target.model}/{target.role}", body)


def restore(settings: Settings, model: str, route: Route | None) -> None:
    """Write back the route a model had; the gateway reads the table again within seconds."""
    routes = Routes(open_database(settings.database))
    if route is None:
        routes.remove(model)
    else:
        routes.restore(route)


def roll_back(settings: Settings, model: str, reason: str, actor: str) -> int:
    """Have the gateway bring back the version before and return it."""
    if settings.gateway.url is None:
        raise ServiceUnavailableError("the gateway", "none runs: start the stack")
    headers = {"x-actor": actor}
    body = {"reason": reason}
    answer = _ask(settings, "POST", f"/deploy/{model}/rollback", body, headers)
    return int(answer.json()["version"])


def _call(settings: Settings, path: str, body: Mapping[str, Any]) -> None:
    _ask(settings, "PUT", path, body, {})


def _ask(
    settings: Settings, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
) -> httpx.Response:
    token = settings.gateway.token.get_secret_value()
    try:
        response = httpx.request(
            method,
            f"{settings.gateway.url}{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}", **headers},
            timeout=_TIMEOUT_SECONDS,
        )
        if response.status_code == HTTPStatus.CONFLICT:
            raise NothingToRollBackError(path.split("/")[2])
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise ServiceUnavailableError("the gateway", str(error)) from error
    return response
