"""Turn columns of text into numbers, dates and truth values, by what all their values can be.

Every column keeps the narrowest formats that fit all values seen so far. A format that a
value breaks is replaced by the wider ones it implies: 12 is a whole number, and would also
be a decimal. Values that can be read in two ways, such as 1,234 or 03/04/2021, keep both
readings alive until a later value, or another column's decimal sign, decides; a column that
nothing decides stays text. What is found does not depend on how the rows are cut in batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

NULLS = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "\\N", "<NA>")
"""Spellings of a missing value in every column."""

NULLS_AMONG_NUMBERS = (
    "-",
    "--",
    "?",
    ".",
    "*",
    "none",
    "nil",
    "missing",
    "unknown",
    "n.a.",
    "na",
    "nan",
)
"""Spellings, in any case, that mean missing where all else is numbers or dates; in a column
of texts they are values like others."""

TEXT = "text"
EXACT_DIGITS = 15
EXACT = 10**EXACT_DIGITS
"""Whole numbers of more digits than a double holds exactly are not turned into one."""

_ZERO, _MINUS, _PLUS = (ord(sign) for sign in "0-+")

Sign = Literal["point", "comma"]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to read a text: the Arrow type it gives, and how; a misfit is `pa.ArrowInvalid`.

    `implies` names the wider formats that read every such value too. `sign` is the decimal
    sign the format presumes, if it presumes one.
    """

    name: str
    type: pa.DataType
    convert: Callable[[pa.Array], pa.Array]
    implies: tuple[str, ...] = ()
    sign: Sign | None = None


def _checked(condition: pa.BooleanArray, what: str) -> None:
    if pc.any(condition).as_py():
        raise pa.ArrowInvalid(what)


def _first_bytes(values: pa.Array) -> NDArray[np.int64]:
    """Count the bytes that texts begin with, shape (256,); what it counts may be too much."""
    _, offsets, content = values.buffers()
    if content is None or content.size == 0:
        return np.zeros(256, np.int64)
    starts = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values)]
    last = content.size - 1  # where empty texts at the end begin
    return np.bincount(np.frombuffer(content, np.uint8)[np.minimum(starts, last)], minlength=256)


def _whole(values: pa.Array) -> pa.Array:
    numbers = pc.cast(values, pa.int64())
    first = _first_bytes(values)
    if first[_ZERO]:
        zero = pc.starts_with(values, "0")
        _checked(pc.and_(zero, pc.greater(pc.binary_length(values), 1)), "leading zero")
    if first[_MINUS]:
        _checked(pc.starts_with(values, "-0"), "leading zero")
    return numbers


def _number(values: pa.Array) -> pa.Array:
    numbers = pc.cast(values, pa.float64())
    _checked(pc.is_nan(numbers), "a spelling of not a number")
    first = _first_bytes(values)
    if first[_PLUS]:
        _checked(pc.starts_with(values, "+"), "a sign that phone numbers have")
    if (first[_ZERO] and not _are_fractions(values)) or first[_MINUS]:
        _checked(pc.match_substring_regex(values, r"^-?0\d"), "leading zero")
    longest = pc.max(pc.binary_length(values)).as_py()
    if longest is not None and longest > EXACT_DIGITS:
        _checked(pc.match_substring_regex(values, rf"^-?\d{{{EXACT_DIGITS + 1},}}$"), "digits")
    return numbers


def _are_fractions(values: pa.Array) -> bool:
    """Whether all that begins with 0 is 0 or 0.something: quicker than to match a pattern."""
    zero, fraction = (pc.sum(pc.starts_with(values, start)).as_py() for start in ("0", "0."))
    return bool(zero == fraction or zero == fraction + pc.sum(pc.equal(values, "0")).as_py())


