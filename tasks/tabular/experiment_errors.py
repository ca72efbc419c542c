"""Errors of experiments: those that come as JSON messages, and those made by verbs.

* TabularError
  + MessageError
    - MessageSyntaxError
    - DuplicateKeyError
    - NotFiniteError
    - MessageLimitError
    - MessageShapeError
  + ExperimentError
  + UnsupportedLearnerError
  + UnsupportedParametersError
  + NoSetupError
  + UnknownModelError
"""

from __future__ import annotations

from tasks.tabular.errors import TabularError


class MessageError(TabularError):
    """A JSON message of an experiment cannot be read."""


class MessageSyntaxError(MessageError):
    """The text is no JSON; trailing commas alone are forgiven."""

    def __init__(self, line: int, column: int, expected: str, found: str) -> None:
        super().__init__(line, column, expected, found)
        self.line = line
        self.column = column
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return (
            f"message: line {self.line}, column {self.column}: expected {self.expected}, "
            f"found {self.found}"
        )


class DuplicateKeyError(MessageError):
    """An object of a message has a key twice."""

    def __init__(self, line: int, column: int, key: str) -> None:
        super().__init__(line, column, key)
        self.line = line
        self.column = column
        self.key = key

    def __str__(self) -> str:
        return (
            f"message: line {self.line}, column {self.column}: the key {self.key[:80]!r} is in "
            "its object already; leave one of the two"
        )


class NotFiniteError(MessageError):
    """A message holds NaN, an infinity, or a number that is too great to be one."""

    def __init__(self, line: int, column: int, number: str) -> None:
        super().__init__(line, column, number)
        self.line = line
        self.column = column
        self.number = number

    def __str__(self) -> str:
        return (
            f"message: line {self.line}, column {self.column}: {self.number[:80]} is no number "
            "of JSON; write a finite number or null"
        )


class MessageLimitError(MessageError):
    """A message is longer or deeper than any experiment needs."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(what, limit)
        self.what = what
        self.limit = limit

    def __str__(self) -> str:
        return f"message: it has more than {self.limit} {self.what}; split it into several"


class MessageShapeError(MessageError):
    """A message is JSON, but no object."""

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found

    def __str__(self) -> str:
        return (
            f"message: it is {self.found}; send an object with `pipeline` and `experiment_config`"
        )


class ExperimentError(TabularError):
    """A message describes no experiment that can be run; every problem has its place."""

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(f"{place}: {problem}" for place, problem in self.problems)


class UnsupportedLearnerError(TabularError):
    """A learner is known by name and cannot be used."""

    def __init__(self, name: str, reason: str, instead: str) -> None:
        super().__init__(name, reason, instead)
        self.name = name
        self.reason = reason
        self.instead = instead

    def __str__(self) -> str:
        return f"the learner {self.name!r} cannot be used: {self.reason}; {self.instead}"


class UnsupportedParametersError(TabularError):
    """Parameters of an experiment mean nothing here, or not with their values.

    `problems` are all of them: the parameter's place, its value, why it is refused and what to
    use instead.
    """

    def __init__(self, problems: tuple[tuple[str, str, str, str], ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        told = (
            f"{name} = {given} is not supported: {reason}; {instead}"
            for name, given, reason, instead in self.problems
        )
        return " | ".join(told)


class NoSetupError(TabularError):
    """A verb was called that needs data, before there were any."""

    def __init__(self, verb: str) -> None:
        super().__init__(verb)
        self.verb = verb

    def __str__(self) -> str:
        return f"{self.verb} has no data to work on; call setup(data, target=…) before it"


class UnknownModelError(TabularError):
    """A verb was given a model that its experiment has not made."""

    def __init__(self, verb: str, model: str) -> None:
        super().__init__(verb, model)
        self.verb = verb
        self.model = model

    def __str__(self) -> str:
        return (
            f"{self.verb} does not know how this {self.model} was made; give it what a verb has "
            "returned since the last setup, not one that was loaded or fitted elsewhere"
        )
