"""Start a program of the stack, or stand in for the one that still runs.

Supervisor starts every program through this module. Normally it records its own pid, ends
what an earlier incarnation left behind, and becomes the command. If supervisord itself was
killed, the programs it had started live on; the next supervisord must neither start a second
PostgreSQL on the same files nor stop model servers that answer. So where the recorded process
still runs, the launcher waits for it and passes SIGTERM on instead.
"""

from __future__ import annotations

import argparse
import os
import pwd
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infra.processes import Records, marked, stop_tree

if TYPE_CHECKING:
    from types import FrameType

    import psutil

MARK = "MILLRACE_PROGRAM"
"""Variable that names the program in its environment and in that of all its descendants."""

_PLATFORM_VARIABLES = ("MILLRACE_", "PREFECT_", "MLFLOW_", "AWS_")


def bare_environment() -> dict[str, str]:
    """Return the environment without the platform's settings and credentials."""
    return {
        key: value for key, value in os.environ.items() if not key.startswith(_PLATFORM_VARIABLES)
    }


def main(arguments: list[str]) -> None:
    """Run one program; this returns only if it was stood in for and has ended."""
    parser = argparse.ArgumentParser(prog="python -m infra.launcher", description=__doc__)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--bare", action="store_true", help="without the platform's settings")
    parser.add_argument("--alone", action="store_true", help="end an earlier one's descendants")
    parser.add_argument("--user", help="become this user; for root")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)

    records = Records(given.records)
    record = records.get(given.name)
    running = record.process() if record else None
    if running is not None and running.pid != os.getpid():
        _stand_in(running)
        return
    mark = f"{given.records}:{given.name}"
    if given.alone:
        for leftover in marked(MARK, mark.__eq__):
            stop_tree(leftover, grace_seconds=1.0)
    records.add(given.name, os.getpid())
    environment = bare_environment() if given.bare else dict(os.environ)
    if given.user:
        _become(given.user)
    # become the program: supervisor then watches it and not this module
    os.execvpe(given.command[0], given.command, environment | {MARK: mark})  # noqa: S606 - see above


def _stand_in(process: psutil.Process) -> None:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        try:
            os.killpg(process.pid, number)  # supervisor made each program lead its own group
        except ProcessLookupError:
            sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, pass_on)
    process.wait()


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    main(sys.argv[1:])
