"""What the gateway is sent and what it answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

RouteName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.]{1,201}$")]


class AliasData(BaseModel, frozen=True):
    """What MLflow says of an alias that was set; the version arrives as text."""

    name: str
    alias: str
    version: int


class Delivery(BaseModel, frozen=True):
    """One MLflow webhook delivery."""

    entity: str
    action: str
    timestamp: str
    data: dict[str, Any]


class Receipt(BaseModel, frozen=True):
    """What became of a delivery."""

    outcome: Literal["published", "duplicate", "ignored"]


class RouteBody(BaseModel, frozen=True):
    """Where a model's requests are to go; only servers of this machine are accepted."""

    model: RouteName
    version: int = Field(ge=1)
    url: Annotated[str, StringConstraints(pattern=r"^http://127\.0\.0\.1:[0-9]{4,5}$")]
    program: str


class Readiness(BaseModel, frozen=True):
    """Whether the gateway can serve, and what it thinks of its neighbours."""

    ready: bool
    routes: int
    prefect: bool


class PredictionRequest(BaseModel):
    """Named rows: one object per row, column names to values."""

    rows: list[dict[str, str | int | float | bool | None]] = Field(min_length=1)
