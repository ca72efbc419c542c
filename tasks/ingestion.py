"""Ingestion stage: data from anywhere becomes an immutable version in the catalogue."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, Field

from infra import sources
from infra.database.catalogue import Catalogue, DatasetEntry, DatasetVersion
from infra.database.engine import open_database
from infra.errors import SourceChangedError
from infra.frames import digest_of, move_blob
from infra.refs import DatasetRef
from infra.settings import Settings, get_settings
from infra.storage import open_store
from tasks.retries import if_transient
from tasks.tabular import problem, reading
from tasks.tabular.errors import SourceNotFoundError
from tasks.tabular.inference import infer_file, require_informative
from tasks.tabular.reading import ReadOptions
from tasks.tabular.schema import Schema

_ABANDONED_SECONDS = 86_400.0
"""Age after which a folder that an interrupted run left behind is removed."""


class Description(BaseModel, frozen=True, extra="forbid"):
    """What people should know about a dataset."""

    owner: str = Field(default="", max_length=200, title="Owner", description="Who answers for it")
    description: str = Field(default="", title="Description")
    tags: dict[str, str] = Field(default={}, title="Tags")


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def ingest_dataset(
    source: str,
    project: str,
    name: str,
    target: str | None = None,
    *,
    said: problem.Said = "auto",
    query: str | None = None,
    options: ReadOptions | None = None,
    description: Description | None = None,
) -> DatasetRef:
    """Fetch and read `source`, keep it raw and as Parquet, and enter it in the catalogue.

    The same bytes under the same name give the version they have. The catalogue row comes
    last: whatever fails before leaves no version behind.

    Parameters
    ----------
    source : str
        Path or URL as `infra.sources.fetch` reads them; `query` is for databases.
    target : str, optional
        Column to be predicted; checked here so that a hopeless one is refused early. `said` is
        what it holds where its values do not show it.

    Raises
    ------
    SourceError
        If the source cannot be fetched.
    TabularError
        If the file cannot be read or the target cannot be learned.
    """
    settings = get_settings()
    sources.check(source)
    catalogue, store = Catalogue(open_database(settings.database)), open_store(settings.storage)
    known = catalogue.precedent(project, name)
    with _staging(settings) as folder, ThreadPoolExecutor(1) as beside:
        inbox = folder / "inbox"  # of its own: the file may be called like one of ours
        inbox.mkdir()
        path = sources.fetch(source, inbox, settings, query)
        seen = _look(path, source)
        staged = beside.submit(_stage, path, folder)
        frame, found = _read(
            path, source, folder, options=options, known=known, target=target, said=said
        )
        original, digest = staged.result()
        if _look(path, source) != seen:
            raise SourceChangedError(sources.shown(source))
        entry = DatasetEntry(
            source=sources.shown(source),
            source_digest=move_blob(store, "raw", original, digest),
            frame_digest=move_blob(store, "frames", frame),
            schema=found.schema.to_json(),
            rows=found.reading.rows,
            file=path.name[:300],
            notes=found.reading.notes,
            **(description or Description()).model_dump(),
        )
    version = catalogue.add(project, name, entry)
    _tell(version)
    return version.ref


@dataclass(frozen=True, slots=True)
class _Found:
    """What a file turned out to hold."""

    reading: reading.Reading
    schema: Schema


def _read(
    path: Path,
    source: str,
    folder: Path,
    *,
    options: ReadOptions | None,
    known: DatasetVersion | None,
    target: str | None,
    said: problem.Said,
) -> tuple[Path, _Found]:
    """Write the table at `path` as Parquet and look at the target; return where, and what it is."""
    columns = Schema.from_json(known.schema).columns if known is not None else ()
    frame = folder / "frame.parquet"
    done = reading.convert(
        path,
        frame,
        options,
        source=sources.shown(source),
        known={each.name: each.format for each in columns if each.format},
    )
    schema = infer_file(frame, done.missing, done.formats)
    require_informative(schema, done.rows)
    if target is not None:
        problem.identify_file(frame, schema, target, said)
    return frame, _Found(done, schema)


def _stage(path: Path, folder: Path) -> tuple[Path, str]:
    """Return a copy of the file that nobody else writes to, and its SHA-256."""
    if path.is_relative_to(folder):
        return path, digest_of(path)
    copy = folder / "original"
    digest = hashlib.sha256()
    with path.open("rb") as file, copy.open("wb") as target:
        while chunk := file.read(2**22):
            digest.update(chunk)
            target.write(chunk)
    return copy, digest.hexdigest()


def _look(path: Path, source: str) -> tuple[int, int, int]:
    """Return what changes when somebody writes to the file."""
    try:
        found = path.stat()
    except OSError as error:
        raise SourceNotFoundError(sources.shown(source)) from error
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def _staging(settings: Settings) -> Iterator[Path]:
    """Make a folder for files on their way in; remove what interrupted runs left."""
    staging = settings.sources.staging
    staging.mkdir(parents=True, exist_ok=True)
    for left in staging.iterdir():
        with suppress(OSError):  # another run removes it too
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=staging) as folder:
        yield Path(folder)


def _tell(version: DatasetVersion) -> None:
    entry = version.entry
    logger = get_run_logger()
    columns = len(entry.schema["columns"])
    logger.info("%s: %s rows, %d columns", version.ref, f"{entry.rows or 0:,}", columns)
    for note in entry.notes:
        logger.warning("%s: %s", version.ref, note)
