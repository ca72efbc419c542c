from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from infra.local import postgres
from infra.local.layout import Layout
from infra.local.secrets import ensure_secrets
from infra.local.stack import Stack
from infra.settings import (
    DatabaseSettings,
    OrchestratorSettings,
    Settings,
    StackSettings,
    TrackingSettings,
)

if TYPE_CHECKING:
    from pathlib import Path


def names(stack: Stack) -> set[str]:
    return {program.name for program in stack._programs()}


@pytest.fixture
def home(platform: Settings, tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_the_whole_stack_is_embedded_unless_told_otherwise(home: Path) -> None:
    settings = Settings(stack=StackSettings(home=home), tracking=TrackingSettings())

    stack = Stack(settings)

    assert {"postgres", "prefect", "mlflow", "gateway", "worker", "sentinel"} <= names(stack)
    assert stack.layout.ports() == {"prefect": 4200, "mlflow": 5000, "gateway": 8000}


def test_a_team_s_own_servers_replace_the_embedded_ones(home: Path) -> None:
    settings = Settings(
        stack=StackSettings(home=home, postgres="postgresql://me:pw@db.example:6543"),
        orchestrator=OrchestratorSettings(url="https://prefect.example/api"),
        tracking=TrackingSettings(url="https://mlflow.example"),
        database=DatabaseSettings(),
    )

    stack = Stack(settings)
    environment = stack.environment()

    assert names(stack).isdisjoint({"postgres", "prefect", "mlflow"})
    assert stack.layout.ports() == {"gateway": 8000}
    assert environment["PREFECT_API_URL"] == "https://prefect.example/api"
    assert environment["MLFLOW_TRACKING_URI"] == "https://mlflow.example"
    assert (
        environment["MILLRACE_DATABASE__URL"]
        == "postgresql+psycopg2://me:pw@db.example:6543/millrace"
    )


def test_a_server_on_a_socket_is_addressed_too(home: Path) -> None:
    settings = Settings(stack=StackSettings(home=home, postgres="postgresql://me@/?host=/run/pg"))

    url = postgres.database_url(Layout(settings), "prefect", "asyncpg")

    assert url == "postgresql+asyncpg://me@/prefect?host=/run/pg"


def test_secrets_are_made_once_and_only_the_owner_reads_them(home: Path) -> None:
    path = home / "secrets.json"

    made = ensure_secrets(path)

    assert ensure_secrets(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(set(json.loads(path.read_text()).values())) == 3


def test_secrets_are_in_no_configuration_file(home: Path) -> None:
    stack = Stack(Settings(stack=StackSettings(home=home)))
    environment = stack.environment()
    stack._write()

    configuration = stack.layout.configuration.read_text()
    stack.clean()

    assert environment["MILLRACE_GATEWAY__TOKEN"] not in configuration
    assert environment["MILLRACE_GATEWAY__WEBHOOK_SECRET"] not in configuration


def test_sockets_have_short_paths_and_a_private_folder(home: Path) -> None:
    deep = home / ("very" * 30)
    layout = Layout(Settings(stack=StackSettings(home=deep)))

    assert len(str(layout.postgres_socket / ".s.PGSQL.5432")) < 100
    assert layout.runtime != Layout(Settings(stack=StackSettings(home=home))).runtime
