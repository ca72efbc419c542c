"""HTTP/1.1 as far as a load generator needs it: one request in bytes, answers read strictly."""

from __future__ import annotations

from dataclasses import dataclass


class AnswerError(RuntimeError):
    """An answer is not what a measured answer must be: a 200 with a prediction."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, and the bytes after it."""

    status: int
    body: bytes
    rest: bytes
    closes: bool

    def require(self, expected: bytes) -> None:
        """Raise `AnswerError` unless this is a 200 whose body holds `expected`."""
        if self.status != 200 or expected not in self.body:
            raise AnswerError(f"{self.status} {self.body[:300]!r}")


def request(
    path: str,
    body: bytes,
    *,
    media_type: str = "application/json",
    accept: str = "",
    close: bool = False,
) -> bytes:
    """Return a request's bytes: a POST, or a GET where there is no body."""
    lines = [
        f"{'POST' if body else 'GET'} {path} HTTP/1.1",
        "host: 127.0.0.1",
        f"content-type: {media_type}",
        f"content-length: {len(body)}",
    ]
    lines += [f"accept: {accept}"] if accept else []
    lines += ["connection: close"] if close else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def parse(received: bytes) -> Answer | None:
    """Return the first answer in `received`; None while it is not whole.

    Raises
    ------
    AnswerError
        If it is no HTTP answer, or does not say how long it is.

    Examples
    --------
    >>> parse(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\n{}").body
    b'{}'
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = received[:end].split(b"\r\n")
    if not first.startswith(b"HTTP/1.1 ") or not first[9:12].isdigit():
        raise AnswerError(repr(first[:100]))
    length, closes = None, False
    for line in lines:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name == b"content-length":
            length = int(value)
        elif name == b"connection":
            closes = value.strip().lower() == b"close"
    if length is None:
        raise AnswerError(f"no content-length in {received[:end]!r}")
    start = end + 4
    if len(received) - start < length:
        return None
    body = received[start : start + length]
    return Answer(int(first[9:12]), body, received[start + length :], closes)
