"""Predictions: a request goes to a server of its model, and its answer back as it is."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response

from infra.aliases import PRODUCTION
from infra.errors import DatasetNameError, PlatformError
from infra.gateway.dependencies import Body, Parts, PartsDependency
from infra.gateway.serving_payloads import (
    EnvironmentRequest,
    FeaturesRequest,
    PredictionRequest,
)
from infra.refs import normalise_name
from infra.routing_errors import UnclearModelError

router = APIRouter(tags=["predictions"])

JSON = "application/json"


def _passed_headers(
    caller: Annotated[
        str,
        Header(
            alias="x-caller",
            max_length=200,
            description="Who asks; a canary keeps to its callers",
        ),
    ] = "",
    content_type: Annotated[str, Header(include_in_schema=False)] = JSON,
    accept: Annotated[str, Header(include_in_schema=False)] = JSON,
) -> dict[str, str]:
    return {"content-type": content_type, "accept": accept, "x-caller": caller}


Headers = Annotated[dict[str, str], Depends(_passed_headers)]


def _body_of(*models: Any) -> dict[str, Any]:
    schemas = [model.model_json_schema() for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


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
    return _response(await answer(parts, model, environment, body, headers))


@router.post("/predict", openapi_extra=_body_of(EnvironmentRequest, FeaturesRequest))
async def predict_somewhere(body: Body, parts: PartsDependency, headers: Headers) -> Response:
    """Score rows with the model that the body names as `dataset_name`, in its `environment`.

    A body of `features` or `rows` alone goes to the only model that is served, or to the one the
    settings name.
    """
    model, environment = _addressee(parts, body)
    return _response(await answer(parts, model, environment, body, headers))


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


@dataclass(frozen=True, slots=True)
class Passed:
    """An answer as it goes to the client."""

    status: int
    content: bytes
    headers: dict[str, str]


async def answer(
    parts: Parts, model: str, environment: str, body: bytes, headers: dict[str, str]
) -> Passed:
    """Ask a server of the model and pass its answer on; count both and copy to a shadow.

    Raises
    ------
    PlatformError
        If the model is not served there, or no server of it answers.
    """
    choice = parts.table.find(model).choose(headers["x-caller"], environment)
    started = time.perf_counter()
    version, status = choice.routes[0].version, 503
    try:
        found = await parts.forwarder.ask(choice.routes, body, headers)
        version, status = found.route.version, found.status
    except PlatformError as error:
        status = int(error.status)
        raise
    finally:
        labels = (model, str(version))
        parts.metrics.requests.labels(*labels, str(status)).inc()
        parts.metrics.latency.labels(*labels).observe(time.perf_counter() - started)
    if choice.shadow is not None and status == 200:  # noqa: PLR2004 - what was answered
        parts.shadows.copy(found, choice.shadow, body, headers)
    given = {"content-type": found.media_type, "x-model-version": str(version)}
    return Passed(status, found.content, given)


def _response(passed: Passed) -> Response:
    return Response(passed.content, passed.status, passed.headers)
