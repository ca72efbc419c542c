"""The journal: what models were asked and answered, and what came true."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import JsonValue, ValidationError

from infra.database.engine import open_database
from infra.database.predictions import Predictions, Window
from infra.gateway.dependencies import Body, PartsDependency, refuse_other_sites
from infra.gateway.journal_payloads import (
    LabelReceipt,
    LabelsBody,
    Moment,
    PredictionBody,
    PredictionSummaryBody,
    RowLabelBody,
    word,
)
from infra.predictions.archive import fetch, find
from infra.refs import ModelRef
from infra.storage import open_store

router = APIRouter(tags=["predictions"])


def _registered(model: str) -> str:
    """Let names of models pass, which are safe as folders, or raise `ModelNotFoundError`."""
    return ModelRef.from_registered(model, version=1).registered_name


def _open_predictions(parts: PartsDependency) -> Predictions:
    return Predictions(open_database(parts.platform.database))


Model = Annotated[str, Depends(_registered)]
Index = Annotated[Predictions, Depends(_open_predictions)]


@router.get("/predictions/{model}")
def list_predictions(
    *,
    model: Model,
    parts: PartsDependency,
    predictions: Index,
    since: Annotated[Moment | None, Query(description="ISO 8601; UTC without a zone")] = None,
    until: Annotated[Moment | None, Query(description="the first moment left out")] = None,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> list[PredictionSummaryBody]:
    """Return what a model was asked, newest first, from the moment it is answered."""
    window = Window(model, since, until, version)
    found = find(parts.platform.serving.home, predictions, window, limit=limit, offset=offset)
    return [PredictionSummaryBody.of(each) for each in found]


@router.get("/predictions/{model}/{prediction_id}", response_model=PredictionBody)
def show_prediction(
    model: Model, prediction_id: str, parts: PartsDependency, predictions: Index
) -> Response:
    """Return a request as it was sent, its answer, and what came true."""
    store = open_store(parts.platform.storage)
    found = fetch(parts.platform.serving.home, store, predictions, model, prediction_id)
    return Response(word(found), media_type="application/json")


def _labels_schema() -> dict[str, JsonValue]:
    """Describe the body of labels in one piece: the document has no place for its parts."""
    schema = LabelsBody.model_json_schema()
    schema["properties"]["labels"]["items"] = schema.pop("$defs")[RowLabelBody.__name__]
    return schema


@router.post(
    "/labels",
    dependencies=[Depends(refuse_other_sites)],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _labels_schema()}},
        }
    },
)
def add_labels(body: Body, predictions: Index) -> LabelReceipt:
    """Keep what came true; a label told again replaces the one before."""
    try:
        told = LabelsBody.model_validate_json(body)
    except ValidationError as error:  # without the input: a NaN in it could not be answered
        reasons = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError(reasons) from error
    return LabelReceipt(count=predictions.label(told.made()))
