"""Training stage: a dataset version becomes a fitted, evidenced model in a run."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import optuna
import pandas as pd
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from pydantic import Field
from sklearn.pipeline import Pipeline

from infra.background import Background
from infra.database.catalogue import Catalogue, DatasetVersion
from infra.database.engine import open_database
from infra.errors import PersonalDataError
from infra.frames import read_frame
from infra.links import FLOW_RUN_TAG, experiment_of
from infra.provenance import ROOT, git_commit, lock_hash
from infra.refs import DatasetRef, Name
from infra.settings import get_settings
from infra.storage import open_store
from infra.studies import open_study
from infra.tracking import Tracking
from tasks import telling
from tasks.retries import if_transient
from tasks.tabular import (
    balancing,
    derivation,
    diagram,
    judgement,
    leaderboard,
    packing,
    pictures,
    portfolio,
    problem,
    reproducibility,
    search,
    splitting,
)
from tasks.tabular.allowed import learner_for
from tasks.tabular.compiled import compile_proven
from tasks.tabular.errors import ResamplingError
from tasks.tabular.evidence import SAMPLE_ROWS, Evidence, json_rows
from tasks.tabular.features import carried, usable
from tasks.tabular.fitting import FittedModel, require_separate, threshold_of
from tasks.tabular.learners import predict_scores, select
from tasks.tabular.metrics import choose, evaluate, require_domain
from tasks.tabular.pii import unmasked
from tasks.tabular.pool import cores
from tasks.tabular.requests import SearchRequest
from tasks.tabular.resampling import Balancing
from tasks.tabular.schema import Schema, conform
from tasks.tabular.search_errors import PoolError
from tasks.tabular.spaces import spaced
from tasks.tabular.task import Task
from tasks.tabular.zoo.entry import Learner

EVALUATION_SHARE = 0.1
"""Of the search's budget, what grading and importances may each take after it."""

GRADED = 3
"""Best candidates whose fit is repeated in a fresh process."""


