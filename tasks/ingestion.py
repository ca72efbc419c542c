"""Ingestion stage: a file becomes an immutable version in the catalogue."""

from __future__ import annotations

from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.frames import write_blob, write_frame
from infra.refs import DatasetRef
from infra.settings import get_settings
from infra.storage import open_store
from tasks.retries import if_transient
from tasks.tabular import problem, reading, schema


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def ingest_dataset(source: str, project: str, name: str, target: str | None = None) -> DatasetRef:
    """Read `source`, keep it raw and as Parquet, and enter it in the catalogue.

    The same bytes under the same name give the version they have. The catalogue row comes
    last: whatever fails before leaves no version behind.

    Parameters
    ----------
    source : str
        Path of a CSV (plain or gzipped) or Parquet file on the worker's machine.
    target : str, optional
        Column to be predicted; checked here so that a hopeless one is refused early.

    Raises
    ------
    TabularError
        If the file cannot be read or the target cannot be learned.
    """
    settings = get_settings()
    catalogue, store = Catalogue(open_database(settings.database)), open_store(settings.storage)
    table = reading.read_table(Path(source))
    if target is not None:
        problem.identify(table.frame, target)
    version = catalogue.add(
        project,
        name,
        source=source,
        source_digest=write_blob(store, "raw", table.content),
        frame_digest=write_frame(store, table.frame),
        schema=schema.infer(table.frame).to_json(),
    )
    rows, columns = table.frame.shape
    get_run_logger().info("%s: %s rows, %d columns", version.ref, f"{rows:,}", columns)
    return version.ref
