"""A model server as it runs in production: a process of its own, asked over HTTP."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.services.served_models import (
    Served,
    Server,
    ask,
    copied,
    in_process,
    read_log,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
NAMES = ("income", "crops", "as_it_is")


@pytest.fixture(scope="module")
def servers(
    served: dict[str, Served], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Server]]:
    """A server of each Bento, loaded."""
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(running(each.source, folder / name, threads=2))
            for name, each in served.items()
        }
        for server in started.values():
            server.wait("/health/ready")
        yield started


@pytest.fixture
def income(servers: dict[str, Server]) -> Server:
    return servers["income"]


@pytest.fixture
def crops(servers: dict[str, Server]) -> Server:
    return servers["crops"]


@pytest.fixture
def people(served: dict[str, Served]) -> list[dict[str, Any]]:
    return served["income"].fitted.rows


@pytest.fixture
def fields(served: dict[str, Served]) -> list[dict[str, Any]]:
    return served["crops"].fitted.rows


def body_of(frame: pd.DataFrame, media_type: str) -> bytes:
    """Return a frame as a body; dates in microseconds, as the store keeps them."""
    if media_type == CSV:
        return frame.to_csv(index=False).encode()
    frame = frame.astype(dict.fromkeys(frame.select_dtypes("datetime64").columns, "datetime64[us]"))
    table, stream = pa.Table.from_pandas(frame, preserve_index=False), io.BytesIO()
    if media_type == PARQUET:
        pq.write_table(table, stream)
    else:
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
    return stream.getvalue()


def scores_of(answer: dict[str, Any]) -> list[Any]:
    """Return an answer's scores as the pipeline gives them."""
    return [
        list(each["probabilities"].values()) if each["probabilities"] else each["prediction"]
        for each in answer["predictions"]
    ]


