from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pandas as pd
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate

from flows.features import augment_dataset, prepare_features
from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.errors import DatasetRejectedError, PersonalDataError, PoolUnservedError
from infra.frames import read_frame
from infra.storage import open_store
from tasks.augmentation import augment_rows, find_gpu, run_elsewhere
from tasks.ingestion import ingest_dataset
from tasks.preprocessing import derive_features, preview_features
from tasks.registry import register_model
from tasks.tabular.derivation import PART, PREVIEW_ROWS
from tasks.tabular.errors import ResamplingError, SpecError, SplitError, StepError
from tasks.tabular.resampling import Balancing
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.splitting import SplitPolicy
from tasks.training import TrainingReport, TrainingRequest, fit_candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infra.refs import DatasetRef
    from infra.settings import Settings
    from infra.tracking import Tracking

pytestmark = pytest.mark.prefect

SPEC = PipelineSpec.parse(
    {
        "steps": [
            {"step": "drop_duplicates"},
            {"step": "expression", "formulas": {"gain": "capital_gain - capital_loss"}},
            {"step": "target_encode", "columns": ["native_country", "occupation"]},
        ]
    }
)


@pytest.fixture
def enter(platform: Settings, tracking: Tracking, tmp_path: Path) -> Callable[..., DatasetRef]:
    """Enter a frame as a validated version."""

    def entered(frame: pd.DataFrame, name: str = "adult") -> DatasetRef:
        path = tmp_path / f"{name}.csv"
        frame.to_csv(path, index=False)
        ref = ingest_dataset(str(path), "default", name)
        Catalogue(open_database(platform.database)).mark(ref, "validated")
        return ref

    return entered


@pytest.fixture
def dataset(enter: Callable[..., DatasetRef], adult: pd.DataFrame) -> DatasetRef:
    return enter(adult)


def frame_of(platform: Settings, ref: DatasetRef) -> pd.DataFrame:
    version = Catalogue(open_database(platform.database)).get(ref)
    return read_frame(open_store(platform.storage), version.frame_digest)


def train(dataset: DatasetRef, **given: object) -> TrainingReport:
    request = {"target": "income", "learners": ("lightgbm",), "budget_seconds": 1, **given}
    return fit_candidates(dataset, TrainingRequest.model_validate(request))


def test_a_preview_shows_the_first_rows_and_keeps_nothing(
    dataset: DatasetRef, platform: Settings
) -> None:
    found = preview_features(dataset, "income", SPEC)

    assert len(found.rows) == PREVIEW_ROWS
    assert {"gain", "occupation", "age"} <= set(found.rows.columns)
    assert [each.name for each in found.steps.steps][:3] == [
        "columns",
        "expression",
        "target_encode",
    ]
    assert len(Catalogue(open_database(platform.database)).versions()) == 1


def test_features_become_a_version_with_parent_and_recipe(
    dataset: DatasetRef, platform: Settings
) -> None:
    ref = derive_features(dataset, "income", SPEC, seed=3)

    catalogue = Catalogue(open_database(platform.database))
    version = catalogue.trusted(ref)
    assert str(ref) == "default.adult_features v1"
    assert catalogue.lineage(ref, "ancestors") == (dataset,)
    assert version.entry.recipe["seed"] == 3
    assert PipelineSpec.parse(version.entry.recipe["spec"]) == SPEC
    assert frame_of(platform, ref)[PART].value_counts(normalize=True)["training"] == pytest.approx(
        0.64, abs=0.01
    )


def test_the_same_features_are_the_same_version(dataset: DatasetRef) -> None:
    first = derive_features(dataset, "income", SPEC)

    assert derive_features(dataset, "income", SPEC) == first
    assert derive_features(dataset, "income", SPEC, seed=1).version == 2


