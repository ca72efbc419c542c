"""Model servers as programs of the stack's supervisor, which restarts those that die."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.processes import Records
from infra.serving.protocol import MODEL_PREFIX
from infra.supervision import Program, Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infra.serving.protocol import ModelServers


class SupervisedServers:
    """One program per server, its section in a file of its own under `home/programs`.

    The supervisor's configuration includes that folder, so servers come back with the stack.
    """

    def __init__(self, home: Path, socket: Path) -> None:
        self._home = home
        self._sections = home / "programs"
        self._supervisor = Supervisor(socket)

    def start(self, program: str, command: Sequence[str]) -> Path:
        """Add the program to the running supervisor, or start it where it is known already."""
        log = self._home / "logs" / f"{program}.log"
        for folder in (log.parent, self._sections):
            folder.mkdir(parents=True, exist_ok=True)
        entry = Program(program, tuple(command), log, self._home / "processes", bare=True)
        draft = self._sections / f".{program}"
        draft.write_text(entry.section())
        draft.replace(self._sections / f"{program}.conf")
        self._supervisor.add(program)
        self._supervisor.start(program)
        return log

    def is_running(self, program: str) -> bool:
        """Whether the supervisor has the program up or is bringing it up."""
        states = {each.name: each.state for each in self._supervisor.states()}
        return states.get(program) in {"RUNNING", "STARTING", "BACKOFF"}

    def stop(self, program: str) -> None:
        """Take the program out of the configuration, then stop and forget it."""
        (self._sections / f"{program}.conf").unlink(missing_ok=True)
        self._supervisor.stop(program)
        self._supervisor.remove(program)
        Records(self._home / "processes").remove(program)

    def programs(self) -> list[str]:
        """Return the model servers that have a section, or that the supervisor still knows.

        Who stops one may die before the supervisor has forgotten it.
        """
        sections = {path.stem for path in self._sections.glob("[!.]*.conf")}
        known = {each.name for each in self._supervisor.states()}
        return sorted(sections | {name for name in known if name.startswith(MODEL_PREFIX)})


if TYPE_CHECKING:

    def _conforms(servers: SupervisedServers) -> ModelServers:
        return servers
