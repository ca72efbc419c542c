"""A request's rows, read and scored; large ones in portions, which are scored beside each other.

One portion is read, and another worded, while others are scored: the boosters' libraries, where
most of the time goes, let go of the interpreter's lock.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from rows import NotInPortionsError
from tables import JSON, read_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray
    from predictor import Scores
    from rows import Batch, Reader

PORTION_BYTES, PORTION_ROWS = 20_000, 100
"""Of a JSON body, and of a table, at least: what is smaller is not worth another thread."""

_PORTIONS_PER_THREAD = 2


class Portion(NamedTuple):
    """Some rows; `scores` waits for what they are answered."""

    batch: Batch
    scores: Callable[[], NDArray[np.float64]]


class Scorer:
    """Reads requests and has them scored.

    Parameters
    ----------
    threads : int
        Score the portions of large requests, of all that are under way together; with one, every
        request is scored whole and by its own thread.
    """

    def __init__(self, reader: Reader, scores: Scores, *, threads: int) -> None:
        self._reader, self._scores = reader, scores.scores
        self._most = _PORTIONS_PER_THREAD * threads if threads > 1 else 1
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
        if media_type == JSON:
            count = min(self._most, len(body) // PORTION_BYTES)
            begun = self._begin_portions(body, count) if count > 1 else []
            return begun or self._begin(self._reader.read(body))
        table = read_table(body, media_type, self._reader.most_rows)
        return self._begin(self._reader.read_table(*table))

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin_portions(self, body: bytes, count: int) -> list[Portion]:
        """Have portions scored as they are read; return none where not all can be read so."""
        begun: list[tuple[Batch, Future[NDArray[np.float64]]]] = []
        try:
            for batch in self._reader.read_portions(body, count):
                begun.append((batch, self._pool.submit(self._scores, batch)))  # noqa: PERF401 - kept until an error
        except NotInPortionsError:
            for _, future in begun:
                future.cancel()
            return []
        return [Portion(batch, future.result) for batch, future in begun]

    def _begin(self, batch: Batch) -> list[Portion]:
        count = min(self._most, batch.size // PORTION_ROWS)
        if count > 1:
            parts = batch.portions(count)
            return [Portion(each, self._pool.submit(self._scores, each).result) for each in parts]
        return [Portion(batch, partial(self._scores, batch))]
