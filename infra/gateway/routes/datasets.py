"""Datasets: files in, versions out, and what is known of them."""

from __future__ import annotations

import asyncio
import io
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal
from urllib.parse import quote
from uuid import UUID, uuid4

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from fastapi import APIRouter, Depends, Form, Query, Response, UploadFile
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

from infra.errors import (
    ArtifactNotFoundError,
    FlowRunNotFoundError,
    PlatformError,
    PreparationError,
    ServiceUnavailableError,
)
from infra.frames import digest_of, read_page
from infra.gateway.dependencies import (
    Parts,
    PartsDependency,
    refuse_other_sites,
    require_token,
)
from infra.gateway.payloads import DatasetBody, LineageBody, PendingBody
from infra.links import Page, page_key
from infra.refs import DEFAULT_PROJECT, DatasetRef, Name, normalise_name
from infra.storage import open_store
from infra.storage.protocol import ArtifactStore

UPLOAD = "/datasets/upload"
DEPLOYMENT = "prepare-dataset/from-file"
_ABANDONED_SECONDS = 2 * 86_400.0
_RETRY_SECONDS = 5.0
_CHUNK = 2**20
_PAGE_POLICY = {
    # nothing is loaded and no script runs, whatever a value in the table says
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(prefix="/datasets", tags=["datasets"])


def _ref(
    project: Name, name: Name, version: Annotated[int, PathParameter(ge=1, le=2**31 - 1)]
) -> DatasetRef:
    return DatasetRef(project=project, name=name, version=version)


Version = Annotated[DatasetRef, Depends(_ref)]


def _open_store(parts: PartsDependency) -> ArtifactStore:
    return open_store(parts.platform.storage)


Store = Annotated[ArtifactStore, Depends(_open_store)]


@router.post(
    "/upload",
    status_code=201,
    response_model=DatasetBody,
    responses={202: {"model": PendingBody}},
    dependencies=[Depends(refuse_other_sites)],
)
async def upload(
    *,
    parts: PartsDependency,
    store: Store,
    file: UploadFile,
    response: Response,
    name: Annotated[Name | None, Form()] = None,
    project: Annotated[Name, Form()] = DEFAULT_PROJECT,
    target: Annotated[str, Form(max_length=1_000)] = "",
    owner: Annotated[str, Form(max_length=200)] = "",
    description: Annotated[str, Form(max_length=10_000)] = "",
    wait_seconds: Annotated[float, Form(ge=0, le=600)] = 120.0,
) -> DatasetBody | JSONResponse:
    """Take a file and prepare it; the same bytes give the version they have (200).

    The answer waits for the run of `prepare_dataset`; one that takes longer than
    `wait_seconds` is answered 202 and goes on.
    """
    label = Path(file.filename or "upload").name
    dataset = name or normalise_name(label)
    identity, digest = await asyncio.to_thread(_keep, store, file)
    known = await asyncio.to_thread(parts.catalogue.find, project, dataset, digest)
    parameters = {
        "source": f"upload://{identity}/{quote(label)}",
        "name": dataset,
        "project": project,
        "target": target,
        "description": {"owner": owner, "description": description},
    }
    try:
        run = await parts.orchestrator.start(DEPLOYMENT, parameters)
    except PlatformError:
        await asyncio.to_thread(store.remove, f"uploads/{identity}")
        raise
    cleaning = asyncio.create_task(_clean(parts, store, run, identity))
    parts.background.add(cleaning)
    cleaning.add_done_callback(parts.background.discard)
    ended = await parts.orchestrator.wait(run, wait_seconds)
    if ended is None:
        pending = PendingBody(flow_run=str(run), detail="still being prepared")
        return JSONResponse(pending.model_dump(), 202)
    version = await asyncio.to_thread(parts.catalogue.find, project, dataset, digest)
    if version is None or (known is not None and not ended.completed):
        raise PreparationError(label, ended.message)
    response.status_code = 201 if known is None else 200
    return DatasetBody.of(version)


def _keep(store: ArtifactStore, file: UploadFile) -> tuple[str, str]:
    """Keep an upload for the worker and return its name there and its SHA-256."""
    identity = f"{time.time():.0f}-{uuid4()}"
    with TemporaryDirectory(prefix="millrace-upload-") as folder:
        path = Path(folder) / "upload"
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target, _CHUNK)
        digest = digest_of(path)
        store.move_file(f"uploads/{identity}", path)
    return identity, digest