def _grouped(values: pa.Array, group: str, decimal: str, pattern: str) -> pa.Array:
    """Read numbers whose text matches `pattern`; `decimal` is empty for whole numbers."""
    _checked(pc.invert(pc.match_substring_regex(values, pattern)), "another number format")
    if group == _GROUPS["."]:
        _checked(pc.match_substring_regex(values, _ADDRESS), "an internet address")
    if group:
        values = pc.replace_substring_regex(values, group, "")
    if decimal == ",":
        values = pc.replace_substring(values, ",", ".")
    return _number(values) if decimal else _whole(values)


def _truth(values: pa.Array) -> pa.Array:
    _checked(pc.invert(pc.match_substring_regex(values, r"^(?i:true|false)$")), "no truth value")
    return pc.cast(values, pa.bool_())


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    dates = pc.cast(values, kind)
    first = pa.scalar(_FIRST, pa.timestamp("us")).cast(kind)
    _checked(pc.less(dates, first), "before the first year")
    return dates


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<b>(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sep(?:t|tember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?))"
)
_TIME = r"(?:[ T](?P<t>\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?))"
_DATES = {
    "d/m/y": r"(?P<d>\d{1,2})/(?P<m>\d{1,2})/(?P<y>\d{4})",
    "m/d/y": r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})",
    "d-m-y": r"(?P<d>\d{1,2})-(?P<m>\d{1,2})-(?P<y>\d{4})",
    "m-d-y": r"(?P<m>\d{1,2})-(?P<d>\d{1,2})-(?P<y>\d{4})",
    "d.m.y": r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})",
    "y/m/d": r"(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2})",
    "d mon y": r"(?P<d>\d{1,2})[ -]" + _MONTH + r"[ -](?P<y>\d{4})",
    "mon d y": _MONTH + r" (?P<d>\d{1,2}),? (?P<y>\d{4})",
}


def _date(values: pa.Array, pattern: str, kind: pa.DataType) -> pa.Array:
    """Rewrite dates as ISO text, so that Arrow checks the calendar, and read them."""
    parts = pc.extract_regex(values, pattern)
    _checked(pc.and_(pc.is_valid(values), pc.is_null(parts)), "another date format")
    names = {parts.type.field(place).name for place in range(parts.type.num_fields)}
    if "b" in names:
        short = pc.utf8_lower(pc.utf8_slice_codeunits(pc.struct_field(parts, "b"), 0, 3))
        numbered = pc.add(pc.index_in(short, pa.array(_MONTHS)), 1)
        month = pc.cast(numbered, pa.string())
    else:
        month = pc.struct_field(parts, "m")
    day = pc.struct_field(parts, "d")
    pad = partial(pc.utf8_lpad, width=2, padding="0")
    text = pc.binary_join_element_wise(pc.struct_field(parts, "y"), pad(month), pad(day), "-")
    if "t" in names:
        time = pc.struct_field(parts, "t")
        short_hour = pc.match_substring_regex(time, r"^\d:")
        time = pc.if_else(short_hour, pc.binary_join_element_wise("0", time, ""), time)
        without = pc.equal(pc.binary_length(time), 0)
        time = pc.if_else(without, "00:00:00", time)
        text = pc.binary_join_element_wise(text, time, " ")
    return _cast(text, kind)


_GROUPS = {",": ",", ".": r"\.", "'": "['’]", " ": "[ \u00a0\u202f]"}  # noqa: RUF001 - as written
_ADDRESS = r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)$"
_FIRST = datetime(1, 1, 1)
_DAY, _MOMENT, _INSTANT = pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")


