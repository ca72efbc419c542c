"""Artifacts as objects in a bucket, through the `minio` client against any S3 endpoint."""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3
from minio import Minio
from minio.credentials.providers import (
    AWSConfigProvider,
    ChainedProvider,
    EnvAWSProvider,
    EnvMinioProvider,
    StaticProvider,
)
from minio.error import InvalidResponseError, S3Error, ServerError

from infra.errors import ArtifactNotFoundError, ServiceUnavailableError
from infra.storage.protocol import check_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minio.credentials.providers import Provider

    from infra.settings import S3Storage
    from infra.storage.protocol import ArtifactStore

_MISSING = {"NoSuchKey", "NoSuchObject"}


class S3Store:
    """Artifacts as objects in one bucket, made on first use if it is not there."""

    def __init__(self, settings: S3Storage) -> None:
        self._bucket = settings.bucket
        self._prefix = f"{settings.prefix.strip('/')}/" if settings.prefix.strip("/") else ""
        self._name = f"s3://{settings.bucket} at {settings.endpoint}"
        self._client = Minio(
            settings.endpoint,
            secure=settings.secure,
            region=settings.region or os.environ.get("AWS_REGION"),
            credentials=_credentials(settings),
            http_client=urllib3.PoolManager(
                timeout=urllib3.Timeout(settings.timeout_seconds),
                retries=urllib3.Retry(total=2, backoff_factor=0.2),
            ),
        )
        with self._errors(""):
            if not self._client.bucket_exists(self._bucket):
                if not settings.create:
                    raise ArtifactNotFoundError(settings.bucket, settings.endpoint)
                self._make_bucket()

    def read(self, key: str) -> bytes:
        """Download the object at `key`."""
        with self._errors(check_key(key)):
            response = self._client.get_object(self._bucket, self._prefix + key)
            try:
                return bytes(response.read())
            finally:
                response.close()
                response.release_conn()

    def write(self, key: str, content: bytes) -> None:
        """Upload `content`; S3 shows an object only when it is whole."""
        with self._errors(check_key(key)):
            self._client.put_object(
                self._bucket, self._prefix + key, io.BytesIO(content), len(content)
            )

    def move_file(self, key: str, source: Path) -> None:
        """Upload the file in parts and delete it here."""
        with self._errors(check_key(key)):
            self._client.fput_object(self._bucket, self._prefix + key, str(source))
        source.unlink()

    @contextmanager
    def opened(self, key: str) -> Iterator[Path]:
        """Download the object to a temporary file."""
        with tempfile.TemporaryDirectory(prefix="millrace-s3-") as folder:
            path = Path(folder) / "object"
            with self._errors(check_key(key)):
                self._client.fget_object(self._bucket, self._prefix + key, str(path))
            yield path

    def exists(self, key: str) -> bool:
        """Whether there is an object at `key`."""
        try:
            with self._errors(check_key(key)):
                self._client.stat_object(self._bucket, self._prefix + key)
        except ArtifactNotFoundError:
            return False
        return True

    def keys(self, prefix: str = "") -> Iterator[str]:
        """List the bucket, page by page."""
        with self._errors(prefix):
            listing = self._client.list_objects(
                self._bucket, prefix=self._prefix + prefix, recursive=True
            )
            yield from (str(entry.object_name).removeprefix(self._prefix) for entry in listing)

    def remove(self, key: str) -> None:
        """Delete the object at `key`; S3 itself would not say that it was missing."""
        with self._errors(check_key(key)):
            self._client.stat_object(self._bucket, self._prefix + key)
            self._client.remove_object(self._bucket, self._prefix + key)

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            if error.code in _MISSING:
                raise ArtifactNotFoundError(key, self._name) from error
            raise ServiceUnavailableError(self._name, f"{error.code}: {error.message}") from error
        except (ServerError, InvalidResponseError, urllib3.exceptions.HTTPError) as error:
            raise ServiceUnavailableError(self._name, str(error)) from error


def _credentials(settings: S3Storage) -> Provider:
    """Keys of the settings, else AWS's or MinIO's variables, else AWS's files."""
    if settings.access_key and settings.secret_key:
        return StaticProvider(
            settings.access_key.get_secret_value(), settings.secret_key.get_secret_value()
        )
    return ChainedProvider([EnvAWSProvider(), EnvMinioProvider(), AWSConfigProvider()])


if TYPE_CHECKING:

    def _conforms(store: S3Store) -> ArtifactStore:
        return store
