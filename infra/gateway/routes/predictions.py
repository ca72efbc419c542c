"""Predictions: a request goes to a server of its model, and its answer back as it is."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Header, Response

from infra.errors import DatasetNameError, PlatformError
from infra.gateway.dependencies import Body, Parts, PartsDependency
from infra.gateway.routing import PRODUCTION
from infra.gateway.serving_payloads import (
    EnvironmentRequest,
    FeaturesRequest,
    PredictionRequest,
)
from infra.refs import normalise_name
from infra.routing_errors import UnclearModelError

if TYPE_CHECKING:
    from infra.gateway.forwarding import Answer

router = APIRouter(tags=["predictions"])

_JSON = "application/json"


def _passed_headers(
    caller: Annotated[
        str,
        Header(
            alias="x-caller",
            max_length=200,
            description="Who asks; a canary keeps to its callers",
        ),
    ] = "",
    content_type: Annotated[str, Header(include_in_schema=False)] = _JSON,
    accept: Annotated[str, Header(include_in_schema=False)] = _JSON,
) -> dict[str, str]:
    return {"content-type": content_type, "accept": accept, "x-caller": caller}


Headers = Annotated[dict[str, str], Depends(_passed_headers)]


def _body_of(*models: Any) -> dict[str, Any]:
    schemas = [model.model_json_schema() for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {_JSON: {"schema": schema}}}}


@router.post("/predict/{model}", openapi_extra=_body_of(PredictionRequest))
async def predict(
    model: str,
    body: Body,
    parts: PartsDependency,
    headers: Headers,
    environment: str = PRODUCTION,
) -> Response:
    """Score rows with the released version of `model`.

    The server's answer is passed on as it is, a refusal of a row included. Where a canary is
    released, a share of the callers gets its answer; `environment` asks for `canary`, `staging`
    or another version that is released beside the live one.
    """
    return await _answer(parts, model, environment, body, headers)


@router.post("/predict", openapi_extra=_body_of(EnvironmentRequest, FeaturesRequest))
async def predict_somewhere(body: Body, parts: PartsDependency, headers: Headers) -> Response:
    """Score rows with the model that the body names as `dataset_name`, in its `environment`.

    A body of `features` or `rows` alone goes to the only model that is served, or to the one the
    settings name.
    """
    model, environment = _addressee(parts, body)
    return await _answer(parts, model, environment, body, headers)


def _addressee(parts: Parts, body: bytes) -> tuple[str, str]:
    """Return the model and the environment that a body means."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None  # the model server words what is wrong with it
    content = content if isinstance(content, dict) else {}
    name, environment = content.get("dataset_name"), content.get("environment", PRODUCTION)
    if isinstance(name, str) and isinstance(environment, str):
        try:
            return name if name in parts.table.models() else normalise_name(name), environment
        except DatasetNameError:
            return name[:200], environment  # which is served nowhere, and answered so
    known = parts.table.models()
    if parts.settings.default_model:
        return parts.settings.default_model, PRODUCTION
    if len(known) != 1:
        raise UnclearModelError(known)
    return known[0], PRODUCTION


async def _answer(
    parts: Parts, model: str, environment: str, body: bytes, headers: dict[str, str]
) -> Response:
    choice = parts.table.find(model).choose(headers["x-caller"], environment)
    started = time.perf_counter()
    version, status = choice.routes[0].version, 503
    try:
        answer = await parts.forwarder.ask(choice.routes, body, headers)
        version, status = answer.route.version, answer.status
    except PlatformError as error:
        status = int(error.status)
        raise
    finally:
        labels = (model, str(version))
        parts.metrics.requests.labels(*labels, str(status)).inc()
        parts.metrics.latency.labels(*labels).observe(time.perf_counter() - started)
    if choice.shadow is not None and status == 200:  # noqa: PLR2004 - what was answered
        parts.shadows.copy(answer, choice.shadow, body, headers)
    return _passed_on(answer)


def _passed_on(answer: Answer) -> Response:
    headers = {"x-model-version": str(answer.route.version)}
    return Response(answer.content, answer.status, headers, media_type=answer.media_type)
