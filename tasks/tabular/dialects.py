"""How a text file is written: its encoding, delimiter and header, found from its bytes."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import charset_normalizer

from tasks.tabular.errors import (
    EmptyTableError,
    EncodingError,
    HeaderError,
    MalformedTableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DELIMITERS = (",", ";", "\t", "|")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN = frozenset({"cp1252", "latin_1", "iso8859_15", "cp858", "cp850", "cp437", "cp1250"})
"""Guesses that few letters do not tell from Windows-1252; what its letters look like decides."""

_SIGNS = "¹³¿±£¥¯¼¾¶ª°¤¦§¨¬\xad\xb8Ý"
_MISPLACED = re.compile(rf"(?<=[a-z])[{_SIGNS}](?=[a-z])|[\x80-\xff]{{4}}")
"""Signs inside words, or words without ASCII: the text is of another alphabet."""

_CHUNK = 2**22
_HEAD = 2**18
"""Bytes of the beginning that show the delimiter, and by which a header must have ended."""

_WIDEST = 2**25
"""Bytes that a very wide header may have."""

_DECLARED = re.compile(r"\ufeff?sep=([\t !#-~])\r?\n")
"""The first line by which Excel tells itself the delimiter."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to read a text file.

    `skip` lines come before the header, `names` are the header's. With `odd_quotes` some quote
    is not at the edge of a value: it belongs to its text, or it was never closed.
    """

    encoding: str
    delimiter: str
    names: tuple[str, ...]
    skip: int = 0
    header: bool = True
    odd_quotes: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The names without blanks around them."""
        return tuple(name.strip() for name in self.names)


def detect(
    path: Path,
    source: str,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
) -> Dialect:
    """Find how the text file at `path` is written; what is given is believed.

    Raises
    ------
    EmptyTableError, EncodingError, HeaderError, MalformedTableError
        Naming the line; `source` is what they call the file.
    """
    encoding, odd_quotes = (
        (encoding, _check(path, source, encoding)) if encoding else _encoding(path, source)
    )
    with path.open("rb") as file:
        content = file.read(_HEAD)
        if content.count(b"\n") < 2:  # noqa: PLR2004 - a header, and a row to see how it is cut
            content += file.read(_WIDEST)
        head = codecs.getincrementaldecoder(encoding)("ignore").decode(content)
    head = head.removeprefix("\ufeff")
    if not head.strip():
        raise EmptyTableError(source, "holds nothing but white space")
    declared = _DECLARED.match(head)
    if declared:
        head = head[declared.end() :]
        delimiter = delimiter or declared[1]
    delimiter = delimiter or _delimiter(head)
    names = _first(source, head, delimiter)
    if header is False:
        names = tuple(f"column_{place}" for place in range(1, len(names) + 1))
    check_names(source, names)
    return Dialect(
        encoding, delimiter, names, int(declared is not None), header is not False, odd_quotes
    )


def check_names(source: str, names: tuple[str, ...]) -> None:
    """Refuse blank and repeated names."""
    plain = [name.strip() for name in names]
    repeated = [name for name, count in Counter(plain).items() if count > 1 and name]
    if repeated:
        raise HeaderError(source, f"repeats {', '.join(map(repr, repeated))}")
    blank = [str(place) for place, name in enumerate(plain, 1) if not name]
    if blank:
        raise HeaderError(source, f"has no name in column {', '.join(blank)}")


