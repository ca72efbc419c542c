"""Errors of routing: which server is to answer.

* PlatformError
  + NothingToRollBackError
  + TargetNotFoundError
  + UnclearModelError
  + UnknownAliasError
"""

from __future__ import annotations

from http import HTTPStatus

from infra.errors import PlatformError


class NothingToRollBackError(PlatformError):
    """No version before the live one is kept warm."""

    status = HTTPStatus.CONFLICT

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model

    def __str__(self) -> str:
        return (
            f"{self.model} has no version before the live one to go back to; set the alias "
            "`production` on the version you want"
        )


class TargetNotFoundError(PlatformError):
    """The model has no server in the role or environment."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, model: str, role: str, known: tuple[str, ...]) -> None:
        super().__init__(model, role, known)
        self.model = model
        self.role = role
        self.known = known

    def __str__(self) -> str:
        return (
            f"{self.model} has no {self.role!r} (there is: {', '.join(self.known)}); set the alias "
            f"{self.role!r} on a version to release it there"
        )


class UnclearModelError(PlatformError):
    """A request names no model, and it is not clear which is meant."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__(known)
        self.known = known

    def __str__(self) -> str:
        return (
            "the request names no model: name one as `dataset_name` or POST /predict/{model} "
            f"(served: {', '.join(self.known) or 'none yet'})"
        )


class UnknownAliasError(PlatformError):
    """An alias that releases nothing."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, alias: str, known: tuple[str, ...]) -> None:
        super().__init__(alias, known)
        self.alias = alias
        self.known = known

    def __str__(self) -> str:
        return f"the alias {self.alias!r} releases nothing; use {', '.join(self.known)}"
