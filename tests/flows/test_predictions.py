from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flows.predictions import archive_predictions
from infra.database.engine import open_database
from infra.database.predictions import Predictions, Window
from infra.errors import ServiceUnavailableError
from infra.predictions.archive import ArchiveReport
from tests.segments import packed, write_segment

if TYPE_CHECKING:
    from infra.settings import Settings

pytestmark = pytest.mark.prefect


@pytest.fixture
def served(platform: Settings) -> Settings:
    """A platform whose model server has noted two predictions and is gone."""
    folder = platform.serving.home / "predictions" / "churn"
    write_segment(folder, "s", packed(id="a"), packed(id="b"))
    return platform


def test_what_was_served_is_archived_once(served: Settings) -> None:
    reports = [archive_predictions(), archive_predictions()]

    assert reports == [ArchiveReport(segments=1, files=1, records=2), ArchiveReport()]
    index = Predictions(open_database(served.database))
    assert [each.id for each in index.find(Window("churn"))] == ["b", "a"]


def test_an_index_that_is_away_for_a_moment_is_tried_again(
    served: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, calls = Predictions.add, iter(range(100))

    def fail_once(self: Predictions, entries: object) -> None:
        if next(calls) == 0:
            raise ServiceUnavailableError("the platform's database", "refused")
        add(self, entries)

    monkeypatch.setattr(Predictions, "add", fail_once)

    assert archive_predictions() == ArchiveReport(segments=1, files=1, records=2)
