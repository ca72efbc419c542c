"""Trainings over REST where a neighbour is away or tells of a bad end; the stack's tests have the
real ones."""

from __future__ import annotations

from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from infra.database.catalogue import Catalogue, DatasetEntry
from infra.database.engine import open_database
from infra.gateway.app import create_app
from infra.settings import Settings, get_settings
from tests.services.neighbours import JsonHandler, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = "00000000-0000-4000-8000-000000000001"
DEPLOYMENT = "00000000-0000-4000-8000-00000000000d"


class Prefect(ThreadingHTTPServer):
    """Prefect's API as far as the gateway asks it, with one run in a state that tests set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = {"type": "COMPLETED", "name": "Completed", "message": None}
        self.started: list[dict[str, Any]] = []


class _Handler(JsonHandler):
    server: Prefect

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        if self.path.endswith(f"/flow_runs/{RUN}"):
            parameters = self.server.started[-1] if self.server.started else {}
            run = {"id": RUN, "deployment_id": DEPLOYMENT, "parameters": parameters}
            self.answer({**run, "state": self.server.state})
        elif "/flow_runs/" in self.path:
            self.answer({"detail": "Flow run not found"}, 404)
        else:
            self.answer({"id": DEPLOYMENT})

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = self.body()
        if self.path.endswith("create_flow_run"):
            self.server.started.append(body["parameters"])
        self.answer({"id": RUN})


@pytest.fixture
def prefect(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prefect]:
    server = Prefect()
    monkeypatch.setenv("MILLRACE_ORCHESTRATOR__URL", f"http://127.0.0.1:{server.server_port}/api")
    get_settings.cache_clear()
    catalogue = Catalogue(open_database(get_settings().database))
    version = catalogue.add("default", "adult", DatasetEntry("a.csv", "s", "f", {"columns": []}))
    catalogue.mark(version.ref, "validated")
    with serving(server):
        yield server


@pytest.fixture
def client(prefect: Prefect) -> Iterator[TestClient]:
    with TestClient(create_app(get_settings()), raise_server_exceptions=False) as each:
        yield each


ORDER = {"dataset": "adult", "request": {"target": "income"}}


def test_a_started_run_is_named_though_mlflow_is_away(client: TestClient, prefect: Prefect) -> None:
    """Whoever gets an error instead asks again, and again starts a search."""
    answer = client.post("/auto_ml/runs", json=ORDER)

    assert (answer.status_code, answer.json()["run"]) == (202, RUN)
    assert answer.headers["location"] == f"/auto_ml/runs/{RUN}"
    assert "MLflow" in answer.json()["detail"]
    assert len(prefect.started) == 1
    assert client.get(f"/auto_ml/runs/{RUN}").status_code == 503


@pytest.mark.parametrize(
    "request_",
    [
        '{"target": "income", "budget_seconds": NaN}',
        '{"target": "income", "budget_seconds": 1e999}',
        '{"target": "half \\ud800"}',
        '{"target": ' + "[" * 150 + "]" * 150 + "}",
        '{"target": ' + "[" * 20_000 + "]" * 20_000 + "}",
        '{"target": {"__prefect_kind": "json", "value": "1"}}',
        '{"target": "a\\u0000"}',
        '{"target": "' + "a" * 600_000 + '"}',
        '["income"]',
    ],
    ids=[
        "NaN",
        "infinite",
        "half a character",
        "nested",
        "nested without end",
        "template",
        "a zero",
        "too much",
        "list",
    ],
)
def test_no_request_is_the_gateways_fault(
    client: TestClient, prefect: Prefect, request_: str
) -> None:
    body = f'{{"dataset": "adult", "request": {request_}}}'

    answer = client.post(
        "/auto_ml/runs", content=body, headers={"content-type": "application/json"}
    )

    # deep lists are for Prefect to hold to the schema
    assert answer.status_code in ({202} if request_.count("[") == 150 else {400, 422}), answer.text
    assert len(prefect.started) == (answer.status_code == 202)


def test_an_unknown_dataset_is_named(client: TestClient, prefect: Prefect) -> None:
    answer = client.post("/auto_ml/runs", json={**ORDER, "dataset": "adlut"})

    assert answer.status_code == 404
    assert "adult" in answer.json()["detail"]
    assert prefect.started == []


def test_a_run_that_prefect_does_not_know_is_not_there(client: TestClient) -> None:
    for path in ("", "/leaderboard"):
        answer = client.get(f"/auto_ml/runs/00000000-0000-4000-8000-00000000000f{path}")
        assert answer.status_code == 404


def test_pages_of_other_sites_start_and_stop_nothing(client: TestClient, prefect: Prefect) -> None:
    for path in ("/auto_ml/runs", "/train", f"/auto_ml/runs/{RUN}/cancel"):
        answer = client.post(path, json=ORDER, headers={"origin": "https://elsewhere.example"})
        assert answer.status_code == 401

    assert prefect.started == []
