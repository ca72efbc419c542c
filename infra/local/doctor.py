"""What is wrong on this machine, each in one sentence with what to do.

That Python is too old is the Makefile's to say: this module could not be imported.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import psutil

from infra.local.stack import answers
from infra.ports import holder, is_free
from infra.processes import Records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.local.stack import Stack

_DISK_BYTES = 2 * 10**9
_MEMORY_BYTES = 3 * 10**9


def diagnose(stack: Stack) -> Iterator[str]:
    """Yield one sentence per fault; none means the stack runs or could be started."""
    yield from _room(stack)
    if stack.supervisor.is_running():
        yield from _programs(stack)
    else:
        yield from _leftovers(stack)
        yield from _ports(stack)


def _room(stack: Stack) -> Iterator[str]:
    folder = next(each for each in (stack.layout.home, *stack.layout.home.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    if free < _DISK_BYTES:
        yield (
            f"the disk of {folder} has {free / 1e9:.1f} GB left, 2 GB are needed; "
            "free some or set MILLRACE_STACK__HOME to another disk"
        )
    memory = psutil.virtual_memory().available
    if memory < _MEMORY_BYTES and not stack.supervisor.is_running():
        yield f"{memory / 1e9:.1f} GB of memory are available, 3 GB are needed; close programs"


def _programs(stack: Stack) -> Iterator[str]:
    for each in stack.states():
        if each.state not in {"RUNNING", "STARTING"}:
            yield (
                f"{each.name} is {each.state.lower()} ({each.description}); "
                f"read {stack.layout.logs / f'{each.name}.log'}, then `make down up`"
            )
    for name, url in stack.health_checks.items():
        if not answers(url):
            yield f"{name} does not answer at {url}; read {stack.layout.logs / f'{name}.log'}"


def _leftovers(stack: Stack) -> Iterator[str]:
    stale = [record.name for record in Records(stack.layout.records).alive()]
    if stale:
        yield (
            f"a crashed run left {', '.join(stale)} running without their supervisor; "
            "`make up` ends them and starts afresh, `make down` only ends them"
        )


def _ports(stack: Stack) -> Iterator[str]:
    ours = {record.pid for record in Records(stack.layout.records).alive()}
    for name, port in stack.layout.ports().items():
        if not is_free(port) and not ours:
            yield (
                f"port {port}, which {name} needs, is held by {holder(port)}; stop it or set "
                f"MILLRACE_STACK__{name.upper()}_PORT"
            )
