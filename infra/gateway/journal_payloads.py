"""What the journal of predictions is sent and what it answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, FiniteFloat, JsonValue, StringConstraints

from bento.segment import IDENTITY
from infra.database.predictions import Label
from infra.predictions.archive import FoundPrediction, WholePrediction


def _in_utc(moment: datetime) -> datetime:
    """Return the moment in UTC, which is meant where no zone is named."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from None


Moment = Annotated[datetime, AfterValidator(_in_utc)]
PredictionId = Annotated[str, StringConstraints(pattern=rf"^{IDENTITY}$")]
LabelValue = bool | int | FiniteFloat | Annotated[str, StringConstraints(max_length=10_000)] | None


class RowLabelBody(BaseModel, frozen=True, extra="forbid"):
    """What came true for one row of a request, counted from 0; the last one told holds."""

    prediction_id: PredictionId
    row: int = Field(default=0, ge=0, le=2**31 - 1)
    label: LabelValue = Field(examples=[">50K"])


class LabelsBody(BaseModel, frozen=True, extra="forbid"):
    """Labels, also of predictions that are not archived yet."""

    labels: list[RowLabelBody] = Field(min_length=1, max_length=10_000)

    def made(self) -> list[Label]:
        """Return the labels as they are kept."""
        now = datetime.now(UTC)
        return [
            Label(each.prediction_id, each.row, json.dumps(each.label), now) for each in self.labels
        ]


class LabelReceipt(BaseModel, frozen=True):
    """For how many rows a label was kept."""

    count: int


class LabelBody(BaseModel, frozen=True):
    """What came true for a row, and when that was told."""

    row: int
    label: LabelValue
    labelled_at: datetime

    @classmethod
    def of(cls, label: Label) -> LabelBody:
        """Word a label."""
        return cls(row=label.row, label=json.loads(label.label), labelled_at=label.labelled_at)


class PredictionSummaryBody(BaseModel, frozen=True):
    """One request to a model; `latency` is in seconds."""

    id: str
    time: datetime
    model: str
    version: int
    caller: str
    latency: float
    rows: int
    labels: list[LabelBody]

    @classmethod
    def of(cls, found: FoundPrediction) -> PredictionSummaryBody:
        """Word a prediction without what was asked and answered."""
        entry = found.entry
        return cls(
            id=entry.id,
            time=entry.time,
            model=entry.model,
            version=entry.version,
            caller=entry.caller,
            latency=entry.latency_seconds,
            rows=entry.rows,
            labels=[LabelBody.of(each) for each in found.labels],
        )


class PredictionBody(PredictionSummaryBody, frozen=True):
    """One request to a model as it was sent, and its answer."""

    request: JsonValue
    response: JsonValue


def word(found: WholePrediction) -> str:
    """Return the JSON of a `PredictionBody`, in it request and response digit for digit.

    Reading and writing them again would round numbers and limit their depth.
    """
    summary = PredictionSummaryBody.of(found).model_dump_json()
    return f'{summary.removesuffix("}")},"request":{found.request},"response":{found.response}}}'
