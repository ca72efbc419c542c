"""What the platform asks of whatever runs model servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


MODEL_PREFIX = "model-"
"""What the name of every model server begins with, among the other programs of a machine."""


class ModelServers(Protocol):
    """Named model servers; each is one process tree that answers on one address."""

    def start(self, program: str, command: Sequence[str]) -> Path:
        """Start a server, keep it running if it dies, and return its log file."""

    def is_running(self, program: str) -> bool:
        """Whether the server's process runs (it may not be ready yet)."""

    def stop(self, program: str) -> None:
        """Stop a server for good; one that is gone is stopped already."""

    def programs(self) -> list[str]:
        """Return the names of all servers, running or not."""
