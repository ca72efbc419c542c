from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pandas as pd
import pytest

from infra.aliases import PRODUCTION
from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.errors import (
    DatasetRejectedError,
    EvidenceMissingError,
    ModelNotFoundError,
    ReproductionError,
)
from infra.refs import DatasetRef, ModelRef
from tasks.ingestion import ingest_dataset
from tasks.promotion import judge_challenger, record_decision
from tasks.registry import register_model
from tasks.tabular.comparison import PromotionPolicy
from tasks.tabular.evidence import Evidence
from tasks.tabular.spec import PipelineSpec
from tasks.training import TrainingReport, TrainingRequest, fit_candidates

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings
    from infra.tracking import Tracking

pytestmark = pytest.mark.prefect

POLICY = PromotionPolicy()


@pytest.fixture
def dataset(platform: Settings, tracking: Tracking, adult_csv: Path) -> DatasetRef:
    ref = ingest_dataset(str(adult_csv), "default", "adult")
    Catalogue(open_database(platform.database)).mark(ref, "validated")
    return ref


def fit(
    dataset: DatasetRef, *learners: str, target: str = "income", **given: object
) -> TrainingReport:
    request = TrainingRequest(target=target, learners=learners, **{"budget_seconds": 1, **given})
    return fit_candidates(dataset, request)


def register(trained: TrainingReport) -> ModelRef:
    return register_model(trained.run_id, trained.model_uri, "default", "adult")


def test_every_candidate_is_a_nested_run(dataset: DatasetRef) -> None:
    trained = fit(dataset, "logistic_regression", "lightgbm", trials=2)  # no clock decides

    parent = mlflow.get_run(trained.run_id)
    children = mlflow.search_runs(
        [parent.info.experiment_id],
        filter_string=f"tags.`mlflow.parentRunId` = '{trained.run_id}'",
    )
    assert len(children) == len(trained.board.lines)
    assert set(children["params.learner"]) == {"logistic_regression", "lightgbm"}
    best = children["metrics.roc_auc"].max()
    assert trained.board.lines[0].score == pytest.approx(best)
    assert parent.data.metrics["holdout_roc_auc"] == trained.holdout_score > 0.8


def test_lineage_goes_from_the_run_to_the_version(dataset: DatasetRef) -> None:
    model = register(fit(dataset, "logistic_regression"))

    tags = mlflow.MlflowClient().get_model_version(model.registered_name, "1").tags
    assert tags["millrace.dataset"] == "default.adult v1"
    assert tags["millrace.seed"] == "0"
    assert {"millrace.dataset_digest", "millrace.git_commit", "millrace.lock_hash"} <= tags.keys()


def test_registering_again_gives_the_same_version(dataset: DatasetRef) -> None:
    trained = fit(dataset, "logistic_regression")

    assert register(trained) == register(trained) == ModelRef(name="adult", version=1)


def test_a_model_that_does_not_repeat_its_scores_is_refused(
    dataset: DatasetRef, tracking: Tracking
) -> None:
    trained = fit(dataset, "logistic_regression")
    evidence = tracking.evidence(trained.run_id)
    evidence["scores"][0] = [0.5, 0.5]
    tracking.log_evidence(trained.run_id, evidence, tracking.split(trained.run_id))

    with pytest.raises(ReproductionError, match="differs from its training-time scores"):
        register(trained)

    with pytest.raises(ModelNotFoundError):
        tracking.latest_version("adult")


def test_a_rejected_version_is_not_trained_on(dataset: DatasetRef, platform: Settings) -> None:
    Catalogue(open_database(platform.database)).mark(dataset, "rejected", ("age: odd",))

    with pytest.raises(DatasetRejectedError, match="age: odd"):
        fit(dataset)


@pytest.mark.parametrize("learner", ["xgboost", "catboost", "lightgbm"])
def test_a_logged_model_answers_in_a_process_without_the_platform(
    dataset: DatasetRef, tracking: Tracking, tmp_path: Path, learner: str
) -> None:
    trained = fit(dataset, learner)
    evidence = Evidence.from_json(tracking.evidence(trained.run_id))
    folder = tracking.download(register(trained), tmp_path / "model")
    rows = tmp_path / "rows.parquet"
    pd.DataFrame(evidence.sample).to_parquet(rows)
    script = f"""
import sys
for hidden in ("prefect", "infra", "flows", "optuna"):
    sys.modules[hidden] = None
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model({str(folder)!r})
scores = model.predict(pd.read_parquet({str(rows)!r}))
print(pd.DataFrame(scores).to_json(double_precision=15, orient="values"))
"""

    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    printed = io.StringIO(result.stdout.splitlines()[-1])

    np.testing.assert_allclose(
        pd.read_json(printed, precise_float=True), evidence.scores, atol=1e-12
    )


@pytest.mark.parametrize(
    ("target", "metric"), [("age", "neg_root_mean_squared_error"), ("relationship", "neg_log_loss")]
)
def test_quantities_and_many_classes_go_the_same_road(
    dataset: DatasetRef, target: str, metric: str
) -> None:
    trained = fit(dataset, "lightgbm", target=target)
    report = judge_challenger(register(trained), PRODUCTION, POLICY)

    assert trained.metric == metric
    assert report.promoted


def test_the_first_model_has_to_beat_a_constant(dataset: DatasetRef, tracking: Tracking) -> None:
    model = register(fit(dataset, "logistic_regression"))

    report = judge_challenger(model, PRODUCTION, POLICY)
    record_decision(report)

    assert report.promoted
    assert report.champion is None
    assert "constant prediction" in report.reason
    assert tracking.version_of("adult", PRODUCTION) == 1


def test_only_a_better_model_takes_the_alias(dataset: DatasetRef, tracking: Tracking) -> None:
    blind = PipelineSpec.parse({"steps": [{"step": "drop_columns", "columns": "numeric"}]})
    for spec in (blind, None):
        trained = fit(dataset, "lightgbm", preparation=spec)
        report = judge_challenger(register(trained), PRODUCTION, POLICY)
        record_decision(report)
    better = report.promoted
    twin = judge_challenger(
        register(fit(dataset, "lightgbm")), PRODUCTION, PromotionPolicy(minimum_gain=0.02)
    )
    record_decision(twin)

    assert better
    assert report.champion == 1
    assert not twin.promoted
    assert abs(twin.comparison.gain) < 0.02
    assert tracking.version_of("adult", PRODUCTION) == 2


def test_rows_the_champion_was_trained_on_do_not_count(dataset: DatasetRef) -> None:
    record_decision(
        judge_challenger(register(fit(dataset, "logistic_regression")), PRODUCTION, POLICY)
    )
    other_split = register(fit(dataset, "lightgbm", seed=1))

    report = judge_challenger(other_split, PRODUCTION, POLICY)

    assert 50 < report.comparison.rows < 250  # a fifth of the fifth that was held out


def test_a_model_of_somebody_else_is_not_promoted(dataset: DatasetRef, tracking: Tracking) -> None:
    client = mlflow.MlflowClient()
    client.create_registered_model("foreign")
    client.create_model_version("foreign", source="file:///nowhere")

    with pytest.raises(EvidenceMissingError, match="not registered by Millrace"):
        judge_challenger(ModelRef(name="foreign", version=1), PRODUCTION, POLICY)