def test_what_steps_learn_is_of_training_rows_only(
    enter: Callable[..., DatasetRef], platform: Settings, adult: pd.DataFrame
) -> None:
    spec = PipelineSpec.parse({"steps": [{"step": "scale", "columns": ["age"]}]})
    ref = derive_features(enter(adult), "income", spec)

    made = frame_of(platform, ref)
    training = made.loc[made[PART] == "training", "age"]
    assert training.mean() == pytest.approx(0, abs=1e-12)
    assert made["age"].mean() != pytest.approx(0, abs=1e-9)


def test_features_of_a_rejected_version_are_refused(
    dataset: DatasetRef, platform: Settings
) -> None:
    Catalogue(open_database(platform.database)).mark(dataset, "rejected", ("age: odd",))

    with pytest.raises(DatasetRejectedError, match="age: odd"):
        derive_features(dataset, "income", None)


def test_personal_data_is_derived_from_only_where_that_is_allowed(
    enter: Callable[..., DatasetRef], platform: Settings, adult: pd.DataFrame
) -> None:
    ref = enter(adult)
    finding = {
        "column": "age",
        "kind": "age",
        "confidence": 1.0,
        "share": 1.0,
        "policy": "drop",
        "by": "name",
        "masked": None,
    }
    report = {"findings": [finding], "columns": 15, "sampled": 10, "names_looked_for": False}
    Catalogue(open_database(platform.database)).record_findings(ref, report)

    with pytest.raises(PersonalDataError, match="age"):
        derive_features(ref, "income", None)
    derived = derive_features(ref, "income", None, allow_personal_data=True)
    with pytest.raises(PersonalDataError, match="age"):
        train(derived)


@pytest.mark.parametrize("method", ["random_over", "smote_nc", "random_under"])
def test_added_rows_are_synthetic_and_judge_nothing(
    dataset: DatasetRef, platform: Settings, tracking: Tracking, method: str
) -> None:
    ref = augment_rows(dataset, "income", Balancing(method=method))
    made = frame_of(platform, ref)
    trained = train(ref)

    split = tracking.split(trained.run_id)
    parts = made[PART].to_numpy()
    counts = made.loc[made[PART].isin(["training", "synthetic"]), "income"].value_counts()
    assert counts.iloc[0] == counts.iloc[1]
    assert (parts[split["part"] == "holdout"] == "holdout").all()
    assert (parts[split["fold"] >= 0] == "validation").all()
    assert (split.loc[split["part"] == "holdout", "uses"] == 0).all()
    assert PART not in trained.board.lines[0].params


def test_added_rows_are_of_the_columns_types(
    dataset: DatasetRef, platform: Settings, adult: pd.DataFrame
) -> None:
    made = frame_of(platform, augment_rows(dataset, "income", Balancing(method="smote_nc")))

    before = frame_of(platform, dataset)
    synthetic = made[made[PART] == "synthetic"]
    assert made.dtypes.drop(PART).equals(before.dtypes)
    assert set(synthetic["occupation"].dropna()) <= set(before["occupation"].dropna())
    assert synthetic["age"].between(before["age"].min(), before["age"].max()).all()


def test_a_derived_version_keeps_its_own_parts(dataset: DatasetRef) -> None:
    ref = augment_rows(dataset, "income", Balancing(method="random_over"))

    with pytest.raises(SplitError, match="derived with parts of its own"):
        train(ref, split={"kind": "time", "column": "age"})


def test_features_of_an_augmented_version_keep_its_parts(
    dataset: DatasetRef, platform: Settings
) -> None:
    balancing = Balancing(method="random_over")

    ref = prepare_features(dataset, "income", balancing=balancing)

    made = frame_of(platform, ref)
    assert str(ref) == "default.adult_augmented_features v1"
    assert set(made[PART]) == {"training", "validation", "holdout", "synthetic"}


