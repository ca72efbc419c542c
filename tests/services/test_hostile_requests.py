"""What the internet sends: more than ten thousand requests that nobody would write by hand."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.services.served_models import Answer, Served, ask, in_process, read_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JSON = b"application/json"
CSV = b"text/csv"
ARROW = b"application/vnd.apache.arrow.stream"
PARQUET = b"application/vnd.apache.parquet"
TYPES = (JSON, CSV, ARROW, PARQUET)

ALLOWED = {200, 413, 415, 422}
LIMIT = 50_000
"""Bytes of a body that the endpoint under test takes."""

HEAVY = [
    *(None, True, False, 0, -1, 1e308, -1e308, 5e-324, 2**53 + 1, 2**63, -(2**64), 10**40, 0.5),
    *(
        "",
        " ",
        "5",
        "-5e3",
        "1e999",
        "NaN",
        "inf",
        "true",
        "null",
        "\x00",
        "ü",
        "\U0001d54f",
        "\u202e",
    ),
    *("a" * 500, "9" * 400, "2024-02-30", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:00"),
    *("2024-03-01T12:00:00Z", "2024-W01-1", "24:00", [], {}, [[]], {"a": 1}, [1, "2"], [None] * 7),
]
"""Values for places where another was expected."""

RAW = [
    *(b"\\ud800", b"\\udc00\\ud800", b"\\u0000", b"\xed\xa0\x80", b"\xff", b"\xc3", b"\x00", b"\n"),
    *(b"\r\n", b"\t", b"\x1f", b"\x7f", b"NaN", b"-Infinity", b"1e999", b"-1e-999", b"1" * 5_000),
    *(b"[", b"]", b"{", b"}", b'"', b",", b":", b"[" * 200, b'{"a":' * 200, b"//", b"/**/", b"'"),
    *(b"0x10", b"01", b".5", b"5.", b"+1", b"\xef\xbb\xbf", b"\xfe\xff", b"-0", b"\xe2\x80\xa8"),
]
"""Bytes to put between others."""


@dataclass(frozen=True)
class Hostile:
    """A request: its body, in parts, and its headers."""

    parts: tuple[bytes, ...]
    headers: tuple[tuple[bytes, bytes], ...]

    def __str__(self) -> str:
        return f"{self.headers} {b''.join(self.parts)[:600]!r}"


class Maker:
    """Makes requests of one seed for a model whose good rows are `rows`."""

    def __init__(self, served: Served, seed: int) -> None:
        self.chance = random.Random(seed)
        self._rows = served.fitted.rows
        self._names = list(served.fitted.schema.names)
        frame = served.fitted.frame.head(4)
        self._tables = {
            CSV: frame.to_csv(index=False).encode(),
            ARROW: arrow(frame),
            PARQUET: parquet(frame),
        }

    def make(self) -> Hostile:
        kind = self.chance.choice(
            (
                self._wrong,
                self._wrong,
                self._wrong,
                self._torn,
                self._noise,
                self._deep,
                self._table,
            )
        )
        media_type, body = kind()
        return Hostile(self._cut(body), self._headers(media_type))

    def _payload(self) -> Any:
        """A request that is answered."""
        rows = [dict(each) for each in self.chance.choices(self._rows, k=self.chance.randint(1, 3))]
        positional = [[row[name] for name in self._names] for row in rows]
        payload = self.chance.choice(
            ({"rows": rows}, {"features": positional}, {"features": positional[0]})
        )
        wrapped = {"input_data": payload, "dataset_name": "d", "environment": "dev"}
        return wrapped if self.chance.random() < 0.3 else payload

    def _wrong(self) -> tuple[bytes, bytes]:
        """JSON with other values, names or lengths than expected, sometimes none."""
        payload: Any = [copy.deepcopy(self._payload())]
        for _ in range(self.chance.choice((0, 1, 1, 1, 2, 4))):
            inside, key = self._place(payload)
            action = self.chance.random()
            if action < 0.75:
                inside[key] = copy.deepcopy(self.chance.choice(HEAVY))
            elif action < 0.85 and inside is not payload:
                del inside[key]
            elif isinstance(inside, dict):
                name = self.chance.choice(("", "rows", "features", "input_data", "x\x00", "ключ"))
                inside[name] = copy.deepcopy(self.chance.choice(HEAVY))
            elif inside is not payload:
                inside.insert(key, copy.deepcopy(self.chance.choice(HEAVY)))
        spaced = {"indent": 1} if self.chance.random() < 0.2 else {}
        text = json.dumps(payload[0], ensure_ascii=self.chance.random() < 0.5, **spaced)
        return JSON, text.encode()

    def _place(self, payload: list[Any]) -> tuple[Any, Any]:
        """Return a container of the payload and one of its keys, at any depth."""
        inside, key = payload, 0
        while isinstance(inside[key], dict | list) and inside[key] and self.chance.random() < 0.8:
            inside = inside[key]
            keys = list(inside) if isinstance(inside, dict) else range(len(inside))
            key = self.chance.choice(keys)
        return inside, key

    def _torn(self) -> tuple[bytes, bytes]:
        """JSON with bytes taken out, doubled, or put between."""
        body = bytearray(json.dumps(self._payload()).encode())
        for _ in range(self.chance.randint(1, 3)):
            at = self.chance.randrange(len(body) + 1)
            until = at + self.chance.choice((0, 0, 1, 5, 50))
            put = self.chance.choice((b"", self.chance.choice(RAW), bytes(body[at:until]) * 2))
            body[at:until] = put
        return JSON, bytes(body)

    def _noise(self) -> tuple[bytes, bytes]:
        """Random bytes as any type."""
        length = self.chance.choice((0, 1, 3, 16, 200, 2_000))
        return self.chance.choice(TYPES), self.chance.randbytes(length)

    def _deep(self) -> tuple[bytes, bytes]:
        """Lists in lists, objects in objects, closed or not."""
        depth = self.chance.choice((10, 900, 1_100, 8_000))
        opened, closed = self.chance.choice(((b"[", b"]"), (b'{"rows":', b"}"), (b'{"a":[', b"]}")))
        body = opened * depth + b"1" + closed * self.chance.choice((depth, depth - 1, 0))
        around = self.chance.choice(
            (b"%s", b'{"rows":[%s]}', b'{"features":%s}', b'{"rows":[{"a":%s}]}')
        )
        return JSON, around % body

    def _table(self) -> tuple[bytes, bytes]:
        """A table whose bytes were changed, or that was sent as another type."""
        media_type = self.chance.choice((CSV, ARROW, PARQUET))
        body = bytearray(self._tables[media_type])
        for _ in range(self.chance.choice((0, 1, 1, 3, 10))):
            at = self.chance.randrange(len(body))
            action = self.chance.random()
            if action < 0.6:
                body[at] = self.chance.randrange(256)
            elif action < 0.8:
                del body[at : at + self.chance.randint(1, 60)]
            else:
                body[at:at] = self.chance.choice((b"\x00", b'"', b",", b"\n", b"\xff" * 4, b",,,"))
        if self.chance.random() < 0.1:
            media_type = self.chance.choice(TYPES)
        return media_type, bytes(body)

    def _cut(self, body: bytes) -> tuple[bytes, ...]:
        if self.chance.random() < 0.8 or len(body) < 2:
            return (body,)
        at = self.chance.randrange(len(body))
        return (body[:at], b"", body[at:])

    def _headers(self, media_type: bytes) -> tuple[tuple[bytes, bytes], ...]:
        headers = [(b"content-type", media_type)]
        strange = self.chance.random()
        if strange < 0.1:
            headers = [(b"content-type", self.chance.randbytes(self.chance.randint(0, 30)))]
        elif strange < 0.15:
            headers = []
        elif strange < 0.25:
            headers = [(b"content-type", media_type.upper() + b"; charset=utf-16; q=\xff")]
        if self.chance.random() < 0.3:
            accepts = (CSV, ARROW, b"*/*", b"\xff\xfe", b"", b"text/csv;q=0", b"application/xml")
            headers.append((b"accept", self.chance.choice(accepts)))
        if self.chance.random() < 0.3:
            headers.append((b"x-caller", self.chance.randbytes(self.chance.choice((0, 9, 900)))))
        if self.chance.random() < 0.2:
            headers.append((b"content-length", self.chance.choice((b"-1", b"x", b"9" * 40))))
        if self.chance.random() < 0.2:
            headers.append((self.chance.randbytes(5).lower(), self.chance.randbytes(50)))
        return tuple(headers)


def arrow(frame: pd.DataFrame) -> bytes:
    table, stream = pa.Table.from_pandas(frame, preserve_index=False), io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), stream)
    return stream.getvalue()


def fault_of(answer: Answer) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if answer.status not in ALLOWED:
        return f"status {answer.status}: {answer.body[:200]!r}"
    if int(answer.headers["content-length"]) != len(answer.body):
        return "content-length is wrong"
    if answer.headers["content-type"] == "application/json":
        return _fault_of_words(answer)
    return "" if answer.status == 200 else f"{answer.status} is no JSON"


def _fault_of_words(answer: Answer) -> str:
    try:
        content = msgspec.json.decode(answer.body)
    except msgspec.DecodeError as error:
        return f"the answer is no JSON: {error}"
    if answer.status == 200:
        return "" if "predictions" in content or "prediction" in content else "no predictions"
    if not (content.get("error") and content.get("detail")):
        return f"without error and detail: {content}"
    return "" if len(answer.body) < 20_000 else f"an answer of {len(answer.body):,} bytes"


@pytest.mark.parametrize(
    ("name", "requests"), [("income", 6_000), ("crops", 4_000), ("as_it_is", 500)]
)
@pytest.mark.filterwarnings("ignore")  # NumPy's, about numbers beyond all bounds
def test_every_request_is_answered_and_every_answer_is_logged(
    served: dict[str, Served], tmp_path: Path, name: str, requests: int
) -> None:
    maker, faults, answered = Maker(served[name], seed=requests), [], []

    async def send(endpoint: Any) -> None:
        for _ in range(requests):
            hostile = maker.make()
            try:
                answer = await ask(endpoint, hostile.parts, headers=hostile.headers)
            except Exception as error:  # noqa: BLE001 - any is a fault
                faults.append((repr(error), str(hostile)))
                continue
            fault = fault_of(answer)
            if fault:
                faults.append((fault, str(hostile)))
            if answer.status == 200:
                answered.append(answer)

    with in_process(served[name].source, tmp_path, body_limit=LIMIT) as endpoint:
        endpoint.load()
        asyncio.run(send(endpoint))
    lines = read_log(tmp_path)
    told = {each.json()["prediction_id"] for each in answered if each.body[:1] == b"{"}

    assert not faults, f"{len(faults)} faults, first {faults[:3]}"
    assert len(lines) == len(answered) > requests // 50
    assert told <= {each["id"] for each in lines}
    assert len({each["id"] for each in lines}) == len(lines)
    assert len({each.status for each in answered}) == 1


def run(
    served: Served, tmp_path: Path, send: Callable[[Any], Any], **options: Any
) -> Answer | list[Answer]:
    """Run `send` with the loaded endpoint of a Bento."""
    with in_process(served.source, tmp_path, **options) as endpoint:
        endpoint.load()
        return asyncio.run(send(endpoint))


@pytest.mark.parametrize(
    ("body", "size"),
    [
        pytest.param([b"x" * (LIMIT + 1)], 1, id="in one part"),
        pytest.param([b"x" * 1_000] * (LIMIT // 1_000 + 1), 51, id="in many parts"),
    ],
)
def test_a_body_is_refused_as_soon_as_it_is_too_large(
    served: dict[str, Served], tmp_path: Path, body: list[bytes], size: int
) -> None:
    parts = [*body, *([b"x" * 1_000] * 1_000 if size > 1 else [])]
    taken = []

    async def receive() -> dict[str, Any]:
        taken.append(parts[len(taken)])
        return {"type": "http.request", "body": taken[-1], "more_body": len(taken) < len(parts)}

    answer = run(
        served["income"], tmp_path, lambda app: ask(app, receive=receive), body_limit=LIMIT
    )

    assert answer.status == 413
    assert len(taken) == size


def test_a_long_text_of_digits_is_refused_at_once(
    served: dict[str, Served], tmp_path: Path
) -> None:
    rows = [served["income"].fitted.rows[0] | {"age": "1" * 15_000 + "x"}]
    body = json.dumps({"rows": rows}).encode()

    async def send(endpoint: Any) -> tuple[Answer, float]:
        started = time.perf_counter()
        return await ask(endpoint, body), time.perf_counter() - started

    answer, seconds = run(served["income"], tmp_path, send)

    assert answer.status == 422
    assert seconds < 1  # a matching that tries every way to split the digits takes many


def _nulls(rows: int) -> bytes:
    schema = pa.schema([("age", pa.null())])
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, schema) as writer:
        writer.write_batch(pa.record_batch([pa.nulls(rows)], schema=schema))
    return stream.getvalue()


def _repeated(rows: int) -> bytes:
    stream = io.BytesIO()
    table = pa.table({"age": pa.array(np.zeros(rows, np.int8)), "sex": pa.nulls(rows)})
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        pytest.param(ARROW, _nulls(5_000_000), id="arrow"),
        pytest.param(PARQUET, _repeated(5_000_000), id="parquet"),
    ],
)
def test_a_small_table_of_many_rows_is_refused_before_it_is_unpacked(
    served: dict[str, Served],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    media_type: bytes,
    body: bytes,
) -> None:
    assert len(body) < 50_000
    unpacked = []

    async def send(endpoint: Any) -> Answer:
        read = endpoint._reader.read_table
        monkeypatch.setattr(
            endpoint._reader,
            "read_table",
            lambda table, size: unpacked.extend(map(len, table.values())) or read(table, size),
        )
        return await ask(endpoint, body, headers=[(b"content-type", media_type)])

    answer = run(served["income"], tmp_path, send)

    assert answer.status in {413, 422}
    assert max(unpacked, default=0) <= 100_000


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("media_type", [ARROW, PARQUET])
def test_dates_of_every_unit_are_answered_and_logged(
    served: dict[str, Served], tmp_path: Path, media_type: bytes, unit: str
) -> None:
    frame = served["crops"].fitted.frame.astype({"sown": f"datetime64[{unit}]"})
    body = arrow(frame) if media_type == ARROW else parquet(frame)
    headers = [(b"content-type", media_type)]

    answer = run(served["crops"], tmp_path, lambda app: ask(app, body, headers=headers))
    (line,) = read_log(tmp_path)

    assert answer.status == 200
    assert [each["prediction"] for each in answer.json()["predictions"]] == served[
        "crops"
    ].fitted.scores
    assert line["request"]["columns"]["sown"][0].startswith("2024-")


def test_a_date_without_time_is_a_date(served: dict[str, Served], tmp_path: Path) -> None:
    frame = served["crops"].fitted.frame
    days = frame.assign(sown=frame["sown"].dt.date)  # which Arrow keeps as date32
    asked = [(b"content-type", ARROW)]

    answer = run(served["crops"], tmp_path, lambda app: ask(app, arrow(days), headers=asked))

    assert answer.status == 200, answer.body


@pytest.mark.parametrize("name", ["income", "crops", "as_it_is"])
def test_a_table_of_gaps_gives_an_answer_or_names_the_columns(
    served: dict[str, Served], tmp_path: Path, name: str
) -> None:
    frame = served[name].fitted.frame
    gaps = pd.DataFrame({each: [None] * 2 for each in frame.columns})
    headers = [(b"content-type", PARQUET)]

    answer = run(served[name], tmp_path, lambda app: ask(app, parquet(gaps), headers=headers))

    assert answer.status == 422
    assert "has never seen it missing" in answer.json()["faults"][0]["fault"]
