"""The short way to a prediction: past the framework, whose work takes longer than the model's.

A plain `POST /predict/{model}` needs none of what FastAPI does for a route. Everything else, a
query included, takes the route, which answers by the same function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from infra.aliases import PRODUCTION
from infra.errors import PlatformError
from infra.gateway.answers import worded
from infra.gateway.errors import PayloadTooLargeError
from infra.gateway.routes.predictions import JSON, answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from infra.gateway.dependencies import Parts

_PATH = "/predict/"
_PASSED = {b"content-type": "content-type", b"accept": "accept", b"x-caller": "x-caller"}
_LONGEST = 200
"""Characters of a header that is passed on."""


class PredictionLane:
    """Answers predictions itself and passes on the rest."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a prediction, or pass the request on."""
        path = scope.get("path", "")
        model = path[len(_PATH) :]
        plain = scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]
        if not (plain and path.startswith(_PATH) and model and "/" not in model):
            await self._app(scope, receive, send)
            return
        parts: Parts = scope["app"].state.parts
        try:
            body = await self._body(receive)
            found = await answer(parts, unquote(model), PRODUCTION, body, _headers(scope))
            status, content, headers = found.status, found.content, found.headers
        except PlatformError as error:
            status, content, headers = worded(error)
        except ConnectionError:  # the client has gone
            return
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        raw.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": content})

    async def _body(self, receive: Receive) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limit:
                raise PayloadTooLargeError(self._limit)
            more = message.get("more_body", False)
        return b"".join(parts)


def _headers(scope: Scope) -> dict[str, str]:
    found = {"content-type": JSON, "accept": JSON, "x-caller": ""}
    for name, value in scope["headers"]:
        if name in _PASSED:
            found[_PASSED[name]] = value[:_LONGEST].decode("latin-1")
    return found