def faults_of(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [each["place"] for each in answer.json()["faults"]]


def raw(server: Server, head: str, body: bytes = b"") -> socket.socket:
    """Return a socket on which a request's beginning was sent."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
    return connection


HEAD = "POST /predict HTTP/1.1\nhost: x\ncontent-type: application/json\ncontent-length: {}"


@pytest.mark.parametrize("name", NAMES)
def test_scores_equal_the_fitted_pipelines_to_the_bit(
    servers: dict[str, Server], served: dict[str, Served], name: str
) -> None:
    fitted = served[name].fitted

    answer = servers[name].predict({"rows": fitted.rows}).json()

    assert (answer["model"], answer["version"]) == (name, 3)
    assert scores_of(answer) == fitted.scores


@pytest.mark.parametrize("media_type", [JSON, CSV, ARROW])
def test_a_thousand_rows_are_answered_as_forty_are(
    income: Server, served: dict[str, Served], media_type: str
) -> None:
    fitted = served["income"].fitted
    frame = pd.concat([fitted.frame] * 25, ignore_index=True)
    body = json.dumps({"rows": fitted.rows * 25}).encode()
    content = body if media_type == JSON else body_of(frame, media_type)

    answer = income.client.post(
        "/predict", content=content, headers={"content-type": media_type}
    ).json()

    assert scores_of(answer) == fitted.scores * 25
    assert answer["warnings"] == income.predict({"rows": fitted.rows}).json()["warnings"]
    noted = next(each for each in income.lines() if each["id"] == answer["prediction_id"])
    assert noted["rows"] == 1_000
    if media_type == JSON:
        assert noted["request"]["rows"] == fitted.rows * 25
    else:
        columns = noted["request"]["columns"]
        assert columns["age"] == [each["age"] for each in fitted.rows * 25]


@pytest.mark.parametrize("accept", [CSV, ARROW])
def test_a_thousand_rows_are_answered_as_a_table(
    income: Server, people: list[dict[str, Any]], accept: str
) -> None:
    as_table = income.predict({"rows": people * 25}, accept=accept).content
    as_json = income.predict({"rows": people * 25}).json()["predictions"]

    if accept == CSV:
        found = pd.read_csv(io.BytesIO(as_table))["prediction"].tolist()
    else:
        found = pa.ipc.open_stream(as_table).read_all()["prediction"].to_pylist()
    assert found == [each["prediction"] for each in as_json]


def test_a_gap_far_down_is_warned_of(crops: Server, fields: list[dict[str, Any]]) -> None:
    whole = [each for each in fields if None not in each.values()]
    rows = [*whole * (1_000 // len(whole)), {**whole[0], "rain": None}]

    answer = crops.predict({"rows": rows}).json()

    assert len(answer["predictions"]) == len(rows)
    assert answer["warnings"] == ["rain: missing, and answered as such"]


def test_a_fault_among_a_thousand_rows_is_told_with_its_place(
    income: Server, people: list[dict[str, Any]]
) -> None:
    rows = [*people * 24, {**people[0], "age": "old"}]

    assert faults_of(income.predict({"rows": rows})) == ["rows[960].age"]


def test_a_compiled_model_and_the_model_as_it_is_agree(
    servers: dict[str, Server], people: list[dict[str, Any]]
) -> None:
    compiled, plain = (
        servers[name].predict({"rows": people}).json()["predictions"]
        for name in ("income", "as_it_is")
    )

    assert compiled == plain


def test_the_more_probable_class_is_predicted(income: Server, people: list[dict[str, Any]]) -> None:
    predictions = income.predict({"rows": people}).json()["predictions"]

    assert {each["prediction"] for each in predictions} == {"<=50K", ">50K"}
    for each in predictions:
        assert each["prediction"] == max(each["probabilities"], key=each["probabilities"].get)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("media_type", [CSV, ARROW, PARQUET])
def test_a_table_is_answered_as_json_is(
    servers: dict[str, Server], served: dict[str, Served], name: str, media_type: str
) -> None:
    fitted = served[name].fitted

    answer = servers[name].client.post(
        "/predict",
        content=body_of(fitted.frame, media_type),
        headers={"content-type": media_type},
    )

    assert answer.status_code == 200, answer.text
    assert scores_of(answer.json()) == fitted.scores


@pytest.mark.parametrize("name", NAMES)
def test_answers_come_as_csv_and_arrow_where_asked_for(
    servers: dict[str, Server], served: dict[str, Served], name: str
) -> None:
    rows = {"rows": served[name].fitted.rows}
    said = [each["prediction"] for each in servers[name].predict(rows).json()["predictions"]]

    lines = servers[name].predict(rows, accept=CSV)
    stream = servers[name].predict(rows, accept=ARROW)

    assert (lines.headers["content-type"], stream.headers["content-type"]) == (CSV, ARROW)
    from_lines = pd.read_csv(io.BytesIO(lines.content), float_precision="round_trip")
    from_stream = pa.ipc.open_stream(stream.content).read_all().to_pandas()
    assert from_lines["prediction"].tolist() == from_stream["prediction"].tolist() == said
    assert list(from_lines.columns) == list(from_stream.columns)
    pd.testing.assert_frame_equal(from_lines, from_stream, check_exact=True)


def test_positional_rows_are_answered_as_named_ones(
    income: Server, people: list[dict[str, Any]]
) -> None:
    features = [list(each.values()) for each in people]

    named = income.predict({"rows": people}).json()

    assert income.predict({"features": features}).json()["predictions"] == named["predictions"]


def test_one_positional_row_is_answered_flat(income: Server, served: dict[str, Served]) -> None:
    row = served["income"].fitted.rows[0]
    expected = income.predict({"rows": [row]}).json()["predictions"][0]

    answer = income.predict({"features": list(row.values())}).json()

    assert answer["model"] == "Lightgbm"  # as a person would say it
    assert {key: answer[key] for key in expected} == expected
    assert set(answer) == {"model", "version", "prediction_id", "prediction", "probabilities"}


def test_the_request_of_the_small_platform_is_understood(
    crops: Server, fields: list[dict[str, Any]]
) -> None:
    inner = {"features": [list(each.values()) for each in fields[:2]]}
    content = {"dataset_name": "my_dataset", "environment": "staging", "input_data": inner}

    answer = crops.predict(content)

    assert answer.json()["predictions"] == crops.predict({"rows": fields[:2]}).json()["predictions"]


def test_the_request_of_the_training_pipeline_is_understood(crops: Server) -> None:
    body = '{"features": [1709251200, 2.0, 3.0, 4.0, "loam", 1.0]}'

    answer = crops.client.post(
        "/predict", content=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "Ridge"
    assert isinstance(answer.json()["prediction"], float)


@pytest.mark.parametrize(
    ("column", "well", "sent"),
    [
        pytest.param("plants", 5, "5", id="a whole number as text"),
        pytest.param("plants", 5, 5.0, id="a whole number as fraction"),
        pytest.param("rain", 600, "6e2", id="a number in scientific notation"),
        pytest.param("irrigated", True, "true", id="a truth as text"),
        pytest.param("irrigated", False, 0, id="a truth as number"),
        pytest.param("sown", "2024-03-01T00:00:00+00:00", "2024-03-01", id="a day"),
        pytest.param("sown", "2024-03-01T00:00:00Z", 1709251200, id="Unix seconds"),
        pytest.param("sown", "2024-03-01T00:00:00Z", "2024-03-01T02:00:00+02:00", id="a zone"),
        pytest.param("soil", "12", 12, id="a number as text"),
    ],
)
def test_values_are_coerced_where_nothing_is_lost(
    crops: Server, fields: list[dict[str, Any]], column: str, well: Any, sent: Any
) -> None:
    expected, found = (
        crops.predict({"rows": [fields[0] | {column: each}]}).json() for each in (well, sent)
    )

    assert found["predictions"] == expected["predictions"]


@pytest.mark.parametrize(
    ("column", "sent"),
    [
        ("plants", 5.5),
        ("plants", True),
        ("plants", "five"),
        ("plants", 10**400),
        ("rain", "NaN"),
        ("rain", []),
        ("irrigated", 2),
        ("irrigated", "yes"),
        ("sown", "2024-02-30"),
        ("sown", True),
        ("soil", {"a": 1}),
        ("plants", None),
        ("sown", None),
    ],
)
def test_a_value_that_is_none_of_its_column_is_refused_with_its_place(
    crops: Server, fields: list[dict[str, Any]], column: str, sent: Any
) -> None:
    rows = [fields[0], fields[1] | {column: sent}]
    content = json.dumps({"rows": rows})

    named = crops.client.post(
        "/predict", content=content, headers={"content-type": "application/json"}
    )

    assert faults_of(named) == [f"rows[1].{column}"]


def test_places_are_told_in_the_words_of_the_request(
    crops: Server, fields: list[dict[str, Any]]
) -> None:
    frame = pd.DataFrame(fields[:2]).astype(object)
    frame.loc[1, "plants"] = "many"
    values = frame.to_numpy().tolist()
    lines = crops.client.post(
        "/predict", content=body_of(frame, CSV), headers={"content-type": CSV}
    )

    assert faults_of(crops.predict({"features": values})) == ["features[1][1] (plants)"]
    assert faults_of(crops.predict({"features": values[1]})) == ["features[1] (plants)"]
    assert faults_of(lines) == ["row 2, column plants"]


def test_all_faults_are_told_up_to_ten(crops: Server, fields: list[dict[str, Any]]) -> None:
    rows = [each | {"plants": "x", "rain": "y"} for each in fields[:20]]

    assert len(faults_of(crops.predict({"rows": rows}))) == 10
    assert len(faults_of(crops.predict({"rows": rows[:3]}))) == 6


@pytest.mark.parametrize("gap", ["null", "left out"])
def test_a_gap_the_model_knows_is_answered_with_a_warning(
    crops: Server, fields: list[dict[str, Any]], gap: str
) -> None:
    row = fields[0] | {"rain": None, "soil": None, "visits": None}
    if gap == "left out":
        row = {name: value for name, value in row.items() if value is not None}

    answer = crops.predict({"rows": [row]}).json()

    assert [each.split(":")[0] for each in answer["warnings"]] == ["visits", "rain", "soil"]
    assert (
        "warnings"
        not in crops.predict(
            {"rows": [fields[0] | {"rain": 1.5, "soil": "clay", "visits": 3}]}
        ).json()
    )


def test_a_gap_the_model_never_saw_is_refused(crops: Server, fields: list[dict[str, Any]]) -> None:
    row = {name: value for name, value in fields[0].items() if name not in {"sown", "irrigated"}}

    answer = crops.predict({"rows": [row]})

    assert faults_of(answer) == ["rows[0].sown", "rows[0].irrigated"]
    assert "has never seen it missing" in answer.json()["detail"]


def test_columns_the_model_lacks_are_left_alone(
    income: Server, people: list[dict[str, Any]]
) -> None:
    more = [each | {"shoe_size": {"eu": 43}} for each in people[:3]]

    assert (
        income.predict({"rows": more}).json()["predictions"]
        == income.predict({"rows": people[:3]}).json()["predictions"]
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"rows": []}', b'{"rows": 5}', b'{"features": []}', b"[" * 9_000],
)
def test_a_body_that_is_no_request_is_refused(income: Server, content: bytes) -> None:
    answer = income.client.post(
        "/predict", content=content, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 422
    assert answer.json()["error"] == "RowsError"
    assert answer.json()["detail"]


def test_a_table_whose_texts_lie_outside_of_it_is_refused(
    income: Server, served: dict[str, Served]
) -> None:
    frame = served["income"].fitted.frame[:2].assign(sex=["a" * 77, "b" * 55])
    well, ill = (struct.pack("<3i", 0, *ends) for ends in ((77, 132), (2**30, 2**30 + 9)))
    body = body_of(frame, ARROW)
    assert body.count(well) == 1

    answer = income.client.post(
        "/predict", content=body.replace(well, ill), headers={"content-type": ARROW}
    )

    assert answer.status_code == 422
    assert income.process.poll() is None  # reading them ends the process


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_other_media_types_are_refused(income: Server, media_type: str) -> None:
    answer = income.client.post("/predict", content=b"a=1", headers={"content-type": media_type})

    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(income: Server, chunked: bool) -> None:
    part = b" " * 1_000_000
    content: Any = (part for _ in range(17)) if chunked else part * 17

    answer = income.client.post(
        "/predict", content=content, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 413
    assert "16,000,000" in answer.json()["detail"]
    assert income.client.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", "POST"),
        ("DELETE", "/predict", "POST"),
        ("OPTIONS", "/predict", "POST"),
        ("POST", "/metrics", "GET"),
        ("PUT", "/health/live", "GET"),
    ],
)
def test_another_method_is_told_which_to_use(
    income: Server, method: str, path: str, allowed: str
) -> None:
    answer = income.client.request(method, path)

    assert answer.status_code == 405
    assert allowed in answer.headers["allow"]
    assert answer.json()["error"] == "MethodNotAllowed"


@pytest.mark.parametrize("path", ["/nothing", "/predict/", "/", "/docs/../../manifest.json"])
def test_a_path_that_is_none_is_not_found(income: Server, path: str) -> None:
    assert income.client.get(path).status_code == 404


@pytest.mark.parametrize("row", [{"rain": 1e308}, {"rain": -1e308}])
def test_a_score_beyond_all_numbers_is_the_requests_fault(
    crops: Server, fields: list[dict[str, Any]], row: dict[str, Any]
) -> None:
    large = crops.predict({"rows": [fields[0] | row]})

    assert large.status_code in {200, 422}
    if large.status_code == 200:  # finite, and strict JSON
        json.loads(large.content, parse_constant=pytest.fail)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("accept", [JSON, CSV])
@pytest.mark.parametrize("size", [1, 1_000])
def test_a_score_that_is_no_number_is_never_an_answer(
    served: dict[str, Served], tmp_path: Path, score: float, accept: str, size: int
) -> None:
    rows = [{**served["crops"].fitted.rows[0], "plants": place} for place in range(size)]
    headers = [(b"content-type", JSON.encode()), (b"accept", accept.encode())]
    with in_process(served["crops"].source, tmp_path, threads=2) as endpoint:
        endpoint.load()
        endpoint._scores = Faulty(score, size - 1)
        answer = asyncio.run(ask(endpoint, json.dumps({"rows": rows}).encode(), headers=headers))

    assert answer.status == 422
    assert answer.json()["faults"][0]["place"] == f"rows[{size - 1}]"
    assert read_log(tmp_path) == []


class Faulty:
    """A model that has no answer where there are so many plants."""

    def __init__(self, score: float, plants: int) -> None:
        self._score, self._plants = score, plants

    def scores(self, batch: Any) -> Any:
        plants = batch.numbers[:, 0]
        return pd.Series(plants).where(plants != self._plants, self._score).to_numpy()


def test_every_answer_is_a_record_of_the_log(income: Server, people: list[dict[str, Any]]) -> None:
    content, before = {"rows": people[:2]}, len(income.lines())

    answer = income.predict(content, **{"x-caller": "shop"}).json()
    income.predict({"rows": []})  # which is not answered
    (line,) = income.lines()[before:]

    assert line["response"] == answer
    assert line["request"] == content
    assert line["id"] == answer["prediction_id"]
    assert (line["model"], line["version"], line["caller"], line["rows"]) == (
        "income",
        3,
        "shop",
        2,
    )
    assert 0 < line["latency"] < 10
    assert abs(datetime.fromtimestamp(line["time"], UTC) - datetime.now(UTC)).seconds < 60


def test_a_request_over_several_lines_is_one_record_of_the_log(
    income: Server, people: list[dict[str, Any]]
) -> None:
    content = {"rows": [people[0] | {"sex": "a\nb"}]}
    before = len(income.lines())

    income.client.post(
        "/predict",
        content=json.dumps(content, indent=2).replace("\n", "\r\n"),
        headers={"content-type": "application/json"},
    )

    assert [each["request"] for each in income.lines()[before:]] == [content]


def test_an_answer_is_sent_when_it_is_logged(served: dict[str, Served], tmp_path: Path) -> None:
    logged: list[int] = []
    body = json.dumps({"rows": served["income"].fitted.rows[:1]}).encode()
    with in_process(served["income"].source, tmp_path) as endpoint:
        endpoint.load()

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            async def look(message: Any) -> None:
                logged.append(len(read_log(tmp_path)))
                await send(message)

            await endpoint(scope, receive, look)

        for _ in range(2):
            asyncio.run(ask(watched, body))

    assert logged == [1, 1, 2, 2]  # head and body of each answer


def test_requests_that_come_together_are_logged_together(
    served: dict[str, Served], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    body = json.dumps({"rows": served["income"].fitted.rows[:1]}).encode()
    with in_process(served["income"].source, tmp_path) as endpoint:
        endpoint.load()
        append = endpoint._journal._append

        def count(block: bytes, records: int) -> bool:
            written.append(records)
            return append(block, records)

        async def send() -> list[Any]:
            return await asyncio.gather(*(ask(endpoint, body) for _ in range(5)))

        monkeypatch.setattr(endpoint._journal, "_append", count)
        answers = asyncio.run(send())

    assert written == [5]
    assert [each["response"] for each in read_log(tmp_path)] == [each.json() for each in answers]


def test_nothing_is_answered_when_the_log_takes_no_more(
    served: dict[str, Served], tmp_path: Path
) -> None:
    body = json.dumps({"rows": served["income"].fitted.rows[:1]}).encode()
    with in_process(served["income"].source, tmp_path) as endpoint:
        endpoint.load()
        endpoint._journal.full = True
        refused = asyncio.run(ask(endpoint, body))
        endpoint._journal.full = False
        answered = asyncio.run(ask(endpoint, body))

    assert (refused.status, refused.json()["error"]) == (503, "PredictionLogFull")
    assert refused.headers["retry-after"] == "1"
    assert answered.status == 200
    assert len(read_log(tmp_path)) == 1


def test_fifty_requests_at_once_are_answered_each_with_its_own(
    income: Server, served: dict[str, Served]
) -> None:
    fitted, before = served["income"].fitted, len(income.lines())
    expected = dict(enumerate(fitted.scores))

    def send(place: int) -> bool:
        at = place % len(fitted.rows)
        kind = place % 5
        if kind == 0:
            return income.client.post("/predict", content=b"{").status_code == 422
        if kind == 1:
            content, media_type = body_of(fitted.frame[at : at + 1], PARQUET), PARQUET
        elif kind == 2:
            content, media_type = body_of(fitted.frame[at : at + 1], CSV), CSV
        elif kind == 3:  # large: in a thread
            content = json.dumps({"rows": [fitted.rows[at]] * 200}).encode()
            media_type = "application/json"
        else:
            content = json.dumps({"rows": [fitted.rows[at]]}).encode()
            media_type = "application/json"
        answer = income.client.post(
            "/predict", content=content, headers={"content-type": media_type}
        )
        return all(each == expected[at] for each in scores_of(answer.json()))

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(send, range(50)))
    assert len({each["id"] for each in income.lines()[before:]}) == 40


def test_a_slow_client_does_not_keep_others_waiting(
    income: Server, people: list[dict[str, Any]]
) -> None:
    body = json.dumps({"rows": people[:1]}).encode()
    slow = [raw(income, HEAD.format(len(body)), body[:10]) for _ in range(20)]
    started = time.perf_counter()
    answers = [income.predict({"rows": people[:1]}).status_code for _ in range(20)]
    seconds = time.perf_counter() - started
    for each in slow:
        each.sendall(body[10:])

    assert answers == [200] * 20
    assert seconds < 5
    assert all(each.recv(20).startswith(b"HTTP/1.1 200") for each in slow)


def test_a_body_that_never_ends_is_given_up(served: dict[str, Served]) -> None:
    with in_process(served["crops"].source, seconds=0.1) as endpoint:
        answer = asyncio.run(ask(endpoint, receive=Endless()))

    assert answer.status == 503
    assert answer.json()["error"] == "TimeLimit"
    assert answer.headers["retry-after"] == "1"


class Endless:
    """A client that sends a space now and then."""

    async def __call__(self) -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}


def test_a_client_that_leaves_in_the_middle_costs_nothing(
    income: Server, people: list[dict[str, Any]]
) -> None:
    before = len(income.lines())
    for _ in range(10):
        raw(income, HEAD.format(1_000), b'{"rows"').close()

    assert income.predict({"rows": people[:1]}).status_code == 200
    assert len(income.lines()) == before + 1
    assert income.output.read_text() == ""


def test_what_was_counted_is_exposed(served: dict[str, Served], tmp_path: Path) -> None:
    rows = served["crops"].fitted.rows
    with running(served["crops"].source, tmp_path) as server:
        server.wait("/health/ready")
        server.predict({"rows": rows[:3]})
        server.predict({"rows": []})
        server.client.post("/predict", content=b"a", headers={"content-type": "text/plain"})
        answer = server.client.get("/metrics")

    labels = 'model="crops",version="3"'
    status = '{model="crops",status="%d",version="3"} 1.0\n'
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE request_processing_seconds histogram\n" in answer.text
    assert f'request_processing_seconds_bucket{{le="0.005",{labels}}} ' in answer.text
    assert f"request_processing_seconds_count{{{labels}}} 3.0\n" in answer.text
    assert f"predictions_rows_total{{{labels}}} 3.0\n" in answer.text
    for code in (422, 415):
        assert "predictions_errors_total" + status % code in answer.text
    assert "predictions_requests_total" + status % 200 in answer.text
    assert "prediction_log_records 1.0\n" in answer.text
    assert "prediction_log_held_records 0.0\n" in answer.text


def test_the_documentation_needs_no_network(income: Server) -> None:
    page = income.client.get("/docs")
    links = re.findall(r'(?:src|href|url)\s*[=:]\s*"([^"]+)"', page.text)

    assert page.headers["content-type"].startswith("text/html")
    assert len(links) == 3
    for link in links:
        assert "//" not in link
        assert not link.startswith("/")  # the gateway serves it below a path of its own
        assert income.client.get(f"/{link}").status_code == 200
    style = income.client.get("/docs/swagger-ui.css").text
    assert not re.search(r"url\(\s*[\"']?http|@import", style)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("example", ["rows", "features", "row"])
def test_the_documented_example_can_be_sent_as_it_is(
    servers: dict[str, Server], name: str, example: str
) -> None:
    document = servers[name].client.get("/openapi.json").json()
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]

    answer = servers[name].predict(body["examples"][example]["value"])

    assert document["openapi"].startswith("3.1")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_bentomls_own_paths_answer(income: Server, path: str) -> None:
    assert income.client.get(path).status_code == 200


def test_head_is_answered_without_a_body(income: Server) -> None:
    answer = income.client.head("/health/live")

    assert (answer.status_code, answer.content) == (200, b"")


_GATED = """

_load = load_scores


def load_scores(*given, **named):
    import time
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return _load(*given, **named)
"""


def test_a_server_lives_at_once_and_is_ready_after_its_model(
    served: dict[str, Served], tmp_path: Path
) -> None:
    rows = served["crops"].fitted.rows[:1]
    source = copied(served["crops"].source, tmp_path / "slow")
    with (source / "predictor.py").open("a") as code:
        code.write(_GATED)
    with running(source, tmp_path / "run") as server:
        server.wait("/health/live")
        early = server.client.get("/health/ready")
        refused = server.predict({"rows": rows})
        behind = server.client.get("/readyz")
        counted = server.client.get("/metrics")
        (source / "go").touch()
        server.wait("/health/ready")
        answered = server.predict({"rows": rows})

    assert (early.status_code, refused.status_code, answered.status_code) == (503, 503, 200)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"] == "NotReady"
    assert counted.status_code == 200
    assert behind.status_code == 503  # an orchestrator may ask BentoML's path instead


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness each on Linux only")
def test_what_makes_a_server_ready_gives_way_and_what_answers_does_not(
    served: dict[str, Served], people: list[dict[str, Any]], tmp_path: Path
) -> None:
    with running(served["income"].source, tmp_path, threads=2) as server:
        server.wait("/health/ready")
        pid = server.process.pid
        server.predict({"rows": people * 25}).raise_for_status()
        found = Counter(map(niceness, threads_of(pid)))
        own = niceness(os.getpid())

        assert set(found) == {own, min(19, own + 10)}
        assert found[min(19, own + 10)] == 1
        assert found[own] >= 4  # the loop, the journal, and two that score


def threads_of(pid: int) -> set[int]:
    return {thread.id for thread in psutil.Process(pid).threads()}


def niceness(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def test_a_plan_of_another_interface_is_not_served(
    served: dict[str, Served], tmp_path: Path
) -> None:
    source = copied(served["crops"].source, tmp_path / "other")
    code = (source / "predictor.py").read_text()
    (source / "predictor.py").write_text(code.replace("INTERFACE = 1\n", "INTERFACE = 2\n"))
    with running(source, tmp_path / "run") as server:
        status = server.process.wait(60)

    assert status == 1
    assert "InterfaceError: plan 1, server 2: build it again" in server.output.read_text()


def test_a_server_that_is_told_to_stop_answers_what_it_took(
    served: dict[str, Served], tmp_path: Path
) -> None:
    fitted = served["income"].fitted
    body = json.dumps({"rows": fitted.rows}).encode()
    answered, stop = [], threading.Event()

    def send() -> None:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            while not stop.is_set():
                try:
                    answer = client.post(
                        "/predict", content=body, headers={"content-type": "application/json"}
                    )
                except httpx.TransportError:  # the server has gone
                    return
                answered.append((answer.status_code, answer.json()["prediction_id"]))

    with running(served["income"].source, tmp_path) as server:
        server.wait("/health/ready")
        begun = raw(server, HEAD.format(len(body)), body[:1_000])
        threads = [threading.Thread(target=send) for _ in range(4)]
        for each in threads:
            each.start()
        while len(answered) < 40:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        begun.sendall(body[1_000:])
        last = b""
        while part := begun.recv(65_536):
            last += part
        status = server.process.wait(20)
        stop.set()
        for each in threads:
            each.join()

    lines = server.lines()
    assert status == 0, server.output.read_text()
    assert last.startswith(b"HTTP/1.1 200")
    assert {status for status, _ in answered} == {200}
    assert {identity for _, identity in answered} <= {each["id"] for each in lines}
    assert last.split(b'"prediction_id":"')[1][:32].decode() in {each["id"] for each in lines}
