"""Where the embedded stack keeps its files and listens."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Layout:
    """Folders, sockets and addresses of one stack, all derived from its settings."""

    settings: Settings

    @property
    def home(self) -> Path:
        """Everything the stack keeps."""
        return self.settings.stack.home

    @property
    def logs(self) -> Path:
        """One log file per program."""
        return self.home / "logs"

    @property
    def records(self) -> Path:
        """One record per started process."""
        return self.home / "processes"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data."""
        return self.home / "postgres"

    @property
    def configuration(self) -> Path:
        """Supervisor's configuration."""
        return self.home / "supervisord.conf"

    @property
    def secrets(self) -> Path:
        """Secrets made on first start."""
        return self.home / "secrets.json"

    @property
    def staging(self) -> Path:
        """Files on their way in: beside the stack's data, unless settings say where."""
        sources = self.settings.sources
        return sources.staging if "staging" in sources.model_fields_set else self.home / "staging"

    @property
    def runtime(self) -> Path:
        """Folder of sockets: short, since a Unix socket's path may have about 100 bytes."""
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:10]
        base = Path("/tmp")  # noqa: S108 - a private folder is made below it
        return base / f"millrace-{os.getuid()}-{digest}"

    @property
    def supervisor_socket(self) -> Path:
        """Supervisor's own."""
        return self.runtime / "supervisor.sock"

    @property
    def postgres_socket(self) -> Path:
        """Folder of PostgreSQL's socket."""
        return self.runtime / "postgres"

    @property
    def temporary(self) -> Path:
        """Temporary files of the stack's processes."""
        return self.runtime / "tmp"

    @property
    def prefect_url(self) -> str:
        """Prefect's API: the embedded server's, or the team's."""
        return self.settings.orchestrator.url or self._own_prefect

    @property
    def mlflow_url(self) -> str:
        """MLflow: the embedded server's, or the team's."""
        url = self.settings.tracking.url
        return url if url.startswith("http") else self._own_mlflow

    @property
    def _own_prefect(self) -> str:
        return f"http://127.0.0.1:{self.settings.stack.prefect_port}/api"

    @property
    def _own_mlflow(self) -> str:
        return f"http://127.0.0.1:{self.settings.stack.mlflow_port}"

    @property
    def gateway_url(self) -> str:
        """The gateway's base address."""
        return f"http://127.0.0.1:{self.settings.stack.gateway_port}"

    @property
    def runs_prefect(self) -> bool:
        """Whether the stack has to start Prefect."""
        return self.prefect_url == self._own_prefect  # a shell with `make env` names our own

    @property
    def runs_mlflow(self) -> bool:
        """Whether the stack has to start MLflow."""
        return self.mlflow_url == self._own_mlflow

    @property
    def runs_postgres(self) -> bool:
        """Whether the stack has to start PostgreSQL."""
        return self.settings.stack.postgres is None

    def ports(self) -> dict[str, int]:
        """Return the ports the stack listens on, by program."""
        stack = self.settings.stack
        wanted = {
            "prefect": (self.runs_prefect, stack.prefect_port),
            "mlflow": (self.runs_mlflow, stack.mlflow_port),
            "gateway": (True, stack.gateway_port),
        }
        return {name: port for name, (runs, port) in wanted.items() if runs}
