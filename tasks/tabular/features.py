"""From raw columns to features: the first half of every model, compiled from a specification."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sklearn.pipeline import Pipeline

from tasks.tabular.errors import SpecError, StepError
from tasks.tabular.schema import Schema
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.steps.base import Context, RowStep, Step
from tasks.tabular.steps.cleaning import DropColumns, Impute
from tasks.tabular.steps.dates import DatesToParts, Text
from tasks.tabular.steps.encoding import Category, CountEncode, OneHot, Ordinal, TargetEncode
from tasks.tabular.steps.reduction import DropCorrelated, Pca, SelectFeatures
from tasks.tabular.steps.scaling import Bin, Scale
from tasks.tabular.transformers.columns import Matrix
from tasks.tabular.transformers.conforming import ConformColumns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.tabular.problem import Problem

Family = Literal["linear", "tree", "native"]
"""What learners need: scaled numbers without gaps, numbers, or numbers and categories."""

MAX_CATEGORIES = 50
"""Categories of a column up to which each gets a column or code of its own; a column with more
gets the target's mean instead."""

MIN_FREQUENCY = 5
"""Rows a category needs for an indicator of its own."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """A compiled specification.

    `filters` leave out rows before a model is fitted and are no part of it; `pipeline` is
    unfitted and goes from raw columns to what learners of the family take. `supervised` names
    its steps that look at the target.
    """

    spec: PipelineSpec
    filters: tuple[RowStep, ...]
    pipeline: Pipeline
    supervised: tuple[str, ...] = ()

    @property
    def separable(self) -> bool:
        """Whether the fitted pipeline knows nothing of the target, nor of which rows were left.

        What a step does not change it does not look at: a step without columns is no reason.
        """
        active = (self.pipeline.named_steps[label].columns_ for label in self.supervised)
        return not self.filters and not any(map(len, active))


def prepare(
    schema: Schema,
    family: Family,
    *,
    problem: Problem | None = None,
    spec: PipelineSpec | None = None,
    seed: int = 0,
) -> Preparation:
    """Compile a specification, or the usual one for the schema and family, to one pipeline.

    Parameters
    ----------
    schema : Schema
        The columns a model may use, see `usable`.
    problem : Problem, optional
        What is predicted; steps that look at the target need it.
    spec : PipelineSpec, optional
        Its `remainder` is completed with the family's usual steps.
    seed : int, default 0
        Of the steps that draw at random.

    Raises
    ------
    StepError
        If a step needs what is not there.
    """
    whole = complete(spec or PipelineSpec(), schema, family, problem)
    context = Context(schema, problem, seed)
    steps: list[tuple[str, Any]] = [("columns", ConformColumns(schema.to_json()))]
    columns = [each for each in whole.steps if isinstance(each, Step)]
    supervised = []
    for label, each in zip(_labels(columns), columns, strict=True):
        if _supervised(each):
            supervised.append(label)
        try:
            steps.append((label, each.apply(context, label)))
        except ValueError as error:
            raise StepError(label, (), str(error)) from error
    steps.append(("matrix", Matrix("frame" if family == "native" else "matrix")))
    filters = tuple(each for each in whole.steps if isinstance(each, RowStep))
    return Preparation(whole, filters, Pipeline(steps), tuple(supervised))


def _supervised(step: Step) -> bool:
    """Whether a step looks at the target; those of other packages are taken to."""
    if not type(step).__module__.startswith("tasks.tabular.steps."):
        return True
    if isinstance(step, Bin):
        return step.strategy == "tree"
    return isinstance(step, TargetEncode | DropCorrelated | SelectFeatures)


def usable(
    schema: Schema,
    target: str,
    spec: PipelineSpec | None = None,
    hidden: tuple[str, ...] = (),
) -> Schema:
    """Return the columns a model of `target` may use, and those that `spec` calls by name.

    Raises
    ------
    SpecError
        If the specification names the target or a hidden column.
    """
    named = set(spec.named_columns) if spec else set()
    made = set(spec.made_columns) if spec else set()
    for name in (target, *hidden):
        if name in named | made:
            what = "the target" if name == target else "what rows are split by"
            raise SpecError((("columns", f"{name!r} is {what}; features cannot be made of it"),))
    return Schema(
        tuple(
            each
            for each in schema.columns
            if each.name not in (target, *hidden) and (each.informative or each.name in named)
        )
    )


def carried(schema: Schema, target: str, spec: PipelineSpec | None, features: Schema) -> Schema:
    """Return the columns rows carry until they are fitted on: features, and what filters see."""
    named = (set(spec.filter_columns) if spec else set()) - {target, *features.names}
    extra = (each for each in schema.columns if each.name in named)
    return Schema((*features.columns, *extra))


def complete(
    spec: PipelineSpec, schema: Schema, family: Family, problem: Problem | None
) -> PipelineSpec:
    """Write out what `remainder` means: the specification that is compiled."""
    added: Iterator[Step | RowStep] = iter(())
    if spec.remainder == "default":
        added = _usual(schema, family, problem, scaled=_scaled(spec))
    elif spec.remainder == "drop":
        kinds: tuple[Literal["categorical", "text", "datetime"], ...]
        kinds = ("categorical", "text", "datetime")
        added = (DropColumns(columns=kind) for kind in kinds if schema.of_kind(kind))
    return PipelineSpec(steps=(*spec.steps, *added), remainder="refuse")


def _scaled(spec: PipelineSpec) -> tuple[str, ...] | None:
    """Return the columns a specification scales by name; None where it scales all numbers."""
    named: list[str] = []
    for each in spec.steps:
        if isinstance(each, Scale | Pca):
            if isinstance(each.columns, str):
                return None
            named += each.columns
    return tuple(dict.fromkeys(named))


def _usual(
    schema: Schema, family: Family, problem: Problem | None, *, scaled: tuple[str, ...] | None
) -> Iterator[Step]:
    """Yield the steps a family needs for the kinds of columns there are."""
    if schema.of_kind("datetime"):
        yield DatesToParts(cyclical=family == "linear")
    if schema.of_kind("text"):
        yield Text()
    categorical = schema.of_kind("categorical")
    if family == "native":
        if categorical:
            yield Category()
        return
    if categorical:
        many = CountEncode if problem is None else TargetEncode
        yield many(more_than=MAX_CATEGORIES)
    if family == "tree":
        if categorical:
            yield Ordinal(max_categories=MAX_CATEGORIES)
        return
    yield Impute(indicator=True)
    if scaled is not None:
        yield Scale(without=scaled)
    if categorical:
        yield OneHot(max_categories=MAX_CATEGORIES, min_frequency=MIN_FREQUENCY)


def _labels(steps: Sequence[Step]) -> list[str]:
    """Name the steps; a second of a kind is `scale_2`."""
    seen: Counter[str] = Counter()
    labels = []
    for each in steps:
        seen[each.step] += 1
        labels.append(each.step if seen[each.step] == 1 else f"{each.step}_{seen[each.step]}")
    return labels
