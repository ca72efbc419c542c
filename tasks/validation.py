"""Validation stage: the gate every dataset version has to pass."""

from __future__ import annotations

import json

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.errors import DatasetRejectedError
from infra.frames import read_frame
from infra.refs import DatasetRef
from infra.settings import get_settings
from infra.storage import open_store
from tasks.retries import if_transient
from tasks.tabular import expectations
from tasks.tabular.schema import Schema


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def validate_dataset(dataset: DatasetRef) -> expectations.ValidationReport:
    """Hold a version to the suite of its dataset; the first version drafts the suite.

    The suite lies in the store under `suites/<project>/<name>.json`, in Great Expectations'
    own format, to be edited by people.

    Raises
    ------
    DatasetRejectedError
        If an expectation fails; the version is marked rejected and cannot be trained on.
    """
    settings = get_settings()
    catalogue, store = Catalogue(open_database(settings.database)), open_store(settings.storage)
    version = catalogue.get(dataset)
    frame = read_frame(store, version.frame_digest)
    key = f"suites/{dataset.project}/{dataset.name}.json"
    if not store.exists(key):
        suite = expectations.draft(frame, Schema.from_json(version.schema), dataset.name)
        store.write(key, json.dumps(suite, indent=1, default=str).encode())
    report = expectations.check(frame, json.loads(store.read(key)))
    reasons = tuple(map(str, report.failures))
    catalogue.mark(dataset, "validated" if report.passed else "rejected", reasons)
    _tell(dataset, report)
    if not report.passed:
        raise DatasetRejectedError(str(dataset), reasons)
    return report


def _tell(dataset: DatasetRef, report: expectations.ValidationReport) -> None:
    get_run_logger().info("%d expectations, %d failed", report.checked, len(report.failures))
    create_table_artifact(
        key=f"validation-{dataset.project}-{dataset.name}".replace("_", "-"),
        table=[
            {"column": each.column, "expectation": each.expectation, "observed": each.observed}
            for each in report.failures
        ]
        or [{"column": "all", "expectation": f"{report.checked} checked", "observed": "met"}],
        description=f"Validation of {dataset}: {'passed' if report.passed else 'REJECTED'}",
    )
