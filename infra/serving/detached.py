"""Model servers as plain processes, for flows run as scripts without the stack."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from infra.launcher import MARK, bare_environment
from infra.processes import Records, stop_tree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infra.serving.protocol import ModelServers

GRACE_SECONDS = 5.0


class DetachedServers:
    """Processes that go on after the script ends; nobody restarts them. `make down` stops them."""

    def __init__(self, home: Path) -> None:
        self._logs = home / "logs"
        self._folder = home / "processes"
        self._records = Records(self._folder)

    def start(self, program: str, command: Sequence[str]) -> Path:
        """Start the process in a session of its own."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{program}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=bare_environment() | {MARK: f"{self._folder}:{program}"},
            )
        self._records.add(program, process.pid)
        return log

    def is_running(self, program: str) -> bool:
        """Whether the recorded process runs."""
        record = self._records.get(program)
        return record is not None and record.process() is not None

    def stop(self, program: str) -> None:
        """Stop the recorded process and forget it."""
        record = self._records.get(program)
        process = record.process() if record else None
        if process is not None:
            stop_tree(process, grace_seconds=GRACE_SECONDS)
        self._records.remove(program)

    def programs(self) -> list[str]:
        """Return the recorded programs that run."""
        return [record.name for record in self._records.alive()]


if TYPE_CHECKING:

    def _conforms(servers: DetachedServers) -> ModelServers:
        return servers
