from __future__ import annotations

import json
import time
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from infra.database.audit import Audit
from infra.database.engine import open_database
from infra.database.routes import Route, Routes, Target
from infra.gateway.app import create_app
from infra.settings import Settings, get_settings
from tests.services.neighbours import JsonHandler, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = {"Authorization": "Bearer platform-token"}
ROWS = {"rows": [{"x": 1}]}


class Registry(ThreadingHTTPServer):
    """MLflow, as far as aliases go: notes those that are set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _RegistryHandler)
        self.set: list[dict[str, str]] = []
        self.status = 200


class _RegistryHandler(JsonHandler):
    server: Registry

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = self.body()
        if self.path.endswith("/alias"):
            if self.server.status == 200:
                self.server.set.append(body)
            self.answer({}, self.server.status)
        else:
            self.answer({"id": "00000000-0000-4000-8000-000000000001"})


class Model(ThreadingHTTPServer):
    """A model server that answers one label and notes who asked."""

    def __init__(self, version: int, label: str, share: float = 0.75) -> None:
        super().__init__(("127.0.0.1", 0), _ModelHandler)
        self.version = version
        self.label = label
        self.share = share
        self.ready = True
        self.asked: list[tuple[dict[str, Any], str]] = []

    @property
    def route(self) -> Route:
        url = f"http://127.0.0.1:{self.server_port}"
        return Route("churn", self.version, url, f"model-churn-v{self.version}-{self.server_port}")

    def target(self, role: str, weight: float = 0.0) -> Target:
        route = self.route
        return Target("churn", role, route.version, route.url, route.program, weight)


class _ModelHandler(JsonHandler):
    protocol_version = "HTTP/1.1"
    server: Model

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        self.answer("ready", 200 if self.server.ready else 503)

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        self.server.asked.append((self.body(), self.headers["x-caller"]))
        shares = {"yes": self.server.share, "no": 1 - self.server.share}
        prediction = {"prediction": self.server.label, "probabilities": shares}
        self.answer(
            {
                "model": "churn",
                "version": self.server.version,
                "prediction_id": "p",
                "predictions": [prediction],
            }
        )


@pytest.fixture
def made() -> Iterator[Callable[..., Model]]:
    """Makes model servers."""
    running: list[Model] = []
    contexts = []

    def make(version: int, label: str = "yes", share: float = 0.75) -> Model:
        model = Model(version, label, share)
        context = serving(model)
        context.__enter__()
        running.append(model)
        contexts.append(context)
        return model

    yield make
    for model, context in zip(running, contexts, strict=True):
        if model.fileno() >= 0:
            context.__exit__(None, None, None)


@pytest.fixture
def registry() -> Iterator[Registry]:
    server = Registry()
    with serving(server):
        yield server


@pytest.fixture
def settings(platform: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Settings:
    url = f"http://127.0.0.1:{registry.server_port}"
    monkeypatch.setenv("MILLRACE_ORCHESTRATOR__URL", f"{url}/api")
    monkeypatch.setenv("MILLRACE_TRACKING__URL", url)
    monkeypatch.setenv("MILLRACE_GATEWAY__TOKEN", "platform-token")
    get_settings.cache_clear()
    return get_settings()


@pytest.fixture
def routes(settings: Settings) -> Routes:
    return Routes(open_database(settings.database))


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as each:
        yield each


def switch(client: TestClient, model: Model) -> None:
    route = model.route
    body = {"model": "churn", "version": route.version, "url": route.url, "program": route.program}
    assert client.put("/routes/churn", json=body, headers=TOKEN).status_code == 204


def put(client: TestClient, model: Model, role: str, weight: float = 0.0) -> None:
    route = model.route
    body = {"version": route.version, "url": route.url, "program": route.program, "weight": weight}
    answer = client.put(f"/routes/churn/{role}", json=body, headers=TOKEN)
    assert answer.status_code == 204, answer.text


def version_of(client: TestClient, caller: str = "", **params: str) -> int:
    answer = client.post("/predict/churn", json=ROWS, params=params, headers={"x-caller": caller})
    assert answer.status_code == 200, answer.text
    version: int = answer.json()["version"]
    assert answer.headers["x-model-version"] == str(version)
    return version


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_rollback_moves_the_next_request_alias_and_audit(
    client: TestClient, settings: Settings, registry: Registry, made: Callable[..., Model]
) -> None:
    switch(client, made(1))
    switch(client, made(2))
    assert version_of(client) == 2

    answer = client.post(
        "/deploy/churn/rollback",
        json={"reason": "it says yes to all"},
        headers={**TOKEN, "x-actor": "ada"},
    )

    assert answer.json() == {"model": "churn", "version": 1, "alias_set": True}
    assert version_of(client) == 1
    assert registry.set == [{"name": "churn", "alias": "production", "version": "1"}]
    audit = Audit(open_database(settings.database))
    (entry,) = audit.of("churn")
    assert (entry.actor, entry.action) == ("ada", "rollback")
    assert entry.detail == {"from": 2, "to": 1, "reason": "it says yes to all"}
    assert audit.first_broken() is None


def test_a_rollback_can_be_rolled_back(client: TestClient, made: Callable[..., Model]) -> None:
    switch(client, made(1))
    switch(client, made(2))

    versions = [
        client.post("/deploy/churn/rollback", headers=TOKEN).json()["version"] for _ in range(3)
    ]

    assert versions == [1, 2, 1]


def test_a_registry_that_is_away_does_not_keep_the_old_version_away(
    client: TestClient, routes: Routes, registry: Registry, made: Callable[..., Model]
) -> None:
    switch(client, made(1))
    switch(client, made(2))
    registry.status = 500

    answer = client.post("/deploy/churn/rollback", headers=TOKEN)

    assert answer.json() == {"model": "churn", "version": 1, "alias_set": False}
    assert version_of(client) == 1
    assert routes.pending("production") == {"churn": 1}  # which reconciliation sets


def test_there_may_be_nothing_to_roll_back_to(
    client: TestClient, made: Callable[..., Model]
) -> None:
    switch(client, made(1))

    answer = client.post("/deploy/churn/rollback", headers=TOKEN)

    assert answer.status_code == 409
    assert "no version before the live one" in answer.json()["detail"]


def test_traffic_stays_where_the_standby_is_dead(
    client: TestClient, routes: Routes, made: Callable[..., Model]
) -> None:
    first = made(1)
    switch(client, first)
    switch(client, made(2))
    first.ready = False

    answer = client.post("/deploy/churn/rollback", headers=TOKEN)

    assert answer.status_code == 503
    assert "traffic was left where it is" in answer.json()["detail"]
    assert (version_of(client), routes.pending("production")) == (2, {})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/deploy"),
        ("POST", "/deploy/churn/rollback"),
        ("PUT", "/deploy/churn/canary"),
        ("DELETE", "/deploy/churn/canary"),
        ("PUT", "/routes/churn/canary"),
    ],
)
def test_only_the_platform_may_deploy(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path, json={}).status_code == 401


def test_a_canary_gets_its_share_and_keeps_its_callers(
    client: TestClient, made: Callable[..., Model]
) -> None:
    switch(client, made(1))
    put(client, made(2), "canary", weight=0.3)

    first = {name: version_of(client, name) for name in map(str, range(200))}
    again = {name: version_of(client, name) for name in map(str, range(200))}

    assert first == again
    assert 30 <= sum(version == 2 for version in first.values()) <= 90  # 60, 4.6 deviations


def test_a_share_is_raised_without_moving_those_who_were_there(
    client: TestClient, made: Callable[..., Model]
) -> None:
    switch(client, made(1))
    put(client, made(2), "canary", weight=0.2)
    callers = list(map(str, range(100)))
    before = {name for name in callers if version_of(client, name) == 2}

    answer = client.put("/deploy/churn/canary", json={"weight": 0.5}, headers=TOKEN)

    assert answer.status_code == 204
    after = {name for name in callers if version_of(client, name) == 2}
    assert before < after


def test_a_dead_canary_costs_no_request(client: TestClient, made: Callable[..., Model]) -> None:
    canary = made(2)
    switch(client, made(1))
    put(client, canary, "canary", weight=1.0)
    canary.shutdown()
    canary.server_close()

    assert version_of(client) == 1


def test_a_replica_answers_for_a_dead_server(
    client: TestClient, made: Callable[..., Model]
) -> None:
    first, second = made(1), made(1)
    switch(client, first)
    put(client, second, "replica")
    assert [version_of(client) for _ in range(4)] == [1] * 4
    assert (len(first.asked), len(second.asked)) == (2, 2)  # in turn
    first.shutdown()
    first.server_close()

    assert [version_of(client) for _ in range(10)] == [1] * 10


def test_a_shadow_is_asked_and_not_heard(client: TestClient, made: Callable[..., Model]) -> None:
    shadow = made(2, label="no", share=0.25)
    switch(client, made(1))
    put(client, shadow, "shadow")

    assert [version_of(client) for _ in range(5)] == [1] * 5

    wait_until(lambda: len(shadow.asked) == 5)
    wait_until(lambda: client.get("/deploy/churn/shadow").json()["rows"] == 5)
    report = client.get("/deploy/churn/shadow").json()
    assert (report["version"], report["live_version"], report["disagreements"]) == (2, 1, 5)
    assert report["largest_difference"] == 0.5
    assert report["examples"][0]["live"]["prediction"] == "yes"
    assert report["examples"][0]["shadow"]["prediction"] == "no"


def test_a_dead_shadow_is_counted_and_harms_nobody(
    client: TestClient, made: Callable[..., Model]
) -> None:
    shadow = made(2)
    switch(client, made(1))
    put(client, shadow, "shadow")
    shadow.shutdown()
    shadow.server_close()

    assert version_of(client) == 1

    wait_until(lambda: client.get("/deploy/churn/shadow").json()["failed"] == 1)


def test_an_environment_is_asked_by_name(client: TestClient, made: Callable[..., Model]) -> None:
    switch(client, made(1))
    put(client, made(2), "staging")

    assert version_of(client) == 1
    assert version_of(client, environment="staging") == 2
    unknown = client.post("/predict/churn?environment=prod", json=ROWS)
    assert unknown.status_code == 404
    assert "there is: production, staging" in unknown.json()["detail"]


def test_the_body_of_source_b_finds_its_model(
    client: TestClient, made: Callable[..., Model]
) -> None:
    staging = made(2)
    switch(client, made(1))
    put(client, staging, "staging")
    body = {
        "dataset_name": "Churn",
        "environment": "staging",
        "input_data": {"features": [[5.1, 3.5, 1.4, 0.2], [6.2, 3.4, 5.4, 2.3]]},
    }

    answer = client.post("/predict", json=body)

    assert answer.json()["version"] == 2
    assert staging.asked[0][0] == body


def test_the_body_of_source_d_goes_to_the_only_model(
    client: TestClient, made: Callable[..., Model]
) -> None:
    model = made(1)
    assert "served: none yet" in client.post("/predict", json={"features": [1]}).json()["detail"]
    switch(client, model)

    assert client.post("/predict", json={"features": [1.0, 2.0]}).status_code == 200
    assert model.asked[0][0] == {"features": [1.0, 2.0]}


def test_a_version_is_deployed_by_its_alias(client: TestClient, registry: Registry) -> None:
    body = {"model": "churn", "version": 3, "target": "canary"}

    answer = client.post("/deploy", json=body, headers=TOKEN)

    assert (answer.status_code, answer.json()) == (202, body)
    assert registry.set == [{"name": "churn", "alias": "canary", "version": "3"}]
    registry.status = 404
    assert client.post("/deploy", json=body, headers=TOKEN).status_code == 404


def test_what_is_served_is_shown(client: TestClient, made: Callable[..., Model]) -> None:
    shadow = made(3)
    switch(client, made(1))
    switch(client, made(2))
    put(client, shadow, "shadow")
    shadow.ready = False

    shown = client.get("/deploy/churn").json()

    assert shown["version"] == 2
    roles = {each["role"]: (each["version"], each["ready"]) for each in shown["servers"]}
    assert roles == {"live": (2, True), "standby": (1, True), "shadow": (3, False)}


def test_what_was_tried_beside_is_beside_no_more_once_it_is_live(
    client: TestClient, routes: Routes, made: Callable[..., Model]
) -> None:
    switch(client, made(1))
    put(client, made(2), "canary", weight=0.5)
    put(client, made(3), "shadow")

    switch(client, made(2))

    assert {each.role for each in routes.targets()} == {"standby", "shadow"}


def test_a_server_beside_is_withdrawn(
    client: TestClient, routes: Routes, made: Callable[..., Model]
) -> None:
    switch(client, made(1))
    put(client, made(2), "canary", weight=1.0)

    assert client.delete("/deploy/churn/canary", headers=TOKEN).status_code == 204
    assert version_of(client) == 1
    assert routes.targets() == []
    assert client.delete("/deploy/churn/canary", headers=TOKEN).status_code == 404


def test_a_changed_audit_is_found(
    client: TestClient, settings: Settings, made: Callable[..., Model]
) -> None:
    switch(client, made(1))
    switch(client, made(2))
    for _ in range(3):
        client.post("/deploy/churn/rollback", headers=TOKEN)
    engine = open_database(settings.database)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE audit SET actor = 'nobody' WHERE id = 2")

    assert Audit(engine).first_broken() == 2
    assert json.dumps(Audit(engine).of("churn")[0].detail)