_PLAIN = (
    Format(TEXT, pa.string(), lambda values: values),
    Format(
        "whole",
        pa.int64(),
        _whole,
        ("number", "comma", *(f"whole {group}" for group in _GROUPS)),
    ),
    Format("number", pa.float64(), _number, tuple(f"point {g}" for g in ",' "), "point"),
    Format(
        "comma",
        pa.float64(),
        partial(_grouped, group="", decimal=",", pattern=r"^-?\d+(?:,\d+)?(?:[eE][+-]?\d+)?$"),
        tuple(f"comma {group}" for group in ".' "),
        "comma",
    ),
    Format("truth", pa.bool_(), _truth),
    Format("date", _DAY, partial(_cast, kind=_DAY), ("timestamp",)),
    Format("timestamp", _MOMENT, partial(_cast, kind=_MOMENT)),
    Format("instant", _INSTANT, partial(_cast, kind=_INSTANT)),
)
_DECIMALS: dict[Sign, str] = {"point": r"\.", "comma": ","}
_IMPLIED: dict[str, Sign] = {",": "point", ".": "comma"}
"""Decimal signs that are left where a sign groups the thousands."""


def _grouping(group: str) -> Iterator[Format]:
    """Yield the formats of numbers whose thousands one sign groups."""
    escaped, implied = _GROUPS[group], _IMPLIED.get(group)
    whole = rf"-?(?:[1-9]\d{{0,2}}(?:{escaped}\d{{3}})+|\d+)"
    signs = [sign for sign in _DECIMALS if implied in {None, sign}]
    read = partial(_grouped, group=escaped)
    yield Format(
        f"whole {group}",
        pa.int64(),
        partial(read, decimal="", pattern=f"^{whole}$"),
        tuple(f"{sign} {group}" for sign in signs),
        implied,
    )
    for sign in signs:
        decimal = _DECIMALS[sign]
        pattern = f"^{whole}(?:{decimal}\\d+)?$"
        convert = partial(read, decimal=decimal[-1], pattern=pattern)
        yield Format(f"{sign} {group}", pa.float64(), convert, sign=sign)


def _dating(name: str) -> Iterator[Format]:
    """Yield the formats of dates written one way, without and with a time."""
    day, moment = f"^{_DATES[name]}$", f"^{_DATES[name]}{_TIME}?$"
    yield Format(name, _DAY, partial(_date, pattern=day, kind=_DAY), (f"{name} time",))
    yield Format(f"{name} time", _MOMENT, partial(_date, pattern=moment, kind=_MOMENT))


FORMATS = {
    each.name: each
    for each in chain(
        _PLAIN,
        chain.from_iterable(map(_grouping, _GROUPS)),
        chain.from_iterable(map(_dating, _DATES)),
    )
}
"""Every format by its name, which is what a schema records."""

ISO_DATES = ("date", "instant")
ANY = ("whole", "truth", *ISO_DATES, *_DATES)
"""Formats a column of unknown text is tried for; the others follow from them."""


@dataclass(slots=True)
class Column:
    """What is known of one column of text.

    `formats` are those that fit, None before the first value. `exact` is False once a whole
    number was met that a double would round, `missing` is True once a value was: frames hold
    whole numbers among missing ones as doubles.
    """

    name: str
    roots: tuple[str, ...] = ANY
    formats: tuple[str, ...] | None = None
    exact: bool = True
    missing: bool = False

    def meet(self, values: pa.Array) -> pa.Array | None:
        """Narrow the formats by `values`; return them converted where one format is left."""
        self.missing = self.missing or values.null_count > 0
        if self.formats is None:
            head = pc.filter(values, pc.and_(pc.is_valid(values), pc.invert(_is_missing(values))))
            if not len(head):
                return None
            self.formats = _fitting(self.roots, head[:_HEAD]) or (TEXT,)
        if self.formats == (TEXT,):
            return values
        kept: dict[str, pa.Array | None] = {}
        for name in self.formats:
            converted = fit(name, values)
            if converted is not None:
                kept[name] = converted
                self.exact = self.exact and _is_exact(converted)
                self.missing = self.missing or converted.null_count > 0
            elif self.exact or FORMATS[name].type != pa.int64():
                kept |= dict.fromkeys(_fitting(FORMATS[name].implies, values))
        self.formats = _narrowest(kept) or (TEXT,)
        if self.formats == (TEXT,):
            return values
        return kept[self.formats[0]] if len(self.formats) == 1 else None

    @property
    def sign(self) -> Sign | None:
        """The decimal sign that the values of this column prove, if they do."""
        if not self.formats:
            return None
        signs = {FORMATS[name].sign for name in self.formats}
        return signs.pop() if len(signs) == 1 else None


