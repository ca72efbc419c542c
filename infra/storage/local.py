"""Artifacts as files under a directory."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from infra.errors import ArtifactNotFoundError, UnsafeKeyError
from infra.storage.protocol import check_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.storage.protocol import ArtifactStore

_DRAFT = ".draft-"


class LocalStore:
    """Artifacts as files under `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def read(self, key: str) -> bytes:
        """Return the bytes of the file at `key`."""
        with self._missing(key):
            return self._path(key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        """Write beside the target, then rename: a reader never sees half a file."""
        with self._draft(key) as draft:
            draft.write_bytes(content)

    def move_file(self, key: str, source: Path) -> None:
        """Rename the file where it lies on the same disk, else copy it."""
        with self._draft(key) as draft:
            shutil.move(source, draft)

    @contextmanager
    def opened(self, key: str) -> Iterator[Path]:
        """Give the file itself."""
        path = self._path(key)
        if not path.is_file():
            raise ArtifactNotFoundError(key, str(self._root))
        yield path

    def exists(self, key: str) -> bool:
        """Whether there is a file at `key`."""
        return self._path(key).is_file()

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the paths of all finished files that start with `prefix`."""
        within = self._root / prefix.rpartition("/")[0]  # not all the store for a folder of it
        files = (path for path in within.rglob("*") if path.is_file())
        keys = (path.relative_to(self._root).as_posix() for path in files)
        yield from sorted(key for key in keys if key.startswith(prefix) and _DRAFT not in key)

    def remove(self, key: str) -> None:
        """Delete the file at `key`."""
        with self._missing(key):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        path = (self._root / check_key(key)).resolve()
        if not path.is_relative_to(self._root):  # a symbolic link below the root
            raise UnsafeKeyError(key)
        return path

    @contextmanager
    def _missing(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise ArtifactNotFoundError(key, str(self._root)) from error

    @contextmanager
    def _draft(self, key: str) -> Iterator[Path]:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{_DRAFT}{uuid4().hex}")
        try:
            yield draft
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


if TYPE_CHECKING:

    def _conforms(store: LocalStore) -> ArtifactStore:
        return store
