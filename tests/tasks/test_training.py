"""What a training leaves behind beside the model: figures, pictures, data, and a leaderboard."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import matplotlib.image
import mlflow
import numpy as np
import pytest
from pydantic import ValidationError

from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from tasks.ingestion import ingest_dataset
from tasks.promotion import judge_challenger
from tasks.registry import register_model
from tasks.tabular.comparison import PromotionPolicy
from tasks.tabular.errors import UnknownNameError
from tasks.tabular.search_errors import UnsuitableLearnerError
from tasks.training import TrainingReport, TrainingRequest, fit_candidates

if TYPE_CHECKING:
    from pathlib import Path

    from infra.refs import DatasetRef
    from infra.settings import Settings
    from infra.tracking import Tracking

pytestmark = pytest.mark.prefect


@pytest.fixture
def dataset(platform: Settings, tracking: Tracking, adult_csv: Path) -> DatasetRef:
    ref = ingest_dataset(str(adult_csv), "default", "adult")
    Catalogue(open_database(platform.database)).mark(ref, "validated")
    return ref


def fit(dataset: DatasetRef, **given: object) -> TrainingReport:
    usual = {"target": "income", "budget_seconds": 30, "learners": ["lr", "dt"], "trials": 2}
    return fit_candidates(dataset, TrainingRequest.model_validate({**usual, **given}))


def artifact(run_id: str, path: str) -> str:
    return mlflow.artifacts.load_text(f"runs:/{run_id}/{path}")


@pytest.fixture
def trained(dataset: DatasetRef) -> TrainingReport:
    return fit(dataset)


def test_the_run_names_its_data_and_which_rows_were_used(
    trained: TrainingReport, tracking: Tracking
) -> None:
    (given,) = mlflow.get_run(trained.run_id).inputs.dataset_inputs
    split = tracking.split(trained.run_id)
    profile = json.loads(given.dataset.profile)

    assert given.dataset.name == "default.adult v1"
    assert profile["parts"] == split["part"].value_counts().to_dict()
    assert {each["name"] for each in json.loads(given.dataset.schema)["columns"]} >= {"age"}
    assert set(split.columns) >= {"row", "part", "fold", "uses"}


def test_every_figure_of_the_holdout_is_kept(trained: TrainingReport) -> None:
    run = mlflow.get_run(trained.run_id).data

    assert run.metrics["holdout_roc_auc"] == trained.holdout_score
    assert {"holdout_f1", "holdout_neg_brier_score", "holdout_cohen_kappa"} <= run.metrics.keys()
    assert 0 <= run.metrics["holdout_expected_calibration_error"] < 0.2
    assert run.params["metric"] == "roc_auc"


PLOTS = (
    *("roc", "precision_recall", "calibration", "confusion"),
    *("importances", "history", "pareto"),
)


def test_the_plots_are_there_and_not_blank(trained: TrainingReport) -> None:
    for name in PLOTS:
        path = mlflow.artifacts.download_artifacts(
            run_id=trained.run_id, artifact_path=f"plots/{name}.png"
        )
        picture = matplotlib.image.imread(path)

        assert picture.std() > 0.01, name
        assert json.loads(artifact(trained.run_id, f"plots/{name}.json")), name


def test_fold_metrics_average_to_what_is_reported(trained: TrainingReport) -> None:
    client = mlflow.MlflowClient()
    runs = mlflow.search_runs(
        [mlflow.get_run(trained.run_id).info.experiment_id],
        filter_string=f"tags.`mlflow.parentRunId` = '{trained.run_id}'",
    )
    for _, run in runs.iterrows():
        history = client.get_metric_history(run["run_id"], "fold_roc_auc")

        assert len(history) == 8
        assert np.mean([each.value for each in history]) == pytest.approx(run["metrics.roc_auc"])


def test_the_leaderboard_says_how_sure_it_is(trained: TrainingReport) -> None:
    lines = json.loads(artifact(trained.run_id, "leaderboard.json"))

    assert [line["rank"] for line in lines] == [1, 2]
    assert all(line["low"] < line["score"] < line["high"] for line in lines)
    assert lines[0]["tied"]
    assert [line["grade"] for line in lines] == ["A", "A"]
    assert any(line["front"] for line in lines)


def test_asked_in_pycaret_s_words(dataset: DatasetRef) -> None:
    trained = fit(
        dataset, metric="F1", learners=["RF", "knn"], select=2, strategy="optuna", folds=3
    )
    mixes = {each["name"] for each in json.loads(artifact(trained.run_id, "ensembles.json"))}

    assert trained.metric == "f1"
    assert {line.learner for line in trained.board.lines} == {"random_forest", "nearest_neighbours"}
    assert {"blend_2", "stack_2", "greedy"} < mixes


def test_finalized_the_model_knows_all_rows_and_keeps_its_figures(
    dataset: DatasetRef, tracking: Tracking
) -> None:
    trained, final = fit(dataset), fit(dataset, finalize=True)
    uses = tracking.split(final.run_id)["uses"]

    assert final.holdout_score == trained.holdout_score
    assert (uses > 0).all()
    model = register_model(final.run_id, final.model_uri, "default", "adult")
    assert model.version == 1


def test_an_estimator_by_its_path_is_fitted_as_it_is(
    dataset: DatasetRef, tracking: Tracking
) -> None:
    estimator = {
        "module": "ensemble",
        "class": "RandomForestClassifier",
        "params": {"n_estimators": 17},
    }
    trained = fit(dataset, estimator=estimator, learners=[], trials=0)
    model = tracking.load_model(trained.model_uri)

    assert len(trained.board.lines) == 1
    assert model[-1].n_estimators == 17
    assert type(model[-1]).__module__.startswith("sklearn.ensemble")


@pytest.mark.parametrize(
    ("estimator", "error", "says"),
    [
        (
            {"module": "os", "class": "system"},
            UnknownNameError,
            "there is no estimator 'sklearn.os.system'",
        ),
        (
            {"module": "ensemble", "class": "RandomForestClassifier", "params": {"n_estimator": 5}},
            UnsuitableLearnerError,
            "it has no parameter 'n_estimator'; did you mean n_estimators",
        ),
        (
            {"module": "sklearn.ensemble", "class": "RandomForestRegressor"},
            UnsuitableLearnerError,
            "it does not do binary",
        ),
    ],
)
def test_other_estimators_are_refused(
    dataset: DatasetRef, estimator: dict, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        fit(dataset, estimator=estimator, learners=[], trials=0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"strategy": "grid"}, "a `grid` belongs"),
        ({"grid": {"dt": {"max_depth": [1]}}}, "a `grid` belongs"),
        ({"learners": ["lightgmb"]}, "did you mean lightgbm"),
        ({"metric": "accuracyy"}, "did you mean accuracy"),
        ({"strategy": "random", "trials": 0}, "needs a number of `trials`"),
        ({"balance_always": True}, "name a method"),
    ],
)
def test_requests_that_contradict_themselves_are_refused(given: dict, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TrainingRequest.model_validate({"target": "income", **given})


def test_a_grid_by_any_name(dataset: DatasetRef) -> None:
    trained = fit(
        dataset,
        strategy="grid",
        grid={"dt": {"max_depth": [2, 4], "min_samples_leaf": [5]}},
        learners=[],
        trials=0,
        ensemble=False,
    )

    assert len(trained.board.lines) == 2
    assert {line.params["max_depth"] for line in trained.board.lines} == {2, 4}


def test_intervals_hold_the_share_of_rows_they_promise(dataset: DatasetRef) -> None:
    trained = fit(dataset, target="age", learners=["lightgbm", "ridge"])
    run = mlflow.get_run(trained.run_id).data

    assert 0.86 < run.metrics["holdout_interval_coverage_90"] < 0.94  # 600 rows: ± 2.5 points
    assert run.metrics["holdout_interval_width_90"] > 0


def test_an_ensemble_can_be_promoted_and_repeats_itself(dataset: DatasetRef) -> None:
    trained = fit(dataset, learners=["lightgbm", "rf", "lr"], trials=3)
    model = register_model(trained.run_id, trained.model_uri, "default", "adult")

    report = judge_challenger(model, "production", PromotionPolicy())

    assert report.promoted