class TrainingRequest(SearchRequest, frozen=True):
    """What to learn and how long to look for it."""

    model: Name | None = Field(
        default=None, title="Model name", description="In the registry; the dataset's name if empty"
    )
    study: str = Field(
        default="",
        max_length=200,
        title="Study",
        description="Trainings of one study, at once or one after another, share what they learn; "
        "the run's own if empty",
    )
    experiment: str = Field(
        default="",
        max_length=200,
        title="Experiment",
        description="In MLflow; project and dataset if empty",
    )
    allow_personal_data: bool = Field(
        default=False,
        title="Allow personal data",
        description="Train on columns with personal data that is not masked; recorded",
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
    started = time.monotonic()
    settings = get_settings()
    version = Catalogue(open_database(settings.database)).trusted(dataset)
    lineage = _lineage(version, request)
    frame = read_frame(open_store(settings.storage), version.frame_digest)
    work = _prepare(frame, Schema.from_json(version.schema), request)
    tracking = Tracking(settings.tracking)
    experiment = experiment_of(dataset, request.experiment)
    with tracking.run(experiment, f"train {dataset}", lineage) as run_id:
        telling.tell_data(
            tracking, run_id, version, work.task, rows=len(work.rows), parts=work.split["part"]
        )
        study = open_study(settings.search, request.study or f"run {run_id}")
        policy = _policy(request, work, study)
        with Background("candidates") as background:
            teller = telling.Teller(tracking, run_id, work.task.metric.name, started, background)
            found = search.search(
                work.task,
                work.learners,
                budget_seconds=request.budget_seconds,
                policy=policy,
                started=started,
                on_candidate=teller,
            )
        return _keep(
            tracking,
            run_id,
            dataset,
            request=request,
            work=work,
            found=found,
            points=teller.points,
        )


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def keep_message(run_id: str, message: str, notes: tuple[str, ...] = ()) -> None:
    """Keep with a training's run the message that asked for it, and what was done otherwise."""
    tracking = Tracking(get_settings().tracking)
    tracking.log_text(run_id, message, "experiment.json")
    if notes:
        tracking.log_text(run_id, "\n".join(notes), "experiment_notes.txt")
        for note in notes:
            get_run_logger().info("%s", note)


@dataclass(frozen=True, slots=True)
class _Work:
    """The training task, and the holdout it is judged on afterwards.

    `split` is a table of all rows with a target: their part, and the fold they validate.
    `rows` and `y` are all of them, for a model that is fitted once more in the end.
    """

    task: Task
    learners: list[Learner]
    params: dict[str, dict[str, object]]
    holdout: pd.DataFrame
    holdout_y: pd.Series
    split: pd.DataFrame
    rows: pd.DataFrame
    y: pd.Series


def _prepare(frame: pd.DataFrame, schema: Schema, request: TrainingRequest) -> _Work:
    goal = problem.identify(frame, request.target, request.problem)
    frame = frame.dropna(subset=[request.target])
    policy = derivation.policy_for(frame, request.split)
    features = usable(schema, request.target, request.preparation, policy.hidden)
    y = frame[request.target].infer_objects()  # truth values that had gaps are plain ones now
    keys = splitting.keys_of(frame, policy)
    parts = splitting.split(y, goal, seed=request.seed, policy=policy, keys=keys)
    # once, not once a candidate
    rows = conform(frame, carried(schema, request.target, request.preparation, features))
    metric = choose(goal, request.metric)
    require_domain(metric, goal.encode(y))
    if request.balance_always and request.balancing == "threshold" and goal.kind != "binary":
        raise ResamplingError("threshold", "there are not two classes")
    training_y = y.iloc[parts.training]
    learners, params = _learners(request, goal.kind)
    random = policy.kind == "random"
    folds = parts.crossed
    if random and request.folds:
        folds = splitting.crossed(training_y, goal, request.folds, seed=request.seed)
    task_ = Task(
        rows=rows.iloc[parts.training],
        y=training_y,
        problem=goal,
        schema=features,
        metric=metric,
        seed=request.seed,
        threads=_threads(request),
        crossed=() if random and not request.folds else tuple(folds),
        spec=request.preparation,
        balancings=()
        if request.balance_always
        else balancing.candidates(request.balancing, training_y, goal, metric.name),
    )
    return _Work(
        task_,
        learners,
        params,
        frame.iloc[parts.holdout][list(features.names)],
        y.iloc[parts.holdout],
        parts.table(frame.index, task_.folds),
        rows,
        y,
    )


def _threads(request: TrainingRequest) -> int:
    """Return what the request asks for, within what a training may use."""
    most = get_settings().search.threads or cores()
    return min(request.threads or most, most)


def _learners(
    request: TrainingRequest, kind: problem.Kind
) -> tuple[list[Learner], dict[str, dict[str, object]]]:
    if request.estimator is not None:
        learner, params = learner_for(request.estimator, kind)
        return [learner], {learner.name: params}
    spaces = request.canonical_spaces()
    names: tuple[str, ...] = request.learners or tuple(request.canonical_grid() or spaces)
    return spaced(select(names, kind) if names else [], spaces, kind)


def _policy(
    request: TrainingRequest, work: _Work, study: optuna.Study | None
) -> search.SearchPolicy:
    always, fixed = request.balance_always, request.estimator is not None
    return search.SearchPolicy(
        strategy=request.strategy,
        trials=request.trials,
        ensemble=request.ensemble,
        select=request.select,
        deploy=request.deploy,
        row_seconds=request.row_milliseconds / 1000,
        grid=request.canonical_grid(),
        params=work.params if fixed else {},
        starts={} if fixed else work.params,
        balancing=Balancing.model_validate({"method": request.balancing}) if always else None,
        study=study,
        shared=bool(request.study),
    )


def _keep(
    tracking: Tracking,
    run_id: str,
    dataset: DatasetRef,
    *,
    request: TrainingRequest,
    work: _Work,
    found: search.SearchResult,
    points: list[tuple[float, float | None, str]],
) -> TrainingReport:
    """Judge the model on the holdout and log it with everything that can prove it later."""
    task_ = work.task
    scores = predict_scores(found.model, work.holdout, task_.problem)
    codes = task_.problem.encode(work.holdout_y)
    holdout_score = evaluate(task_.metric, codes, scores, found.threshold)
    exact = request.strategy in ("grid", "random") or request.estimator is not None
    board = _board(work, found, request.budget_seconds, exact=exact)
    drawn = pictures.of_model(
        found.model,
        work.holdout,
        codes,
        scores,
        problem=task_.problem,
        metric=task_.metric,
        threshold=found.threshold,
        seed=task_.seed,
        seconds=max(3.0, EVALUATION_SHARE * request.budget_seconds),
    )
    panel = judgement.panel(task_.problem, codes, scores, found.threshold)
    if task_.problem.kind == "regression":
        panel |= judgement.coverage(found.model[-1], work.holdout, codes)
    telling.tell_search(tracking, run_id, found, board, {**panel, task_.metric.name: holdout_score})
    telling.draw(tracking, run_id, dataset, {**drawn, **pictures.of_search(board, points)})
    fitted = _final(work, found) if request.finalize else found.fitted
    split = _proven(work.split, fitted, finalized=request.finalize)
    sample = slice(0, SAMPLE_ROWS)
    served = predict_scores(fitted.pipeline, work.holdout.iloc[sample], task_.problem)
    evidence = Evidence(
        dataset=dataset.model_dump(),
        schema=task_.schema,
        problem=task_.problem,
        metric=task_.metric.name,
        learner=_served(found),
        seed=task_.seed,
        sample=json_rows(work.holdout.iloc[sample]),
        scores=served.tolist(),
        threshold=threshold_of(fitted.pipeline) if request.finalize else found.threshold,
    )
    tracking.log_evidence(run_id, evidence.to_json(), split)
    _keep_preparation(tracking, run_id, fitted.pipeline, task_)
    with packing.own_code(ROOT / "tasks") as code:
        uri = tracking.log_model(
            run_id,
            fitted.pipeline,
            example=work.holdout.iloc[sample],
            outputs=served,
            requirements=packing.requirements(fitted.pipeline),
            code=code,
            probabilities=task_.problem.kind != "regression",
        )
    compiled = compile_proven(
        fitted.pipeline, task_.schema, task_.problem, work.holdout, seed=task_.seed
    )
    telling.tell_plan(tracking, run_id, compiled)
    telling.show(dataset, board, holdout_score)
    return TrainingReport(dataset, run_id, uri, task_.metric.name, holdout_score, board)


def _board(
    work: _Work, found: search.SearchResult, budget: float, *, exact: bool
) -> leaderboard.Leaderboard:
    """Rank the candidates, and repeat the fits of the best in a fresh process."""
    task_ = work.task
    learners = {
        each.name: each for each in work.learners or portfolio.usual_learners(task_.problem.kind)
    }
    best = [each for each in found.candidates if each.fold_scores]
    graded: list[reproducibility.Repetition] = []
    with suppress(PoolError):  # grades are not worth a finished search
        graded = reproducibility.repeat(
            task_,
            best[:GRADED],
            learners,
            seconds=max(10.0, EVALUATION_SHARE * budget),
            exact=exact,
        )
    board = leaderboard.rank(
        task_.metric, found.candidates, task_.codes, seed=task_.seed, ensembles=found.ensembles
    )
    grades = {each.number: each.grade for each in graded}
    return replace(
        board,
        lines=tuple(replace(each, grade=grades.get(each.number, "")) for each in board.lines),
    )


def _served(found: search.SearchResult) -> str:
    """Name the learner that answers."""
    if len(found.weights) > 1:
        return "ensemble"
    return next(each.learner for each in found.candidates if each.weight)


def _final(work: _Work, found: search.SearchResult) -> FittedModel:
    """Fit what was chosen on all rows; there is nothing left to judge it on."""
    task_ = replace(work.task, rows=work.rows, y=work.y, crossed=())
    learners = work.learners or portfolio.usual_learners(task_.problem.kind)
    return search.finalized(task_, found.recipe, learners)


def _proven(split: pd.DataFrame, fitted: FittedModel, *, finalized: bool) -> pd.DataFrame:
    """Add how often every row was fitted on, and refuse a model that saw its holdout."""
    if finalized:
        return split.assign(uses=fitted.uses(len(split)))
    training = np.flatnonzero(split["part"] == splitting.TRAINING)
    uses = np.zeros(len(split), dtype=np.int64)
    uses[training] = fitted.uses(len(training))
    fitted_on = np.flatnonzero(uses)
    require_separate(fitted_on, np.flatnonzero(split["part"] == splitting.HOLDOUT), "holdout")
    return split.assign(uses=uses)


def _keep_preparation(tracking: Tracking, run_id: str, model: Pipeline, task_: Task) -> None:
    """Log the specification the model was made with, and pictures of what was fitted."""
    steps = diagram.describe(model)
    tracking.log_text(run_id, json.dumps(steps.to_json(), indent=1), "preparation/steps.json")
    tracking.log_text(run_id, diagram.svg(steps), "preparation/pipeline.svg")
    tracking.log_text(run_id, diagram.html(model), "preparation/pipeline.html")
    if task_.spec is not None:
        tracking.log_text(run_id, task_.spec.to_yaml(), "preparation/spec.yaml")


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
        "millrace.threads": str(_threads(request)),
        "millrace.preparation": request.preparation.digest if request.preparation else "usual",
        "millrace.split": request.split.kind,
        "millrace.finalized": str(request.finalize).lower(),
        FLOW_RUN_TAG: flow_run.get_id() or "",
        "millrace.git_commit": git_commit(),
        "millrace.lock_hash": lock_hash(),
    }
