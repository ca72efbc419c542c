"""Batches are answered; what model servers answered is kept, to be explained and labelled."""

from __future__ import annotations

from prefect import flow

from flows import scripts
from infra.predictions.archive import ArchiveReport
from infra.predictions.batches import BatchProgress
from tasks.predictions import answer_batch, archive_segments


@flow
def archive_predictions() -> ArchiveReport:
    """Move the predictions that model servers have noted into the archive.

    Raises
    ------
    ServiceUnavailableError
        If the store or the database does not answer: the next run makes up for it.
    """
    return archive_segments()


@flow
def predict_batch(model: str, batch: str) -> BatchProgress:
    """Answer the messages of a batch, each holding many rows.

    Begun again it goes on where it was; every prediction is logged like any other.

    Args:
        model: Registered name.
        batch: As `POST /predict/{model}/batch` has named it.
    """
    return answer_batch(model, batch)


if __name__ == "__main__":
    scripts.run(
        scripts.parser("flows.predictions", archive_predictions.__doc__),
        lambda _given: archive_predictions(),
    )
