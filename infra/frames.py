"""Frames in the store: Parquet under the digest of its bytes."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from infra.storage.protocol import ArtifactStore


Made = TypeVar("Made")


def read_frame(
    store: ArtifactStore, digest: str, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read the frame under `digest`, all of it or only `columns`.

    Raises
    ------
    ArtifactNotFoundError
        If no frame has this digest.
    """
    selected = list(columns) if columns is not None else None
    with opened_frame(store, digest) as path:
        frame: pd.DataFrame = pq.read_table(path, columns=selected).to_pandas(date_as_object=False)
    return frame


@contextmanager
def opened_frame(store: ArtifactStore, digest: str) -> Iterator[Path]:
    """Give the Parquet file of a frame, to be read piece by piece.

    Raises
    ------
    ArtifactNotFoundError
        If no frame has this digest.
    """
    with store.opened(f"frames/{digest}") as path:
        yield path


def read_page(store: ArtifactStore, digest: str, offset: int, limit: int) -> tuple[pa.Table, int]:
    """Read at most `limit` rows from row `offset` on, and say how many there are in all.

    Only the row groups the page lies in are read.

    Raises
    ------
    ArtifactNotFoundError
        If no frame has this digest.
    """
    with opened_frame(store, digest) as path, pq.ParquetFile(path) as file:
        parts, start = [], 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if start < offset + limit and offset < start + rows:
                inside = max(0, offset - start)
                parts.append(
                    file.read_row_group(group).slice(inside, offset + limit - start - inside)
                )
            start += rows
        return pa.concat_tables(parts) if parts else file.schema_arrow.empty_table(), start


def move_blob(store: ArtifactStore, kind: str, path: Path, digest: str | None = None) -> str:
    """Move the file at `path` under its SHA-256 below `kind`, without holding it in memory."""
    digest = digest or digest_of(path)
    if not store.exists(f"{kind}/{digest}"):
        store.move_file(f"{kind}/{digest}", path)
    return digest


def keep_made(store: ArtifactStore, kind: str, write: Callable[[Path], Made]) -> tuple[str, Made]:
    """Have a file written and keep it as a blob; return its digest and what `write` returned."""
    with tempfile.TemporaryDirectory(prefix="millrace-made-") as folder:
        path = Path(folder) / kind
        made = write(path)
        return move_blob(store, kind, path), made


def digest_of(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
