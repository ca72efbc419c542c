"""The embedded stack: which programs it has, and how it is started, watched and stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil

from infra.database.engine import open_database
from infra.database.routes import Routes
from infra.errors import ServiceUnavailableError, StackError
from infra.launcher import MARK
from infra.local import postgres
from infra.local.layout import Layout
from infra.local.secrets import ensure_secrets
from infra.ports import holder, is_free
from infra.processes import Records, marked, stop_tree
from infra.provenance import ROOT
from infra.settings import INSECURE, DatabaseSettings
from infra.supervision import Program, ProgramState, Supervisor, configuration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import SecretStr

    from infra.settings import Settings

STACK = "MILLRACE_STACK_OF"
"""Variable with the home of the stack a process belongs to, flow runs included: what still
carries it after a stop is left over."""

WORKER = "worker"
SENTINEL = "sentinel"
SUPERVISOR = "supervisord"
_GPU = Path("/dev/nvidia0")
_START_SECONDS = 120.0
_STOP_SECONDS = 40.0
_POLL_SECONDS = 0.2
_SWEEPS = 5
"""A process that was just being started may appear between two looks; five see it."""


class Stack:
    """One embedded stack, found by its home folder."""

    def __init__(self, settings: Settings) -> None:
        self.layout = Layout(settings)
        self.supervisor = Supervisor(self.layout.supervisor_socket)

    @property
    def health_checks(self) -> dict[str, str]:
        """Address of each server that tells whether it is ready."""
        return {
            "prefect": f"{self.layout.prefect_url}/health",
            "mlflow": f"{self.layout.mlflow_url}/health",
            "gateway": f"{self.layout.gateway_url}/health/live",
        }

    def start(self, tell: Callable[[str], None]) -> None:
        """Start what does not run and wait until all of it answers.

        What a killed stack left is ended first. Starting a running stack changes nothing.

        Raises
        ------
        StackError
            If a port is taken, or a program does not come up in time.
        """
        if not self.supervisor.is_running():
            self.clean()
            self._check_ports()
            self._write()
            if self.layout.runs_postgres:
                postgres.initialise(self.layout)
            else:
                postgres.ensure_databases(self.layout)
            self.spawn()
        for name, url in self.health_checks.items():
            self._await(name, url, tell)

    def spawn(self) -> None:
        """Start the supervisor, which starts the programs."""
        with (self.layout.logs / "supervisord.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own command
                [
                    sys.executable,
                    "-m",
                    "supervisor.supervisord",
                    "--nodaemon",
                    "-c",
                    str(self.layout.configuration),
                ],
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        Records(self.layout.records).add(SUPERVISOR, process.pid)

    def start_workers(self) -> None:
        """Start the workers, once their pools are there."""
        for state in self.supervisor.states():
            if state.name.startswith(WORKER):
                self.supervisor.start(state.name)

    def stop(self) -> None:
        """Stop every program and leave no process, socket or record."""
        records = Records(self.layout.records)
        daemon = records.get(SUPERVISOR)
        process = daemon.process() if daemon else None
        if process is not None and self.supervisor.is_running():
            self.supervisor.stop(SENTINEL)  # or it would bring the supervisor back
            self.supervisor.shutdown()
            psutil.wait_procs([process], timeout=_STOP_SECONDS)
        self.clean()

    def clean(self) -> None:
        """End every process that carries this stack's mark, and forget sockets and records."""
        mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        for _ in range(_SWEEPS):
            leftovers = [each for each in self._processes() if each.pid not in mine]
            for process in leftovers:
                stop_tree(process, grace_seconds=3.0)
            if not leftovers:
                break
        for folder in (self.layout.records, self.layout.settings.serving.home / "processes"):
            for record in folder.glob("*.json"):
                record.unlink(missing_ok=True)
        shutil.rmtree(self.layout.runtime, ignore_errors=True)

    def states(self) -> list[ProgramState]:
        """Return the state of every program; none if the stack does not run."""
        try:
            return self.supervisor.states()
        except ServiceUnavailableError:
            return []

    def model_url(self, model: str) -> str:
        """Return the address of the server that answers for `model`, its Swagger page."""
        database = DatabaseSettings(url=self._database_url())
        route = Routes(open_database(database)).get(model)
        return f"{route.url}/docs" if route is not None else "not served"

    def environment(self) -> dict[str, str]:
        """Return the environment of the stack's processes: where everything is, and the secrets."""
        layout, settings = self.layout, self.layout.settings
        made = ensure_secrets(layout.secrets)
        stack = {
            STACK: str(layout.home),
            "MILLRACE_STACK__HOME": str(layout.home),
            "MILLRACE_DATABASE__URL": self._database_url(),
            "MILLRACE_TRACKING__URL": layout.mlflow_url,
            "MILLRACE_ORCHESTRATOR__URL": layout.prefect_url,
            "MILLRACE_GATEWAY__URL": layout.gateway_url,
            "MILLRACE_GATEWAY__TOKEN": _chosen(settings.gateway.token, made.gateway_token),
            "MILLRACE_GATEWAY__WEBHOOK_SECRET": _chosen(
                settings.gateway.webhook_secret, made.webhook_secret
            ),
            "MILLRACE_SERVING__HOME": str(settings.serving.home),
            "MILLRACE_SOURCES__STAGING": str(layout.staging),
            "MILLRACE_SEARCH__STORAGE": settings.search.storage
            or postgres.database_url(layout, "optuna", "psycopg2"),
            "MILLRACE_SERVING__SUPERVISOR": str(layout.supervisor_socket),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(layout.temporary),  # Prefect's runner shares a folder there by name
            "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1,localhost"))),
            "PYTHONUNBUFFERED": "1",
        }
        if settings.storage.kind == "local":
            stack["MILLRACE_STORAGE__KIND"] = "local"
            stack["MILLRACE_STORAGE__ROOT"] = str(settings.storage.root)
        return {**_inherited(), **stack, **self._prefect(), **self._mlflow(made.encryption_key)}

    def _processes(self) -> list[psutil.Process]:
        """Return every process of the stack; model servers carry only their program's mark."""
        homes = (f"{self.layout.records}:", f"{self.layout.settings.serving.home}/")
        return marked(STACK, str(self.layout.home).__eq__) + marked(
            MARK, lambda program: program.startswith(homes)
        )

    def _database_url(self) -> str:
        own = self.layout.settings.database.url
        if not own.startswith("sqlite"):
            return own
        return postgres.database_url(self.layout, "millrace", "psycopg2")

    def _prefect(self) -> Mapping[str, str]:
        home = self.layout.home / "prefect"
        return {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.layout.prefect_url,
            "PREFECT_API_DATABASE_CONNECTION_URL": postgres.database_url(
                self.layout, "prefect", "asyncpg"
            ),
            "PREFECT_UI_STATIC_DIRECTORY": str(home / "ui"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            # in memory they would die with the server, and their slots stay taken
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
                "prefect.server.concurrency.lease_storage.filesystem"
            ),
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        }

    def _mlflow(self, encryption_key: str) -> Mapping[str, str]:
        return {
            "MLFLOW_TRACKING_URI": self.layout.mlflow_url,
            "MLFLOW_BACKEND_STORE_URI": postgres.database_url(self.layout, "mlflow", "psycopg2"),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": encryption_key,
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            "MLFLOW_WEBHOOK_CACHE_TTL": "5",
            "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
            "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        }

    def _programs(self) -> list[Program]:
        layout, stack = self.layout, self.layout.settings.stack
        python = (sys.executable, "-m")
        local = ("--host", "127.0.0.1", "--port")
        artifacts = str(layout.settings.tracking.artifacts)
        mlflow = ("--workers", "1", "--serve-artifacts", "--artifacts-destination", artifacts)
        # what runs yields to what keeps the books, and that to what answers: neither a training
        # nor a release takes a core from predictions
        keeping, running = ("nice", "-n", "5", *python), ("nice", "-n", "10", *python)
        worker = (*running, "prefect", "worker", "start", "--type", "process", "--pool")
        commands = {
            "prefect": (*keeping, "prefect", "server", "start", *local, str(stack.prefect_port)),
            "mlflow": (*keeping, "mlflow", "server", *local, str(stack.mlflow_port), *mlflow),
            "gateway": (*python, "infra.gateway"),
            WORKER: (*worker, "cpu", "--name", "worker-cpu", "--limit", str(stack.worker_limit)),
            f"{WORKER}-gpu": (*worker, "gpu", "--name", "worker-gpu", "--limit", "1"),
            SENTINEL: (*python, "infra.local.sentinel"),
        }
        absent = {
            "prefect": not layout.runs_prefect,
            "mlflow": not layout.runs_mlflow,
            f"{WORKER}-gpu": not _GPU.exists(),
        }
        programs = [
            Program(
                name,
                command,
                layout.logs / f"{name}.log",
                layout.records,
                autostart=not name.startswith(WORKER),  # its pool must be there first
                alone=not name.startswith(WORKER),  # runs outlive their worker and finish
            )
            for name, command in commands.items()
            if not absent.get(name)
        ]
        return [postgres.program(layout), *programs] if layout.runs_postgres else programs

    def _write(self) -> None:
        layout = self.layout
        if " " in f"{layout.home}{layout.settings.serving.home}":
            raise StackError(
                f"{layout.home} has a space in it, which supervisor does not read",
                "set MILLRACE_STACK__HOME and MILLRACE_SERVING__HOME to folders without",
            )
        for folder in (layout.home, layout.logs, layout.records, layout.runtime):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if layout.runtime.stat().st_uid != os.getuid():
            raise StackError(
                f"{layout.runtime} belongs to another user", "remove it or set MILLRACE_STACK__HOME"
            )
        layout.runtime.chmod(0o700)
        layout.temporary.mkdir(exist_ok=True)
        included = layout.settings.serving.home / "programs" / "*.conf"
        daemon = f"""[unix_http_server]
file = {layout.supervisor_socket}
chmod = 0700

[supervisord]
pidfile = {layout.runtime}/supervisord.pid
logfile = /dev/null
logfile_maxbytes = 0
minfds = 1024

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files = {included}

"""
        layout.configuration.write_text(daemon + configuration(self._programs()))

    def _check_ports(self) -> None:
        for name, port in self.layout.ports().items():
            if not is_free(port):
                raise StackError(
                    f"port {port}, which {name} needs, is held by {holder(port)}",
                    f"stop it, or choose another with MILLRACE_STACK__{name.upper()}_PORT",
                )

    def _await(self, name: str, url: str, tell: Callable[[str], None]) -> None:
        started = time.monotonic()
        while time.monotonic() - started < _START_SECONDS:
            if answers(url):
                tell(f"{name} is ready")
                return
            if name in {each.name for each in self.states() if each.state == "FATAL"}:
                break
            time.sleep(_POLL_SECONDS)
        raise StackError(
            f"{name} does not answer at {url}", f"read {self.layout.logs / f'{name}.log'}"
        )


def answers(url: str) -> bool:
    """Whether a health check says yes."""
    try:
        return httpx.get(url, timeout=2.0).is_success
    except httpx.TransportError:
        return False


def _chosen(given: SecretStr, made: str) -> str:
    """Return the secret the user has set, else the one made for the stack."""
    secret = given.get_secret_value()
    return made if secret == INSECURE else secret


def _inherited() -> dict[str, str]:
    """Return this process's environment as the stack's programs get it.

    Without the mark of a program, which the sentinel that spawns a supervisor carries; and
    bytecode may be cached: an environment that forbids it costs every start seconds.
    """
    dropped = {MARK, "PYTHONDONTWRITEBYTECODE"}
    return {key: value for key, value in os.environ.items() if key not in dropped}