def test_a_model_carries_the_preparation_it_was_asked_for(
    dataset: DatasetRef, tracking: Tracking
) -> None:
    trained = train(dataset, preparation=SPEC.to_json())

    client = mlflow.MlflowClient()
    files = {each.path for each in client.list_artifacts(trained.run_id, "preparation")}
    model = tracking.load_model(trained.model_uri)
    assert {
        f"preparation/{name}" for name in ("pipeline.svg", "pipeline.html", "spec.yaml")
    } <= files
    preparation = model[-1].preparations_[0]
    assert [name for name, _ in preparation.steps][1:3] == ["expression", "target_encode"]
    assert mlflow.get_run(trained.run_id).data.tags["millrace.preparation"] == SPEC.digest


def test_the_picture_names_every_step(dataset: DatasetRef, tracking: Tracking) -> None:
    trained = train(dataset, preparation=SPEC.to_json())

    model = tracking.load_model(trained.model_uri)
    for picture in ("pipeline.svg", "pipeline.html"):
        path = mlflow.artifacts.download_artifacts(
            run_id=trained.run_id, artifact_path=f"preparation/{picture}"
        )
        text = open(path).read()  # noqa: PTH123, SIM115
        assert all(name in text for name, _ in model.steps)


def test_row_ids_of_every_split_are_kept(dataset: DatasetRef, tracking: Tracking) -> None:
    trained = train(dataset)

    split = tracking.split(trained.run_id)
    assert split["row"].is_unique
    assert set(split["part"]) == {"training", "holdout"}
    assert sorted(split.loc[split["part"] == "training", "fold"].unique()) == list(range(8))
    assert (split.loc[split["part"] == "holdout", ["fold", "uses"]] == [-1, 0]).all(axis=None)


