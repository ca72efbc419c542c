"""Prediction stage: what was served is kept where it can be found."""

from __future__ import annotations

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from infra.database.engine import open_database
from infra.database.predictions import Predictions
from infra.predictions.archive import ArchiveReport, archive
from infra.settings import get_settings
from infra.storage import open_store
from tasks.retries import if_transient


@task(
    cache_policy=NO_CACHE,
    retries=1,
    retry_delay_seconds=2,
    retry_condition_fn=if_transient,
)
def archive_segments() -> ArchiveReport:
    """Move the finished segments of this machine's model servers into the archive.

    Raises
    ------
    ServiceUnavailableError
        If the store or the database does not answer; the segments stay.
    """
    settings = get_settings()
    predictions = Predictions(open_database(settings.database))
    report = archive(settings.serving.home, open_store(settings.storage), predictions)
    get_run_logger().info(
        "%d predictions of %d segments archived, %d broken and %d torn lines left out",
        report.records,
        report.segments,
        report.broken,
        report.torn,
    )
    return report
