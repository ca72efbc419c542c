"""How values of PyCaret's parameters are read from JSON, and what is found wrong with them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.tabular.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Reader = Callable[[Any], Any]


class RefusedError(ValueError):
    """A value cannot be read; `instead` says what could be."""

    def __init__(self, reason: str, instead: str) -> None:
        super().__init__(reason, instead)
        self.reason = reason
        self.instead = instead


@dataclass(frozen=True, slots=True)
class Findings:
    """What cannot be honoured, as `UnsupportedParametersError` tells it, and remarks."""

    problems: list[tuple[str, str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, name: str, given: Any, reason: str, instead: str) -> None:
        """Take note of a parameter that cannot be honoured."""
        shown = json.dumps(given, ensure_ascii=False, default=repr)
        self.problems.append((name[:200], shown[:200], reason, instead))


def same(one: Any, other: Any) -> bool:
    """Whether JSON values are equal and of one type: true is not 1."""
    return type(one) is type(other) and bool(one == other)


def only(*allowed: Any, reason: str, instead: str) -> Reader:
    """Accept values that ask for nothing."""

    def read(given: Any) -> Any:
        if not any(same(given, each) for each in allowed):
            raise RefusedError(reason, instead)
        return given

    return read


def switch(given: Any) -> bool:
    """Accept true and false."""
    if not isinstance(given, bool):
        raise RefusedError("it is true or false", "write true or false")
    return given


def one_of(
    choices: Mapping[str, Any], refused: Mapping[str, tuple[str, str]] | None = None
) -> Reader:
    """Translate names, whatever their case; some have a reason of their own to be refused."""
    folded = {each.casefold(): value for each, value in choices.items()}
    told = {each.casefold(): value for each, value in (refused or {}).items()}

    def read(given: Any) -> Any:
        if not isinstance(given, str):
            raise RefusedError("it is a name", f"use one of {', '.join(choices)}")
        name = given.casefold()
        if name in told:
            raise RefusedError(*told[name])
        if name not in folded:
            raise RefusedError("there is no such choice here", suggest(given[:100], tuple(choices)))
        return folded[name]

    return read


def whole(low: int, high: int) -> Reader:
    """Accept whole numbers from `low` to `high`."""

    def read(given: Any) -> int:
        if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
            raise RefusedError("it is a whole number", f"choose one from {low} to {high}")
        return given

    return read


def number(low: float, high: float, *, inside: bool = False) -> Reader:
    """Accept numbers from `low` to `high`, which are no such numbers themselves if `inside`."""

    def read(given: Any) -> float:
        number = isinstance(given, int | float) and not isinstance(given, bool)
        if not number or not (low < given < high if inside else low <= given <= high):
            raise RefusedError("it is a number", f"choose one from {low} to {high}")
        return float(given)

    return read


def text(given: Any) -> str:
    """Accept texts that are not empty."""
    if not isinstance(given, str) or not given:
        raise RefusedError("it is a text", "write a name in quotes")
    return given


def names(given: Any) -> tuple[str, ...]:
    """Accept lists of different texts."""
    if not isinstance(given, list) or not all(isinstance(each, str) and each for each in given):
        raise RefusedError("it is a list of names", 'write ["a", "b"]')
    if len(set(given)) < len(given):
        raise RefusedError("a name is in it twice", "name everything once")
    return tuple(given)


def some(given: Any) -> tuple[str, ...]:
    """Accept such lists that are not empty."""
    found = names(given)
    if not found:
        raise RefusedError("it names nothing", "leave it out to mean all")
    return found


def or_null(read: Reader) -> Reader:
    """Accept null as well."""
    return lambda given: None if given is None else read(given)


def index(given: Any) -> str | None:
    """Return the column that numbers the rows, if one does."""
    if isinstance(given, bool):
        return None
    if isinstance(given, str) and given:
        return given
    raise RefusedError("it is no position here", "name the column, or leave it out")


def filling(given: Any) -> str | float:
    """Return a strategy of `impute`, or the number that fills gaps."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    named = {each: each for each in ("drop", "mean", "median", "knn")}
    found: str | float = one_of({**named, "mode": "most_frequent", "zero": 0.0})(given)
    return found


def components(given: Any) -> int | float:
    """Accept how many, or the share of variance."""
    if same(given, "mle"):
        raise RefusedError("the number is not estimated", "give a number or a share of variance")
    if isinstance(given, float) and 0 < given < 1:
        return given
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return given
    raise RefusedError("it is how many, or the share of variance", "use 10 or 0.95, or leave it")


def engine(given: Any) -> None:
    """Accept scikit-learn's own."""
    named = isinstance(given, dict) and all(same(each, "sklearn") for each in given.values())
    if not named and given is not None:
        raise RefusedError("every learner has one engine", 'leave it out, or name "sklearn"')


_PARTS = {
    **{each: each for each in ("year", "quarter", "month", "week", "day", "dayofweek")},
    **{each: each for each in ("dayofyear", "hour", "minute", "second")},
    "weekday": "dayofweek",
    "day_of_week": "dayofweek",
    "day_of_year": "dayofyear",
    "weekofyear": "week",
}


def date_parts(given: Any) -> tuple[str, ...]:
    """Return parts of dates by the names that pandas has for them."""
    return tuple(dict.fromkeys(one_of(_PARTS)(each) for each in some(given)))


def jobs(given: Any) -> int | None:
    """Return the number of threads; None for as many as there are."""
    if given is None:
        return 1
    if same(given, -1):
        return None
    return whole(1, 1_024)(given)  # type: ignore[no-any-return]
