"""The stack's commands: `python -m infra.local up | down | status | doctor | demo | env`."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from infra.errors import PlatformError
from infra.local.stack import STACK, Stack
from infra.settings import Settings

_CONSOLE = Console()


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "down", "status", "doctor", "env"):
        commands.add_parser(name)
    demo = commands.add_parser("demo")
    demo.add_argument("--data", type=Path)
    demo.add_argument("--target")
    demo.add_argument("--budget", type=float, default=30.0, help="search seconds")
    given = parser.parse_args(arguments)

    try:
        return _COMMANDS[given.command](Stack(Settings()), given)
    except (PlatformError, ValidationError) as error:
        Console(stderr=True).print(f"error: {error}", style="red", highlight=False, markup=False)
        return 1


def _up(stack: Stack, _given: argparse.Namespace) -> int:
    from infra.local.bootstrap import bootstrap  # noqa: PLC0415 - Prefect and MLflow, 3 seconds

    started = time.monotonic()

    def tell(what: str) -> None:
        _CONSOLE.print(f"  {time.monotonic() - started:5.1f} s  {what}", highlight=False)

    stack.start(tell)
    bootstrap(stack, tell)
    _CONSOLE.print(f"ready after {time.monotonic() - started:.1f} s", highlight=False)
    return 0


def _down(stack: Stack, _given: argparse.Namespace) -> int:
    stack.stop()
    _CONSOLE.print("stopped")
    return 0


def _status(stack: Stack, _given: argparse.Namespace) -> int:
    states = stack.states()
    if not states:
        _CONSOLE.print("the stack does not run; `make up` starts it")
        return 1
    table = Table("program", "state", "pid", "note", "address")
    for each in states:
        note = each.description.removeprefix(f"pid {each.pid}, ")
        address = stack.health_checks.get(each.name, "")
        table.add_row(each.name, each.state.lower(), str(each.pid or ""), note, address)
    _CONSOLE.print(table)
    return 0 if all(each.state == "RUNNING" for each in states) else 1


def _doctor(stack: Stack, _given: argparse.Namespace) -> int:
    from infra.local.doctor import diagnose  # noqa: PLC0415 - only here

    faults = list(diagnose(stack))
    for fault in faults:
        _CONSOLE.print(f"- {fault}", highlight=False, markup=False, soft_wrap=True)
    if not faults:
        running = stack.supervisor.is_running()
        _CONSOLE.print("all is well" if running else "nothing is in the way of `make up`")
    return 1 if faults else 0


def _env(stack: Stack, _given: argparse.Namespace) -> int:
    """Print what a shell needs to work with the running stack: `eval "$(make -s env)"`."""
    for key, value in stack.environment().items():
        wanted = key.startswith(("MILLRACE_", "PREFECT_API_URL", "MLFLOW_TRACKING_URI"))
        if wanted and key != STACK:  # the mark is for the stack's own processes
            sys.stdout.write(f"export {key}={shlex.quote(value)}\n")
    return 0


def _demo(stack: Stack, given: argparse.Namespace) -> int:
    from infra.local.demo import DATA, TARGET, run_demo  # noqa: PLC0415 - Prefect, 1 second

    if (given.data is None) != (given.target is None):
        sys.stderr.write("error: DATA and TARGET belong together: the file, and its column\n")
        return 1
    _up(stack, given)
    run_demo(
        stack,
        _CONSOLE,
        data=given.data or DATA,
        target=given.target or TARGET,
        budget=given.budget,
    )
    return 0


_COMMANDS = {
    "up": _up,
    "down": _down,
    "status": _status,
    "doctor": _doctor,
    "env": _env,
    "demo": _demo,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
