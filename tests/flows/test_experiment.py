"""Source E's pipelines, as written."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pandas as pd
import pytest

from flows.experiment import run_experiment
from infra.refs import ModelRef
from tasks.tabular.experiment_errors import (
    ExperimentError,
    MessageSyntaxError,
    UnsupportedParametersError,
)
from tests.unit.tabular.source_messages import FRAUD as FIRST
from tests.unit.tabular.source_messages import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.settings import Settings
    from infra.tracking import Tracking

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(600)]

ROWS = 260
AT_HAND = Path("/app/data/creditcardfraud.zip")


def fraud(rng: np.random.Generator) -> pd.DataFrame:
    """A table like the one the messages are about: V1 to V6, Amount, and a rare class."""
    x = rng.normal(size=(ROWS, 6))
    risk = x[:, 0] + x[:, 1] + rng.normal(size=ROWS) / 2
    frame = pd.DataFrame(x, columns=[f"V{i + 1}" for i in range(6)])
    frame["Amount"] = rng.exponential(80, ROWS)
    return frame.assign(Class=(risk > np.quantile(risk, 0.88)).astype(int))


def zipped(frame: pd.DataFrame) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("creditcard.csv", frame.to_csv(index=False))
    return packed.getvalue()


@pytest.fixture
def file_at_hand(rng: np.random.Generator) -> Iterator[Path]:
    """Put the second message's file where it says it is."""
    there = [each for each in (AT_HAND.parent, AT_HAND.parent.parent) if each.exists()]
    try:
        AT_HAND.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        pytest.skip(f"{AT_HAND.parent} cannot be made by this user")
    AT_HAND.write_bytes(zipped(fraud(rng)))
    yield AT_HAND
    AT_HAND.unlink()
    for folder in (AT_HAND.parent, AT_HAND.parent.parent):
        if folder not in there:
            folder.rmdir()


def test_the_first_example_runs_to_a_registered_model(
    platform: Settings, tracking: Tracking, rng: np.random.Generator, tmp_path: Path
) -> None:
    """As written, but for the step that needs Kaggle's network: the same file from disk."""
    path = tmp_path / "creditcard.csv"
    fraud(rng).to_csv(path, index=False)
    message = json.loads(FIRST)
    steps = message["pipeline"][0]["MLSteps"]
    assert "load_data_from_kaggle" in steps[0]
    steps[0] = {"load_data_from_file": {"path": str(path)}}

    (model,) = run_experiment(json.dumps(message))

    run = mlflow.get_run(tracking.run_of(model))
    board = json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/leaderboard.json"))
    mixes = json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/ensembles.json"))
    experiment = mlflow.get_experiment(run.info.experiment_id)
    assert model == ModelRef(name="credit_fraud", version=1)
    assert experiment.name == "credit_fraud_202112"
    assert {line["learner"] for line in board} == {
        "random_forest",
        "lightgbm",
        "nearest_neighbours",
    }
    assert {line["folds"] for line in board} == {10}
    assert {line["balancing"] for line in board} == {"smote"}
    assert {"blend_2", "stack_2"} < {each["name"] for each in mixes}
    assert run.data.metrics["holdout_f1"] > 0.4
    kept = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/experiment.json")
    assert json.loads(kept) == message


def test_the_second_example_runs_with_its_trailing_commas(
    platform: Settings, tracking: Tracking, file_at_hand: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_experiment(SECOND) == ()  # it registers nothing

    for line in (9, 16):
        assert f"line {line}, column" in caplog.text
    runs = mlflow.search_runs(
        [mlflow.get_experiment_by_name("test").experiment_id],
        filter_string="params.learner != ''",
    )
    assert set(runs["params.learner"]) == {"decision_tree", "logistic_regression"}
    assert "metrics.cohen_kappa" in runs


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda m: m["experiment_config"].pop("target"), ExperimentError, "target"),
        (
            lambda m: m["pipeline"][0]["MLSteps"].reverse(),
            ExperimentError,
            r"pipeline\[0\].MLSteps\[0\]",
        ),
        (
            lambda m: m["pipeline"][0]["MLSteps"][1]["train_model"]["modeling_params"].update(
                use_gpu=True, turbo=False
            ),
            UnsupportedParametersError,
            "use_gpu",
        ),
        (
            lambda m: m["pipeline"][0]["MLSteps"].append({"deploy_modle": {}}),
            ExperimentError,
            "deploy_modle",
        ),
    ],
)
def test_a_message_with_a_fault_runs_nothing(
    platform: Settings, tracking: Tracking, change, error: type[Exception], says: str
) -> None:
    message = json.loads(FIRST)
    change(message)

    with pytest.raises(error, match=says):
        run_experiment(json.dumps(message))

    assert not list(mlflow.search_experiments(filter_string="name = 'credit_fraud_202112'"))


def test_what_is_no_json_is_told_by_line_and_column(platform: Settings) -> None:
    with pytest.raises(MessageSyntaxError, match="line 2, column"):
        run_experiment('{\n "pipeline" [}')


def test_every_unsupported_parameter_is_named(platform: Settings) -> None:
    message = json.loads(FIRST)
    train = message["pipeline"][0]["MLSteps"][1]["train_model"]
    train["feature_engineering_params"] |= {"use_gpu": True, "create_clusters": True}

    with pytest.raises(UnsupportedParametersError) as refused:
        run_experiment(json.dumps(message))

    assert "use_gpu" in str(refused.value)
    assert "create_clusters" in str(refused.value)


def test_what_would_not_be_done_is_refused(platform: Settings, tracking: Tracking) -> None:
    message = json.loads(FIRST)
    steps = message["pipeline"][0]["MLSteps"]
    steps.insert(1, {"prepare_data": {"preparation": {"steps": [{"step": "scale"}]}}})
    steps[2]["train_model"]["modeling_params"]["budget_time"] = 5

    with pytest.raises(ExperimentError) as refused:
        run_experiment(json.dumps(message))

    assert "both prepare" in str(refused.value)
    assert "budget_time bounds tuning" in str(refused.value)
