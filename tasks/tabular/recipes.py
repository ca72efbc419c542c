"""What a model was made of, and how it is made again on other rows."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline

from tasks.tabular.ensemble import EnsembleClassifier, EnsembleRegressor, Member
from tasks.tabular.fitting import FittedModel
from tasks.tabular.jobs import RefitJob
from tasks.tabular.learners import make_model
from tasks.tabular.planning import Step
from tasks.tabular.search_errors import NoCandidateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tasks.tabular.calibrations import Calibration
    from tasks.tabular.jobs import Bench
    from tasks.tabular.pool import Outcome
    from tasks.tabular.resampling import Balancing
    from tasks.tabular.stacking import Stacker
    from tasks.tabular.zoo.entry import Params


@dataclass(frozen=True, slots=True)
class Part:
    """One configuration of a recipe: what is fitted, and its share in the mean."""

    name: str
    learner: str
    params: Params
    weight: float
    balancing: Balancing | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """All it takes to make the model again on other rows."""

    parts: tuple[Part, ...]
    stacker: Stacker | None = None
    calibration: Calibration | None = None
    threshold: float = 0.5
    residuals: NDArray[np.float64] | None = None

    @property
    def plain(self) -> bool:
        """Whether one fitted pipeline is all there is to it."""
        corrected = self.calibration is not None or self.threshold != 0.5  # noqa: PLR2004 - as usual
        return len(self.parts) == 1 and not corrected and self.residuals is None


def refit(
    bench: Bench,
    recipe: Recipe,
    fit_all: Callable[[list[Step]], list[Outcome]],
    seconds: float | None = None,
) -> FittedModel:
    """Fit a recipe's models on all rows of the bench; one alone is a plain pipeline.

    Raises
    ------
    NoCandidateError
        If one of them cannot be fitted.
    """
    limit = 0.0 if seconds is None else 3 * seconds + 5
    jobs = [
        RefitJob(place, each.learner, each.params, each.balancing, seconds)
        for place, each in enumerate(recipe.parts)
    ]
    failed = [
        each for each in fit_all([Step(job, None, limit) for job in jobs]) if each.ending != "done"
    ]
    if failed:
        raise NoCandidateError(tuple(f"fit on all rows: {each.error}" for each in failed))
    found: list[FittedModel] = [read(bench.folder / job.file) for job in jobs]
    if recipe.plain:
        return found[0]
    members = [
        Member(part.name, place, each.pipeline[-1], part.weight, coded=False)
        for place, (part, each) in enumerate(zip(recipe.parts, found, strict=True))
    ]
    model = ensemble(bench, recipe, [each.pipeline[:-1] for each in found], members)
    origins = np.concatenate([each.origins for each in found])
    return FittedModel(Pipeline([("ensemble", model)]), origins, sum(each.made for each in found))


def ensemble(
    bench: Bench, recipe: Recipe, preparations: Sequence[Any], members: Sequence[Member]
) -> EnsembleClassifier | EnsembleRegressor:
    """Put fitted members together; the unfitted models go with them, to be fitted again."""
    task = bench.task
    models = [
        (
            part.name,
            make_model(
                bench.learners[part.learner],
                part.params,
                task.problem,
                task.schema,
                seed=task.seed,
                threads=bench.threads,
                spec=task.spec,
            ).pipeline,
        )
        for part in recipe.parts
    ]
    weights = {part.name: part.weight for part in recipe.parts}
    stacker = recipe.stacker
    if task.problem.kind == "regression":
        return EnsembleRegressor.assembled(
            models,
            weights,
            preparations,
            members,
            stacker=stacker,
            residuals=recipe.residuals,
        )
    return EnsembleClassifier.assembled(
        models,
        weights,
        preparations,
        members,
        problem=task.problem,
        stacker=stacker,
        calibration=recipe.calibration,
        threshold=recipe.threshold,
    )


def read(path: Path) -> Any:
    """Read what a job has left."""
    return pickle.loads(path.read_bytes())  # noqa: S301 - written by our own jobs
