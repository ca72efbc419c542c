"""Health and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from infra.gateway.dependencies import PartsDependency
from infra.gateway.payloads import Readiness

router = APIRouter(tags=["health"])


@router.get("/health/live", response_class=Response)
async def live() -> Response:
    """Answer 200 while the process runs."""
    return Response("live", media_type="text/plain")


@router.get("/health/ready", responses={503: {"model": Readiness}})
async def ready(parts: PartsDependency, response: Response) -> Readiness:
    """Answer 200 once the routes are loaded; Prefect may be down and traffic still flows."""
    readiness = Readiness(
        ready=parts.table.loaded,
        routes=len(parts.table.all()),
        prefect=await parts.orchestrator.is_ready(),
    )
    response.status_code = 200 if readiness.ready else 503
    return readiness


@router.get("/metrics", response_class=Response)
async def metrics(parts: PartsDependency) -> Response:
    """Return what was counted, for Prometheus."""
    parts.metrics.routes.set(len(parts.table.all()))
    return Response(generate_latest(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)
