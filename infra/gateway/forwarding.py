"""Requests handed on to model servers: quickly, once, and to a replica where one has died."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from infra.errors import ModelServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.database.routes import Route

_IDLE_SECONDS = 30.0
"""Connections are let go well before the servers, which wait 75 s, would close them: no request
meets a connection that is just being closed."""

_CONNECTIONS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model server answered; `route` is the server."""

    status: int
    content: bytes
    media_type: str
    route: Route


class Forwarder:
    """Kept-open connections to the model servers of this machine; made within a running loop."""

    def __init__(self, seconds: float) -> None:
        connector = aiohttp.TCPConnector(
            limit=_CONNECTIONS, keepalive_timeout=_IDLE_SECONDS, use_dns_cache=False
        )
        timeout = aiohttp.ClientTimeout(total=seconds, connect=5.0)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def ask(self, routes: Sequence[Route], body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a prediction request to the first server that answers.

        A prediction may be asked for twice: where a server is away the next one is tried.

        Raises
        ------
        ModelServerError
            If none of them answers.
        """
        for place, route in enumerate(routes):
            try:
                return await self._once(route, body, headers)
            except (aiohttp.ClientConnectionError, ConnectionError) as error:
                if place == len(routes) - 1:
                    raise _away(route, error) from error
            except (TimeoutError, aiohttp.ClientError) as error:
                raise _away(route, error) from error  # it is there, and slow or broken
        raise AssertionError("a choice holds a route")

    async def is_ready(self, route: Route) -> bool:
        """Whether a server has loaded its model."""
        try:
            async with self._session.get(f"{route.url}/health/ready") as answer:
                return answer.status == 200  # noqa: PLR2004 - OK
        except (TimeoutError, aiohttp.ClientError, OSError):
            return False

    async def _once(self, route: Route, body: bytes, headers: Mapping[str, str]) -> Answer:
        url = f"{route.url}/predict"
        async with self._session.post(url, data=body, headers=headers) as answer:
            content = await answer.read()
            return Answer(answer.status, content, answer.content_type, route)


def _away(route: Route, error: Exception) -> ModelServerError:
    reason = str(error) or type(error).__name__
    return ModelServerError(route.program, reason, "named after it under serving/logs")
