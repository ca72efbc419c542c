"""The real stack on free ports, from the first start to the last process gone."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from bento.segment import SUFFIX
from infra.ports import LOOPBACK, is_free
from infra.serving.protocol import MODEL_PREFIX
from tasks.tabular.pool import cores
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


def test_what_answers_goes_before_what_keeps_the_books_and_that_before_what_runs(
    running: RunningStack, model: str
) -> None:
    programs = {name: tree[0] for name, tree in running.programs().items()}
    servers = [process for name, process in programs.items() if name.startswith(MODEL_PREFIX)]
    own = psutil.Process().nice()

    assert {each.nice() for each in (programs["gateway"], *servers)} == {own}
    for name, added in (("prefect", 5), ("mlflow", 5), ("worker", 10)):
        assert programs[name].nice() == min(19, own + added)
    for each in servers:
        command = each.cmdline()
        assert command[command.index("--threads") + 1] == str(cores())


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


B_TRAIN = """{
  "dataset_name": "my_dataset",
  "use_example": false,
  "model": {
    "module": "ensemble",
    "class": "RandomForestClassifier",
    "params": {
      "n_estimators": 100
    }
  },
  "target_column": "target",
  "test_size": 0.2,
  "random_state": 42
}"""
"""The payload of source B, as written there."""


@pytest.fixture(scope="module")
def rest(running: RunningStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.stack.layout.gateway_url, timeout=200) as client:
        yield client


def test_one_estimator_is_trained_over_rest(rest: httpx.Client, adult: pd.DataFrame) -> None:
    table = adult.head(2_000).rename(columns={"income": "target"}).to_csv(index=False)
    uploaded = rest.post("/datasets/upload", files={"file": ("My DataSet.csv", table.encode())})
    assert uploaded.status_code == 201, uploaded.text

    trained = rest.post("/train", json=json.loads(B_TRAIN))

    assert trained.status_code == 201, trained.text
    body = trained.json()
    assert (body["model"], body["version"], body["state"]) == ("my_dataset", 1, "COMPLETED")
    assert 0.7 < body["metrics"]["holdout_roc_auc"] < 1
    assert rest.get(trained.headers["location"]).json() == body
    message = json.loads(B_TRAIN.replace('"ensemble"', '"os"'))
    refused = rest.post("/train", json=message)
    assert refused.status_code == 422
    assert "there is no estimator 'sklearn.os.RandomForestClassifier'" in refused.json()["detail"]


def test_an_example_is_trained_without_an_upload(rest: httpx.Client) -> None:
    message = {**json.loads(B_TRAIN), "dataset_name": "iris", "use_example": True}

    body = rest.post("/train", json=message).json()

    assert (body["model"], body["version"]) == ("examples.iris", 1), body
    assert body["dataset"] == {"project": "examples", "name": "iris", "version": 1}


def test_a_search_is_watched_stopped_and_taken_further(
    running: RunningStack, rest: httpx.Client, model: str
) -> None:
    order = {"dataset": model, "request": {"target": "income", "budget_seconds": 100}}
    started = rest.post("/auto_ml/runs", json=order)
    assert started.status_code == 202, started.text
    run = started.json()["run"]

    def board() -> dict[str, Any]:
        answer: dict[str, Any] = rest.get(f"/auto_ml/runs/{run}/leaderboard").json()
        return answer

    wait_until(lambda: len(board()["lines"]) > 1)  # some candidates are known while it runs
    so_far = board()
    early = rest.post(f"/auto_ml/runs/{run}/extend", json={"budget_seconds": 8})
    stopped = rest.post(f"/auto_ml/runs/{run}/cancel")
    assert stopped.json()["state"] in {"CANCELLING", "CANCELLED"}
    wait_until(lambda: rest.get(f"/auto_ml/runs/{run}").json()["state"] == "CANCELLED", 30)
    further = rest.post(f"/auto_ml/runs/{run}/extend", json={"budget_seconds": 8}).json()["run"]
    assert running.finish(further)["type"] == "COMPLETED"
    ended = rest.get(f"/auto_ml/runs/{further}/leaderboard").json()

    assert (early.status_code, "has not ended" in early.text) == (422, True)
    assert (so_far["final"], so_far["metric"], so_far["lines"][0]["rank"]) == (False, "roc_auc", 1)
    scores = [each["score"] for each in so_far["lines"] if each["score"] is not None]
    assert scores == sorted(scores, reverse=True)
    assert ended["final"]
    assert {"low", "high", "tied", "grade"} <= ended["lines"][0].keys()
    assert rest.get(f"/auto_ml/runs/{further}").json()["model"] == model
    study = running.prefect("flow_runs/filter", {"flow_runs": {"id": {"any_": [further]}}})
    assert study[0]["parameters"]["request"]["study"].startswith("run ")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"target": "income", "learners": ["lightgmb"]}, "lightgmb"),
        ({"target": "income", "budget": 5}, "budget"),
        ({"target": {"__prefect_kind": "jinja", "template": "{{ 1 }}"}}, "is not data"),
        ({"target": "a" * 600_000}, "more than 500,000 bytes"),
        ({"target": "a\0"}, "character 0"),
    ],
    ids=["an unknown learner", "an unknown field", "a template", "too much", "a zero"],
)
def test_an_impossible_training_is_not_begun(
    rest: httpx.Client, model: str, request_: dict[str, Any], says: str
) -> None:
    answer = rest.post("/auto_ml/runs", json={"dataset": model, "request": request_})

    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_what_a_training_may_name_is_listed(rest: httpx.Client) -> None:
    found = rest.get("/auto_ml/models").json()

    assert {"lightgbm", "xgboost", "catboost", "neural_network", "ebm"} <= set(found["models"])
    assert len(found["models"]) > 30
    assert "roc_auc" in found["metrics"]


def test_runs_of_other_flows_are_no_trainings(running: RunningStack, rest: httpx.Client) -> None:
    other = running.runs_of("reconcile")[0]["id"]

    for run in (other, "00000000-0000-4000-8000-000000000000"):
        assert rest.get(f"/auto_ml/runs/{run}").status_code == 404
        assert rest.post(f"/auto_ml/runs/{run}/cancel").status_code == 404


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
        wait_until(lambda: len(served_programs(running)) == 2)  # the old one is the standby
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


def test_a_rollback_needs_neither_a_run_nor_the_registry(running: RunningStack, model: str) -> None:
    live = running.version_served(model, ROW)
    url = running.stack.layout.gateway_url
    token = running.stack.environment()["MILLRACE_GATEWAY__TOKEN"]
    headers = {"Authorization": f"Bearer {token}"}
    running.stack.supervisor.stop("prefect")
    running.stack.supervisor.stop("mlflow")
    try:
        answer = httpx.post(f"{url}/deploy/{model}/rollback", headers=headers, timeout=20).json()
        back = running.version_served(model, ROW)
        # a model server that is killed comes back without them too
        name = next(each for each in served_programs(running) if f"-v{back}-" in each)
        running.programs()[name][0].kill()
        wait_until(lambda: running.version_served(model, ROW) == back)
    finally:
        running.stack.supervisor.start("prefect")
        running.stack.supervisor.start("mlflow")

    assert back != live
    assert (answer["version"], answer["alias_set"]) == (back, False)
    wait_until(running.is_well)

    def alias() -> int:
        found = running.registry.get_model_version_by_alias(model, "production")
        return int(found.version)

    wait_until(lambda: alias() == back, 120)  # reconciliation sees to it
    assert running.version_served(model, ROW) == back


def test_a_batch_of_many_points_is_answered_and_logged(
    running: RunningStack, rest: httpx.Client, model: str
) -> None:
    rows = [{**ROW, "age": 20 + place % 50} for place in range(200)]
    messages = [{"rows": rows} for _ in range(49)]

    taken = rest.post(f"/predict/{model}/batch", json={"messages": [*messages, {"rows": [{}]}]})

    assert taken.status_code == 202, taken.text
    url = f"/predict/{model}/batch/{taken.json()['batch']}"
    assert running.finish(taken.json()["run"])["type"] == "COMPLETED"
    assert rest.get(url).json() == {"messages": 50, "answered": 50, "done": True}
    answers = [json.loads(line) for line in rest.get(f"{url}/answers").text.splitlines()]
    assert [each["status"] for each in answers] == [200] * 49 + [422]
    assert {len(each["answer"]["predictions"]) for each in answers[:-1]} == {200}
    logged = rest.get(f"/predictions/{model}", params={"limit": 1000}).json()
    mine = [e for e in logged if e["caller"] == f"batch {taken.json()['batch']}"]
    assert sum(each["rows"] for each in mine) == 49 * 200


def test_what_was_predicted_is_found_again(running: RunningStack, model: str) -> None:
    answer = running.predict(model, ROW).json()
    url = f"{running.stack.layout.gateway_url}/predictions/{model}"
    identity = answer["prediction_id"]

    seen = httpx.get(f"{url}/{identity}", timeout=20).json()
    label = {"prediction_id": identity, "row": 0, "label": ">50K"}
    labelled = httpx.post(
        f"{running.stack.layout.gateway_url}/labels", json={"labels": [label]}, timeout=20
    )

    assert seen["request"]["rows"] == [ROW]
    assert seen["response"]["predictions"] == answer["predictions"]
    assert labelled.is_success
    # within the minute it is in the store, and the segment is gone
    folder = running.stack.layout.settings.serving.home / "predictions" / model
    wait_until(lambda: not list(folder.glob(f"*{SUFFIX}")), 180)
    again = httpx.get(f"{url}/{identity}", timeout=20).json()
    assert again["request"] == seen["request"]
    assert [each["label"] for each in again["labels"]] == [">50K"]


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
    # a release that is killed while an old server drains is another story
    wait_until(lambda: sum(name.startswith("model-") for name in running.programs()) <= 2)
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
    served = wait_until(lambda: running.version_served(model, ROW))  # it came back with the stack
    for name in ("sentinel", "supervisord"):  # as when the machine's owner kills them all
        running.programs()[name][0].kill()
    wait_until(lambda: not running.stack.supervisor.is_running())

    seen = running.command("doctor")
    again = running.command("up")

    assert "a crashed run left" in seen.stdout
    assert "`make up` ends them" in seen.stdout
    assert again.returncode == 0, again.stdout + again.stderr
    wait_until(lambda: running.version_served(model, ROW) == served)


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
