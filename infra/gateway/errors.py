"""Errors of the gateway's own.

* PlatformError
  + SignatureError
  + AccessDeniedError
  + PayloadTooLargeError
"""

from __future__ import annotations

from http import HTTPStatus

from infra.errors import PlatformError


class SignatureError(PlatformError):
    """A webhook delivery cannot be trusted."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the delivery was refused: {self.reason}"


class AccessDeniedError(PlatformError):
    """A platform-internal route was called without the platform's token."""

    status = HTTPStatus.UNAUTHORIZED

    def __str__(self) -> str:
        return "this route is the platform's own: send its token as `Authorization: Bearer …`"


class PayloadTooLargeError(PlatformError):
    """A request body exceeds the gateway's limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes

    def __str__(self) -> str:
        return f"the body is larger than {self.limit_bytes:,} bytes; send fewer rows per request"
