"""A preparation as people write it: ordered steps with typed parameters, in YAML or JSON."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializeAsAny,
    ValidationError,
)

from tasks.tabular.errors import SpecError, suggest
from tasks.tabular.steps.base import RowStep, Step
from tasks.tabular.steps.registry import schemas, steps

if TYPE_CHECKING:
    from pydantic_core import CoreSchema, ErrorDetails

MAX_BYTES = 100_000
"""Of a specification's text."""

MAX_STEPS = 100
MAX_TOLD = 50
"""Problems of a specification that are told; who has more begins with these."""


def _read_step(given: Any) -> Any:
    """Return the typed step that a mapping means."""
    if isinstance(given, Step | RowStep):
        return given
    if not isinstance(given, dict) or not isinstance(given.get("step"), str):
        raise SpecError((("", "a step is a mapping with its name under `step`"),))
    known = steps()
    if given["step"] not in known:
        hint = suggest(given["step"], tuple(known))
        raise SpecError((("step", f"there is no step {given['step']!r}; {hint}"),))
    kind = known[given["step"]]
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise SpecError(tuple(_problem(kind, each) for each in error.errors())) from error


class _AnyStep:
    """Tell forms what a step may be: one of the registered ones."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _core: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": list(schemas().values())}


class PipelineSpec(BaseModel):
    """How raw columns become features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[
        Annotated[SerializeAsAny[Step | RowStep], BeforeValidator(_read_step), _AnyStep], ...
    ] = Field(default=(), max_length=MAX_STEPS, description="In the order they are applied")
    remainder: Literal["default", "drop", "refuse"] = Field(
        default="default",
        description="What becomes of categories, texts and dates that no step has turned into "
        "numbers: the learner's usual encoding, nothing, or an error",
    )

    @classmethod
    def read(cls, text: str) -> Self:
        """Read YAML or JSON, which is YAML.

        Raises
        ------
        SpecError
            If it is neither, or names an unknown step or parameter; the nearest are suggested.
        """
        if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
            raise SpecError((("", f"a specification of more than {MAX_BYTES} bytes"),))
        return cls.parse(_loaded(text))

    @classmethod
    def parse(cls, content: Any) -> Self:
        """Read plain values, or raise `SpecError` with the place of every problem."""
        if not isinstance(content, dict):
            raise SpecError((("", "a specification is a mapping with a list of `steps`"),))
        if not isinstance(content.get("steps", []), list | tuple):
            raise SpecError((("steps", "is a list of steps"),))
        problems: list[tuple[str, str]] = []
        read = []
        for place, each in enumerate(content.get("steps") or (), 1):
            try:
                read.append(_read_step(each))
            except SpecError as error:
                problems += [
                    (f"step {place} {where}".rstrip(), what) for where, what in error.problems
                ]
        try:
            spec = cls.model_validate({**content, "steps": tuple(read)})
        except ValidationError as error:
            problems += [_problem(cls, each) for each in error.errors()]
        if problems:
            raise SpecError(_first_told(problems))
        return spec

    def to_json(self) -> dict[str, Any]:
        """Return plain values with every default written out; `parse` reads them back."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return text for people; `read` reads it back."""
        return yaml.safe_dump(self.to_json(), sort_keys=False, allow_unicode=True)

    @property
    def digest(self) -> str:
        """SHA-256 of what the specification says, however it is written."""
        canonical = json.dumps(self.to_json(), separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def named_columns(self) -> tuple[str, ...]:
        """Columns that features are made of by name; some may be made by earlier steps."""
        named = [name for each in self.steps if isinstance(each, Step) for name in each.named]
        return tuple(dict.fromkeys(named))

    @property
    def made_columns(self) -> tuple[str, ...]:
        """Columns that steps make under a name they were given."""
        return tuple(name for each in self.steps for name in getattr(each, "formulas", ()))

    @property
    def filter_columns(self) -> tuple[str, ...]:
        """Columns that rows are left out by; they need not be features."""
        named = [name for each in self.steps if isinstance(each, RowStep) for name in each.columns]
        return tuple(dict.fromkeys(named))


def _loaded(text: str) -> Any:
    """Read JSON as what it is, and anything else as YAML."""
    try:
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        pass
    try:
        return yaml.load(text, _PlainLoader)  # noqa: S506 - a SafeLoader without aliases
    except _NO_YAML as error:
        raise SpecError((("", f"it is no YAML: {' '.join(str(error).split())[:300]}"),)) from error


def _refused(constant: str) -> None:
    raise ValueError(constant)


_NO_YAML = (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError, TypeError)
"""What PyYAML raises over texts and over values that are not what their tags say."""


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, ten lines of which can stand for billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases."""
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's
        """Refuse keys that are there twice, of which the first would be lost."""
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise yaml.YAMLError(f"{name!r} is there twice")
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


def _is_branch(part: str) -> bool:
    """Whether a part of a place names a type that was tried, and not a field."""
    return part in ("int", "float", "str", "bool", "none") or part.startswith(("tuple", "literal"))


def _first_told(problems: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Leave out what follows from another problem: one at the same place, or around it."""
    told: list[tuple[str, str]] = []
    for where, what in problems[:MAX_TOLD]:
        if not any(each == where or each.startswith(f"{where}.") for each, _ in told):
            told.append((where, what))
    return tuple(told)


def _problem(model: type[BaseModel], error: ErrorDetails) -> tuple[str, str]:
    """Word a problem pydantic found, with the nearest valid name where there is one."""
    where = ".".join(str(part) for part in error["loc"] if not _is_branch(str(part)))
    names = tuple(model.model_fields)
    if error["type"] == "extra_forbidden":
        hint = suggest(str(error["loc"][-1]), names)
        return where, f"there is no such parameter; {hint}"
    if error["type"] == "literal_error":
        allowed = tuple(
            each.strip("'")
            for each in str(error["ctx"]["expected"]).replace(" or ", ", ").split(", ")
        )
        return where, f"{error['input']!r} is not possible; {suggest(str(error['input']), allowed)}"
    return where, error["msg"].removeprefix("Value error, ")
