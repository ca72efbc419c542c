"""An experiment written as one JSON message is carried out step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from prefect import flow, get_run_logger

from flows import scripts
from flows.data import vouch
from infra.refs import DEFAULT_PROJECT, DatasetRef, ModelRef, Name, normalise_name
from infra.sources import file_name
from tasks.catalogue import find_dataset
from tasks.ingestion import ingest_dataset
from tasks.masking import find_personal_data
from tasks.registry import register_model
from tasks.tabular import experiment_steps as steps
from tasks.tabular import portfolio
from tasks.tabular.experiments import Experiment, ExperimentConfig, require_honoured
from tasks.tabular.messages import read_message
from tasks.tabular.problem import Kind
from tasks.tabular.pycaret import Translation, translate
from tasks.tabular.spec import PipelineSpec
from tasks.training import TrainingReport, TrainingRequest, fit_candidates, keep_message


@dataclass(frozen=True, slots=True)
class Work:
    """What one step hands to the next; a step of your own returns it with what it gives."""

    project: str
    message: str
    config: ExperimentConfig
    dataset: DatasetRef | None = None
    preparation: PipelineSpec | None = None
    trained: TrainingReport | None = None
    model: ModelRef | None = None


@flow
def run_experiment(
    message: str, project: Name = DEFAULT_PROJECT, *, allow_personal_data: bool = False
) -> tuple[ModelRef, ...]:
    """Carry out the pipelines of a JSON message; return the models that were registered.

    The message is checked as a whole before anything runs: unknown steps, parameters that are
    not supported and steps in the wrong order are all named at once.

    Args:
        message: JSON with `pipeline` and `experiment_config`; see the README for an example.
        project: Datasets and models of a project are kept apart from others.
        allow_personal_data: Train on columns with personal data that is not masked; recorded.
    """
    logger = get_run_logger()
    read = read_message(message)
    for warning in read.warnings:
        logger.warning("%s", warning)
    experiment = Experiment.parse(read.content)
    config = experiment.experiment_config
    translations = [
        {
            place: translate(
                step.model_dump(), config.problem_type, config.target, config.main_metric
            )
            for place, step in enumerate(pipeline.steps)
            if isinstance(step, steps.TrainModel)
        }
        for pipeline in experiment.pipeline
    ]
    for number, (pipeline, translated) in enumerate(
        zip(experiment.pipeline, translations, strict=True)
    ):  # refused before anything runs
        require_honoured(pipeline, translated, f"pipeline[{number}]")
        for translation in translated.values():
            _request(Work(project, message, config), translation, allow_personal_data=False)
    registered: list[ModelRef] = []
    for pipeline, translated in zip(experiment.pipeline, translations, strict=True):
        work = Work(project, message, config)
        for place, step in enumerate(pipeline.steps):
            logger.info("step %d of %d: %s", place + 1, len(pipeline.steps), step.name)
            work = carry_out(
                step, work, translated.get(place), allow_personal_data=allow_personal_data
            )
        if work.model is not None:
            registered.append(work.model)
    return tuple(registered)


def carry_out(
    step: steps.ExperimentStep,
    work: Work,
    translation: Translation | None,
    *,
    allow_personal_data: bool = False,
) -> Work:
    """Do one step; one from another package does itself."""
    match step:
        case steps.LoadStep():
            query = getattr(step, "query", None)
            dataset = ingest_dataset(
                step.source,
                work.project,
                step.dataset or normalise_name(file_name(step.source)),
                work.config.target,
                said=work.config.problem_type,
                query=query,
                options=step.options,
            )
            find_personal_data(dataset)
            return replace(work, dataset=vouch(dataset, work.config.target))
        case steps.LoadFromDataset():
            return replace(work, dataset=find_dataset(step.project, step.dataset, step.version))
        case steps.PrepareData():
            return replace(work, preparation=step.preparation)
        case steps.TrainModel() if translation is not None and work.dataset is not None:
            request = _request(work, translation, allow_personal_data=allow_personal_data)
            trained = fit_candidates(work.dataset, request)
            keep_message(trained.run_id, work.message, translation.notes)
            return replace(work, trained=trained)
        case steps.RegisterModel() if work.trained is not None:
            model = register_model(
                work.trained.run_id, work.trained.model_uri, work.project, work.config.model_name
            )
            return replace(work, model=model)
        case _:
            done: Work = step.run(work)
            return done


def _request(work: Work, translation: Translation, *, allow_personal_data: bool) -> TrainingRequest:
    """Word a translated step as a request."""
    kind: Kind = "regression" if work.config.problem_type == "regression" else "binary"
    learners = translation.learners or (() if translation.tune else tuple(portfolio.usual(kind)))
    given = {
        "target": work.config.target,
        "experiment": work.config.experiment_name,
        "model": work.config.model_name,
        "metric": translation.metric,
        "learners": learners,
        "preparation": work.preparation or translation.preparation,
        "balancing": translation.balancing,
        "balance_always": translation.balancing not in ("none", "auto"),
        "folds": translation.folds or 0,
        "select": translation.select,
        "ensemble": translation.ensemble,
        "deploy": "accurate" if translation.ensemble else "fast",
        "strategy": "portfolio" if translation.tune else "optuna",
        "trials": 0 if translation.tune else len(learners),
        "finalize": translation.finalize,
        "split": translation.split,
        "seed": translation.seed,
        "problem": work.config.problem_type,
        "threads": translation.threads,
        "allow_personal_data": allow_personal_data,
        "budget_seconds": translation.budget_seconds,
    }
    return TrainingRequest.model_validate({k: v for k, v in given.items() if v is not None})


if __name__ == "__main__":
    arguments = scripts.parser("flows.experiment", run_experiment.__doc__)
    arguments.add_argument("message", type=Path, help="file with the JSON message")
    arguments.add_argument("--project", default=DEFAULT_PROJECT)
    scripts.run(arguments, lambda given: run_experiment(given.message.read_text(), given.project))
