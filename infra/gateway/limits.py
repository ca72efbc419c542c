"""Limits that hold before a route is known: FastAPI reads a body before it asks for a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from infra.gateway.answers import worded
from infra.gateway.errors import PayloadTooLargeError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Answer 413 to a body that says it is too large; cut one off that turns out to be.

    `others` are limits of single paths.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int, others: dict[str, int]) -> None:
        self._app = app
        self._limit = limit_bytes
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._others.get(scope["path"], self._limit)
        error = PayloadTooLargeError(limit)
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > limit:
            await _response(error)(scope, receive, send)
            return
        size, answered = 0, False

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                await refuse()
                raise error
            return message

        async def refuse() -> None:
            nonlocal answered
            if not answered:
                answered = True
                await _response(error)(scope, receive, send)

        async def guarded(message: Message) -> None:
            nonlocal answered
            if size <= limit:  # what the application makes of the broken body is not sent
                answered = True
                await send(message)

        try:
            await self._app(scope, counted, guarded)
        except PayloadTooLargeError:
            await refuse()


def _response(error: PayloadTooLargeError) -> Response:
    status, content, headers = worded(error)
    return Response(content, status, headers)
