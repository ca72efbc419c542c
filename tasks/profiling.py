"""Profiling stage: what is in a dataset version."""

from __future__ import annotations

import json

from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.frames import opened_frame
from infra.links import dataset_page, page_key
from infra.refs import DatasetRef
from infra.settings import get_settings
from infra.storage import open_store
from tasks.retries import if_transient
from tasks.tabular import profiling, reports
from tasks.tabular.pii import unmasked
from tasks.tabular.schema import Schema


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def profile_dataset(dataset: DatasetRef, target: str | None = None) -> profiling.ProfileReport:
    """Describe a version; keep the profile as JSON and as a page, and link it from the run.

    The JSON lies under `profiles/<frame digest>.json`. Of columns with personal data that was
    not masked, no value is shown.

    Raises
    ------
    DatasetNotFoundError
        If the catalogue has no such version.
    """
    settings = get_settings()
    catalogue, store = Catalogue(open_database(settings.database)), open_store(settings.storage)
    version = catalogue.get(dataset)
    hidden = unmasked(version.findings)
    with opened_frame(store, version.frame_digest) as path:
        report = profiling.profile(path, Schema.from_json(version.schema), target, hidden)
    page = reports.profile_page(
        report, str(dataset), f"{version.entry.source}, {version.created_at:%Y-%m-%d %H:%M} UTC"
    )
    store.write(f"profiles/{version.frame_digest}.json", json.dumps(report.to_json()).encode())
    store.write(page_key(dataset, "profile"), page.encode())
    catalogue.describe(dataset, report.summary())
    _tell(dataset, report, dataset_page(settings.gateway, dataset, "profile"))
    return report


def _tell(dataset: DatasetRef, report: profiling.ProfileReport, link: str | None) -> None:
    for column, strength in report.leaks.items():
        get_run_logger().warning(
            "%s: %r alone foretells the target (%.3f); leave it out if it is known only afterwards",
            dataset,
            column,
            strength,
        )
    key = f"profile-{dataset.project}-{dataset.name}".replace("_", "-")
    create_table_artifact(
        key=key,
        table=[
            {
                "column": each.name,
                "kind": each.kind,
                "missing": each.missing,
                "distinct": each.distinct,
                "mean": each.mean,
                "deviation": each.deviation,
                "most frequent": ", ".join(list(each.top)[:3]),
                "warnings": ", ".join(each.warnings),
            }
            for each in report.columns
        ],
        description=f"Profile of {dataset}: {report.rows:,} rows, {report.duplicates:,} duplicates",
    )
    if link is not None:
        create_link_artifact(
            link, "Profile", key=f"{key}-page", description=f"Profile of {dataset}"
        )
