"""The steps there are: our own, and those that installed packages publish."""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from tasks.tabular.steps import cleaning, construction, dates, encoding, reduction, rows, scaling
from tasks.tabular.steps.base import AnyStep, RowStep, Step, name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY_POINTS = "millrace.steps"
"""The group under which packages publish subclasses of `Step` or `RowStep`."""

_OWN: tuple[type[AnyStep], ...] = (
    rows.DropNulls,
    rows.DropDuplicates,
    cleaning.Impute,
    cleaning.Clip,
    cleaning.DropColumns,
    cleaning.DropConstant,
    construction.Expression,
    construction.Polynomial,
    construction.Trigonometry,
    construction.Cyclical,
    dates.DatesToParts,
    dates.ElapsedTime,
    dates.Text,
    encoding.OneHot,
    encoding.Ordinal,
    encoding.TargetEncode,
    encoding.CountEncode,
    encoding.HashEncode,
    encoding.Category,
    scaling.Scale,
    scaling.Bin,
    reduction.Pca,
    reduction.DropCorrelated,
    reduction.DropCollinear,
    reduction.SelectFeatures,
)

_LOGGER = logging.getLogger(__name__)


@cache
def steps() -> Mapping[str, type[AnyStep]]:
    """Return the steps by name.

    A package whose step cannot be loaded, or takes a name that is taken, is left out and
    named in the log: somebody else's fault must not stop every preparation.
    """
    found: dict[str, type[AnyStep]] = {name_of(each): each for each in _OWN}
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda each: each.name):
        step = _loaded(entry)
        if step is None:
            continue
        if name_of(step) in found:
            _LOGGER.warning(
                "the step %r of %s is left out: the name is taken", name_of(step), entry
            )
            continue
        found[name_of(step)] = step
    return found


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of every step's parameters, by name."""
    return {name: _schema(step) for name, step in steps().items()}


def _schema(step: type[AnyStep]) -> dict[str, Any]:
    """Return a JSON schema that refers to nothing: forms look up definitions at the root only."""
    schema = step.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inlined(part: Any) -> Any:
        if isinstance(part, list):
            return [inlined(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return inlined(definitions[part["$ref"].rsplit("/", 1)[-1]])
        return {key: inlined(value) for key, value in part.items()}

    whole: dict[str, Any] = inlined(schema)
    return whole


def _loaded(entry: EntryPoint) -> type[AnyStep] | None:
    try:
        step = entry.load()
        if not (isinstance(step, type) and issubclass(step, Step | RowStep)):
            raise TypeError(f"{step!r} is no Step")  # noqa: TRY301 - told like any other fault
        name_of(step)
        _schema(step)
    except Exception as fault:  # noqa: BLE001 - foreign code may raise anything while it loads
        _LOGGER.warning("the step %s cannot be loaded: %s", entry, fault)
        return None
    return step
