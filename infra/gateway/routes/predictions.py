"""Predictions: a request goes to the server that is live for its model."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
from fastapi import APIRouter, Response

from infra.errors import ModelServerError
from infra.gateway.dependencies import Body, Parts, PartsDependency
from infra.gateway.payloads import PredictionRequest

if TYPE_CHECKING:
    from infra.database.routes import Route

router = APIRouter(tags=["predictions"])


@router.post(
    "/predict/{model}",
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"schema": PredictionRequest.model_json_schema()}}
        }
    },
)
async def predict(model: str, body: Body, parts: PartsDependency) -> Response:
    """Score rows with the released version of `model`.

    The server's answer is passed on as it is, a refusal of a row included.
    """
    route = parts.table.find(model)
    started = time.perf_counter()
    status = 503
    try:
        answer = await _forward(parts, route, body)
        status = answer.status_code
    finally:
        labels = (model, str(route.version))
        parts.metrics.requests.labels(*labels, str(status)).inc()
        parts.metrics.latency.labels(*labels).observe(time.perf_counter() - started)
    return Response(answer.content, answer.status_code, media_type="application/json")


async def _forward(parts: Parts, route: Route, body: bytes) -> httpx.Response:
    headers = {"content-type": "application/json"}
    try:
        return await parts.client.post(f"{route.url}/predict", content=body, headers=headers)
    except httpx.TransportError as error:
        reason = str(error) or type(error).__name__
        raise ModelServerError(
            route.program, reason, "named after it under serving/logs"
        ) from error
