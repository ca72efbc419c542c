"""JSON messages as people write them: strict, but for trailing commas, with every fault placed."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.tabular.experiment_errors import (
    DuplicateKeyError,
    MessageLimitError,
    MessageShapeError,
    MessageSyntaxError,
    NotFiniteError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 1_000_000
"""Of a message's text, in UTF-8."""

MAX_DEPTH = 50
"""Objects and lists within each other."""

MAX_TOLD = 20
"""Warnings that are told one by one."""

_LONGEST = 400
"""Characters of a number or word; the greatest finite number has 309 digits."""

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"?)|(?P<mark>[{}\[\],:])|(?P<word>[^\s"{}\[\],:]+)""", re.DOTALL
)

_EXPECTED = {
    "Expecting value": "a value",
    "Expecting property name enclosed in double quotes": "a key in double quotes",
    "Expecting ':' delimiter": "a colon after the key",
    "Expecting ',' delimiter": "a comma, or the end of the object or list",
    "Extra data": "the end of the message, which is one object",
    "Unterminated string starting at": "a closing quote for the text that begins here",
    "Invalid control character at": "a text without line breaks and tabs (write \\n, \\t)",
    "Invalid \\escape": 'one of the escapes \\" \\\\ \\/ \\b \\f \\n \\r \\t \\u',
    "Invalid \\uXXXX escape": "four hexadecimal digits after \\u",
    "Unexpected UTF-8 BOM (decode using utf-8-sig)": "a message without a byte order mark",
}
"""What Python's words for a fault say was expected there."""

_KINDS = {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Message:
    """What a message says, and what was forgiven in reading it."""

    content: dict[str, Any]
    warnings: tuple[str, ...] = ()


def read_message(text: str) -> Message:
    r"""Read a JSON object; a comma before a closing bracket is forgiven and told.

    Raises
    ------
    MessageSyntaxError
        If it is no JSON, with the line, the column and what was expected there.
    DuplicateKeyError
        If an object has a key twice, of which the first would be lost.
    NotFiniteError
        If it holds NaN, an infinity or a number beyond the range of floats.
    MessageLimitError
        If it has more than `MAX_BYTES` or is nested deeper than `MAX_DEPTH`.
    MessageShapeError
        If it is no object.

    Examples
    --------
    >>> read_message('{"fold": [2, 10,]}').content
    {'fold': [2, 10]}
    >>> read_message('{"fold": [2, 10,]}').warnings
    ('line 1, column 16: a comma before ] is no JSON; it is left out',)
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise MessageLimitError("bytes", MAX_BYTES)
    found = _scan(text)
    plain = list(text)
    for offset in found.commas:
        plain[offset] = " "  # not removed: every offset stays what people see
    try:
        content = json.loads("".join(plain))
    except json.JSONDecodeError as error:
        raise _syntax(text, error.pos, _EXPECTED.get(error.msg, "JSON")) from None
    if found.fault is not None:
        raise found.fault
    if not isinstance(content, dict):
        raise MessageShapeError(_KINDS.get(type(content), "a number"))
    return Message(content, tuple(_told(text, found.commas)))


@dataclass(slots=True)
class _Found:
    """What a scan saw that Python's parser overlooks; `fault` is the first that JSON has not."""

    commas: list[int] = field(default_factory=list)
    fault: DuplicateKeyError | NotFiniteError | MessageSyntaxError | None = None


def _scan(text: str) -> _Found:
    """Walk over the tokens once; what is inside a text is never looked at.

    Of a text that is no JSON the result means nothing, except that it is never too deep.
    """
    found = _Found()
    open_: list[set[str] | None] = []  # an object has a set of its keys, a list None
    before, comma = "", -1
    for match in _TOKEN.finditer(text):
        part, at = match[0], match.start()
        if part in ("{", "["):
            open_.append(set() if part == "{" else None)
            if len(open_) > MAX_DEPTH:
                raise MessageLimitError("levels of objects and lists", MAX_DEPTH)
        elif part in ("}", "]"):
            if before == "," and comma >= 0:
                found.commas.append(comma)
            if open_:
                open_.pop()
        elif part == ",":  # after another comma or a bracket it is no trailing one
            comma = at if before not in (",", "{", "[", ":", "") else -1
        elif match["word"] and (len(part) > _LONGEST or found.fault is None):
            found.fault = _faulty_number(text, part, at)
        elif match["text"] and found.fault is None:
            keys = open_[-1] if open_ and before in ("{", ",") else None
            found.fault = _faulty_text(text, part, at, keys)
        before = part
    return found


def _faulty_number(text: str, part: str, at: int) -> NotFiniteError | MessageSyntaxError | None:
    if len(part) > _LONGEST:  # Python refuses to read it, in no words about JSON
        raise _syntax(text, at, f"a value of at most {_LONGEST} characters")
    try:
        finite = math.isfinite(float(part))
    except ValueError:
        return None  # true, false, null, or nothing of JSON
    return None if finite else NotFiniteError(*_place(text, at), part)


def _faulty_text(
    text: str, part: str, at: int, keys: set[str] | None
) -> DuplicateKeyError | MessageSyntaxError | None:
    """Look at a text, and whether it is a key that the object has."""
    try:
        value = json.loads(part) if "\\" in part else part[1:-1]
    except ValueError:
        return None  # the parser tells it better
    if any("\ud800" <= each <= "\udfff" for each in value):
        return _syntax(text, at, "a text of whole characters (half of a pair cannot be stored)")
    if keys is None:
        return None
    if value in keys:
        return DuplicateKeyError(*_place(text, at), value)
    keys.add(value)
    return None


def _told(text: str, commas: list[int]) -> Iterator[str]:
    for offset in commas[:MAX_TOLD]:
        line, column = _place(text, offset)
        bracket = text[offset + 1 :].lstrip()[0]
        yield f"line {line}, column {column}: a comma before {bracket} is no JSON; it is left out"
    if len(commas) > MAX_TOLD:
        yield f"{len(commas) - MAX_TOLD} more commas before brackets are left out"


def _syntax(text: str, offset: int, expected: str) -> MessageSyntaxError:
    found = repr(text[offset]) if offset < len(text) else "the end of the message"
    return MessageSyntaxError(*_place(text, offset), expected, found)


def _place(text: str, offset: int) -> tuple[int, int]:
    """Return line and column as editors count them, from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
