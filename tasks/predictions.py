"""Prediction stage: batches are answered, and what was served is kept where it can be found."""

from __future__ import annotations

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from infra.database.engine import open_database
from infra.database.predictions import Predictions
from infra.predictions.archive import ArchiveReport, archive
from infra.predictions.batches import Batches, BatchProgress
from infra.serving.asking import address_of, open_predictor
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


@task(
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=if_transient,
)
def answer_batch(model: str, batch: str) -> BatchProgress:
    """Ask the gateway for every message of a batch that has no answer yet.

    A message the model refuses is answered by the refusal; the others go on.

    Raises
    ------
    BatchNotFoundError
        If nobody has taken such a batch.
    RouteNotFoundError
        If no version of the model is released.
    ServiceUnavailableError
        If the gateway or the model's server does not answer: what is answered stays so.
    """
    settings = get_settings()
    batches = Batches(open_store(settings.storage), model)
    done = batches.answered(batch)
    with open_predictor(address_of(settings, model), caller=f"batch {batch}") as ask:
        for place, message in enumerate(batches.messages(batch)):
            if place not in done:
                batches.answer(batch, place, *ask(message))
    progress = batches.progress(batch)
    get_run_logger().info("%d of %d messages answered", progress.answered, progress.messages)
    return progress
