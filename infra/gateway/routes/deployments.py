"""Deployments: what is served where, canaries and shadows, and the way back."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response

from infra.aliases import PRODUCTION
from infra.errors import ModelNotFoundError, ModelServerError, ServiceUnavailableError
from infra.gateway.dependencies import Parts, PartsDependency, require_token
from infra.gateway.payloads import RouteName
from infra.gateway.serving_payloads import (
    DeployBody,
    DeploymentBody,
    RollbackBody,
    RolledBackBody,
    ServerBody,
    ShadowBody,
    WeightBody,
)
from infra.routing_errors import NothingToRollBackError, TargetNotFoundError

router = APIRouter(prefix="/deploy", tags=["deployments"])
_LOGGER = logging.getLogger("millrace.gateway")
_OWN = [Depends(require_token)]

Actor = Annotated[str, Header(alias="x-actor", max_length=200, description="For the audit")]


@router.post("", status_code=202, dependencies=_OWN)
async def deploy(body: DeployBody, parts: PartsDependency) -> DeployBody:
    """Point an alias of the registry to a version, which releases it: the target names both.

    `production` becomes the live version, `canary` gets a share of its requests, `shadow` copies
    of them; `staging` and `dev` are served beside. Watch `GET /deploy/{model}`.
    """
    await parts.registry.set_alias(body.model, body.target, body.version)
    return body


@router.get("/{model}")
async def show(model: RouteName, parts: PartsDependency) -> DeploymentBody:
    """Return the servers of a model, and whether each is ready."""
    routing = parts.table.find(model)
    servers = [("live", each, 0.0) for each in routing.live]
    servers += [(role, each.route, each.weight) for role, each in routing.targets.items()]
    ready = await asyncio.gather(*(parts.forwarder.is_ready(route) for _, route, _ in servers))
    return DeploymentBody(
        model=model,
        version=routing.route.version,
        servers=[
            ServerBody(
                role=role, version=route.version, url=route.url, weight=weight, ready=answers
            )
            for (role, route, weight), answers in zip(servers, ready, strict=True)
        ],
    )


@router.post("/{model}/rollback", dependencies=_OWN)
async def roll_back(
    model: RouteName, parts: PartsDependency, body: RollbackBody | None = None, actor: Actor = ""
) -> RolledBackBody:
    """Bring back the version before the live one, at once.

    Its server is warm, so traffic moves with the next request; route, audit and the wish for the
    alias are one transaction. The alias follows: where the registry does not answer, it is set
    by reconciliation when it does.
    """
    standby = parts.table.find(model).targets.get("standby")
    if standby is None:
        raise NothingToRollBackError(model)
    if not await parts.forwarder.is_ready(standby.route):
        reason = "the version before does not answer, and traffic was left where it is"
        raise ModelServerError(standby.program, reason, "named after it under serving/logs")
    why = body.reason if body is not None else ""
    back = await asyncio.to_thread(
        parts.table.roll_back, model, PRODUCTION, actor=actor or "platform token", reason=why
    )
    settled = await _follow(parts, model, back.version)
    return RolledBackBody(model=model, version=back.version, alias_set=settled)


async def _follow(parts: Parts, model: str, version: int) -> bool:
    """Set the alias; a registry that is away is told by reconciliation."""
    try:
        await parts.registry.set_alias(model, PRODUCTION, version)
    except (ServiceUnavailableError, ModelNotFoundError) as error:
        _LOGGER.warning("%s is back at v%d, its alias is not yet: %s", model, version, error)
        return False
    await asyncio.to_thread(parts.table.settle, model, PRODUCTION)
    return True


@router.put("/{model}/canary", status_code=204, response_class=Response, dependencies=_OWN)
def weigh(model: RouteName, body: WeightBody, parts: PartsDependency) -> None:
    """Set the share of requests that go to the canary; half of them is an A/B test."""
    routing = parts.table.find(model)
    canary = routing.targets.get("canary")
    if canary is None:
        known = (PRODUCTION, *sorted(routing.targets))
        raise TargetNotFoundError(model, "canary", known)
    parts.table.put_target(replace(canary, weight=body.weight))


@router.delete("/{model}/{role}", status_code=204, response_class=Response, dependencies=_OWN)
def withdraw(model: RouteName, role: str, parts: PartsDependency) -> None:
    """Send no more requests to a server beside the live one; reconciliation stops it.

    Delete the alias of that name in the registry too, or the version is released there again.
    """
    routing = parts.table.find(model)
    target = routing.targets.get(role)
    if target is None:
        raise TargetNotFoundError(model, role, (PRODUCTION, *sorted(routing.targets)))
    parts.table.remove_target(model, target.role)


@router.get("/{model}/shadow")
async def compare(model: RouteName, parts: PartsDependency) -> ShadowBody:
    """Return how the shadow's answers compare with the live ones, since either last changed."""
    report = parts.shadows.report(model)
    if report is None:
        routing = parts.table.find(model)
        raise TargetNotFoundError(model, "shadow", (PRODUCTION, *sorted(routing.targets)))
    examples: list[dict[str, Any]] = list(report.examples)
    return ShadowBody(
        version=report.version,
        live_version=report.live_version,
        rows=report.rows,
        disagreements=report.disagreements,
        largest_difference=report.largest_difference,
        failed=report.failed,
        dropped=report.dropped,
        examples=examples,
    )
