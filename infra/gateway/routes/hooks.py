"""Webhooks: what happens in the registry becomes an event the flows listen to."""

from __future__ import annotations

import time
from uuid import NAMESPACE_URL, uuid5

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from infra.errors import PlatformError
from infra.events import ALIAS_LABEL, ALIAS_SET, model_resource
from infra.gateway.dependencies import Body, Parts, PartsDependency
from infra.gateway.errors import SignatureError
from infra.gateway.payloads import AliasData, Delivery, Receipt
from infra.gateway.signatures import verify
from infra.refs import ModelRef

router = APIRouter(prefix="/hooks", tags=["hooks"])

ALIAS_CREATED = ("model_version_alias", "created")


@router.post("/mlflow")
async def receive_from_mlflow(request: Request, body: Body, parts: PartsDependency) -> Receipt:
    """Check a delivery's signature and age and publish what it says.

    A delivery that was published is not published again; one that Prefect did not take is
    answered 503, so that MLflow tries again.
    """
    try:
        delivery_id = verify(
            request.headers,
            body,
            secret=parts.settings.webhook_secret.get_secret_value(),
            now=time.time(),
            window_seconds=parts.settings.replay_window_seconds,
        )
    except SignatureError:
        parts.metrics.hooks.labels("refused").inc()
        raise
    receipt = await _publish(parts, delivery_id, body)
    parts.metrics.hooks.labels(receipt.outcome).inc()
    return receipt


async def _publish(parts: Parts, delivery_id: str, body: bytes) -> Receipt:
    if delivery_id in parts.delivered:
        return Receipt(outcome="duplicate")
    try:
        delivery = Delivery.model_validate_json(body)
        if (delivery.entity, delivery.action) != ALIAS_CREATED:
            return Receipt(outcome="ignored")
        alias = AliasData.model_validate(delivery.data)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error
    try:
        model = ModelRef.from_registered(alias.name, alias.version)
    except PlatformError:  # a model of somebody else's naming: not ours to release
        return Receipt(outcome="ignored")
    await parts.orchestrator.emit(
        ALIAS_SET,
        model_resource(alias.name),
        labels={ALIAS_LABEL: alias.alias},
        payload={"model": model.model_dump(), "alias": alias.alias},
        identity=uuid5(NAMESPACE_URL, f"{model}/{alias.alias}/{delivery.timestamp}"),
    )
    parts.remember(delivery_id)
    return Receipt(outcome="published")