def test_groups_are_never_parted(
    enter: Callable[..., DatasetRef], tracking: Tracking, adult: pd.DataFrame
) -> None:
    frame = adult.assign(household=np.arange(len(adult)) // 3)
    trained = train(enter(frame), split={"kind": "grouped", "column": "household"})

    split = tracking.split(trained.run_id).merge(
        frame["household"], left_on="row", right_index=True
    )
    assert split.groupby("household")["part"].nunique().max() == 1
    (conforming, *_) = tracking.load_model(trained.model_uri)[-1].preparations_[0]
    assert "household" not in conforming.get_feature_names_out()


def test_duplicates_are_left_out_of_training_only(
    enter: Callable[..., DatasetRef], tracking: Tracking, adult: pd.DataFrame
) -> None:
    ref = enter(pd.concat([adult, adult.iloc[:3]]))
    spec = {"steps": [{"step": "drop_duplicates"}]}

    split = tracking.split(train(ref, preparation=spec, trials=1).run_id)

    training = split[split["part"] == "training"]
    assert len(split) == len(adult) + 3
    # of a pair that trains together every fold takes one, and seven of eight folds have both
    assert 0 < (training["uses"] < 7).sum() <= 3 + adult.duplicated().sum()


def test_balancing_is_reported_and_chosen_only_if_it_is_better(
    enter: Callable[..., DatasetRef], tracking: Tracking, adult: pd.DataFrame
) -> None:
    rich = adult[adult["income"] == ">50K"].iloc[:120]
    ref = enter(pd.concat([rich, adult[adult["income"] == "<=50K"]]))

    trained = train(
        ref,
        metric="balanced_accuracy",
        balancing="class_weights",
        budget_seconds=20,
        learners=("logistic_regression",),
    )

    report = json.loads(mlflow.artifacts.load_text(f"runs:/{trained.run_id}/balancing.json"))
    nothing, weighted = report["trials"]
    assert nothing["method"] == "none"
    better = np.mean(weighted["fold_scores"]) > np.mean(nothing["fold_scores"])
    assert report["chosen"]["method"] == ("class_weights" if better else "none")
    assert better


def test_a_moved_threshold_goes_with_the_model(
    enter: Callable[..., DatasetRef], tracking: Tracking, adult: pd.DataFrame
) -> None:
    rich = adult[adult["income"] == ">50K"].iloc[:120]
    ref = enter(pd.concat([rich, adult[adult["income"] == "<=50K"]]))

    trained = train(
        ref,
        metric="balanced_accuracy",
        balancing="threshold",
        budget_seconds=20,
        learners=("logistic_regression",),
    )

    assert 0 < tracking.evidence(trained.run_id)["threshold"] < 0.5
    register_model(trained.run_id, trained.model_uri, "default", "adult")


def test_a_specification_about_the_target_is_refused(dataset: DatasetRef) -> None:
    spec = {"steps": [{"step": "scale", "columns": ["income"]}]}

    with pytest.raises(SpecError, match="'income' is the target"):
        train(dataset, preparation=spec)


def test_a_step_that_cannot_be_fitted_names_itself(dataset: DatasetRef) -> None:
    spec = PipelineSpec.parse({"steps": [{"step": "bin", "columns": ["occupation"]}]})

    with pytest.raises(StepError, match="step 'bin' on 'occupation'"):
        preview_features(dataset, "income", spec)


def test_a_model_with_every_kind_of_step_answers_alike_without_the_platform(
    enter: Callable[..., DatasetRef], tracking: Tracking, adult: pd.DataFrame, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 40, (len(adult), 4))
    frame = adult.assign(
        since=pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, len(adult)), "D"),
        note=[" ".join(f"w{w}" for w in row) + f" {n}" for n, row in enumerate(words)],
    )
    spec = {
        "steps": [
            {"step": "date_parts", "timezone": "Europe/Berlin", "cyclical": True},
            {"step": "text", "components": 5},
            {"step": "count_encode", "columns": ["workclass"]},
            {"step": "target_encode", "columns": ["occupation"]},
            {"step": "hash_encode", "columns": ["native_country"], "features": 16},
            {"step": "impute", "indicator": True},
            {"step": "clip"},
            {"step": "bin", "columns": ["age"]},
            {"step": "polynomial", "columns": ["age", "education_num"]},
            {"step": "trigonometry", "columns": ["age"]},
            {"step": "scale"},
            {"step": "drop_correlated"},
            {"step": "select", "features": 30},
        ]
    }
    trained = train(enter(frame), preparation=spec, learners=("logistic_regression",))
    folder = mlflow.artifacts.download_artifacts(trained.model_uri, dst_path=str(tmp_path / "m"))
    sample = pd.DataFrame(tracking.evidence(trained.run_id)["sample"])
    sample.to_parquet(tmp_path / "rows.parquet")
    script = f"""
import sys
for hidden in ("prefect", "infra", "flows", "optuna", "imblearn"):
    sys.modules[hidden] = None
import mlflow, pandas as pd, numpy as np
model = mlflow.pyfunc.load_model({folder!r})
np.save("scores.npy", model.predict(pd.read_parquet("rows.parquet")))
"""

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

    here = tracking.load_model(trained.model_uri).predict_proba(sample)
    assert np.load(tmp_path / "scores.npy").tobytes() == here.tobytes()


def test_without_a_worker_the_autoencoder_is_trained_here_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @flow
    def asked() -> bool:
        return find_gpu("augment-dataset/on-gpu", "prefer", 60.0)

    assert asked() is False
    assert "no worker serves the pool 'gpu'" in caplog.text


def test_a_required_gpu_is_waited_for_with_a_reason() -> None:
    @flow
    def asked() -> bool:
        return find_gpu("augment-dataset/on-gpu", "require", 3.0)

    seen: list[str] = []
    done = threading.Event()

    def watch() -> None:
        with get_client(sync_client=True) as client:
            while not done.wait(0.2):
                seen.extend(run.state.message or "" for run in client.read_flow_runs() if run.state)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(PoolUnservedError, match="prefect worker start --pool gpu"):
        asked()
    done.set()
    watcher.join()

    assert any("waiting for a worker on the pool 'gpu'" in each for each in seen)


