"""What the gateway is sent and answers about predictions and deployments."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from infra.aliases import PRODUCTION, Alias
from infra.gateway.payloads import RouteName


class PredictionRequest(BaseModel):
    """Named rows: one object per row, column names to values."""

    rows: list[dict[str, str | int | float | bool | None]] = Field(min_length=1)


class FeaturesRequest(BaseModel):
    """Values in the order of the model's columns: of one row, or of several."""

    features: list[Any] = Field(min_length=1, examples=[[1.0, 2.5, 0.3]])


class EnvironmentRequest(BaseModel):
    """Positional rows for the model of a dataset, in one of its environments."""

    dataset_name: str = Field(examples=["my_dataset"])
    environment: str = Field(default="production", examples=["staging"])
    input_data: FeaturesRequest | PredictionRequest


class TargetBody(BaseModel, frozen=True):
    """A server beside the live one; only servers of this machine are accepted."""

    version: int = Field(ge=1)
    url: str = Field(pattern=r"^http://127\.0\.0\.1:[0-9]{4,5}$")
    program: str
    weight: float = Field(default=0.0, ge=0, le=1)


class DeployBody(BaseModel, frozen=True, extra="forbid"):
    """Which version is to be served where."""

    model: RouteName
    version: int = Field(ge=1)
    target: Alias = PRODUCTION


class ServerBody(BaseModel, frozen=True):
    """A model server: what it is for, and whether it answers."""

    role: str
    version: int
    url: str
    weight: float
    ready: bool


class DeploymentBody(BaseModel, frozen=True):
    """What serves a model; `version` is the live one."""

    model: str
    version: int
    servers: list[ServerBody]


class RollbackBody(BaseModel, frozen=True, extra="forbid"):
    """Why a version is taken back, for the audit."""

    reason: str = Field(default="", max_length=1_000)


class RolledBackBody(BaseModel, frozen=True):
    """The version that is live now; `alias_set` says whether the registry knows already."""

    model: str
    version: int
    alias_set: bool


class WeightBody(BaseModel, frozen=True, extra="forbid"):
    """A share of requests."""

    weight: float = Field(ge=0, le=1)


class ShadowBody(BaseModel, frozen=True):
    """How a shadow compares with the live version."""

    version: int
    live_version: int
    rows: int
    disagreements: int
    largest_difference: float
    failed: int
    dropped: int
    examples: list[dict[str, Any]]


BatchId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class BatchBody(BaseModel, frozen=True, extra="forbid"):
    """Prediction requests, each as `POST /predict/{model}` takes them."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=10_000)


class TakenBody(BaseModel, frozen=True):
    """A batch that was taken; `run` is Prefect's."""

    batch: str
    run: UUID
    messages: int


class ProgressBody(BaseModel, frozen=True):
    """How far a batch is."""

    messages: int
    answered: int
    done: bool
