"""Experiments as a JSON message describes them: pipelines of steps and what they are judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from tasks.tabular.errors import TabularError, suggest
from tasks.tabular.experiment_errors import ExperimentError
from tasks.tabular.experiment_steps import ExperimentStep, Name, PrepareData, steps
from tasks.tabular.problem import ProblemType
from tasks.tabular.pycaret import Translation, metric_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

MAX_STEPS = 50
"""Of one pipeline."""

MAX_PIPELINES = 20
MAX_TOLD = 50
"""Problems of a message that are told; who has more begins with these."""

_FORBIDDEN = {
    "data": "the data are loaded already; make another pipeline of what needs other data",
    "preparation": "there is a preparation already; put all its steps into one",
    "model": "a model is trained already; make another pipeline of the second training",
    "version": "the model is registered already",
}
_MISSING = {
    "data": "there are no data yet; put a step before it that loads some",
    "preparation": "there is no preparation yet; put prepare_data before it",
    "model": "no model is trained yet; put train_model before it",
    "version": "no model is registered yet; put register_model before it",
}


class Pipeline(BaseModel):
    """Steps that are carried out one after the other; pipelines share nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    steps: tuple[SerializeAsAny[ExperimentStep], ...] = Field(
        alias="MLSteps",
        min_length=1,
        max_length=MAX_STEPS,
        description="Objects with one key, the step's name, and its parameters as the value",
    )

    @model_serializer
    def _by_name(self) -> dict[str, Any]:
        return {"MLSteps": [{each.name: each.model_dump(mode="json")} for each in self.steps]}

    def find(self, kind: type[ExperimentStep]) -> ExperimentStep | None:
        """Return the first step of a kind."""
        return next((each for each in self.steps if isinstance(each, kind)), None)


def _folded(given: Any) -> Any:
    return given.strip().casefold() if isinstance(given, str) else given


class ExperimentConfig(BaseModel):
    """What is predicted, what it is judged by, and what it is called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment_name: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_. -]*$",
        max_length=100,
        description="Under which the runs are recorded",
    )
    model_name: Name = Field(description="In the registry")
    problem_type: Annotated[ProblemType, BeforeValidator(_folded)] = Field(
        description="classification or regression"
    )
    main_metric: str = Field(
        min_length=1,
        max_length=100,
        description="By PyCaret's or scikit-learn's name, whatever its case: F1, Kappa, AUC, RMSE",
    )
    target: str = Field(min_length=1, max_length=1_000, description="Column to predict")

    @field_validator("main_metric")
    @classmethod
    def _is_known(cls, metric: str, info: ValidationInfo) -> str:
        if "problem_type" in info.data:
            metric_of(metric, info.data["problem_type"])
        return metric


class Experiment(BaseModel):
    """A whole message, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: tuple[Pipeline, ...] = Field(min_length=1, max_length=MAX_PIPELINES)
    experiment_config: ExperimentConfig

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """Read plain values, such as `read_message` returns.

        Raises
        ------
        ExperimentError
            With every problem and its place, such as `pipeline[0].MLSteps[2]`.
        """
        problems = list(_unknown_keys(content, ("pipeline", "experiment_config"), "the message"))
        pipelines = _pipelines(content.get("pipeline"), problems)
        config = _read(
            ExperimentConfig, content.get("experiment_config"), "experiment_config", problems
        )
        if problems or config is None:
            raise ExperimentError(tuple(problems[:MAX_TOLD]))
        return cls(pipeline=tuple(pipelines), experiment_config=config)

    def to_json(self) -> dict[str, Any]:
        """Return plain values with every default written out; `parse` reads them back."""
        return self.model_dump(mode="json")


def require_honoured(
    pipeline: Pipeline, translations: Mapping[int, Translation], place: str
) -> None:
    """Raise `ExperimentError` for what is asked for and would not be done."""
    problems = []
    for number, translation in translations.items():
        where = f"{place}.MLSteps[{number}] (train_model)"
        if translation.preparation is not None and pipeline.find(PrepareData) is not None:
            said = "prepare_data and feature_engineering_params both prepare; keep one of them"
            problems.append((where, said))
        if translation.budget_seconds is not None and not translation.tune:
            said = "budget_time bounds tuning, and tune is false; leave one of them out"
            problems.append((where, said))
    if problems:
        raise ExperimentError(tuple(problems))


