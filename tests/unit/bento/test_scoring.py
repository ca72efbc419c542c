"""Requests in portions: scored beside each other, in order, and whole where there is but one."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from infra.provenance import ROOT
from tests.template import load_template

if TYPE_CHECKING:
    from collections.abc import Sequence

modules = load_template(ROOT / "bento", "rows", "tables", "scoring")
rows, tables, scoring = modules["rows"], modules["tables"], modules["scoring"]

COLUMNS = (
    rows.Column("place", "numeric", nullable=False),
    rows.Column("note", "text", nullable=True),
)
LONG = "x" * 100
"""Of rows with such a note, a hundred and ninety are a portion's bytes."""


class Model:
    """Answers every row by its place; `together` portions must be scored at the same time."""

    def __init__(self, together: int = 1) -> None:
        self._met = threading.Barrier(together, timeout=10)
        self.sizes: list[int] = []
        self.threads: set[str] = set()

    def scores(self, batch: Any) -> Any:
        self.sizes.append(batch.size)
        self.threads.add(threading.current_thread().name)
        self._met.wait()
        return batch.numbers[:, 0]


def body(count: int, *, last: Any = 0.5) -> bytes:
    places: list[Any] = [*range(count - 1), last]
    return json.dumps({"rows": [{"place": at, "note": LONG} for at in places]}).encode()


def begin(model: Model, content: bytes, media_type: str = tables.JSON, **given: Any) -> Any:
    reader = rows.Reader(COLUMNS)
    return scoring.Scorer(reader, model, **{"threads": 2, **given}).begin(content, media_type)


def answers(portions: Sequence[Any]) -> list[float]:
    return np.concatenate([each.scores() for each in portions]).tolist()


def test_large_requests_are_scored_in_portions_beside_each_other() -> None:
    model = Model(together=2)

    portions = begin(model, body(1_000))

    assert answers(portions) == [*range(999), 0.5]
    assert [each.batch.size for each in portions] == pytest.approx([250] * 4, abs=8)
    assert len(model.threads) == 2


@pytest.mark.parametrize(
    ("count", "threads"), [pytest.param(100, 2, id="small"), pytest.param(1_000, 1, id="one core")]
)
def test_other_requests_are_scored_whole_and_by_their_own_thread(count: int, threads: int) -> None:
    model = Model()

    assert len(answers(begin(model, body(count), threads=threads))) == count
    assert model.sizes == [count]
    assert model.threads == {threading.current_thread().name}


def test_a_table_is_scored_in_portions() -> None:
    model = Model(together=2)
    lines = ["place,note", *(f"{at},{LONG}" for at in range(1_000))]

    portions = begin(model, "\n".join(lines).encode(), tables.CSV)

    assert answers(portions) == list(range(1_000))
    assert [each.batch.size for each in portions] == [250] * 4
    columns = json.loads(tables.columns_json(COLUMNS, [each.batch for each in portions]))
    assert columns == {"columns": {"place": list(range(1_000)), "note": [LONG] * 1_000}}


def test_rows_that_must_be_coerced_are_scored_in_portions_too() -> None:
    model = Model(together=2)

    portions = begin(model, body(1_000, last="0.25"))

    assert answers(portions)[-2:] == [998, 0.25]
    assert [each.batch.size for each in portions] == [250] * 4


def test_a_fault_in_the_last_portion_has_its_place_in_the_request() -> None:
    with pytest.raises(rows.RowsError) as caught:
        begin(Model(), body(1_000, last="many"))

    assert [place for place, _ in caught.value.faults] == ["rows[999].place"]


def test_what_the_model_does_not_bear_is_told_by_its_portion() -> None:
    class Frail:
        def scores(self, batch: Any) -> Any:
            if batch.numbers[:, 0].max() > 900:
                raise ArithmeticError("too many")
            return batch.numbers[:, 0]

    portions = begin(Frail(), body(1_000))  # type: ignore[arg-type]  # scores as a model does

    assert portions[0].scores()[0] == 0
    with pytest.raises(ArithmeticError, match="too many"):
        portions[-1].scores()


def test_requests_beside_each_other_share_the_threads() -> None:
    model = Model()
    scorer = scoring.Scorer(rows.Reader(COLUMNS), model, threads=2)
    begun = [scorer.begin(body(1_000, last=at), tables.JSON) for at in range(8)]

    assert [answers(portions)[-1] for portions in begun] == list(range(8))
    assert len(model.threads) <= 2
