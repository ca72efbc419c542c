"""What the gateway is sent and what it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from infra.database.catalogue import DatasetVersion
from infra.refs import DEFAULT_PROJECT, DatasetRef, Name, Seed

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


class DatasetBody(BaseModel, frozen=True):
    """A dataset version as the catalogue has it; `schema` is named so in JSON."""

    dataset_id: str
    project: str
    name: str
    version: int
    state: Literal["ingested", "validated", "rejected"]
    reasons: list[str]
    sha256: str
    rows: int | None
    columns: list[dict[str, Any]] = Field(serialization_alias="schema")
    source: str
    file: str | None
    owner: str
    description: str
    tags: dict[str, str]
    notes: list[str]
    parents: list[str]
    recipe: dict[str, Any]
    statistics: dict[str, Any] | None
    findings: dict[str, Any] | None
    created_at: datetime

    @classmethod
    def of(cls, version: DatasetVersion) -> DatasetBody:
        """Word a row of the catalogue."""
        entry, ref = version.entry, version.ref
        return cls(
            dataset_id=f"{ref.project}.{ref.name}",
            project=ref.project,
            name=ref.name,
            version=ref.version,
            state=version.state,
            reasons=list(version.reasons),
            sha256=entry.source_digest,
            rows=entry.rows,
            columns=entry.schema.get("columns", []),
            source=entry.source,
            file=entry.file,
            owner=entry.owner,
            description=entry.description,
            tags=entry.tags,
            notes=list(entry.notes),
            parents=[str(each) for each in entry.parents],
            recipe=entry.recipe,
            statistics=version.statistics,
            findings=version.findings,
            created_at=version.created_at,
        )


class LineageBody(BaseModel, frozen=True):
    """What a version was made from and what was made from it, nearest first."""

    ancestors: list[str]
    descendants: list[str]


class OrderBody(BaseModel, frozen=True, extra="forbid"):
    """A training: a dataset version, the newest valid one by default, and what to learn of it.

    `request` is that of the flow `train_model`; its form in Prefect names every field.
    """

    project: Name = DEFAULT_PROJECT
    dataset: Name
    version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    request: dict[str, Any] = Field(examples=[{"target": "income", "budget_seconds": 60}])


class EstimatorBody(BaseModel, frozen=True, extra="forbid"):
    """An estimator by its import path; a module without its package is scikit-learn's."""

    module: str = Field(max_length=100, examples=["ensemble"])
    class_name: str = Field(alias="class", max_length=100, examples=["RandomForestClassifier"])
    params: dict[str, str | int | float | bool | None] = Field(
        default={}, examples=[{"n_estimators": 100}]
    )


class TrainBody(BaseModel, frozen=True, extra="forbid"):
    """One estimator on the newest version of a dataset, or on an example of that name."""

    dataset_name: str = Field(max_length=200, examples=["my_dataset"])
    use_example: bool = False
    model: EstimatorBody
    target_column: str = Field(max_length=1_000, examples=["target"])
    test_size: float = Field(default=0.2, ge=0.05, le=0.5)
    random_state: Seed = 0


class ExtensionBody(BaseModel, frozen=True, extra="forbid"):
    """How much longer to search."""

    budget_seconds: float = Field(ge=1, le=86_400)


class LearnersBody(BaseModel, frozen=True):
    """What a training may name."""

    models: list[str]
    metrics: list[str]


class TrainingBody(BaseModel, frozen=True):
    """A training: `run` is Prefect's, `mlflow_run` MLflow's; `model` once it is registered."""

    run: UUID
    state: str
    detail: str
    dataset: DatasetRef
    mlflow_run: str | None = None
    model: str | None = None
    version: int | None = None
    metrics: dict[str, float] = {}


class LeaderboardBody(BaseModel, frozen=True):
    """Candidates, best first; until `final` those that were tried so far, with fewer figures."""

    run: UUID
    final: bool
    metric: str
    lines: list[dict[str, Any]]


class PendingBody(BaseModel, frozen=True):
    """A run that has not ended yet."""

    flow_run: str
    detail: str