def rows(path: Path, dialect: Dialect, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which every row after the header ends, and its values; slowly.

    This reader is asked only where a line number has to be named.
    """
    limit = csv.field_size_limit(2**31 - 1)
    try:
        encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
        with path.open(encoding=encoding, newline="") as text:
            for _ in range(dialect.skip):
                text.readline()
            reader = csv.reader(text, delimiter=dialect.delimiter, strict=strict)
            for place, row in enumerate(row for row in reader if row):
                if place or not dialect.header:
                    yield reader.line_num + dialect.skip, row
    finally:
        csv.field_size_limit(limit)


def line_of(path: Path, dialect: Dialect, row: int) -> int:
    """Return the line on which row `row`, counted from 0 after the header, ends."""
    return next((line for place, (line, _) in enumerate(rows(path, dialect)) if place == row), 0)


def check_quotes(path: Path, source: str, dialect: Dialect) -> None:
    """Refuse a file in which a quoted value is never closed, or goes on after its quote."""
    if not dialect.odd_quotes:
        return
    ended = 1 + dialect.skip
    try:
        for line, _ in rows(path, dialect, strict=True):
            ended = line
    except csv.Error as error:
        where = f"line {ended + 1}" if "end of data" in str(error) else f"after line {ended}"
        raise MalformedTableError(
            source,
            f"{where}: a quote that is opened there is never closed"
            if "end of data" in str(error)
            else f"{where}: text goes on after a closing quote; write quotes in a value twice",
        ) from error


def _encoding(path: Path, source: str) -> tuple[str, bool]:
    """Return the file's encoding and whether its quotes are out of place."""
    with path.open("rb") as file:
        start = file.read(4)
    marked = next((name for mark, name in _BOMS if start.startswith(mark)), None)
    if marked == "utf-16":
        return marked, _check(path, source, marked)
    try:
        return "utf-8", _check(path, source, "utf-8")
    except EncodingError as error:
        if marked or error.byte == 0 or not _is_western(path):
            raise
        return "cp1252", _check(path, source, "cp1252")


class _Quotes:
    """Counts quotes that open and close values; where the two differ, one is out of place."""

    def __init__(self) -> None:
        self._rest = b"\n"
        self._all = self._opening = self._closing = 0

    def meet(self, chunk: bytes) -> None:
        if b'"' not in chunk and b'"' not in self._rest:  # thirty times quicker than to count
            self._rest = chunk[-1:] or self._rest
            return
        text = self._rest + chunk
        cut = len(text) if not chunk else max(text.rfind(b"\n"), 0)
        self._rest, text = text[cut:], text[:cut].replace(b'""', b"")
        self._all += text.count(b'"')
        self._opening += len(_OPENING.findall(text))
        self._closing += len(_CLOSING.findall(text + b"\n"))

    @property
    def are_odd(self) -> bool:
        """Whether quotes are not only around values."""
        return self._all != 2 * self._opening or self._opening != self._closing


_OPENING = re.compile(rb'(?<=[,;\t|\n\r])"')
_CLOSING = re.compile(rb'"(?=[,;\t|\n\r])')


def _decoder(source: str, encoding: str) -> codecs.IncrementalDecoder:
    """Return a decoder for an encoding in which ASCII is ASCII, or for UTF-16."""
    try:
        name = codecs.lookup(encoding).name
        keeps = _PROBE.encode(encoding) == _PROBE.encode() and not name.startswith(_SHIFTING)
    except (LookupError, AttributeError, TypeError, ValueError):
        keeps, name = False, encoding
    if not keeps and name not in {"utf-16", "utf-16-le", "utf-16-be"}:
        raise MalformedTableError(source, f"{encoding!r} is no encoding of tables")
    return codecs.getincrementaldecoder(encoding)()


_SHIFTING = ("iso2022", "hz", "utf-7", "idna")
_PROBE = 'a,;|\t"+~\\\n'


def _check(path: Path, source: str, encoding: str) -> bool:
    """Read the file once and say whether quotes are out of place.

    The line of the first byte that is not of the encoding, or is null, is named.
    """
    decoder = _decoder(source, encoding)
    quotes = _Quotes()
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if chunk.isascii() and b"\0" not in chunk and chunk and decoder.getstate()[0] == b"":
                # the same bytes in all encodings that are read, but for UTF-16, which has nulls
                quotes.meet(chunk)
                continue
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line = _line_at(path, file.tell() - len(chunk)) + error.object.count(
                    b"\n", 0, error.start
                )
                raise EncodingError(source, line, error.object[error.start]) from error
            null = text.find("\0")
            if null >= 0:
                line = _line_at(path, file.tell() - len(chunk))
                raise EncodingError(source, line + text.count("\n", 0, null), 0)
            quotes.meet(text.encode("utf-8", "surrogatepass"))
            if not chunk:
                return quotes.are_odd


def _line_at(path: Path, end: int) -> int:
    """Return the number of the line that byte `end` is on; counted only for an error."""
    lines = 1
    with path.open("rb") as file:
        while file.tell() < end:
            lines += file.read(min(_CHUNK, end - file.tell())).count(b"\n")
    return lines


def _is_western(path: Path) -> bool:
    """Whether what is not ASCII in the file is text of Western Europe under Windows-1252.

    Its lines alone are judged: they are few, and all others are the same in any encoding.
    """
    lines: list[bytes] = []
    with path.open("rb") as file:
        for line in file:
            if not line.isascii():
                lines.append(line[:2000])
                if _is_utf8(line):
                    return False  # two encodings in one file
            if len(lines) >= 500:  # noqa: PLR2004 - enough to tell languages apart
                break
    text = b"".join(lines)
    try:
        decoded = text.decode("cp1252")
    except UnicodeDecodeError:
        return False
    if _MISPLACED.search(decoded):
        return False
    guess = charset_normalizer.from_bytes(text).best()
    few = sum(ord(each) > 127 for each in decoded) < 50  # noqa: PLR2004 - ASCII; no guess from these
    return few or guess is None or guess.encoding in _WESTERN


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _delimiter(head: str) -> str:
    """Return the delimiter under which the first rows have the same number of values."""
    lines = head.rsplit("\n", 1)[0] if head.count("\n") > 1 and len(head) > _HEAD // 2 else head

    def fits(delimiter: str) -> tuple[float, int]:
        counts = [len(row) for row in csv.reader(io.StringIO(lines), delimiter=delimiter) if row]
        width = Counter(counts).most_common(1)[0][0] if counts else 1  # a title may come first
        return (counts.count(width) / len(counts) if width > 1 else 0.0, width)

    try:
        return max(DELIMITERS, key=fits)
    except csv.Error:  # a value longer than that reader takes
        return max(DELIMITERS, key=lines.split("\n", 1)[0].count)


def _first(source: str, head: str, delimiter: str) -> tuple[str, ...]:
    try:
        reader = csv.reader(io.StringIO(head), delimiter=delimiter, strict=True)
        return tuple(next(row for row in reader if row))
    except (csv.Error, StopIteration) as error:
        raise MalformedTableError(source, f"line 1: the header: {error}") from error
