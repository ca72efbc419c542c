"""When a task is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.errors import TransientError

if TYPE_CHECKING:
    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun


def if_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry what time may cure: a silent neighbour, never bad data."""
    return isinstance(state.result(raise_on_failure=False), TransientError)
