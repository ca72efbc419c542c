"""Errors of the tabular library: each names its stage, the cause and the remedy.

* TabularError
  + SourceNotFoundError
  + UnsupportedFormatError
  + EmptyTableError
  + HeaderError
  + RaggedRowError
  + EncodingError
  + MalformedTableError
  + ArchiveError
  + MistypedValueError
  + UnknownColumnError
  + MissingColumnsError
  + ColumnValueError
  + SpecError
  + StepError
  + NoRowsLeftError
  + SplitError
  + ResamplingError
  + LeakageError
  + MaskingError
  + SuiteError
  + TargetError
  + ConstantTableError
  + UnknownNameError
  + IncomparableError
  + OtherProblemError
  + MetricDomainError
"""

from __future__ import annotations

from difflib import get_close_matches


class TabularError(ValueError):
    """Base of every error the tabular library raises on purpose.

    An error keeps the values it is about in `args` and words them in `__str__`, so it
    survives the pickling that carries it from a worker to the Prefect API.
    """


class SourceNotFoundError(TabularError):
    """The file to read is not there or is no file."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source

    def __str__(self) -> str:
        return (
            f"ingest: there is no file {self.source}; check the path, "
            "which is read on the worker's machine"
        )


class UnsupportedFormatError(TabularError):
    """The file's suffix names no format that is read."""

    def __init__(self, source: str, supported: tuple[str, ...]) -> None:
        super().__init__(source, supported)
        self.source = source
        self.supported = supported

    def __str__(self) -> str:
        return (
            f"ingest: the format of {self.source} is not known by its name; "
            f"use one of {', '.join(self.supported)}"
        )


class EmptyTableError(TabularError):
    """There are no bytes, or a header and no rows."""

    def __init__(self, source: str, what: str) -> None:
        super().__init__(source, what)
        self.source = source
        self.what = what

    def __str__(self) -> str:
        return f"ingest: {self.source} {self.what}; a dataset needs a header line and rows"


class HeaderError(TabularError):
    """Column names repeat or are blank."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source = source
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"ingest: the header of {self.source} {self.problem}; "
            "give every column a name of its own in the first line"
        )


class RaggedRowError(TabularError):
    """A line has more or fewer values than the header has names."""

    def __init__(self, source: str, line: int, expected: int, found: int, text: str) -> None:
        super().__init__(source, line, expected, found, text)
        self.source = source
        self.line = line
        self.expected = expected
        self.found = found
        self.text = text

    def __str__(self) -> str:
        return (
            f"ingest: line {self.line} of {self.source} has {self.found} values where the header "
            f"has {self.expected}: {self.text[:80]!r}; quote values that contain the delimiter, "
            "or correct the line"
        )


class EncodingError(TabularError):
    """The bytes are not UTF-8."""

    def __init__(self, source: str, line: int, byte: int) -> None:
        super().__init__(source, line, byte)
        self.source = source
        self.line = line
        self.byte = byte

    def __str__(self) -> str:
        return (
            f"ingest: line {self.line} of {self.source} is not UTF-8 (byte 0x{self.byte:02x}); "
            "save the file as UTF-8, for example with `iconv -f LATIN1 -t UTF-8`"
        )


class MalformedTableError(TabularError):
    """The file cannot be parsed for another reason than those above."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source = source
        self.reason = reason

    def __str__(self) -> str:
        return f"ingest: {self.source} cannot be read: {self.reason}; check that it is whole"


class ArchiveError(TabularError):
    """An archive or workbook holds not exactly one table, or would do harm."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source = source
        self.problem = problem

    def __str__(self) -> str:
        return f"ingest: {self.source} is not unpacked: {self.problem}"


class MistypedValueError(TabularError):
    """A value is not of the type its column has had since the dataset's first version."""

    def __init__(self, source: str, place: str, column: str, value: str, expected: str) -> None:
        super().__init__(source, place, column, value, expected)
        self.source = source
        self.place = place
        self.column = column
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"ingest: {self.place} of {self.source}, column {self.column!r}: {self.value[:80]!r} "
            f"is not of the format {self.expected!r} that the column has; correct the value, "
            "or prepare the file with `infer_again` if the column's type has changed"
        )


class UnknownColumnError(TabularError):
    """A named column is not in the table."""

    def __init__(self, column: str, columns: tuple[str, ...]) -> None:
        super().__init__(column, columns)
        self.column = column
        self.columns = columns

    def __str__(self) -> str:
        return f"there is no column {self.column!r}; {suggest(self.column, self.columns)}"


class MissingColumnsError(TabularError):
    """Rows lack columns that a model was fitted on."""

    def __init__(self, missing: tuple[str, ...], present: tuple[str, ...]) -> None:
        super().__init__(missing, present)
        self.missing = missing
        self.present = present

    def __str__(self) -> str:
        near = suggest(self.missing[0], self.present) if self.present else "there are none"
        return f"the rows have no column {', '.join(map(repr, self.missing))}; {near}"


class ColumnValueError(TabularError):
    """A value is not what its column holds."""

    def __init__(self, column: str, value: str, kind: str) -> None:
        super().__init__(column, value, kind)
        self.column = column
        self.value = value
        self.kind = kind

    def __str__(self) -> str:
        return (
            f"column {self.column!r} holds {self.kind} values and {self.value[:80]} is none; "
            "correct the value or leave it empty"
        )


