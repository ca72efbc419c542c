"""Supervisor: programs as configuration, and the running daemon over its socket."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport

from infra.errors import ServiceUnavailableError
from infra.provenance import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


_REMOVALS = 10
"""Tries to remove a program that its supervisor starts again and again."""


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised program: restarted whenever it ends, stopped with its whole group.

    `bare` programs get none of the platform's settings; those started `alone` first end what
    an earlier incarnation left; `user` runs it as another user, which only root can ask for.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    records: Path
    autostart: bool = True
    alone: bool = True
    bare: bool = False
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 10

    def section(self) -> str:
        """Return the section of supervisor's configuration."""
        launcher = [sys.executable, "-m", "infra.launcher", "--name", self.name]
        launcher += ["--records", str(self.records)]
        launcher += ["--bare"] if self.bare else []
        launcher += ["--alone"] if self.alone else []
        launcher += ["--user", self.user] if self.user else []
        command = shlex.join([*launcher, "--", *self.command])
        options = {
            "command": command.replace("%", "%%"),
            "directory": str(ROOT),
            "autostart": str(self.autostart).lower(),
            "autorestart": "true",
            "startsecs": "1",
            "startretries": "50",
            "stopsignal": self.stop_signal,
            "stopasgroup": str(self.stop_signal == "TERM").lower(),
            "killasgroup": "true",
            "stopwaitsecs": str(self.stop_seconds),
            "redirect_stderr": "true",
            "stdout_logfile": str(self.log).replace("%", "%%"),
            "stdout_logfile_maxbytes": "20MB",
            "stdout_logfile_backups": "2",
        }
        lines = [f"{key} = {value}" for key, value in options.items()]
        return "\n".join([f"[program:{self.name}]", *lines, ""])


@dataclass(frozen=True, slots=True)
class ProgramState:
    """What supervisor says of a program; `pid` is 0 where it does not run."""

    name: str
    state: str
    pid: int
    description: str


class Supervisor:
    """A running supervisord, over its Unix socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def is_running(self) -> bool:
        """Whether the daemon answers."""
        try:
            with self._connected() as rpc:
                return bool(rpc.getState()["statename"] == "RUNNING")
        except ServiceUnavailableError:
            return False

    def states(self) -> list[ProgramState]:
        """Return the state of every program."""
        with self._connected() as rpc:
            return [
                ProgramState(each["name"], each["statename"], each["pid"], each["description"])
                for each in rpc.getAllProcessInfo()
            ]

    def add(self, name: str) -> None:
        """Take in a program that was added to the configuration; its autostart decides."""
        with self._connected() as rpc:
            rpc.reloadConfig()
            with tolerate(Faults.ALREADY_ADDED):
                rpc.addProcessGroup(name)

    def start(self, name: str) -> None:
        """Start a program that is configured and not running."""
        with self._connected() as rpc, tolerate(Faults.ALREADY_STARTED):
            rpc.startProcess(name, False)  # noqa: FBT003 - do not wait, XML-RPC is positional

    def stop(self, name: str) -> None:
        """Stop a program and wait until it is gone."""
        with self._connected() as rpc, tolerate(Faults.NOT_RUNNING, Faults.BAD_NAME):
            rpc.stopProcess(name)

    def remove(self, name: str) -> None:
        """Forget a stopped program; take its section out of the configuration first.

        One that dies at once may be started again between the two: it is stopped once more.
        """
        for left in reversed(range(_REMOVALS)):
            with self._connected() as rpc, tolerate(Faults.BAD_NAME):
                try:
                    rpc.removeProcessGroup(name)
                except Fault as fault:
                    if fault.faultCode != Faults.STILL_RUNNING or not left:
                        raise
                    self.stop(name)
                else:
                    return

    def shutdown(self) -> None:
        """Ask the daemon to stop its programs and end."""
        with self._connected() as rpc, tolerate(Faults.SHUTDOWN_STATE):
            rpc.shutdown()

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Yield the daemon's interface over a connection of its own: a broken one stays broken."""
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            yield ServerProxy("http://supervisor", transport=transport).supervisor
        except (OSError, HTTPException) as error:
            raise ServiceUnavailableError(f"supervisor at {self._socket}", repr(error)) from error
        finally:
            transport.close()


@contextmanager
def tolerate(*codes: int) -> Iterator[None]:
    """Let pass the faults that say the wish is fulfilled already."""
    try:
        yield
    except Fault as fault:
        if fault.faultCode not in codes:
            raise


def configuration(programs: Sequence[Program]) -> str:
    """Return the sections of several programs."""
    return "\n".join(program.section() for program in programs)
