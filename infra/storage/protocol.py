"""What the platform asks of an object store."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from infra.errors import UnsafeKeyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


class ArtifactStore(Protocol):
    """Bytes under keys. Keys are relative POSIX paths; a write replaces."""

    def read(self, key: str) -> bytes:
        """Return the bytes under `key`, or raise `ArtifactNotFoundError`."""

    def write(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`: afterwards readers see all of it or none."""

    def move_file(self, key: str, source: Path) -> None:
        """Keep the file `source` under `key`; it is gone from where it was."""

    def opened(self, key: str) -> AbstractContextManager[Path]:
        """Give a path from which the bytes under `key` can be read, not written, meanwhile.

        Raises `ArtifactNotFoundError` on entering.
        """

    def exists(self, key: str) -> bool:
        """Whether something is stored under `key`."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix`, in lexical order."""

    def remove(self, key: str) -> None:
        """Forget `key`, or raise `ArtifactNotFoundError`."""


def check_key(key: str) -> str:
    """Return `key`, or raise `UnsafeKeyError` where it could leave the store or alias another."""
    path = PurePosixPath(key)
    if not key or path.is_absolute() or ".." in path.parts or str(path) != key or key == ".":
        raise UnsafeKeyError(key)
    if "\\" in key or any(ord(character) < ord(" ") for character in key):
        raise UnsafeKeyError(key)
    return key