_HEAD = 200
"""Values that are looked at to find a column's first formats; all others only narrow them."""


def fit(name: str, values: pa.Array) -> pa.Array | None:
    """Return `values` read in one format, or None where one of them is not of it."""
    read = FORMATS[name].convert
    try:
        return read(values)
    except pa.ArrowInvalid:
        pass
    if name == "truth":
        return None
    present = pc.if_else(_is_missing(values), pa.scalar(None, values.type), values)
    try:
        return read(pc.utf8_trim_whitespace(present))
    except pa.ArrowInvalid:
        return None


def is_written(name: str, values: pa.Array) -> bool:
    """Whether values, of which none is missing, are all written in a format, to the letter."""
    try:
        FORMATS[name].convert(values)
    except pa.ArrowInvalid:
        return False
    return True


def _is_missing(values: pa.Array) -> pa.BooleanArray:
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(values))
    return pc.is_in(plain, pa.array(("", *NULLS_AMONG_NUMBERS)))


def _is_exact(numbers: pa.Array) -> bool:
    if not pa.types.is_integer(numbers.type) or numbers.null_count == len(numbers):
        return True
    reach = pc.min_max(numbers).as_py()
    return bool(max(-reach["min"], reach["max"]) < EXACT)


def resolve(columns: Iterable[Column]) -> dict[str, str]:
    """Choose one format for every column: where two are left, the file's decimal sign decides."""
    known = list(columns)
    signs = {column.sign for column in known} - {None}
    sign = signs.pop() if len(signs) == 1 else None
    return {column.name: _choice(column, sign, conflict=len(signs) > 0) for column in known}


def _choice(column: Column, sign: Sign | None, *, conflict: bool) -> str:
    formats = column.formats
    if formats is None or (column.missing and not column.exact):
        return TEXT
    if len(formats) == 1:
        return formats[0]
    agreeing = [name for name in formats if sign is not None and FORMATS[name].sign == sign]
    if len(agreeing) == 1:
        return agreeing[0]
    # 1.234 is a decimal in every program; only a file with decimal commas means 1234
    return "number" if "number" in formats and sign is None and not conflict else TEXT


def _fitting(names: Iterable[str], values: pa.Array) -> tuple[str, ...]:
    """Return the narrowest of `names`, and of what they imply, that fit all `values`."""
    found: list[str] = []
    for name in names:
        if fit(name, values) is not None:
            found.append(name)
        else:
            found += _fitting(FORMATS[name].implies, values)
    return _narrowest(dict.fromkeys(found))


def _narrowest(names: Mapping[str, object]) -> tuple[str, ...]:
    implied = {wider for name in names for wider in _wider(name)}
    return tuple(name for name in names if name not in implied)


def _wider(name: str) -> set[str]:
    direct = FORMATS[name].implies
    return set(direct) | {each for wider in direct for each in _wider(wider)}


def is_long(values: pa.Array) -> bool:
    """Whether values are whole numbers of which a double would round one."""
    return pa.types.is_integer(values.type) and not _is_exact(values)


def first_misfit(values: pa.Array, name: str) -> int:
    """Return the place of the first value that is not of the format, by bisection."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fit(name, values[low:middle]) is None else (middle, high)
    return low


def is_data(text: str, name: str) -> bool:
    """Whether a header's text is a decimal number or a date, as the column below it holds."""
    cell = pa.array([text])
    kind = FORMATS[name].type
    precise = pa.types.is_floating(kind) or pa.types.is_temporal(kind)
    return bool(precise and fit(name, cell) is not None and fit("whole", cell) is None)
