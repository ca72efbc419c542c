"""What model servers answered is kept: it can be explained, labelled and replayed."""

from __future__ import annotations

from prefect import flow

from flows import scripts
from infra.predictions.archive import ArchiveReport
from tasks.predictions import archive_segments


@flow
def archive_predictions() -> ArchiveReport:
    """Move the predictions that model servers have noted into the archive.

    Raises
    ------
    ServiceUnavailableError
        If the store or the database does not answer: the next run makes up for it.
    """
    return archive_segments()


if __name__ == "__main__":
    scripts.run(
        scripts.parser("flows.predictions", archive_predictions.__doc__),
        lambda _given: archive_predictions(),
    )
