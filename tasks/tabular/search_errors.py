"""Errors of searching for a model.

* TabularError
  + UnsuitableLearnerError
  + PoolError
  + NoCandidateError
"""

from __future__ import annotations

from tasks.tabular.errors import TabularError


class UnsuitableLearnerError(TabularError):
    """A learner cannot do what it is asked for."""

    def __init__(self, learner: str, reason: str) -> None:
        super().__init__(learner, reason)
        self.learner = learner
        self.reason = reason

    def __str__(self) -> str:
        return f"train: {self.learner} cannot be used: {self.reason}; leave it out or name another"


class PoolError(TabularError):
    """The processes that fit models are gone."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"train: the processes that fit models are gone ({self.reason}); the machine may be "
            "out of memory: lower the rows or the threads and run again"
        )


class NoCandidateError(TabularError):
    """Every learner failed."""

    def __init__(self, failures: tuple[str, ...]) -> None:
        super().__init__(failures)
        self.failures = failures

    def __str__(self) -> str:
        return (
            f"train: no learner could be fitted ({'; '.join(self.failures)}); "
            "look at the columns the messages name"
        )
