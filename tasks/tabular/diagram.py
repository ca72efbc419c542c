"""A fitted pipeline as people look at it: what every step took, learned and made."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import estimator_html_repr

from tasks.tabular.reports import environment
from tasks.tabular.transformers.columns import OnColumns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sklearn.pipeline import Pipeline

_LEARNED = {
    "fills_": "fills with",
    "lower_": "lower limit",
    "upper_": "upper limit",
    "bin_edges_": "bin edges",
    "decisions_": "left out",
    "n_components_": "components",
    "powers_": "products",
}
"""Attributes of fitted transformers that say what was learned."""

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that no XML document may hold, however they are written."""

_SHOWN = 60
"""Characters of a line in the picture."""

_TOP = 56
_BOX, _GAP = 64, 26


@dataclass(frozen=True, slots=True)
class StepDescription:
    """One step: the columns it took, those it made, how many leave it, and what it learned."""

    name: str
    kind: str
    parameters: dict[str, str]
    takes: tuple[str, ...]
    makes: tuple[str, ...]
    leaving: int
    learned: dict[str, Any]

    @property
    def said(self) -> str:
        """The parameters in one short line."""
        text = ", ".join(f"{key} {value}" for key, value in self.parameters.items())
        return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


@dataclass(frozen=True, slots=True)
class PipelineDescription:
    """The steps of a fitted model in order; the last is the learner."""

    steps: tuple[StepDescription, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the steps as JSON-ready values."""
        return [asdict(each) for each in self.steps]


def describe(model: Pipeline) -> PipelineDescription:
    """Describe a fitted pipeline.

    Of an ensemble the preparation of its heaviest member is described, and the members' weights.
    """
    names: tuple[str, ...] = ()
    steps = []
    for name, step in _steps(model):
        made = tuple(map(str, step.get_feature_names_out())) if _is_step(step) else ()
        steps.append(_described(name, step, names, made))
        names = made
    return PipelineDescription(tuple(steps))


def _steps(model: Pipeline) -> list[tuple[str, Any]]:
    members = getattr(model[-1], "members_", None)
    if members is None:
        return list(model.steps)
    heaviest = max(members, key=lambda each: each.weight)
    return [*model[-1].preparations_[heaviest.preparation].steps, model.steps[-1]]


def svg(description: PipelineDescription) -> str:
    """Draw the steps, shape 720 px wide, with nothing to be loaded from elsewhere."""
    boxes = [
        {"top": _TOP + place * (_BOX + _GAP), "step": step, "last": step is description.steps[-1]}
        for place, step in enumerate(description.steps)
    ]
    height = _TOP + len(boxes) * (_BOX + _GAP)
    page: str = (
        environment()
        .get_template("pipeline.svg.j2")
        .render(boxes=boxes, height=height, box=_BOX, gap=_GAP)
    )
    return _NO_XML.sub("\ufffd", page)


def html(model: Pipeline) -> str:
    """Return scikit-learn's own picture, whose boxes open to show every parameter."""
    text: str = estimator_html_repr(model)
    return text


def _is_step(step: Any) -> bool:
    return hasattr(step, "get_feature_names_out") and hasattr(step, "transform")


def _described(
    name: str, step: Any, given: tuple[str, ...], made: tuple[str, ...]
) -> StepDescription:
    if not isinstance(step, OnColumns):
        chosen = given or made
        weights = getattr(step, "candidates", {}) if hasattr(step, "members_") else {}
        return StepDescription(
            name,
            type(step).__name__,
            {candidate: f"{weight:.2f}" for candidate, weight in weights.items()},
            chosen,
            (),
            len(made) if made else 1,
            {},
        )
    inner = step.transformers_[0] if step.transformers_ else step.transformer
    kind = type(inner).__name__ if step.transformers_ else str(inner or "nothing to do")
    makes = tuple(str(each) for names in step.outputs_ for each in names)
    learned: dict[str, Any] = {}
    for each in step.transformers_:
        learned |= _learned(each, step.columns_)
    parameters = _said(inner) if step.transformers_ else {}
    return StepDescription(name, kind, parameters, tuple(step.columns_), makes, len(made), learned)


def _said(transformer: Any) -> dict[str, str]:
    """Return the parameters that are not the transformer's defaults."""
    given = transformer.get_params(deep=False)
    usual = {name: each.default for name, each in _signature(transformer).items()}
    return {
        name: str(value)
        for name, value in given.items()
        if name != "random_state" and repr(value) != repr(usual.get(name))
    }


def _signature(transformer: Any) -> Mapping[str, Any]:
    from inspect import signature  # noqa: PLC0415 - with its kin

    return signature(type(transformer).__init__).parameters


def _learned(transformer: Any, columns: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute, words in _LEARNED.items():
        value = getattr(transformer, attribute, None)
        if attribute == "powers_" and value is not None:
            found[words] = len(value)
        elif value is not None:
            found[words] = _plain(value, columns)
    return found


def _plain(value: Any, columns: list[str]) -> Any:
    """Return what was learned as plain values, by column where there is one per column."""
    if isinstance(value, np.ndarray) and len(value) == len(columns) and value.ndim == 1:
        return {name: _plain(each, []) for name, each in zip(columns, value, strict=True)}
    if isinstance(value, np.ndarray):
        return [_plain(each, []) for each in value.tolist()]
    if isinstance(value, dict):
        return {str(key): _plain(each, []) for key, each in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value if isinstance(value, int | str | bool) or value is None else str(value)
