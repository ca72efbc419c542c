"""The real stack on free ports, from the first start to the last process gone."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from infra.ports import LOOPBACK, is_free
from tests.running_stack import ROW, RunningStack, temporary_home, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def running() -> Iterator[RunningStack]:
    with temporary_home() as home:
        stack = RunningStack(home)
        started = stack.command("up")
        assert started.returncode == 0, started.stdout + started.stderr
        yield stack
        stack.command("down")


@pytest.fixture(scope="module")
def model(
    running: RunningStack, adult: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The lifecycle, once, through the work pool."""
    path = tmp_path_factory.mktemp("data") / "adult.csv"
    adult.to_csv(path, index=False)
    run = running.start_run(
        "run-lifecycle/from-file-to-endpoint",
        source=str(path),
        request={"target": "income", "budget_seconds": 3, "learners": ["lightgbm"]},
    )
    state = running.finish(run)
    assert state["type"] == "COMPLETED", state["message"]
    return "adult"


def test_the_road_ends_in_a_served_prediction(running: RunningStack, model: str) -> None:
    answer = running.predict(model, ROW).json()

    assert answer["version"] == 1
    assert answer["predictions"][0]["prediction"] in {"<=50K", ">50K"}
    released = [run["state_type"] for run in running.runs_of("release-model")]
    assert "COMPLETED" in released  # the event's own run, not the lifecycle's


def test_a_first_start_ends_ready(running: RunningStack) -> None:
    url = f"{running.stack.layout.gateway_url}/health/ready"

    ready = wait_until(lambda: (r := httpx.get(url, timeout=5)).is_success and r.json(), 10)

    assert ready["prefect"]


def test_the_run_leaves_things_to_look_at(running: RunningStack, model: str) -> None:
    artifacts = running.prefect("artifacts/filter", {})
    found = {each["key"]: each for each in artifacts}

    kinds = ("profile", "validation", "leaderboard", "promotion", "lifecycle", "prediction")
    assert {f"{kind}-default-adult" for kind in kinds} <= found.keys()
    stages = json.loads(found["lifecycle-default-adult"]["data"])
    assert [each["stage"] for each in stages] == [
        "prepare",
        "train",
        "promote",
        "release",
        "predict",
    ]


def test_starting_again_changes_nothing(running: RunningStack, model: str) -> None:
    before = {name: tree[0].pid for name, tree in running.programs().items()}

    again = running.command("up")

    assert again.returncode == 0, again.stdout + again.stderr
    assert {name: tree[0].pid for name, tree in running.programs().items()} == before
    assert running.command("doctor").stdout.strip() == "all is well"


def test_bad_input_fails_the_run_with_its_sentence(running: RunningStack) -> None:
    state = running.finish(running.start_run("prepare-dataset/from-file", source="/no/file.csv"))

    assert state["type"] == "FAILED"
    assert "ingest: there is no file /no/file.csv" in state["message"]


def test_a_scheduled_deployment_produces_runs(running: RunningStack) -> None:
    def completed() -> bool:
        return any(
            run["state_type"] == "COMPLETED" and run["auto_scheduled"]
            for run in running.runs_of("reconcile")
        )

    wait_until(completed, 120)


def test_whoever_sets_the_alias_switches_traffic_without_a_lost_request(
    running: RunningStack, model: str
) -> None:
    answers: list[int] = []
    done = threading.Event()

    def keep_asking() -> None:
        with httpx.Client(timeout=30) as client:
            while not done.is_set():
                url = f"{running.stack.layout.gateway_url}/predict/{model}"
                answers.append(client.post(url, json={"rows": [ROW]}).status_code)
                time.sleep(0.02)

    version = running.copy_version(model, 1)
    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        running.registry.set_registered_model_alias(model, "production", str(version))
        wait_until(lambda: running.version_served(model, ROW) == version)
        wait_until(lambda: len(served_programs(running)) == 1)  # the old server is gone
    finally:
        done.set()
        asking.join()

    assert len(answers) > 50
    assert set(answers) == {200}


def served_programs(running: RunningStack) -> list[str]:
    return [name for name in running.programs() if name.startswith("model-")]


def test_what_the_webhook_missed_is_made_up_for(running: RunningStack, model: str) -> None:
    supervisor = running.stack.supervisor
    supervisor.stop("gateway")
    running.registry.set_registered_model_alias(model, "production", "1")
    time.sleep(12)  # MLflow has given up by now
    supervisor.start("gateway")

    wait_until(lambda: running.version_served(model, ROW) == 1)


@pytest.mark.parametrize(
    "program",
    ["supervisord", "sentinel", "postgres", "prefect", "mlflow", "gateway", "worker", "model-"],
)
@pytest.mark.parametrize("member", [0, -1], ids=["first process", "last process"])
def test_a_killed_process_comes_back(
    running: RunningStack, model: str, program: str, member: int
) -> None:
    wait_until(running.is_well)
    wait_until(lambda: running.version_served(model, ROW))
    # a release that is killed while the old server drains is another story
    wait_until(lambda: sum(name.startswith("model-") for name in running.programs()) == 1)
    tree = wait_until(
        lambda: next(
            (t for name, t in running.programs().items() if name.startswith(program)), None
        )
    )
    if member == -1 and len(tree) == 1:
        pytest.skip("it is one process")

    tree[member].kill()
    psutil.wait_procs([tree[member]], timeout=5)

    wait_until(running.is_well, 60)
    wait_until(lambda: running.version_served(model, ROW), 60)


def test_doctor_names_a_program_that_is_down(running: RunningStack) -> None:
    wait_until(running.is_well)
    running.stack.supervisor.stop("worker")
    seen = running.command("doctor")
    running.stack.supervisor.start("worker")

    assert seen.returncode == 1
    assert "worker is stopped" in seen.stdout


def test_stopping_leaves_nothing(running: RunningStack, model: str) -> None:
    assert running.leftovers()

    stopped = running.command("down")

    assert stopped.returncode == 0
    assert running.leftovers() == []
    assert all(is_free(port) for port in running.ports.values())
    assert not running.stack.layout.runtime.exists()
    assert running.command("status").returncode == 1


def test_a_crashed_stack_is_named_cleaned_and_started_again(
    running: RunningStack, model: str
) -> None:
    assert running.command("up").returncode == 0
    wait_until(lambda: running.version_served(model, ROW) == 1)  # it came back with the stack
    for name in ("sentinel", "supervisord"):  # as when the machine's owner kills them all
        running.programs()[name][0].kill()
    wait_until(lambda: not running.stack.supervisor.is_running())

    seen = running.command("doctor")
    again = running.command("up")

    assert "a crashed run left" in seen.stdout
    assert "`make up` ends them" in seen.stdout
    assert again.returncode == 0, again.stdout + again.stderr
    wait_until(lambda: running.version_served(model, ROW) == 1)


def test_a_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    stack = RunningStack(tmp_path / "home")
    with socket.socket() as squatter:
        squatter.bind((LOOPBACK, stack.ports["mlflow_port"]))
        squatter.listen()

        seen, refused = stack.command("doctor"), stack.command("up")

    assert (seen.returncode, refused.returncode) == (1, 1)
    for printed in (seen.stdout, refused.stderr):
        words = " ".join(printed.split())
        assert f"port {stack.ports['mlflow_port']}, which mlflow needs, is held by" in words
        assert "MILLRACE_STACK__MLFLOW_PORT" in words
    assert stack.leftovers() == []
