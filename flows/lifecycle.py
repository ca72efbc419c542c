"""The whole road, from a file to a served prediction."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows import scripts
from flows.data import prepare_dataset
from flows.promotion import promote_model
from flows.release import release_model
from flows.training import add_training, train_model, training_request
from infra.aliases import PRODUCTION
from infra.refs import DEFAULT_PROJECT, ModelRef, Name, NameOrNone, normalise_name
from infra.settings import get_settings
from infra.sources import file_name
from tasks.serving import await_release, fetch_prediction, find_route
from tasks.training import TrainingRequest

if TYPE_CHECKING:
    from tasks.promotion import PromotionReport

RELEASE_SECONDS = 150.0
"""How long the event loop may take to release a version before the run gives up."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the road, what it took and what came of it."""

    stage: str
    seconds: float
    outcome: str


@dataclass(frozen=True, slots=True)
class LifecycleReport:
    """The stages in order, and a prediction with the request that fetched it."""

    model: ModelRef
    stages: tuple[Stage, ...]
    prediction: dict[str, Any]


class _Story:
    """Times the stages as they are told."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self._since = time.monotonic()

    def tell(self, stage: str, outcome: object) -> None:
        """Close a stage that began when the one before was closed."""
        now = time.monotonic()
        self.stages.append(Stage(stage, round(now - self._since, 1), str(outcome)))
        self._since = now


@flow
def run_lifecycle(
    source: str,
    request: TrainingRequest,
    name: NameOrNone = "",
    project: Name = DEFAULT_PROJECT,
) -> LifecycleReport:
    """Prepare a file, train, promote if better, wait for the release, ask for a prediction.

    The release is not this run's: the alias it sets is heard by the gateway, whose event
    starts `release_model`. Only a script without a gateway releases by itself.

    Args:
        source: Path on the worker's machine, or a URL as `prepare_dataset` takes it.
        request: What to learn, and how long to look for it.
        name: Of dataset and model; the file's if empty.
        project: Datasets and models of a project are kept apart from others.
    """
    story = _Story()
    dataset = prepare_dataset(
        source,
        name or normalise_name(file_name(source)),
        request.target,
        project,
        problem=request.problem,
    )
    story.tell("prepare", dataset)
    model = train_model(dataset, request)
    story.tell("train", model)
    promotion = promote_model(model)
    story.tell("promote", f"{'yes' if promotion.promoted else 'no'}: {promotion.reason}")
    served = _release(promotion)
    story.tell("release", f"{served} answers" if served else "nothing is served")
    prediction: dict[str, Any] = {}
    if served is not None:
        prediction = fetch_prediction(served, find_route(served))
        story.tell("predict", prediction["response"]["predictions"][0]["prediction"])
    report = LifecycleReport(model, tuple(story.stages), prediction)
    _show(report)
    return report


def _release(promotion: PromotionReport) -> ModelRef | None:
    """See the winner released and return it; a challenger that lost leaves the champion."""
    model = promotion.model
    if not promotion.promoted:
        champion = promotion.champion
        return None if champion is None else model.model_copy(update={"version": champion})
    if get_settings().gateway.url is None:
        release_model(model)
    else:
        await_release(model, PRODUCTION, RELEASE_SECONDS)
    return model


def _show(report: LifecycleReport) -> None:
    key = f"{report.model.project}-{report.model.name}".replace("_", "-")
    create_table_artifact(key=f"lifecycle-{key}", table=[asdict(stage) for stage in report.stages])
    create_markdown_artifact(
        key=f"prediction-{key}",
        markdown=f"```json\n{json.dumps(report.prediction, indent=1)}\n```",
        description="A prediction and the request that fetched it",
    )


if __name__ == "__main__":
    arguments = scripts.parser("flows.lifecycle", run_lifecycle.__doc__)
    scripts.add_source(arguments, target_required=True)
    add_training(arguments)
    scripts.run(
        arguments,
        lambda given: run_lifecycle(
            given.source, training_request(given), scripts.dataset_name(given), given.project
        ),
    )
