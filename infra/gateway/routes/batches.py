"""Batches of predictions: messages are taken at once and answered by a flow."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from infra.gateway.dependencies import PartsDependency, refuse_other_sites
from infra.gateway.payloads import RouteName
from infra.gateway.serving_payloads import BatchBody, BatchId, ProgressBody, TakenBody
from infra.predictions.batches import Batches
from infra.storage import open_store

router = APIRouter(prefix="/predict/{model}/batch", tags=["predictions"])

DEPLOYMENT = "predict-batch/from-messages"


@router.post("", status_code=202, dependencies=[Depends(refuse_other_sites)])
async def take(model: RouteName, body: BatchBody, parts: PartsDependency) -> TakenBody:
    """Take messages, each a prediction request of many rows, and answer them later."""
    parts.table.find(model)

    def keep() -> str:
        return Batches(open_store(parts.platform.storage), model).take(body.messages)

    batch = await asyncio.to_thread(keep)
    run = await parts.orchestrator.start(DEPLOYMENT, {"model": model, "batch": batch})
    return TakenBody(batch=batch, run=run, messages=len(body.messages))


@router.get("/{batch}")
def show(model: RouteName, batch: BatchId, parts: PartsDependency) -> ProgressBody:
    """Return how many messages are answered."""
    progress = Batches(open_store(parts.platform.storage), model).progress(batch)
    return ProgressBody(messages=progress.messages, answered=progress.answered, done=progress.done)


@router.get("/{batch}/answers")
def answers(model: RouteName, batch: BatchId, parts: PartsDependency) -> StreamingResponse:
    """Return the answers so far, a JSON line per message: its place, status and body."""
    batches = Batches(open_store(parts.platform.storage), model)
    batches.progress(batch)  # or it would be found missing in the middle of the answer
    return StreamingResponse(batches.answers(batch), media_type="application/x-ndjson")