def test_a_worker_on_the_pool_is_found() -> None:
    @flow
    def on_gpu() -> None:
        pass

    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="gpu", type="process"))
        made = client.create_flow(on_gpu)
        client.create_deployment(made, "now", work_pool_name="gpu")
        assert not find_gpu("on-gpu/now", "prefer", 0.0)
        client.send_worker_heartbeat("gpu", "a worker", heartbeat_interval_seconds=30)

        assert find_gpu("on-gpu/now", "require", 0.0)

        client.delete_work_pool("gpu")


@pytest.fixture
def gpu_deployment() -> Iterator[str]:
    """A deployment on a pool that a worker once served and that takes up no run."""

    @flow
    def idle() -> None:
        pass

    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="gpu", type="process"))
        client.create_deployment(client.create_flow(idle), "now", work_pool_name="gpu")
        yield "idle/now"
        client.delete_work_pool("gpu")


def test_a_run_that_nobody_takes_up_is_cancelled_and_done_here(gpu_deployment: str) -> None:
    assert run_elsewhere(gpu_deployment, {}, "prefer", 1.0) is False

    with get_client(sync_client=True) as client:
        runs = [
            each for each in client.read_flow_runs() if each.state and each.state.is_cancelled()
        ]
    assert "no worker took it up" in [each.state.message for each in runs if each.state]


def test_a_required_run_that_nobody_takes_up_is_an_error(gpu_deployment: str) -> None:
    with pytest.raises(PoolUnservedError, match="gpu"):
        run_elsewhere(gpu_deployment, {}, "require", 1.0)


@pytest.mark.parametrize("method", ["none", "class_weights", "threshold"])
def test_a_method_that_adds_no_rows_makes_no_version(
    dataset: DatasetRef, platform: Settings, method: str
) -> None:
    with pytest.raises(ResamplingError, match="it adds no rows"):
        augment_rows(dataset, "income", Balancing(method=method))

    assert len(Catalogue(open_database(platform.database)).versions()) == 1


def test_what_was_made_before_is_found(dataset: DatasetRef) -> None:
    balancing = Balancing(method="random_over")

    first = augment_dataset(dataset, "income", balancing)

    assert augment_dataset(dataset, "income", balancing, gpu="require") == first


def test_groups_stay_whole_in_a_derived_version(
    enter: Callable[..., DatasetRef], platform: Settings, adult: pd.DataFrame
) -> None:
    frame = adult.assign(household=np.arange(len(adult)) // 3)
    split = SplitPolicy(kind="grouped", column="household")

    ref = augment_rows(enter(frame), "income", Balancing(method="random_over"), split=split)

    made = frame_of(platform, ref)
    real = made[made[PART] != "synthetic"]
    assert real.groupby("household")[PART].nunique().max() == 1


def test_features_of_an_augmented_version_keep_its_groups_whole(
    enter: Callable[..., DatasetRef], platform: Settings, adult: pd.DataFrame
) -> None:
    ref = enter(adult.assign(household=np.arange(len(adult)) // 3))
    split = SplitPolicy(kind="grouped", column="household")

    made = prepare_features(
        ref, "income", split=split, balancing=Balancing(method="random_over"), gpu="never"
    )

    assert "synthetic" in set(frame_of(platform, made)[PART])


def test_the_flow_makes_synthetic_rows_by_the_autoencoder(
    enter: Callable[..., DatasetRef], platform: Settings, adult: pd.DataFrame
) -> None:
    ref = augment_dataset(
        enter(adult.iloc[:600]), "income", Balancing(method="vae", ratio=0.5), gpu="never"
    )

    made = frame_of(platform, ref)
    assert (made[PART] == "synthetic").sum() > 20
    assert set(made.loc[made[PART] == "synthetic", "income"]) == {">50K"}
