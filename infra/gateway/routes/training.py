"""Trainings: started, watched, stopped and taken further."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from infra.errors import PreparationError, RefusedRequestError, ServiceUnavailableError
from infra.gateway.dependencies import Parts, PartsDependency, refuse_other_sites
from infra.gateway.payloads import (
    ExtensionBody,
    LeaderboardBody,
    LearnersBody,
    OrderBody,
    TrainBody,
    TrainingBody,
)
from infra.gateway.routes import datasets
from infra.links import experiment_of
from infra.refs import DEFAULT_PROJECT, DatasetRef, ModelRef, normalise_name

if TYPE_CHECKING:
    from infra.gateway.experiments import Training
    from infra.orchestrator import FlowRun

DEPLOYMENT = "train-model/from-dataset"
EXAMPLES = "examples"
"""The project of examples that are trained on without an upload."""

_PREPARATION_SECONDS = 300.0

router = APIRouter(tags=["training"])
changing = [Depends(refuse_other_sites)]
"""What starts or stops work is not for pages of other sites."""

Waiting = Annotated[float, Query(ge=0, le=600, description="Seconds to wait for the run's end")]


@router.get("/auto_ml/models")
async def list_learners(parts: PartsDependency) -> LearnersBody:
    """Return the learners and metrics a training may name."""
    schema = (await parts.orchestrator.deployment(DEPLOYMENT))["parameter_openapi_schema"]
    fields = schema["definitions"]["TrainingRequest"]["properties"]
    metrics = next(each["enum"] for each in fields["metric"]["anyOf"] if "enum" in each)
    return LearnersBody(models=fields["learners"]["items"]["enum"], metrics=metrics)


@router.post("/auto_ml/runs", status_code=202, dependencies=changing)
async def start(
    body: OrderBody, parts: PartsDependency, response: Response, wait_seconds: Waiting = 0.0
) -> TrainingBody:
    """Start a search for the best model; 201 and the model if it ends within `wait_seconds`."""
    if body.version is None:
        found = await asyncio.to_thread(parts.catalogue.latest, body.project, body.dataset)
    else:
        ref = DatasetRef(project=body.project, name=body.dataset, version=body.version)
        found = await asyncio.to_thread(parts.catalogue.trusted, ref)
    return await _train(parts, response, found.ref, body.request, wait_seconds)


@router.post("/train", status_code=202, dependencies=changing)
async def train_one(
    body: TrainBody, parts: PartsDependency, response: Response, wait_seconds: Waiting = 120.0
) -> TrainingBody:
    """Fit one estimator; 201 and its figures if that takes no longer than `wait_seconds`."""
    name = normalise_name(body.dataset_name)
    project = EXAMPLES if body.use_example else DEFAULT_PROJECT
    if body.use_example:
        await _prepare_example(parts, name, body.target_column)
    found = await asyncio.to_thread(parts.catalogue.latest, project, name)
    request = {
        "target": body.target_column,
        "estimator": body.model.model_dump(by_alias=True),
        "split": {"holdout_share": body.test_size},
        "seed": body.random_state,
        "balancing": "none",
    }
    return await _train(parts, response, found.ref, request, wait_seconds)


async def _prepare_example(parts: Parts, name: str, target: str) -> None:
    """Have an example in the catalogue, apart from the user's own data of that name."""
    source = f"example://{name}"
    parameters = {"source": source, "name": name, "target": target, "project": EXAMPLES}
    run = await parts.orchestrator.start(datasets.DEPLOYMENT, parameters)
    ended = await parts.orchestrator.wait(run, _PREPARATION_SECONDS)
    if ended is None:
        raise ServiceUnavailableError("the preparation of data", f"{run} takes too long")
    if not ended.completed:
        raise PreparationError(source, ended.message)


