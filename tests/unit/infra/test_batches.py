from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra.predictions.batches import Batches, BatchProgress
from infra.predictions.errors import BatchNotFoundError
from infra.storage.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = [{"rows": [{"x": place}]} for place in range(3)]


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    return Batches(LocalStore(tmp_path), "churn")


def test_what_is_taken_is_there_to_be_answered(batches: Batches) -> None:
    batch = batches.take(MESSAGES)

    assert batches.messages(batch) == MESSAGES
    assert batches.progress(batch) == BatchProgress(messages=3, answered=0)
    assert list(batches.answers(batch)) == []


def test_answers_are_kept_one_by_one_and_read_in_order(batches: Batches) -> None:
    batch = batches.take(MESSAGES)

    batches.answer(batch, 2, 422, {"error": "RowsError"})
    batches.answer(batch, 0, 200, {"predictions": []})

    assert batches.answered(batch) == {0, 2}
    first, last = map(json.loads, batches.answers(batch))
    assert first == {"message": 0, "status": 200, "answer": {"predictions": []}}
    assert (last["message"], last["status"]) == (2, 422)
    assert not batches.progress(batch).done
    batches.answer(batch, 1, 200, {})
    assert batches.progress(batch).done


def test_an_answer_that_is_given_again_takes_the_place_of_the_first(batches: Batches) -> None:
    batch = batches.take(MESSAGES)

    batches.answer(batch, 0, 200, 1)
    batches.answer(batch, 0, 200, 2)

    assert [json.loads(line)["answer"] for line in batches.answers(batch)] == [2]


def test_batches_are_of_one_model(batches: Batches, tmp_path: Path) -> None:
    batch = batches.take(MESSAGES)

    with pytest.raises(BatchNotFoundError, match="of telco"):
        Batches(LocalStore(tmp_path), "telco").messages(batch)
