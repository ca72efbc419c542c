"""Calls that nobody has to wait for, made in order by one thread."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Background:
    """Makes calls in the order they were handed in; as a context it ends when all are made.

    The first error is raised when the context ends, and calls after it are not made.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._calls.put(None)
        if kind is not None:  # the error that ended the context is the one to tell
            return
        self._thread.join()
        if self._error is not None:
            raise self._error

    def call(self, function: Callable[[], Any]) -> None:
        """Have a function called."""
        self._calls.put(function)

    def _work(self) -> None:
        while (function := self._calls.get()) is not None:
            if self._error is not None:
                continue
            try:
                function()
            except Exception as error:  # noqa: BLE001 - raised again where the context ends
                self._error = error