_Problems = list[tuple[str, str]]
_Model = TypeVar("_Model", bound=BaseModel)


def _pipelines(given: Any, problems: _Problems) -> list[Pipeline]:
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_PIPELINES:
        what = f'is a list of 1 to {MAX_PIPELINES} objects {{"MLSteps": […]}}'
        problems.append(("pipeline", what))
        return []
    found = []
    for number, each in enumerate(given):
        place = f"pipeline[{number}]"
        if not isinstance(each, dict) or not isinstance(each.get("MLSteps"), list):
            problems.append((place, "is an object with a list of steps under `MLSteps`"))
            continue
        problems += _unknown_keys(each, ("MLSteps",), place)
        place = f"{place}.MLSteps"
        if not 1 <= len(each["MLSteps"]) <= MAX_STEPS:
            problems.append((place, f"holds 1 to {MAX_STEPS} steps, here {len(each['MLSteps'])}"))
            continue
        read = [_step(step, f"{place}[{at}]", problems) for at, step in enumerate(each["MLSteps"])]
        problems += _disorder(read, place)
        known = tuple(step for step in read if isinstance(step, ExperimentStep))
        if known:
            found.append(Pipeline(steps=known))
    return found


def _step(given: Any, place: str, problems: _Problems) -> ExperimentStep | type[ExperimentStep]:
    """Return the step; only its kind if its parameters are wrong, so that the order is checked."""
    if not isinstance(given, dict) or len(given) != 1:
        what = f"this has {len(given)}" if isinstance(given, dict) else "this is none"
        problems.append((place, f"a step is an object with one key, its name; {what}"))
        return ExperimentStep
    ((name, parameters),) = given.items()
    kind = steps().get(name)
    if kind is None:
        near = suggest(name[:100], tuple(steps()))
        problems.append((place, f"there is no step {name[:100]!r}; {near}"))
        return ExperimentStep
    return _read(kind, parameters, f"{place}.{name}", problems) or kind


def _disorder(
    given: list[ExperimentStep | type[ExperimentStep]], place: str
) -> Iterator[tuple[str, str]]:
    """Yield the steps that stand where they cannot be carried out."""
    if ExperimentStep in given:  # nobody knows what an unknown step would have given
        return
    there: dict[str, int] = {}
    for at, step in enumerate(given):
        where = f"{place}[{at}] ({step.name})"
        absent = [each for each in step.needs if each not in there]
        late = [each for each in step.before if each in there]
        if step.gives is not None and step.gives in there:
            yield where, f"{_FORBIDDEN[step.gives]} ({place}[{there[step.gives]}])"
        elif absent:
            yield where, _MISSING[absent[0]]
        elif late:
            first = there[late[0]]
            yield where, f"it comes too late after {given[first].name} ({place}[{first}])"
        if step.gives is not None:
            there.setdefault(step.gives, at)


def _read(model: type[_Model], given: Any, place: str, problems: _Problems) -> _Model | None:
    if not isinstance(given, dict):
        problems.append((place, "is an object" if given is not None else "is missing"))
        return None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems += [_problem(model, each, place) for each in error.errors()]
    return None


def _unknown_keys(
    given: Mapping[str, Any], known: tuple[str, ...], place: str
) -> Iterator[tuple[str, str]]:
    for each in given:
        if each not in known:
            yield place, f"there is no {each[:100]!r} here; {suggest(each[:100], known)}"


def _problem(model: type[BaseModel], error: ErrorDetails, place: str) -> tuple[str, str]:
    """Word a problem pydantic found, with the nearest name where one is not known."""
    where = ".".join([place, *(str(part) for part in error["loc"])])
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        names = tuple(model.model_fields)
        hint = suggest(str(error["loc"][0])[:100], names) if names else "it has none"
        return where[:200], f"there is no such parameter; {hint}"
    cause = error.get("ctx", {}).get("error")
    return where, str(cause) if isinstance(cause, TabularError) else error["msg"]