class SpecError(TabularError):
    """A pipeline specification cannot be understood; every problem has its place."""

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(f"{place}: {problem}" for place, problem in self.problems)


class StepError(TabularError):
    """A step cannot be fitted on, or applied to, its columns."""

    def __init__(self, step: str, columns: tuple[str, ...], problem: str) -> None:
        super().__init__(step, columns, problem)
        self.step = step
        self.columns = columns
        self.problem = problem

    def __str__(self) -> str:
        shown = ", ".join(map(repr, self.columns[:5])) + (", …" if len(self.columns) > 5 else "")  # noqa: PLR2004 - what a line can hold
        return f"prepare: step {self.step!r} on {shown or 'no column'}: {self.problem}"


class NoRowsLeftError(TabularError):
    """The filters of a preparation leave no training rows, or one class of them."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after)
        self.before = before
        self.after = after

    def __str__(self) -> str:
        return (
            f"prepare: the row filters leave {self.after} of {self.before} training rows, too "
            "few classes or rows to learn from; loosen drop_nulls or drop_duplicates"
        )


class SplitError(TabularError):
    """Rows cannot be split as asked."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(kind, problem)
        self.kind = kind
        self.problem = problem

    def __str__(self) -> str:
        return f"split: {self.kind}: {self.problem}"


class ResamplingError(TabularError):
    """Classes cannot be balanced in the way that is asked for."""

    def __init__(self, method: str, problem: str) -> None:
        super().__init__(method, problem)
        self.method = method
        self.problem = problem

    def __str__(self) -> str:
        return f"balance: {self.method!r} cannot be used: {self.problem}"


class LeakageError(TabularError):
    """Rows a model is judged on took part in fitting it."""

    def __init__(self, where: str, rows: tuple[int, ...]) -> None:
        super().__init__(where, rows)
        self.where = where
        self.rows = rows

    def __str__(self) -> str:
        return (
            f"train: {len(self.rows)} rows of the {self.where} were fitted on, the first are "
            f"{', '.join(map(str, self.rows[:5]))}; this is a fault of the platform, report it"
        )


class MaskingError(TabularError):
    """A column cannot be masked in the way that is asked for."""

    def __init__(self, column: str, policy: str, problem: str) -> None:
        super().__init__(column, policy, problem)
        self.column = column
        self.policy = policy
        self.problem = problem

    def __str__(self) -> str:
        return f"mask: {self.column!r} cannot be masked by {self.policy!r}: {self.problem}"


class SuiteError(TabularError):
    """A suite of expectations, as somebody edited it, cannot be read."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"validation: the suite cannot be read: {self.problem}; correct the YAML"


class TargetError(TabularError):
    """The target column cannot be learned."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(column, problem)
        self.column = column
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"target: {self.column!r} cannot be predicted: {self.problem}; "
            "choose another target or add rows"
        )


class ConstantTableError(TabularError):
    """No column tells one row from another."""

    def __init__(self, columns: int) -> None:
        super().__init__(columns)
        self.columns = columns

    def __str__(self) -> str:
        return (
            f"ingest: none of the {self.columns} columns tells rows apart (each holds one value "
            "throughout, or another text in every row), so there is nothing to learn from; check "
            "the export that made the file"
        )


class UnknownNameError(TabularError):
    """A learner or metric has no such name."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(kind, name, known)
        self.kind = kind
        self.name = name
        self.known = known

    def __str__(self) -> str:
        return f"there is no {self.kind} {self.name!r}; {suggest(self.name, self.known)}"


class IncomparableError(TabularError):
    """Two models cannot be compared on the same rows."""

    def __init__(self, rows: int, needed: int) -> None:
        super().__init__(rows, needed)
        self.rows = rows
        self.needed = needed

    def __str__(self) -> str:
        return (
            f"promote: only {self.rows} rows of the holdout are unseen by both models, "
            f"{self.needed} are needed; train the challenger on more data, or with the champion's "
            "seed on the same dataset version"
        )


class OtherProblemError(TabularError):
    """Champion and challenger predict different things."""

    def __init__(self, challenger: str, champion: str) -> None:
        super().__init__(challenger, champion)
        self.challenger = challenger
        self.champion = champion

    def __str__(self) -> str:
        return (
            f"promote: the challenger predicts {self.challenger}, the champion {self.champion}; "
            "register the challenger under a model name of its own"
        )


class MetricDomainError(TabularError):
    """A metric is not defined for the target's values."""

    def __init__(self, metric: str, domain: str, least: float) -> None:
        super().__init__(metric, domain, least)
        self.metric = metric
        self.domain = domain
        self.least = least

    def __str__(self) -> str:
        return (
            f"train: {self.metric!r} is defined for {self.domain} targets only and the least is "
            f"{self.least:g}; choose another metric or filter those rows"
        )


def suggest(name: str, known: tuple[str, ...]) -> str:
    """Word the nearest names, or all of them if none is near.

    Examples
    --------
    >>> suggest("incom", ("income", "age"))
    'did you mean income?'
    """
    folded = {each.casefold(): each for each in known}
    near = get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(folded[each] for each in near)}?"
    return f"there are: {', '.join(known)}"
