from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from infra.database.engine import open_database
from infra.database.routes import Route, Routes
from infra.gateway.app import create_app
from infra.gateway.signatures import DELIVERY, SIGNATURE, TIMESTAMP, sign
from infra.settings import Settings, get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET, TOKEN = "webhook-secret", "platform-token"


class Neighbour(ThreadingHTTPServer):
    """A server beside the gateway that notes what it is sent and answers what it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, Any]] = []
        self.status = 200
        self.answer: Any = {"predictions": [{"prediction": 1}]}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def events(self, name: str) -> list[dict[str, Any]]:
        bodies = [each for path, body in self.received if path == "/api/events" for each in body]
        return [each for each in bodies if each["event"] == name]


class _Handler(BaseHTTPRequestHandler):
    server: Neighbour

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((self.path, json.loads(body)))
        content = json.dumps(self.server.answer).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    server = Neighbour()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def settings(platform: Settings, neighbour: Neighbour, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MILLRACE_ORCHESTRATOR__URL", f"{neighbour.url}/api")
    monkeypatch.setenv("MILLRACE_GATEWAY__WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("MILLRACE_GATEWAY__TOKEN", TOKEN)
    monkeypatch.setenv("MILLRACE_GATEWAY__BODY_LIMIT_BYTES", "10000")
    monkeypatch.setenv("MILLRACE_GATEWAY__REFRESH_SECONDS", "0.2")
    get_settings.cache_clear()
    return get_settings()


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as each:
        yield each


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def deliver(
    client: TestClient, delivery: str = "d1", *, secret: str = SECRET, age: float = 0, **data: str
) -> Any:
    content = {
        "entity": "model_version_alias",
        "action": "created",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "data": {"name": "telco.churn", "alias": "production", "version": "3", **data},
    }
    body = json.dumps(content).encode()
    timestamp = str(int(time.time() - age))
    headers = {
        DELIVERY: delivery,
        TIMESTAMP: timestamp,
        SIGNATURE: sign(secret, delivery, timestamp, body),
    }
    return client.post("/hooks/mlflow", content=body, headers=headers)


ALIAS_SET = "millrace.alias.set"


def test_a_set_alias_becomes_an_event(client: TestClient, neighbour: Neighbour) -> None:
    response = deliver(client)

    assert response.json() == {"outcome": "published"}
    (event,) = neighbour.events(ALIAS_SET)
    assert event["resource"] == {
        "prefect.resource.id": "millrace.model.telco.churn",
        "millrace.alias": "production",
    }
    assert event["payload"] == {
        "model": {"project": "telco", "name": "churn", "version": 3},
        "alias": "production",
    }


def test_a_delivery_is_published_once(client: TestClient, neighbour: Neighbour) -> None:
    outcomes = [deliver(client).json()["outcome"] for _ in range(3)]

    assert outcomes == ["published", "duplicate", "duplicate"]
    assert len(neighbour.events(ALIAS_SET)) == 1


def test_equal_news_in_two_deliveries_are_one_event(
    client: TestClient, neighbour: Neighbour
) -> None:
    deliver(client, "d1")
    deliver(client, "d2")

    assert len({event["id"] for event in neighbour.events(ALIAS_SET)}) == 1


def test_what_prefect_did_not_take_is_asked_for_again(
    client: TestClient, neighbour: Neighbour
) -> None:
    neighbour.status = 500
    refused = deliver(client)
    neighbour.status = 200
    taken = deliver(client)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert taken.json() == {"outcome": "published"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"secret": "guess"}, "signature"), ({"age": 400}, "300 s"), ({"age": -400}, "300 s")],
)
def test_a_doubtful_delivery_is_refused(
    client: TestClient, neighbour: Neighbour, wrong: dict, says: str
) -> None:
    response = deliver(client, **wrong)

    assert response.status_code == 401
    assert says in response.json()["detail"]
    assert not neighbour.events(ALIAS_SET)


def test_an_unsigned_delivery_is_refused(client: TestClient) -> None:
    assert client.post("/hooks/mlflow", content=b"{}").status_code == 401


@pytest.mark.parametrize("data", [{"version": "three"}, {"name": None}])
def test_signed_nonsense_is_named(client: TestClient, data: dict) -> None:
    assert deliver(client, **data).status_code == 422


def test_a_model_of_foreign_naming_is_ignored(client: TestClient, neighbour: Neighbour) -> None:
    assert deliver(client, name="My Model").json() == {"outcome": "ignored"}
    assert not neighbour.events(ALIAS_SET)


def test_a_started_gateway_says_so(client: TestClient, neighbour: Neighbour) -> None:
    wait_until(lambda: neighbour.events("millrace.gateway.started"))


def switch(client: TestClient, url: str, version: int = 1, token: str = TOKEN) -> Any:
    route = Route("churn", version, url, f"model-churn-v{version}")
    headers = {"Authorization": f"Bearer {token}"}
    return client.put("/routes/churn", json=asdict(route), headers=headers)


ROWS = {"rows": [{"x": 1}]}


def test_a_switch_moves_the_next_request(client: TestClient, neighbour: Neighbour) -> None:
    assert client.post("/predict/churn", json=ROWS).status_code == 404
    assert switch(client, neighbour.url).status_code == 204

    response = client.post("/predict/churn", json=ROWS)

    assert response.json() == neighbour.answer
    assert ("/predict", ROWS) in neighbour.received


def test_a_route_that_is_not_there_is_answered_with_those_that_are(
    client: TestClient, neighbour: Neighbour
) -> None:
    switch(client, neighbour.url)

    response = client.post("/predict/chrun", json=ROWS)

    assert response.status_code == 404
    assert "served: churn" in response.json()["detail"]


def test_the_refusal_of_a_row_is_passed_on(client: TestClient, neighbour: Neighbour) -> None:
    switch(client, neighbour.url)
    neighbour.status, neighbour.answer = 422, {"error": "rows[0].x: is missing"}

    response = client.post("/predict/churn", json=ROWS)

    assert (response.status_code, response.json()) == (422, neighbour.answer)


def test_a_server_that_is_away_is_said_to_be_so(client: TestClient) -> None:
    switch(client, "http://127.0.0.1:1001")

    response = client.post("/predict/churn", json=ROWS)

    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"


def test_a_body_over_the_limit_is_refused(client: TestClient, neighbour: Neighbour) -> None:
    switch(client, neighbour.url)

    response = client.post("/predict/churn", content=b"x" * 10_001)

    assert response.status_code == 413
    assert "10,000 bytes" in response.json()["detail"]


def test_a_body_of_unknown_length_is_cut_off(client: TestClient, neighbour: Neighbour) -> None:
    switch(client, neighbour.url)

    for path in ("/predict/churn", "/hooks/mlflow"):
        response = client.post(path, content=(b"x" * 6_000 for _ in range(3)))

        assert response.status_code in {400, 413}
    assert not [path for path, _ in neighbour.received if path == "/predict"]


@pytest.mark.parametrize("method", ["get", "put", "delete"])
@pytest.mark.parametrize("authorization", ["", "Bearer guess", "Basic eDp5", "Bearer ÿ"])
def test_only_the_platform_may_switch(client: TestClient, method: str, authorization: str) -> None:
    path = "/routes" if method == "get" else "/routes/churn"
    headers = {"Authorization": authorization.encode("latin-1")}

    assert client.request(method, path, headers=headers).status_code == 401


@pytest.mark.parametrize("url", ["http://169.254.169.254", "http://127.0.0.1:80@evil", "file:///x"])
def test_traffic_stays_on_this_machine(client: TestClient, url: str) -> None:
    assert switch(client, url).status_code == 422


def test_routes_survive_the_gateway(settings: Settings, neighbour: Neighbour) -> None:
    with TestClient(create_app(settings)) as first:
        switch(first, neighbour.url, version=7)

    with TestClient(create_app(settings)) as second:
        wait_until(lambda: second.get("/health/ready").status_code == 200)
        assert second.post("/predict/churn", json=ROWS).status_code == 200


def test_a_route_written_by_another_is_picked_up(
    client: TestClient, settings: Settings, neighbour: Neighbour
) -> None:
    Routes(open_database(settings.database)).put(Route("churn", 1, neighbour.url, "p"))

    wait_until(lambda: client.post("/predict/churn", json=ROWS).status_code == 200)


def test_a_removed_route_answers_no_more(client: TestClient, neighbour: Neighbour) -> None:
    switch(client, neighbour.url)
    headers = {"Authorization": f"Bearer {TOKEN}"}

    assert client.delete("/routes/churn", headers=headers).status_code == 204
    assert client.post("/predict/churn", json=ROWS).status_code == 404


def test_requests_are_counted_and_timed(client: TestClient, neighbour: Neighbour) -> None:
    switch(client, neighbour.url, version=2)
    client.post("/predict/churn", json=ROWS)

    text = client.get("/metrics").text

    assert 'millrace_predictions_total{model="churn",status="200",version="2"} 1.0' in text
    assert "# TYPE request_processing_seconds histogram" in text
    assert 'request_processing_seconds_bucket{le="0.005"' in text


def test_the_documentation_needs_no_internet(client: TestClient) -> None:
    page = client.get("/docs").text

    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert client.get(f"/static-offline-docs/{asset}").status_code == 200
    assert "/predict/{model}" in client.get("/openapi.json").json()["paths"]
