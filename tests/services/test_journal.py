from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from infra.database.engine import open_database
from infra.database.predictions import Predictions
from infra.gateway.app import create_app
from infra.gateway.dependencies import get_parts
from infra.gateway.journal_payloads import PredictionBody
from infra.gateway.routes import journal
from infra.predictions.archive import archive
from infra.settings import Settings
from tests.segments import packed, write_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from infra.storage.local import LocalStore

START = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The gateway, made once since that takes a while; it is never started."""
    app = create_app(Settings())
    app.include_router(journal.router)
    return app


@pytest.fixture
def client(app: FastAPI, platform: Settings) -> Iterator[TestClient]:
    app.dependency_overrides[get_parts] = lambda: SimpleNamespace(platform=platform)
    yield TestClient(app, raise_server_exceptions=False)
    app.dependency_overrides.clear()


@pytest.fixture
def serve(platform: Settings) -> Callable[..., None]:
    """Note what a model server would: one prediction of each id, a minute apart."""

    def write(*ids: str, **changes: object) -> None:
        response = {"model": "churn", "predictions": [{"prediction": "yes"}]}
        records = [
            packed(id=each, time=START + 60 * place, version=1, response=response, **changes)
            for place, each in enumerate(ids)
        ]
        write_segment(platform.serving.home / "predictions" / "churn", ids[0], *records)

    return write


@pytest.fixture
def keep(platform: Settings, store: LocalStore) -> Callable[[], object]:
    """Archive what was served."""
    predictions = Predictions(open_database(platform.database))
    return lambda: archive(platform.serving.home, store, predictions)


def ids(client: TestClient, **query: object) -> list[str]:
    response = client.get("/predictions/churn", params=query)
    assert response.status_code == 200, response.text
    return [each["id"] for each in response.json()]


def tell(client: TestClient, *labels: dict[str, Any], **headers: str) -> Any:
    return client.post("/labels", json={"labels": list(labels)}, headers=headers)


def test_a_prediction_is_listed_before_and_after_it_is_archived(
    client: TestClient, serve, keep
) -> None:
    serve("a", "b")
    before = client.get("/predictions/churn").json()
    keep()

    assert client.get("/predictions/churn").json() == before
    assert before[1] == {
        "id": "a",
        "time": "2026-03-01T12:00:00Z",
        "model": "churn",
        "version": 1,
        "caller": "shop",
        "latency": 0.002,
        "rows": 1,
        "labels": [],
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["c", "b", "a"]),
        ({"since": "2026-03-01T12:01:00Z"}, ["c", "b"]),
        ({"since": "2026-03-01T12:01:00"}, ["c", "b"]),
        ({"since": "2026-03-01T14:01:00+02:00"}, ["c", "b"]),
        ({"until": "2026-03-01T12:01:00Z"}, ["a"]),
        ({"since": "2026-03-01T12:01:00Z", "until": "2026-03-01T12:02:00Z"}, ["b"]),
        ({"version": 2}, []),
        ({"limit": 1}, ["c"]),
        ({"limit": 1, "offset": 1}, ["b"]),
    ],
)
@pytest.mark.parametrize("archived", [True, False])
def test_a_list_can_be_narrowed(
    client: TestClient, serve, keep, *, query: dict, expected: list[str], archived: bool
) -> None:
    serve("a", "b", "c")
    if archived:
        keep()

    assert ids(client, **query) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 1_001},
        {"limit": 0},
        {"offset": -1},
        {"offset": 10**9},
        {"since": "yesterday"},
        {"since": "0001-01-01T00:00:00+05:00"},
        {"version": 2**31},
    ],
)
def test_a_question_without_sense_is_refused(client: TestClient, query: dict) -> None:
    assert client.get("/predictions/churn", params=query).status_code == 422


def test_a_model_that_was_never_asked_has_an_empty_list(client: TestClient) -> None:
    assert ids(client) == []


@pytest.mark.parametrize(
    "name", ["..%2F..%2Fetc", "%2e%2e", "..%5C..", "*", "churn%00", "a.b.c", "Churn", "x" * 300]
)
@pytest.mark.parametrize("path", ["/predictions/{}", "/predictions/{}/a"])
def test_a_name_no_model_has_is_not_found(client: TestClient, serve, name: str, path: str) -> None:
    serve("a")

    assert client.get(path.format(name)).status_code == 404


@pytest.mark.parametrize("archived", [True, False])
def test_a_prediction_is_shown_as_it_was_asked_and_answered(
    client: TestClient, serve, keep, *, archived: bool
) -> None:
    serve("a", "b", request={"rows": [{"x": 12345678901234567890123, "é": None}]})
    if archived:
        keep()
    tell(client, {"prediction_id": "b", "row": 0, "label": "no"})

    response = client.get("/predictions/churn/b")

    body = PredictionBody.model_validate_json(response.content)
    assert response.headers["content-type"] == "application/json"
    assert (body.id, body.model, body.labels[0].label) == ("b", "churn", "no")
    assert response.json()["request"] == {"rows": [{"x": 12345678901234567890123, "é": None}]}
    assert response.json()["response"]["predictions"] == [{"prediction": "yes"}]


@pytest.mark.parametrize("identity", ["b", "..%2Fa", "a%00", "*", "%20", "a" * 1_000])
def test_an_unknown_prediction_is_not_found(client: TestClient, serve, keep, identity: str) -> None:
    serve("a")
    keep()

    response = client.get(f"/predictions/churn/{identity}")

    assert response.status_code == 404


def test_who_asks_for_an_unknown_prediction_is_told_what_to_ask_for(client: TestClient) -> None:
    response = client.get("/predictions/churn/f00")

    assert response.json() == {
        "error": "PredictionNotFoundError",
        "detail": "no prediction 'f00' of churn is logged; its id is the `prediction_id` of "
        "the answer",
    }


def test_labels_come_before_and_after_and_the_last_holds(client: TestClient, serve, keep) -> None:
    first = tell(
        client,
        {"prediction_id": "a", "row": 1, "label": 0.5},
        {"prediction_id": "a", "label": "yes"},
        {"prediction_id": "elsewhere", "label": True},
    )
    serve("a")
    keep()
    tell(client, {"prediction_id": "a", "label": "no"})

    (found,) = client.get("/predictions/churn").json()

    assert first.json() == {"count": 3}
    assert [(each["row"], each["label"]) for each in found["labels"]] == [(0, "no"), (1, 0.5)]


@pytest.mark.parametrize("label", ["yes", "", "é\0", 1, 1.5, True, False, None, 10**30])
def test_a_label_comes_back_as_it_was_told(client: TestClient, serve, label: object) -> None:
    serve("a")
    tell(client, {"prediction_id": "a", "label": label})

    ((found,),) = [each["labels"] for each in client.get("/predictions/churn").json()]

    assert (found["label"], type(found["label"])) == (label, type(label))


@pytest.mark.parametrize(
    "label",
    [
        {"prediction_id": "../a", "label": 1},
        {"prediction_id": "a" * 65, "label": 1},
        {"prediction_id": "a\n", "label": 1},
        {"prediction_id": "a", "row": -1, "label": 1},
        {"prediction_id": "a", "row": 2**31, "label": 1},
        {"prediction_id": "a"},
        {"prediction_id": "a", "label": {"x": 1}},
        {"prediction_id": "a", "label": "x" * 10_001},
        {"prediction_id": "a", "label": 1, "model": "churn"},
    ],
)
def test_a_label_without_sense_is_refused(client: TestClient, label: dict) -> None:
    assert tell(client, label).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"labels": [{"prediction_id": "a", "label": NaN}]}', id="no number"),
        pytest.param('{"labels": [{"prediction_id": "a", "label": 1e999}]}', id="infinite"),
        pytest.param('{"labels": [{"prediction_id": "a", "label": "\\ud800"}]}', id="no text"),
        pytest.param('{"labels": []}', id="no label"),
        pytest.param("[" * 100_000, id="bottomless"),
        pytest.param("", id="empty"),
    ],
)
def test_labels_that_are_none_are_refused(client: TestClient, body: str) -> None:
    response = client.post("/labels", content=body)

    assert response.status_code == 422
    assert response.json()["detail"]


def test_the_documentation_names_every_part_of_a_label(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    content = paths["/labels"]["post"]["requestBody"]["content"]["application/json"]
    assert "$defs" not in json.dumps(content)
    assert content["schema"]["properties"]["labels"]["items"]["properties"].keys() == {
        "prediction_id",
        "row",
        "label",
    }


def test_a_page_of_another_site_cannot_label(client: TestClient) -> None:
    told = tell(client, {"prediction_id": "a", "label": 1}, origin="https://evil.example")

    assert told.status_code == 401
