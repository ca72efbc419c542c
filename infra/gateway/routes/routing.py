"""Routing: the platform's own switch."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from infra.database.routes import Role, Route, Target
from infra.gateway.dependencies import PartsDependency, require_token
from infra.gateway.payloads import RouteBody, RouteName
from infra.gateway.serving_payloads import TargetBody

router = APIRouter(prefix="/routes", tags=["routes"], dependencies=[Depends(require_token)])


@router.get("")
def list_routes(parts: PartsDependency) -> list[RouteBody]:
    """Return where the requests of every model go."""
    return [
        RouteBody(model=each.model, version=each.version, url=each.url, program=each.program)
        for each in parts.table.all()
    ]


@router.put("/{model}", status_code=204, response_class=Response)
def switch(model: RouteName, body: RouteBody, parts: PartsDependency) -> None:
    """Send the model's requests to another server from now on."""
    parts.table.switch(Route(model, body.version, body.url, body.program))


@router.put("/{model}/{role}", status_code=204, response_class=Response)
def put_target(model: RouteName, role: Role, body: TargetBody, parts: PartsDependency) -> None:
    """Put a server in a role beside the live one."""
    parts.table.find(model)  # a shadow needs something to follow
    target = Target(model, role, body.version, body.url, body.program, body.weight)
    parts.table.put_target(target)


@router.delete("/{model}", status_code=204, response_class=Response)
def remove(model: RouteName, parts: PartsDependency) -> None:
    """Stop serving the model."""
    parts.table.remove(model)