async def _train(
    parts: Parts, response: Response, dataset: DatasetRef, request: dict[str, Any], seconds: float
) -> TrainingBody:
    """Start a training and wait for it as long as is wanted; one that fails is the request's."""
    parameters = {"dataset": dataset.model_dump(), "request": request}
    run = await parts.orchestrator.start(DEPLOYMENT, parameters)
    response.headers["Location"] = f"/auto_ml/runs/{run}"
    try:
        ended = await parts.orchestrator.wait(run, seconds) if seconds else None
        body = await show(run, parts)
    except ServiceUnavailableError as error:  # it runs all the same: who asked is not to ask again
        return TrainingBody(run=run, state="SCHEDULED", detail=str(error), dataset=dataset)
    if ended is not None and ended.state == "FAILED":
        raise RefusedRequestError(f"the training {run}", ended.message)
    if ended is not None:
        response.status_code = 201 if ended.completed else 200
    return body


@router.get("/auto_ml/runs/{run}")
async def show(run: UUID, parts: PartsDependency) -> TrainingBody:
    """Return where a training stands, and the model that came of it."""
    found = await parts.orchestrator.find(run, DEPLOYMENT)
    dataset, training = _dataset(found), await _training(parts, found)
    body = TrainingBody(run=run, state=found.state, detail=found.message, dataset=dataset)
    if training is None:
        return body
    name = found.parameters["request"].get("model") or dataset.name
    model = ModelRef(project=dataset.project, name=name, version=1).registered_name
    version = await parts.experiments.version(training, model)
    known = {"mlflow_run": training.run_id, "metrics": training.metrics}
    return body.model_copy(
        update=known if version is None else {**known, "model": model, "version": version}
    )


@router.get("/auto_ml/runs/{run}/leaderboard")
async def show_leaderboard(run: UUID, parts: PartsDependency) -> LeaderboardBody:
    """Return the candidates of a training, best first, while it runs and afterwards."""
    training = await _training(parts, await parts.orchestrator.find(run, DEPLOYMENT))
    if training is None:
        return LeaderboardBody(run=run, final=False, metric="", lines=[])
    final = await parts.experiments.board(training)
    lines = await parts.experiments.candidates(training) if final is None else final
    metric = training.params.get("metric", "")
    return LeaderboardBody(run=run, final=final is not None, metric=metric, lines=lines)


@router.post("/auto_ml/runs/{run}/cancel", status_code=202, dependencies=changing)
async def cancel(run: UUID, parts: PartsDependency) -> TrainingBody:
    """Stop a training and every process of it; one that has ended stays as it is."""
    await parts.orchestrator.find(run, DEPLOYMENT)
    await parts.orchestrator.cancel(run)
    return await show(run, parts)


@router.post("/auto_ml/runs/{run}/extend", status_code=202, dependencies=changing)
async def extend(
    run: UUID, body: ExtensionBody, parts: PartsDependency, response: Response
) -> TrainingBody:
    """Search again in a run of its own, for so long, knowing all trials of one that has ended.

    Fitted models end with their run, so the portfolio comes first again; what is proposed after
    it follows from the trials of both.
    """
    found = await parts.orchestrator.find(run, DEPLOYMENT)
    training = await _training(parts, found)
    request = dict(found.parameters["request"])
    why = ""
    if not found.ended:
        why = "it has not ended; cancel it, or wait"
    elif training is None or parts.platform.search.storage is None:
        why = "no study of it was kept"
    elif request.get("trials") or request.get("grid") or request.get("estimator"):
        why = "it was not bound by time: the same would be fitted again"
    if why or training is None:
        raise RefusedRequestError(f"an extension of {run}", why)
    request["study"] = request.get("study") or f"run {training.run_id}"
    request["budget_seconds"] = body.budget_seconds
    return await _train(parts, response, _dataset(found), request, 0.0)


def _dataset(run: FlowRun) -> DatasetRef:
    return DatasetRef.model_validate(run.parameters["dataset"])


async def _training(parts: Parts, run: FlowRun) -> Training | None:
    wanted = run.parameters["request"].get("experiment", "")
    return await parts.experiments.find(run.id, experiment_of(_dataset(run), wanted))
