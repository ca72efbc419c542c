"""Requests in portions: scored beside each other, in order, and whole where there is but one."""

from __future__ import annotations

import json
import threading
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.provenance import ROOT
from tests.template import load_template

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

modules = load_template(ROOT / "bento", "rows", "tables", "scoring")
rows, tables, scoring = modules["rows"], modules["tables"], modules["scoring"]

COLUMNS = (
    rows.Column("place", "numeric", nullable=False),
    rows.Column("note", "text", nullable=True),
    rows.Column("noted", "datetime", nullable=True),
)
LONG = "x" * 100
"""Of rows with such a note, less than two hundred are a portion's bytes."""


class Model:
    """Answers every row by its place; `together` portions must be scored at the same time."""

    def __init__(self, together: int = 1) -> None:
        self._met = threading.Barrier(together, timeout=10)
        self.sizes: list[int] = []
        self.threads: set[int] = set()

    def scores(self, batch: Any) -> Any:
        self.sizes.append(batch.size)
        self.threads.add(threading.get_ident())
        self._met.wait()
        return batch.numbers[:, 0]


class Gated(Model):
    """Keeps the scorer's own threads at a gate until it is open; counts who waits there."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.waiting = threading.Semaphore(0)

    def scores(self, batch: Any) -> Any:
        if threading.current_thread().name.startswith("scores"):
            self.waiting.release()
            assert self.gate.wait(10)
        return super().scores(batch)


class Frail:
    """Bears no place beyond nine hundred."""

    def scores(self, batch: Any) -> Any:
        if batch.numbers[:, 0].max() > 900:
            raise ArithmeticError("too\nmany")
        return batch.numbers[:, 0]


def row(place: Any, note: Any = LONG) -> dict[str, Any]:
    return {"place": place, "note": note}


def sent(*given: Any, **others: Any) -> bytes:
    return json.dumps({"rows": given, **others}).encode()


def body(count: int, *, last: Any = 0.5) -> bytes:
    return sent(*(row(place) for place in range(count - 1)), row(last))


def scorer(model: Any, threads: int = 2, **given: Any) -> Any:
    return scoring.Scorer(rows.Reader(COLUMNS, **given), model, threads=threads)


def answers(portions: Sequence[Any]) -> list[float]:
    return np.concatenate([each.scores() for each in portions]).tolist()


def sizes(portions: Sequence[Any]) -> list[int]:
    return [each.batch.size for each in portions]


def joined(batches: Sequence[Any]) -> tuple[Any, ...]:
    """The rows of batches, to be held against those of others."""
    lists = [[*each.texts, *each.instants] for each in batches]
    columns = tuple(list(chain(*parts)) for parts in zip(*lists, strict=True))
    return np.concatenate([each.numbers for each in batches]).tolist(), columns


@pytest.fixture
def gated() -> Any:
    model = Gated()
    yield model
    model.gate.set()


def test_large_requests_are_scored_in_portions_beside_each_other() -> None:
    model = Model(together=2)

    portions = scorer(model).begin(body(1_000), tables.JSON)

    assert answers(portions) == [*range(999), 0.5]
    assert sizes(portions) == pytest.approx([500] * 2, abs=8)
    assert len(model.threads) >= 2


@pytest.mark.parametrize(
    ("count", "threads", "parts"),
    [(1_000, 2, 2), (1_000, 3, 3), (5_000, 2, 4), (20_000, 2, 8), (60_000, 2, 8), (500, 16, 3)],
)
def test_there_are_as_many_portions_as_are_worth_it(count: int, threads: int, parts: int) -> None:
    content = body(count)
    found = scorer(Model(), threads).begin(content, tables.JSON)

    assert len(found) == parts
    assert sizes(found) == pytest.approx([count / parts] * parts, rel=0.03)
    assert answers(found) == [*range(count - 1), 0.5]


@pytest.mark.parametrize(
    ("count", "threads", "parts"),
    [(119, 2, 1), (120, 2, 2), (1_000, 2, 2), (2_000, 2, 4), (20_000, 2, 8), (500, 16, 8)],
)
def test_a_table_has_as_many_portions_as_are_worth_it(count: int, threads: int, parts: int) -> None:
    lines = ["place,note,noted", *(f"{at},," for at in range(count))]

    assert len(scorer(Model(), threads).begin("\n".join(lines).encode(), tables.CSV)) == parts


def test_a_portion_is_scored_while_the_next_is_read() -> None:
    begun, model = threading.Event(), Model()
    asked = scorer(model)
    asked._score = lambda batch: begun.set() or model.scores(batch)
    read = asked._reader.read_plain

    def wait_and_read(piece: bytes) -> Any:
        if b'"place": 0,' not in piece:
            assert begun.wait(10)
        return read(piece)

    asked._reader.read_plain = wait_and_read

    assert len(answers(asked.begin(body(1_000), tables.JSON))) == 1_000


@pytest.mark.parametrize(
    ("content", "threads"),
    [
        pytest.param(body(100), 2, id="few rows"),
        pytest.param(sent(*({"place": at} for at in range(1_000))), 2, id="short rows"),
        pytest.param(sent(*({"place": f"{at}"} for at in range(900))), 2, id="short, to coerce"),
        pytest.param(sent(*(row(0, "x" * 9_000) for _ in range(9))), 1, id="one core"),
        pytest.param(sent(*(row("0", "x" * 9_000) for _ in range(9))), 2, id="few, to coerce"),
    ],
)
def test_other_requests_are_scored_whole_and_by_their_own_thread(
    content: bytes, threads: int
) -> None:
    model = Model()

    answers(scorer(model, threads).begin(content, tables.JSON))

    assert len(model.sizes) == 1
    assert model.threads == {threading.get_ident()}


def test_a_table_is_scored_in_portions() -> None:
    model = Model(together=2)
    day = "2024-02-29T00:00:00Z"
    lines = ["place,note,noted", *(f"{at},{LONG},{day if at else ''}" for at in range(1_000))]

    portions = scorer(model).begin("\n".join(lines).encode(), tables.CSV)

    assert answers(portions) == list(range(1_000))
    assert sizes(portions) == [500] * 2
    columns = json.loads(tables.columns_json(COLUMNS, [each.batch for each in portions]))
    assert columns["columns"] == {
        "place": list(range(1_000)),
        "note": [LONG] * 1_000,
        "noted": [None, *[day] * 999],
    }


def test_rows_that_must_be_coerced_are_scored_in_portions_too() -> None:
    portions = scorer(Model()).begin(body(1_000, last="0.25"), tables.JSON)

    assert answers(portions)[-2:] == [998, 0.25]
    assert sizes(portions) == [500] * 2


def test_a_fault_in_the_last_portion_has_its_place_in_the_request() -> None:
    with pytest.raises(rows.RowsError) as caught:
        scorer(Model()).begin(body(1_000, last="many"), tables.JSON)

    assert [place for place, _ in caught.value.faults] == ["rows[999].place"]


def test_what_was_begun_in_vain_is_given_up(gated: Gated) -> None:
    asked = scorer(gated)
    with pytest.raises(rows.RowsError):
        asked.begin(body(5_000, last="many"), tables.JSON)
    gated.gate.set()
    asked._pool.shutdown()

    assert len(gated.sizes) <= 2  # those that were under way when the fault was found


@pytest.mark.parametrize("count", [10, 1_000])
def test_rows_that_the_model_does_not_bear_are_a_fault_of_the_request(count: int) -> None:
    portions = scorer(Frail()).begin(body(count, last=1e9), tables.JSON)

    with pytest.raises(rows.RowsError, match="does not bear these rows: too many"):
        portions[-1].scores()


def test_more_rows_than_a_request_may_have_are_refused() -> None:
    with pytest.raises(rows.RowsError, match="1,000 rows are more than 999"):
        scorer(Model(), most_rows=999).begin(body(1_000), tables.JSON)

    assert len(answers(scorer(Model(), most_rows=1_000).begin(body(1_000), tables.JSON))) == 1_000


def test_a_request_does_not_wait_for_others_that_came_first(gated: Gated) -> None:
    asked = scorer(gated)
    first = asked.begin(body(5_000), tables.JSON)
    for _ in range(2):
        assert gated.waiting.acquire(timeout=10)  # all threads are at the first request

    second = asked.begin(body(5_000, last=7), tables.JSON)

    assert answers(second) == [*range(4_999), 7]
    gated.gate.set()
    assert answers(first) == [*range(4_999), 0.5]


def test_portions_that_were_given_up_are_scored_by_nobody_else(gated: Gated) -> None:
    asked = scorer(gated)
    portions = asked.begin(body(5_000), tables.JSON)
    scoring.cancel(portions)
    gated.gate.set()
    asked._pool.shutdown()

    assert len(gated.sizes) <= 2


def test_what_is_under_way_is_answered_when_the_threads_go(gated: Gated) -> None:
    asked = scorer(gated)
    portions = asked.begin(body(5_000), tables.JSON)
    asked.close()
    gated.gate.set()

    assert answers(portions) == [*range(4_999), 0.5]


# cutting bodies


def whole_and_pieces(content: bytes, count: int) -> tuple[Any, Any]:
    """What a body holds as it is and in pieces; None for what is not plain rows."""
    reader = rows.Reader(COLUMNS)
    whole = reader.read_plain(content)
    parts = [reader.read_plain(each) for each in scoring.pieces(content, count)]
    if not parts or None in parts:
        return whole and joined([whole]), None
    return whole and joined([whole]), joined(parts)


@pytest.mark.parametrize("indent", [None, 2, "\t"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\r\n", " :\t")])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_pieces_are_the_rows_in_their_order(
    count: int, separators: tuple[str, str], indent: int | str | None
) -> None:
    content = {"rows": [row(place, "") for place in range(50)]}
    text = json.dumps(content, separators=separators, indent=indent).encode()

    whole, parts = whole_and_pieces(text, count)

    assert parts == whole
    assert whole[0] == [[place] for place in range(50)]
    assert len(list(scoring.pieces(text, count))) == count


def test_there_are_no_more_pieces_than_rows() -> None:
    assert len(list(scoring.pieces(sent(row(1), row(2)), 9))) == 2


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(sent(*[row(0, "a},{b")] * 20), id="a text that looks like a cut"),
        pytest.param(sent(*[row(0, '"},{"')] * 20), id="a text that looks like its end"),
        pytest.param(sent(*[row(0, "[1]")] * 20), id="brackets in texts"),
        pytest.param(sent(*[row("5")] * 20), id="values to coerce"),
        pytest.param(sent(*[row(0)] * 19, row("no")), id="a fault at the end"),
        pytest.param(sent(), id="no rows"),
        pytest.param(b'{"rows":[,]}', id="a comma"),
        pytest.param(b"]" * 50 + b"[", id="brackets the other way round"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff" * 90, id="no text"),
        pytest.param(b" " * 2_000 + sent(*[row(0)] * 20), id="a long head"),
        pytest.param(sent(*[row(0)] * 20) + b" " * 2_000, id="a long tail"),
        pytest.param(sent(*[row(0)] * 3, others=[row(0)] * 40), id="two lists"),
        pytest.param(b'{"o":[{"a":1},{"a":2}],' + sent(row(0), row(1))[1:], id="two, swapped"),
        pytest.param(sent(*[row(0)] * 20)[:-1] + b',"rows":' + sent(row(9))[9:], id="rows twice"),
        pytest.param(b'{"input_data":' + sent(*[row(0)] * 20) + b"}", id="rows further inside"),
        pytest.param(json.dumps({"features": [[0, "", None]] * 20}).encode(), id="positions"),
        pytest.param(sent(*[row(0)] * 20).replace(b"}, {", b"},\x0c{"), id="no white space"),
        pytest.param(sent(*[row(0)] * 20).replace(b"}, {", b"}{"), id="no commas"),
        pytest.param(sent(*[row(0)] * 20).replace(b"}, {", b"},, {"), id="two commas"),
    ],
)
def test_what_is_not_plain_rows_is_not_read_in_pieces(content: bytes) -> None:
    assert whole_and_pieces(content, 4)[1] is None


PARTS = ["},{", "}, {", '"', "]", "[", "}", "{", ",", ',"rows":[', "\\", "\x0b", "\x0c", " ", "é"]


@given(
    notes=st.lists(
        st.lists(st.sampled_from([*PARTS, "a", "\n"]), max_size=6).map("".join), min_size=1
    ),
    count=st.integers(1, 6),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" , ", ":")]),
    damage=st.tuples(
        st.integers(0, 600),
        st.sampled_from([part.encode() for part in PARTS]) | st.binary(max_size=3),
        st.integers(0, 3),
    ),
)
@settings(max_examples=400)
def test_pieces_are_never_other_rows_than_the_whole(
    notes: list[str], count: int, separators: tuple[str, str], damage: tuple[int, bytes, int]
) -> None:
    content = {"rows": [row(at, note) for at, note in enumerate(notes)]}
    plain = json.dumps(content, separators=separators, ensure_ascii=False).encode()
    place, added, instead = damage
    for text in (plain, plain[:place] + added + plain[place + instead :]):
        whole, parts = whole_and_pieces(text, count)
        assert parts is None or parts == whole


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(lambda size: b"[" + b"}" * size + b"]", id="ends"),
        pytest.param(lambda size: b"[" + b"} " * (size // 2) + b"]", id="ends and spaces"),
        pytest.param(lambda size: b"[}" + b" " * size + b"]", id="one end and spaces"),
        pytest.param(lambda size: b" " * size + b"[]", id="a head"),
    ],
)
def test_a_hostile_body_is_looked_through_once(hostile: Callable[[int], bytes]) -> None:
    content = hostile(100_000)

    assert sum(map(len, scoring.pieces(content, 1_000))) <= len(content)


def test_a_batch_is_cut_into_portions() -> None:
    batch = rows.Reader(COLUMNS).read(body(10))

    found = scoring.cut(batch, 3)

    assert [each.size for each in found] == [3, 3, 4]
    assert joined(found) == joined([batch])
