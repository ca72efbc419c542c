"""Everything the platform reads from its environment, as one frozen tree.

`MILLRACE_STORAGE__KIND=s3` sets `settings.storage.kind`. Without any variable the platform
works alone in one process: SQLite files and a local store under `.millrace`. The embedded
stack sets the addresses of its servers for the processes it starts; a team that has its own
PostgreSQL, MLflow or Prefect sets theirs. `MILLRACE_CONFIG` names an INI file with values
that the environment does not set.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

import infra.telemetry  # noqa: F401 - switches it off before anything that reports is imported
from infra.ini import read_ini

AbsolutePath = Annotated[Path, AfterValidator(Path.absolute)]
Port = Annotated[int, Field(ge=1024, le=65535)]

INSECURE = "insecure"


class LocalStorage(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """Artifacts under a directory: development and tests."""

    kind: Literal["local"] = "local"
    root: AbsolutePath = Path(".millrace/store")


class S3Storage(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """Artifacts in a bucket of AWS, MinIO, Ceph or any other S3 endpoint."""

    kind: Literal["s3"] = "s3"
    bucket: str
    endpoint: str = Field(default="s3.amazonaws.com", description="host[:port], without scheme")
    secure: bool = Field(default=True, description="speak TLS")
    region: str | None = Field(default=None, description="else AWS_REGION")
    create: bool = Field(default=True, description="make the bucket if it is not there")
    prefix: str = Field(default="", description="folder in the bucket under which all keys lie")
    access_key: SecretStr | None = Field(
        default=None, description="else AWS_ACCESS_KEY_ID or MINIO_ACCESS_KEY"
    )
    secret_key: SecretStr | None = Field(
        default=None, description="else AWS_SECRET_ACCESS_KEY or MINIO_SECRET_KEY"
    )
    timeout_seconds: float = Field(default=10.0, gt=0, description="per request")


class SourceSettings(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """Where data may be fetched from."""

    databases: dict[str, SecretStr] = Field(
        default={}, description="SQLAlchemy URLs by the name under which `sql://name` finds them"
    )
    private_hosts: bool = Field(
        default=False, description="fetch from private and loopback addresses, and without TLS"
    )
    limit_bytes: int = Field(default=50 * 2**30, gt=0, description="of one fetched file")
    timeout_seconds: float = Field(default=30.0, gt=0, description="of silence")
    kaggle_url: str = Field(
        default="https://www.kaggle.com/api/v1", description="Kaggle's API or a mirror of it"
    )
    kaggle_username: str | None = Field(default=None, description="else KAGGLE_USERNAME")
    kaggle_key: SecretStr | None = Field(default=None, description="else KAGGLE_KEY")
    staging: AbsolutePath = Field(
        default=Path(".millrace/staging"), description="files on their way in"
    )


class PrivacySettings(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """Personal data."""

    key: SecretStr | None = Field(
        default=None, description="of hashes and tokens; another key, other hashes: never stored"
    )
    language_model: str | None = Field(
        default=None, description="spaCy model that finds names, for example en_core_web_sm"
    )


class DatabaseSettings(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """Catalogue, routes and ledger."""

    url: str = Field(default="sqlite:///.millrace/millrace.db", description="SQLAlchemy URL")


class TrackingSettings(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """MLflow: runs, versions, aliases."""

    url: str = Field(default="sqlite:///.millrace/mlflow.db", description="tracking and registry")
    artifacts: AbsolutePath = Field(
        default=Path(".millrace/mlartifacts"),
        description="run artifacts, where no MLflow server keeps them",
    )


class OrchestratorSettings(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """Prefect, as the gateway sees it."""

    url: str | None = Field(default=None, description="API URL; none: flows run in-process only")


class GatewaySettings(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """The front door."""

    url: str | None = Field(default=None, description="base URL; none: no gateway runs")
    token: SecretStr = Field(default=SecretStr(INSECURE), description="opens internal routes")
    webhook_secret: SecretStr = Field(
        default=SecretStr(INSECURE), description="signs MLflow's webhook deliveries"
    )
    replay_window_seconds: float = Field(default=300.0, gt=0, description="age of a delivery")
    body_limit_bytes: int = Field(default=16_000_000, gt=0)
    upload_limit_bytes: int = Field(default=10 * 2**30, gt=0)
    predict_timeout_seconds: float = Field(default=30.0, gt=0)
    default_model: str = Field(
        default="", description="answers predictions that name no model, where several are served"
    )
    refresh_seconds: float = Field(
        default=2.0, gt=0, description="routes are read again this often"
    )


class ServingSettings(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """Model servers."""

    home: AbsolutePath = Path(".millrace/serving")
    supervisor: AbsolutePath | None = Field(
        default=None, description="supervisor's socket; none: detached processes"
    )
    first_port: Port = 21000
    last_port: Port = 21999
    start_timeout_seconds: float = Field(default=60.0, gt=0, le=180)
    drain_seconds: float = Field(
        default=2.0, ge=0, description="servers that get no more requests stay this long"
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="of a model server, for requests of many rows; 0: every core it may use",
    )
    replicas: int = Field(default=1, ge=1, le=32, description="servers of a live version")
    canary_weight: float = Field(
        default=0.1, ge=0, le=1, description="share of requests a canary begins with"
    )


class SearchSettings(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """Searches for models."""

    storage: str | None = Field(
        default=None, description="SQLAlchemy URL of Optuna's studies; none: kept in memory"
    )
    threads: int = Field(
        default=0, ge=0, description="a training may use; 0: every core its process may"
    )


class StackSettings(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """The embedded stack on one machine."""

    home: AbsolutePath = Path(".millrace")
    postgres: str | None = Field(
        default=None,
        description="your server instead of the embedded one: postgresql://user:password@host:port",
    )
    prefect_port: Port = 4200
    mlflow_port: Port = 5000
    gateway_port: Port = 8000
    worker_limit: int = Field(
        default=4, ge=2, description="flow runs at the same time: a training and its release"
    )


class Settings(BaseSettings):
    """The root of the tree."""

    model_config = SettingsConfigDict(
        env_prefix="MILLRACE_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    environment: Literal["development", "production"] = "development"
    storage: Annotated[LocalStorage | S3Storage, Field(discriminator="kind")] = LocalStorage()
    sources: SourceSettings = SourceSettings()
    privacy: PrivacySettings = PrivacySettings()
    database: DatabaseSettings = DatabaseSettings()
    tracking: TrackingSettings = TrackingSettings()
    orchestrator: OrchestratorSettings = OrchestratorSettings()
    gateway: GatewaySettings = GatewaySettings()
    serving: ServingSettings = ServingSettings()
    search: SearchSettings = SearchSettings()
    stack: StackSettings = StackSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Believe arguments first, then the environment, then the file it names."""
        content = read_ini(os.environ.get("MILLRACE_CONFIG"))
        if "MILLRACE_STORAGE__KIND" in os.environ:  # another kind has other fields
            content.pop("storage", None)
        return init_settings, env_settings, InitSettingsSource(settings_cls, content)

    @model_validator(mode="after")
    def _refuse_default_secrets_in_production(self) -> Self:
        secrets = (self.gateway.token, self.gateway.webhook_secret)
        if self.environment == "production" and INSECURE in {s.get_secret_value() for s in secrets}:
            raise ValueError(
                "set MILLRACE_GATEWAY__TOKEN and MILLRACE_GATEWAY__WEBHOOK_SECRET: "
                "production does not run on the default secrets"
            )
        return self


@cache
def get_settings() -> Settings:
    """Read the environment once; tests call `get_settings.cache_clear()`."""
    return Settings()
