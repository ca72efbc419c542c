"""Work on a stream of batches in a thread of its own, a bounded number of them ahead."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Yield `items` while a thread makes the next `depth` of them.

    Arrow parses and encodes without Python's lock, so stages joined by this run on as many
    cores. An error of the stage is raised here; closing the generator ends the thread.
    """
    ready: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
    closed = threading.Event()

    def put(more: bool, item: T | BaseException | None) -> None:  # noqa: FBT001 - a pair, spread
        while not closed.is_set():
            try:
                ready.put((more, item), timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for item in items:
                put(True, item)  # noqa: FBT003 - a pair, spread
                if closed.is_set():
                    return
            put(False, None)  # noqa: FBT003 - as above
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
            put(False, error)  # noqa: FBT003 - as above

    thread = threading.Thread(target=work, name="millrace-ahead", daemon=True)
    thread.start()
    try:
        while True:
            more, item = ready.get()
            if more:
                yield item  # type: ignore[misc]  # the pair says that it is an item
            elif isinstance(item, BaseException):
                raise item
            else:
                return
    finally:
        closed.set()
        thread.join()
