"""A request's rows, read and scored; large ones in portions, which are scored beside each other.

One portion is read, and another worded, while others are scored: the boosters' libraries, where
most of the time goes, let go of the interpreter's lock.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

from rows import Batch, RowsError
from tables import JSON, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray
    from predictor import Scores
    from rows import Reader

PORTION_BYTES, PORTION_ROWS = 20_000, 60
"""Least size of a portion: bytes of JSON, and rows. Less is not worth another thread."""

_AMPLE, _MOST_TURNS = 8, 4
"""Portions of so many least sizes are large enough for a thread to get several of them: then more
is read and worded meanwhile, and less waits for the slowest."""

_LONGEST_FRAME = 1_000
"""Bytes before and after the list of rows, which every portion is read with."""

_BETWEEN = re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*\{")


class Portion:
    """Some rows of a request, `batch`, and what becomes of them."""

    def __init__(
        self,
        batch: Batch,
        score: Callable[[Batch], NDArray[np.float64]],
        future: Future[NDArray[np.float64]] | None = None,
    ) -> None:
        self.batch = batch
        self._score, self._future = score, future

    def scores(self) -> NDArray[np.float64]:
        """Return the scores; what no thread has begun with is scored by this one.

        Raises
        ------
        RowsError
            If the model does not bear the rows.
        """
        try:
            if self._future is None or self._future.cancel():
                return self._score(self.batch)
            return self._future.result()
        except (ValueError, ArithmeticError) as error:
            reason = " ".join(str(error).split())[:300]
            raise RowsError([("", f"the model does not bear these rows: {reason}")]) from None

    def cancel(self) -> None:
        """Give the rows up where nothing has begun."""
        if self._future is not None:
            self._future.cancel()


class Scorer:
    """Reads requests and has them scored.

    Parameters
    ----------
    threads : int
        Score the portions of large requests, of all that are under way together; with one, every
        request is scored whole and by its own thread.
    """

    def __init__(self, reader: Reader, scores: Scores, *, threads: int) -> None:
        self._reader, self._score = reader, scores.scores
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="scores")

    def begin(self, body: bytes, media_type: str) -> list[Portion]:
        """Read a request; what is more than one portion is being scored when this returns.

        Raises
        ------
        RowsError
            If its rows are not what the model can be asked.
        UnsupportedTypeError
            If the media type is not read here.
        """
        if media_type != JSON:
            table = read_table(body, media_type, self._reader.most_rows)
            return self._begin_whole(self._reader.read_table(*table))
        count = self._count(len(body), PORTION_BYTES)
        begun = self._begin_pieces(body, count) if count > 1 else []
        return begun or self._begin_whole(self._reader.read(body), count)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin_pieces(self, body: bytes, count: int) -> list[Portion]:
        """Have portions scored as they are read; none where not all can be read so."""
        begun: list[Portion] = []
        left = self._reader.most_rows
        for piece in pieces(body, count):
            batch = self._reader.read_plain(piece)
            left -= 0 if batch is None else batch.size
            if batch is None or left < 0:
                cancel(begun)
                return []
            begun.append(self._submit(batch))
        return begun

    def _begin_whole(self, batch: Batch, most: int | None = None) -> list[Portion]:
        count = self._count(batch.size, PORTION_ROWS)
        count = count if most is None else min(count, most)
        if count > 1:
            return [self._submit(each) for each in cut(batch, count)]
        return [Portion(batch, self._score)]

    def _count(self, size: int, least: int) -> int:
        """Return in how many portions something of a size is scored."""
        if self._threads == 1:
            return 1
        turns = min(_MOST_TURNS, max(1, size // (self._threads * _AMPLE * least)))
        return min(self._threads * turns, size // least)

    def _submit(self, batch: Batch) -> Portion:
        return Portion(batch, self._score, self._pool.submit(self._score, batch))


def cancel(portions: list[Portion]) -> None:
    """Give portions up where nothing has begun."""
    for each in portions:
        each.cancel()


def cut(batch: Batch, count: int) -> list[Batch]:
    """Return the rows of a batch in portions of about a size, in their order."""
    ends = [batch.size * at // count for at in range(count + 1)]
    return [
        Batch(
            end - start,
            batch.numbers[start:end],
            tuple(texts[start:end] for texts in batch.texts),
            tuple(instants[start:end] for instants in batch.instants),
        )
        for start, end in pairwise(ends)
    ]


def pieces(body: bytes, count: int) -> Iterator[bytes]:
    """Cut an object that holds one list of objects, between those, into such objects.

    Nothing is yielded where there may be more than one list; whether there is one at all is for
    whoever decodes the pieces. If all of them are well-typed rows, they are the rows of the body:
    the only brackets are then those of the list, and a cut inside of a text leaves its piece with
    a text that does not end.
    """
    if body.count(b"[") != 1 or body.count(b"]") != 1:
        return
    start, end = body.index(b"[") + 1, body.index(b"]")
    head, tail = body[:start], body[end:]
    if len(head) + len(tail) > _LONGEST_FRAME:
        return
    size = (end - start) // count
    for _ in range(1, count):
        found = _BETWEEN.search(body, start + size, end)
        if found is None:
            break
        yield head + body[start : found.start() + 1] + tail
        start = found.end() - 1
    yield head + body[start:]
