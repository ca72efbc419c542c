"""Where artifacts are kept: the one place that chooses between the adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.storage.local import LocalStore

if TYPE_CHECKING:
    from infra.settings import LocalStorage, S3Storage
    from infra.storage.protocol import ArtifactStore


def open_store(settings: LocalStorage | S3Storage) -> ArtifactStore:
    """Open the store the settings name."""
    if settings.kind == "local":
        return LocalStore(settings.root)
    from infra.storage.s3 import S3Store  # noqa: PLC0415 - the client only where S3 is used

    return S3Store(settings)