async def _clean(parts: Parts, store: ArtifactStore, run: UUID, identity: str) -> None:
    """Forget an upload once its run has ended: what it became lies in the catalogue."""
    ended = None
    while ended is None:
        try:
            ended = await parts.orchestrator.wait(run, _ABANDONED_SECONDS)
        except ServiceUnavailableError:
            await asyncio.sleep(_RETRY_SECONDS)
        except FlowRunNotFoundError:  # somebody has deleted it
            break
    with suppress(ArtifactNotFoundError):
        await asyncio.to_thread(store.remove, f"uploads/{identity}")


def forget_abandoned_uploads(store: ArtifactStore) -> None:
    """Remove uploads whose runs nobody watches any more, since a gateway before this one died."""
    for key in list(store.keys("uploads/")):
        when = key.removeprefix("uploads/").partition("-")[0]
        if when.isdigit() and time.time() - int(when) > _ABANDONED_SECONDS:
            with suppress(ArtifactNotFoundError):
                store.remove(key)


@router.get("")
def list_versions(
    *,
    parts: PartsDependency,
    project: Name | None = None,
    name: Name | None = None,
    text: str = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> list[DatasetBody]:
    """Return the versions there are, newest first; `text` looks in name, description and owner."""
    found = parts.catalogue.versions(project, name, text=text, limit=limit, offset=offset)
    return [DatasetBody.of(each) for each in found]


@router.get("/{project}/{name}/versions/{version}")
def show(ref: Version, parts: PartsDependency) -> DatasetBody:
    """Return all that is known of a version."""
    return DatasetBody.of(parts.catalogue.get(ref))


@router.get("/{project}/{name}/versions/{version}/lineage")
def show_lineage(ref: Version, parts: PartsDependency) -> LineageBody:
    """Return what a version was made from, and what was made from it."""
    return LineageBody(
        ancestors=[str(each) for each in parts.catalogue.lineage(ref, "ancestors")],
        descendants=[str(each) for each in parts.catalogue.lineage(ref, "descendants")],
    )


@router.get("/{project}/{name}/versions/{version}/raw")
def download_original(ref: Version, parts: PartsDependency, store: Store) -> StreamingResponse:
    """Return the original, byte for byte; derived versions have none."""
    found = parts.catalogue.get(ref)
    if found.entry.file is None:
        raise ArtifactNotFoundError(f"original of {ref}", "the catalogue: the version is derived")
    return StreamingResponse(
        _stream(store, f"raw/{found.source_digest}"),
        media_type="application/octet-stream",
        headers=_attachment(found.entry.file),
    )


@router.get("/{project}/{name}/versions/{version}/data")
def download_rows(
    *,
    ref: Version,
    parts: PartsDependency,
    store: Store,
    form: Annotated[Literal["csv", "parquet"], Query(alias="format")] = "csv",
    limit: Annotated[int, Query(ge=1, le=1_000_000)] = 1_000,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Return a page of rows; `X-Total-Rows` says how many there are."""
    found = parts.catalogue.get(ref)
    table, rows = read_page(store, found.frame_digest, offset, limit)
    sink = io.BytesIO()
    write = pa_csv.write_csv if form == "csv" else pq.write_table
    write(table, sink)
    return Response(
        sink.getvalue(),
        media_type="text/csv" if form == "csv" else "application/vnd.apache.parquet",
        headers=_attachment(f"{ref.name}-{ref.version}.{form}") | {"X-Total-Rows": str(rows)},
    )


@router.get("/{project}/{name}/versions/{version}/{page}", response_class=HTMLResponse)
def show_page(ref: Version, page: Page, parts: PartsDependency, store: Store) -> HTMLResponse:
    """Return the profile, or the validation as Great Expectations' Data Docs."""
    parts.catalogue.get(ref)
    return HTMLResponse(store.read(page_key(ref, page)).decode(), headers=_PAGE_POLICY)


@router.delete(
    "/{project}/{name}/versions/{version}",
    status_code=204,
    response_class=Response,
    dependencies=[Depends(require_token)],
)
def delete(ref: Version, parts: PartsDependency, because: str = "") -> None:
    """Put a tombstone on a version: it is not used any more, and not forgotten."""
    parts.catalogue.delete(ref, because)


def _stream(store: ArtifactStore, key: str) -> Iterator[bytes]:
    with store.opened(key) as path, path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _attachment(name: str) -> dict[str, str]:
    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
        "X-Content-Type-Options": "nosniff",
    }
