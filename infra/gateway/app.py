"""The front door: predictions, webhooks and the switch, in one small process."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline

from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.database.routes import Routes
from infra.errors import PlatformError, ServiceUnavailableError
from infra.events import GATEWAY_RESOURCE, GATEWAY_STARTED
from infra.gateway.answers import worded
from infra.gateway.dependencies import Parts
from infra.gateway.experiments import Experiments
from infra.gateway.forwarding import Forwarder
from infra.gateway.lane import PredictionLane
from infra.gateway.limits import BodyLimit
from infra.gateway.metrics import GatewayMetrics
from infra.gateway.registry import Registry
from infra.gateway.routes import (
    batches,
    datasets,
    deployments,
    health,
    hooks,
    journal,
    predictions,
    routing,
    training,
)
from infra.gateway.routing import RoutingTable
from infra.gateway.shadows import Shadows
from infra.orchestrator import Orchestrator
from infra.storage import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from infra.settings import Settings

_LOGGER = logging.getLogger("millrace.gateway")
_ANNOUNCE_TRIES = 150


def create_app(settings: Settings) -> FastAPI:
    """Build the gateway; tests build their own with other settings."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        timeout = settings.gateway.predict_timeout_seconds
        async with httpx.AsyncClient(timeout=timeout, limits=limits) as client:
            table = RoutingTable(Routes(open_database(settings.database)))
            orchestrator = Orchestrator(settings.orchestrator)
            catalogue = Catalogue(open_database(settings.database))
            forwarder = Forwarder(settings.gateway.predict_timeout_seconds)
            shadows = Shadows(forwarder)
            app.state.parts = Parts(
                settings,
                table,
                orchestrator,
                GatewayMetrics(),
                client,
                catalogue,
                Experiments(settings.tracking, client),
                Registry(settings.tracking, client),
                forwarder,
                shadows,
            )
            background = [
                asyncio.create_task(_refresh(table, settings.gateway.refresh_seconds)),
                asyncio.create_task(_announce(orchestrator)),
                asyncio.create_task(_tidy(settings)),
            ]
            yield
            for each in background:
                each.cancel()
            for ended in await asyncio.gather(*background, return_exceptions=True):
                if isinstance(ended, Exception):  # its time is over: told, and no more
                    _LOGGER.error("a task beside the gateway failed", exc_info=ended)
            await shadows.close()
            await forwarder.close()

    app = FastAPIOffline(  # /docs from this machine: it works without the internet
        title="Millrace gateway",
        description="Data, trainings, predictions of released models, and what releases them.",
        lifespan=lifespan,
    )
    app.add_exception_handler(PlatformError, _answer)
    app.add_middleware(
        BodyLimit,
        limit_bytes=settings.gateway.body_limit_bytes,
        others={datasets.UPLOAD: settings.gateway.upload_limit_bytes},
    )
    app.add_middleware(PredictionLane, limit_bytes=settings.gateway.body_limit_bytes)
    for module in (
        predictions,
        batches,
        journal,
        deployments,
        datasets,
        training,
        hooks,
        routing,
        health,
    ):
        app.include_router(module.router)
    return app


async def _answer(_: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)  # noqa: S101 - narrows FastAPI's handler type
    status, content, headers = worded(error)
    return Response(content, status, headers)


async def _refresh(table: RoutingTable, seconds: float) -> None:
    """Read the routes again and again; while the database is away the last ones hold."""
    while True:
        try:
            await asyncio.to_thread(table.refresh)
        except ServiceUnavailableError as error:
            _LOGGER.warning("routes are kept as they were: %s", error)
        await asyncio.sleep(seconds)


async def _tidy(settings: Settings) -> None:
    """Forget old uploads, beside the start: predictions need no store."""
    try:
        store = await asyncio.to_thread(open_store, settings.storage)
        await asyncio.to_thread(datasets.forget_abandoned_uploads, store)
    except ServiceUnavailableError as error:
        _LOGGER.warning("abandoned uploads stay for now: %s", error)


async def _announce(orchestrator: Orchestrator) -> None:
    """Say that the gateway is back, so that missed webhooks are made up for at once."""
    for _ in range(_ANNOUNCE_TRIES):
        try:
            await orchestrator.emit(GATEWAY_STARTED, GATEWAY_RESOURCE)
        except ServiceUnavailableError:
            await asyncio.sleep(2.0)  # Prefect is starting too
        else:
            return
