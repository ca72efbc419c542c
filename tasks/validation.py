"""Validation stage: the gate every dataset version has to pass."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.errors import DatasetRejectedError
from infra.frames import opened_frame
from infra.links import dataset_page, page_key
from infra.refs import DatasetRef, Name
from infra.settings import get_settings
from infra.storage import open_store
from tasks.retries import if_transient
from tasks.tabular import expectations, suites
from tasks.tabular.pii import unmasked
from tasks.tabular.schema import Schema


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def validate_dataset(
    dataset: DatasetRef, *, suite: Name | None = None, absent: tuple[str, ...] = ()
) -> expectations.ValidationReport:
    """Hold a version to the suite of its dataset; the first version drafts the suite.

    The suite lies in the store under `suites/<project>/<name>.yaml`, with Great Expectations'
    names, to be edited by people.

    Parameters
    ----------
    suite : str, optional
        Dataset whose suite is meant; a batch to be scored is held to that of the training data.
    absent : tuple of str, optional
        Columns the version need not have, such as the target of a batch.

    Raises
    ------
    ArtifactNotFoundError
        If another dataset's suite is meant, which has none.
    DatasetRejectedError
        If an expectation of severity `fail` is not met; the version is marked rejected and
        cannot be trained on.
    SuiteError
        If somebody edited the suite so that it cannot be read.
    """
    settings = get_settings()
    catalogue, store = Catalogue(open_database(settings.database)), open_store(settings.storage)
    version = catalogue.get(dataset)
    hidden = unmasked(version.findings)
    with opened_frame(store, version.frame_digest) as path:
        key = f"suites/{dataset.project}/{suite or dataset.name}.yaml"
        if suite is None and not store.exists(key):
            drafted = expectations.draft(
                path, Schema.from_json(version.schema), dataset.name, hidden=hidden
            )
            store.write(key, suites.to_yaml(drafted).encode())
        held = suites.from_yaml(store.read(key))
        report = expectations.check(path, held, hidden=hidden, absent=absent)
        content = report.to_json() | {"rows": _rows(path, report, hidden)}
    store.write(
        f"validations/{dataset.project}/{dataset.name}/{dataset.version}.json", _json(content)
    )
    store.write(page_key(dataset, "validation"), report.page.encode())
    reasons = tuple(str(each) for each in report.failures if each.severity == "fail")
    catalogue.mark(dataset, "validated" if report.passed else "rejected", reasons)
    _tell(dataset, report, dataset_page(settings.gateway, dataset, "validation"))
    if not report.passed:
        raise DatasetRejectedError(str(dataset), reasons)
    return report


def _rows(
    path: Path, report: expectations.ValidationReport, hidden: tuple[str, ...]
) -> list[dict[str, object]]:
    """Return the sampled rows that failed, whole but for personal data."""
    wanted = sorted({row for each in report.failures for row in each.rows})
    rows: list[dict[str, object]] = []
    with pq.ParquetFile(path) as file:
        shown = [name for name in file.schema_arrow.names if name not in hidden]
        start = 0
        for batch in file.iter_batches(columns=shown) if wanted else ():
            inside = [row - start for row in wanted if start <= row < start + batch.num_rows]
            found = batch.take(pa.array(inside, pa.int64())).to_pylist()
            rows += [{"row": start + at, **row} for at, row in zip(inside, found, strict=True)]
            start += batch.num_rows
    return rows


def _json(content: object) -> bytes:
    return json.dumps(content, default=str).encode()


def _tell(dataset: DatasetRef, report: expectations.ValidationReport, link: str | None) -> None:
    logger = get_run_logger()
    logger.info("%d expectations, %d not met", report.checked, len(report.failures))
    for each in report.warnings:
        logger.warning("%s: %s", dataset, each)
    key = f"validation-{dataset.project}-{dataset.name}".replace("_", "-")
    create_table_artifact(
        key=key,
        table=[
            {
                "column": each.column,
                "expectation": each.expectation,
                "severity": each.severity,
                "observed": each.observed,
                "rows": ", ".join(map(str, each.rows[:5])),
            }
            for each in report.failures
        ]
        or [{"column": "all", "expectation": f"{report.checked} checked", "observed": "met"}],
        description=f"Validation of {dataset}: {'passed' if report.passed else 'REJECTED'}",
    )
    if link is not None:
        create_link_artifact(
            link, "Data Docs", key=f"{key}-page", description=f"Validation of {dataset}"
        )
