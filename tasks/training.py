"""Training stage: a dataset version becomes a fitted, evidenced model in a run."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, Field
from sklearn.pipeline import Pipeline

from infra.database.catalogue import Catalogue, DatasetVersion
from infra.database.engine import open_database
from infra.errors import PersonalDataError
from infra.frames import read_frame
from infra.provenance import ROOT, git_commit, lock_hash
from infra.refs import DatasetRef, Name, Seed
from infra.settings import get_settings
from infra.storage import open_store
from infra.tracking import Tracking
from tasks.retries import if_transient
from tasks.tabular import (
    balancing,
    derivation,
    diagram,
    leaderboard,
    packing,
    problem,
    search,
    splitting,
)
from tasks.tabular.evidence import SAMPLE_ROWS, Evidence, json_rows
from tasks.tabular.features import carried, usable
from tasks.tabular.fitting import require_separate, threshold_of
from tasks.tabular.learners import LearnerName, predict_scores, select
from tasks.tabular.metrics import MetricName, choose, evaluate
from tasks.tabular.pii import unmasked
from tasks.tabular.resampling import Method
from tasks.tabular.schema import Schema, conform
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.splitting import SplitPolicy


class TrainingRequest(BaseModel, frozen=True):
    """What to learn and how long to look for it."""

    target: str = Field(title="Target", description="Column to predict")
    model: Name | None = Field(
        default=None, title="Model name", description="In the registry; the dataset's name if empty"
    )
    budget_seconds: float = Field(
        default=60.0, ge=1, le=86_400, title="Search budget (seconds)", description="Wall clock"
    )
    metric: MetricName | None = Field(
        default=None,
        title="Metric",
        description="scikit-learn's name; the problem's usual if empty",
    )
    learners: tuple[LearnerName, ...] = Field(
        default=(), title="Learners", description="Only these; all if empty"
    )
    preparation: PipelineSpec | None = Field(
        default=None,
        title="Preparation",
        description="Steps from raw columns to features; the learner's usual if empty",
    )
    split: SplitPolicy = Field(
        default=SplitPolicy(), title="Split", description="Which rows judge the model"
    )
    balancing: Literal["auto"] | Method = Field(
        default="auto",
        title="Rare classes",
        description="Tried in cross-validation and used only where it beats doing nothing; "
        "auto tries the usual where a class is rare and the metric can gain",
    )
    allow_personal_data: bool = Field(
        default=False,
        title="Allow personal data",
        description="Train on columns with personal data that is not masked; recorded",
    )
    seed: Seed = Field(
        default=0, title="Seed", description="Same seed, data and libraries: same split and models"
    )


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """Where the model lies and how good it is; scores are greater-is-better."""

    dataset: DatasetRef
    run_id: str
    model_uri: str
    metric: str
    holdout_score: float
    board: leaderboard.Leaderboard


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def fit_candidates(dataset: DatasetRef, request: TrainingRequest) -> TrainingReport:
    """Search for a model of a validated version and log it with its evidence.

    A holdout that no candidate is chosen on gives the reported score.

    Raises
    ------
    DatasetRejectedError
        If the version has not passed validation.
    PersonalDataError
        If it holds unmasked personal data and the request does not allow that.
    TabularError
        If the target cannot be learned, or no learner can be fitted.
    """
    settings = get_settings()
    version = Catalogue(open_database(settings.database)).trusted(dataset)
    lineage = _lineage(version, request)
    frame = read_frame(open_store(settings.storage), version.frame_digest)
    work = _prepare(frame, Schema.from_json(version.schema), request)
    learners = select(request.learners)
    tracking = Tracking(settings.tracking)
    with tracking.run(f"{dataset.project}/{dataset.name}", f"train {dataset}", lineage) as run_id:
        found = search.search(
            work.task,
            learners,
            budget_seconds=request.budget_seconds,
            clock=time.monotonic,
            on_candidate=_Teller(tracking, run_id, work.task.metric.name, request.budget_seconds),
        )
        return _keep(tracking, run_id, dataset, work, found)


@dataclass(frozen=True, slots=True)
class _Work:
    """The training task, and the holdout it is judged on afterwards.

    `split` is a table of all rows with a target: their part, and the fold they validate.
    """

    task: search.Task
    holdout: pd.DataFrame
    holdout_y: pd.Series
    split: pd.DataFrame


def _prepare(frame: pd.DataFrame, schema: Schema, request: TrainingRequest) -> _Work:
    goal = problem.identify(frame, request.target)
    frame = frame.dropna(subset=[request.target])
    policy = derivation.policy_for(frame, request.split)
    features = usable(schema, request.target, request.preparation, policy.hidden)
    y = frame[request.target].infer_objects()  # truth values that had gaps are plain ones now
    keys = splitting.keys_of(frame, policy)
    parts = splitting.split(y, goal, seed=request.seed, policy=policy, keys=keys)
    # once, not once a candidate
    rows = conform(frame, carried(schema, request.target, request.preparation, features))
    metric = choose(goal, request.metric)
    task_ = search.Task(
        rows=rows.iloc[parts.training],
        y=y.iloc[parts.training],
        problem=goal,
        schema=features,
        metric=metric,
        seed=request.seed,
        threads=os.cpu_count() or 1,
        folds=tuple(parts.folds),
        crossed=tuple(parts.crossed),
        spec=request.preparation,
        balancings=balancing.candidates(
            request.balancing, y.iloc[parts.training], goal, metric.name
        ),
    )
    return _Work(
        task_,
        frame.iloc[parts.holdout][list(features.names)],
        y.iloc[parts.holdout],
        parts.table(frame.index),
    )


def _keep(
    tracking: Tracking, run_id: str, dataset: DatasetRef, work: _Work, found: search.SearchResult
) -> TrainingReport:
    """Judge the model on the holdout and log it with everything that can prove it later."""
    task_ = work.task
    scores = predict_scores(found.model, work.holdout, task_.problem)
    threshold = threshold_of(found.model)
    codes = task_.problem.encode(work.holdout_y)
    holdout_score = evaluate(task_.metric, codes, scores, threshold)
    split = _proven(work.split, found)
    sample = slice(0, SAMPLE_ROWS)
    evidence = Evidence(
        dataset=dataset.model_dump(),
        schema=task_.schema,
        problem=task_.problem,
        metric=task_.metric.name,
        learner=found.best.learner,
        seed=task_.seed,
        sample=json_rows(work.holdout.iloc[sample]),
        scores=scores[sample].tolist(),
        threshold=threshold,
    )
    board = leaderboard.rank(task_.metric.name, found.candidates)
    tracking.log_metrics(
        run_id,
        {f"holdout_{task_.metric.name}": holdout_score, "validation_score": found.best.score},
    )
    tracking.log_table(run_id, board.to_json(), "leaderboard.json")
    if found.balancing is not None:
        tracking.log_text(run_id, json.dumps(found.balancing.to_json(), indent=1), "balancing.json")
        _tell_balancing(found.balancing)
    tracking.log_evidence(run_id, evidence.to_json(), split)
    _keep_preparation(tracking, run_id, found.model, task_)
    with packing.own_code(ROOT / "tasks") as code:
        uri = tracking.log_model(
            run_id,
            found.model,
            example=work.holdout.iloc[sample],
            outputs=scores[sample],
            requirements=packing.requirements(ROOT / "bento" / "requirements.txt", found.model),
            code=code,
            probabilities=task_.problem.kind != "regression",
        )
    _show(dataset, board, holdout_score)
    return TrainingReport(dataset, run_id, uri, task_.metric.name, holdout_score, board)


def _proven(split: pd.DataFrame, found: search.SearchResult) -> pd.DataFrame:
    """Add how often every row was fitted on, and refuse a model that saw its holdout."""
    training = np.flatnonzero(split["part"] == splitting.TRAINING)
    uses = np.zeros(len(split), dtype=np.int64)
    uses[training] = found.fitted.uses(len(training))
    fitted_on = np.flatnonzero(uses)
    require_separate(fitted_on, np.flatnonzero(split["part"] == splitting.HOLDOUT), "holdout")
    return split.assign(uses=uses)


def _keep_preparation(tracking: Tracking, run_id: str, model: Pipeline, task_: search.Task) -> None:
    """Log the specification the model was made with, and pictures of what was fitted."""
    steps = diagram.describe(model)
    tracking.log_text(run_id, json.dumps(steps.to_json(), indent=1), "preparation/steps.json")
    tracking.log_text(run_id, diagram.svg(steps), "preparation/pipeline.svg")
    tracking.log_text(run_id, diagram.html(model), "preparation/pipeline.html")
    if task_.spec is not None:
        tracking.log_text(run_id, task_.spec.to_yaml(), "preparation/spec.yaml")


def _tell_balancing(report: balancing.BalancingReport) -> None:
    logger = get_run_logger()
    for trial in report.trials[1:]:
        gain, error = report.gain(trial)
        what = trial.error or f"{report.metric} {gain:+.5f} ± {error:.5f} over doing nothing"
        logger.info("rare classes, %s: %s", trial.balancing.method, what)
    logger.info("rare classes: %s is used", report.chosen.method)


def _personal_data(version: DatasetVersion, request: TrainingRequest) -> str:
    """Word what the model may have learned of people, or refuse to let it."""
    if version.findings is None:
        return "not looked for"
    found = unmasked(version.findings)
    if found and not request.allow_personal_data:
        raise PersonalDataError(str(version.ref), found)
    return f"allowed by the request: {', '.join(found)}" if found else "none found"


def _lineage(version: DatasetVersion, request: TrainingRequest) -> dict[str, str]:
    return {
        "millrace.personal_data": _personal_data(version, request),
        "millrace.dataset": str(version.ref),
        "millrace.dataset_digest": version.source_digest,
        "millrace.target": request.target,
        "millrace.seed": str(request.seed),
        "millrace.threads": str(os.cpu_count() or 1),
        "millrace.preparation": request.preparation.digest if request.preparation else "usual",
        "millrace.split": request.split.kind,
        "millrace.git_commit": git_commit(),
        "millrace.lock_hash": lock_hash(),
    }


class _Teller:
    """Log every candidate as a nested run; tell of those that fail or are the best so far."""

    def __init__(self, tracking: Tracking, run_id: str, metric: str, budget: float) -> None:
        self._tracking = tracking
        self._run_id = run_id
        self._metric = metric
        self._budget = budget
        self._started = time.monotonic()
        self._best = -np.inf
        self._logger = get_run_logger()

    def __call__(self, candidate: search.Candidate) -> None:
        """Take note of one candidate."""
        self._tracking.log_candidate(
            self._run_id,
            f"{candidate.number:03d} {candidate.learner}",
            params={"learner": candidate.learner, **candidate.params},
            metrics={
                **({self._metric: candidate.score} if candidate.fold_scores else {}),
                "fit_seconds": candidate.fit_seconds,
                "predict_seconds": candidate.predict_seconds,
            },
            steps={f"fold_{self._metric}": candidate.fold_scores},
            error=candidate.error,
        )
        at = f"[{time.monotonic() - self._started:3.0f} of {self._budget:.0f} s]"
        what = f"candidate {candidate.number}, {candidate.learner}"
        if candidate.error:
            self._logger.warning("%s %s failed: %s", at, what, candidate.error)
        elif candidate.score > self._best:
            self._best = candidate.score
            self._logger.info("%s %s: %s %.5f", at, what, self._metric, candidate.score)


def _show(dataset: DatasetRef, board: leaderboard.Leaderboard, holdout_score: float) -> None:
    create_table_artifact(
        key=f"leaderboard-{dataset.project}-{dataset.name}".replace("_", "-"),
        table=[
            {
                "rank": line.rank,
                "learner": line.learner,
                board.metric: line.score,
                "fit (s)": line.fit_seconds,
                "predict (s)": line.predict_seconds,
                "parameters": str(line.params) if line.params else "defaults",
                "error": line.error,
            }
            for line in board.lines
        ],
        description=f"{dataset}: validation {board.metric}; the first has {holdout_score:.5f} "
        "on the holdout",
    )
