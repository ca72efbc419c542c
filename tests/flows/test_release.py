from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from flows.data import prepare_dataset
from flows.promotion import promote_model
from flows.reconciliation import reconcile
from flows.release import release_model
from flows.training import train_model
from infra.aliases import PRODUCTION
from infra.database.engine import open_database
from infra.database.ledger import Releases
from infra.database.routes import Route, Routes
from infra.errors import ServiceUnavailableError, SmokeTestError
from infra.refs import DatasetRef, ModelRef
from infra.serving import open_servers
from tasks.training import TrainingRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.settings import Settings
    from infra.tracking import Tracking

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(600)]


@pytest.fixture
def servers(platform: Settings) -> Iterator[object]:
    servers = open_servers(platform.serving)
    yield servers
    for program in servers.programs():
        servers.stop(program)


@pytest.fixture
def model(servers: object, tracking: Tracking, adult_csv: Path) -> ModelRef:
    """A registered version that holds the alias."""
    request = TrainingRequest(target="income", budget_seconds=1, learners=("lightgbm",))
    model = train_model(prepare_dataset(str(adult_csv), target="income"), request)
    assert promote_model(model).promoted
    return model


def predict(url: str, row: dict) -> httpx.Response:
    return httpx.post(f"{url}/predict", json={"rows": [row]}, timeout=30)


def test_the_road_is_walked_and_walked_back(
    model: ModelRef,
    platform: Settings,
    servers,
    tracking: Tracking,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One story, since every step needs the one before it and a server takes seconds to start."""
    routes = Routes(open_database(platform.database))
    evidence = tracking.evidence(tracking.run_of(model))
    row, scores = evidence["sample"][0], evidence["scores"][0]

    released = release_model(model)

    assert released.outcome == "released"
    answer = predict(released.url, row).json()
    assert (answer["model"], answer["version"]) == ("adult", 1)
    assert list(answer["predictions"][0]["probabilities"].values()) == scores
    assert predict(released.url, {**row, "age": "old"}).status_code == 422
    missing = predict(released.url, {"age": 5})
    assert missing.status_code == 422
    assert "rows[0]." in missing.text

    again = release_model(model)

    assert again.outcome == "live already"
    assert reconcile().released == ()

    # a version nobody set the alias on is not switched to, and its server does not stay
    stranger = train_model(
        DatasetRef(**evidence["dataset"]),
        TrainingRequest(target="income", budget_seconds=1, learners=("logistic_regression",)),
    )
    superseded = release_model(stranger)

    assert superseded.outcome == "superseded"
    assert "production points to v1" in superseded.reason
    assert servers.programs() == [routes.get("adult").program]

    # a server that does not answer as recorded gets no traffic, and the reason is kept
    tracking.set_alias(stranger, PRODUCTION)
    evidence_file = tracking.evidence
    monkeypatch.setattr(
        "infra.tracking.Tracking.evidence",
        lambda self, run: {**evidence_file(run), "scores": [[0.5, 0.5]] * 200},
    )
    with pytest.raises(SmokeTestError):
        release_model(stranger)
    assert routes.get("adult").version == 1
    assert servers.programs() == [routes.get("adult").program]
    assert Releases(open_database(platform.database)).last(stranger).state == "failed"

    # reconciliation does not try again what time does not cure
    report = reconcile()

    assert report.released == ()
    assert "scores differ" in report.failing[0]


def test_a_switch_that_is_not_confirmed_is_undone_with_its_server(
    model: ModelRef, platform: Settings, servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_database(platform.database)

    def switch_and_fall_silent(_settings: Settings, route: Route) -> None:
        Routes(engine).put(route)
        raise ServiceUnavailableError("the gateway", "timed out")

    monkeypatch.setattr("infra.serving.switching.switch_route", switch_and_fall_silent)

    with pytest.raises(ServiceUnavailableError):
        release_model(model)

    assert Routes(engine).get("adult") is None
    assert servers.programs() == []
    assert Releases(engine).last(model).state == "undone"


def test_reconciliation_brings_about_what_no_event_did(
    model: ModelRef, platform: Settings, servers
) -> None:
    routes = Routes(open_database(platform.database))
    stray = servers.start("model-stray-v1-1", ["sleep", "60"])
    assert stray.name

    report = reconcile()

    assert report.released == (model,)
    assert report.stopped == ("model-stray-v1-1",)
    route = routes.get("adult")
    assert route.version == 1

    # a model server that is gone for good is brought back
    servers.stop(route.program)
    again = reconcile()

    assert again.released == (model,)
    assert servers.is_running(routes.get("adult").program)


def test_the_version_before_stays_warm_and_the_alias_follows_a_rollback(
    model: ModelRef, platform: Settings, servers, tracking: Tracking
) -> None:
    routes = Routes(open_database(platform.database))
    evidence = tracking.evidence(tracking.run_of(model))
    first = release_model(model)
    request = TrainingRequest(target="income", budget_seconds=1, learners=("logistic_regression",))
    second = train_model(DatasetRef(**evidence["dataset"]), request)
    tracking.set_alias(second, PRODUCTION)
    assert release_model(second).outcome == "released"

    # both servers answer, and the one of before is the standby
    assert routes.target("adult", "standby").version == 1
    assert predict(first.url, evidence["sample"][0]).json()["version"] == 1
    assert len(servers.programs()) == 2

    # the registry was away when the version was taken back: reconciliation sets the alias first
    routes.roll_back("adult", PRODUCTION, actor="ada", reason="")
    report = reconcile()

    assert (report.released, report.stopped) == ((), ())
    assert tracking.version_of("adult", PRODUCTION) == 1
    assert routes.pending(PRODUCTION) == {}
    assert routes.get("adult").version == 1

    # another alias releases beside the live version
    tracking.set_alias(second, "canary")
    report = reconcile()

    assert report.released == (second,)
    canary = routes.target("adult", "canary")
    assert (canary.version, canary.weight) == (2, platform.serving.canary_weight)
    assert routes.get("adult").version == 1
