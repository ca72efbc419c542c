"""Files in object stores: S3's, and the platform's own where uploads land."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from urllib.parse import unquote

from infra.errors import ArtifactNotFoundError, SourceError
from infra.settings import S3Storage
from infra.sources import safe_name
from infra.storage import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings
    from infra.storage.protocol import ArtifactStore


def fetch_object(source: str, folder: Path, settings: Settings) -> Path:
    """Copy `s3://bucket/key` or `upload://id/name` into `folder`.

    S3 is asked with the endpoint and keys of the platform's own store, if that is S3, else
    with AWS's.

    Raises
    ------
    SourceError
        If there is no such object.
    ServiceUnavailableError
        If the store does not answer.
    """
    scheme, _, rest = source.partition("://")
    where, _, key = rest.partition("/")
    target = folder / safe_name(unquote(key))
    if scheme == "upload":
        store, key = open_store(settings.storage), f"uploads/{where}"
    elif scheme == "s3" and where and key:
        own = settings.storage if isinstance(settings.storage, S3Storage) else None
        here = {"bucket": where, "prefix": "", "create": False}
        wanted = own.model_copy(update=here) if own else S3Storage(bucket=where, create=False)
        store = _opened(wanted, source)
    else:
        raise SourceError(source, "write s3://bucket/key")
    try:
        with store.opened(key) as path:
            shutil.copyfile(path, target)
    except ArtifactNotFoundError as error:
        raise SourceError(source, "there is no such object") from error
    return target


def _opened(storage: S3Storage, source: str) -> ArtifactStore:
    try:
        return open_store(storage)
    except (ValueError, ArtifactNotFoundError) as error:  # the client's, about names and keys
        raise SourceError(source, str(error)) from error
