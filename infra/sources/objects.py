"""Files in object stores: S3's, and the platform's own where uploads land."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from infra.errors import ArtifactNotFoundError, SourceError
from infra.settings import S3Storage
from infra.storage import open_store

if TYPE_CHECKING:
    from infra.settings import Settings


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
    parts = urlsplit(source)
    where, key = parts.netloc, parts.path.lstrip("/")
    target = folder / (Path(unquote(key)).name or "object")
    if parts.scheme == "upload":
        store, key = open_store(settings.storage), f"uploads/{where}"
    elif parts.scheme == "s3" and where and key:
        own = settings.storage if isinstance(settings.storage, S3Storage) else None
        wanted = own.model_copy(update={"bucket": where}) if own else S3Storage(bucket=where)
        store = open_store(wanted)
    else:
        raise SourceError(source, "write s3://bucket/key")
    try:
        with store.opened(key) as path:
            shutil.copyfile(path, target)
    except ArtifactNotFoundError as error:
        raise SourceError(source, "there is no such object") from error
    return target
