"""Errors of compiling models.

* TabularError
  + NotCompiledError
"""

from __future__ import annotations

from tasks.tabular.errors import TabularError


class NotCompiledError(TabularError):
    """A part of a fitted model has no counterpart in a plan: the model is served as it is."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the model is not compiled: {self.reason}"
