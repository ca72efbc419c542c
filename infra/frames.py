"""Frames in the store: Parquet under the digest of its bytes."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from infra.storage.protocol import ArtifactStore


def write_frame(store: ArtifactStore, frame: pd.DataFrame) -> str:
    """Keep `frame` and return the SHA-256 of its Parquet bytes, its address in the store."""
    buffer = io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table, buffer, compression="zstd")
    return write_blob(store, "frames", buffer.getvalue())


def read_frame(
    store: ArtifactStore, digest: str, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read the frame under `digest`, all of it or only `columns`.

    Raises
    ------
    ArtifactNotFoundError
        If no frame has this digest.
    """
    content = store.read(f"frames/{digest}")
    selected = list(columns) if columns is not None else None
    frame: pd.DataFrame = pq.read_table(io.BytesIO(content), columns=selected).to_pandas(
        date_as_object=False
    )
    return frame


def write_blob(store: ArtifactStore, kind: str, content: bytes) -> str:
    """Keep `content` under its SHA-256 below `kind` and return the digest; twice is once."""
    digest = hashlib.sha256(content).hexdigest()
    if not store.exists(f"{kind}/{digest}"):
        store.write(f"{kind}/{digest}", content)
    return digest
