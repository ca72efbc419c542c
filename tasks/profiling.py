"""Profiling stage: what is in a dataset version."""

from __future__ import annotations

import json

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.frames import read_frame
from infra.refs import DatasetRef
from infra.settings import get_settings
from infra.storage import open_store
from tasks.retries import if_transient
from tasks.tabular import profiling
from tasks.tabular.schema import Schema


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def profile_dataset(dataset: DatasetRef) -> profiling.ProfileReport:
    """Describe a version; keep the profile as `profiles/<frame digest>.json` and show it.

    Raises
    ------
    DatasetNotFoundError
        If the catalogue has no such version.
    """
    settings = get_settings()
    version = Catalogue(open_database(settings.database)).get(dataset)
    store = open_store(settings.storage)
    frame = read_frame(store, version.frame_digest)
    report = profiling.profile(frame, Schema.from_json(version.schema))
    store.write(f"profiles/{version.frame_digest}.json", json.dumps(report.to_json()).encode())
    create_table_artifact(
        key=f"profile-{dataset.project}-{dataset.name}".replace("_", "-"),
        table=[
            {
                "column": each.name,
                "kind": each.kind,
                "missing": each.missing,
                "distinct": each.distinct,
                "mean": each.mean,
                "deviation": each.deviation,
                "most frequent": ", ".join(list(each.top)[:3]),
            }
            for each in report.columns
        ],
        description=f"Profile of {dataset}: {report.rows:,} rows, {report.duplicates:,} duplicates",
    )
    return report
