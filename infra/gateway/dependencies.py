"""What routes are given: the parts the application was built with."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Header, Request

from infra.gateway.errors import AccessDeniedError

if TYPE_CHECKING:
    import asyncio

    import httpx

    from infra.database.catalogue import Catalogue
    from infra.gateway.experiments import Experiments
    from infra.gateway.forwarding import Forwarder
    from infra.gateway.metrics import GatewayMetrics
    from infra.gateway.registry import Registry
    from infra.gateway.routing import RoutingTable
    from infra.gateway.shadows import Shadows
    from infra.orchestrator import Orchestrator
    from infra.settings import GatewaySettings, Settings

_REMEMBERED = 10_000


@dataclass(slots=True)
class Parts:
    """Everything a request may need; `delivered` remembers webhook deliveries, oldest first."""

    platform: Settings
    table: RoutingTable
    orchestrator: Orchestrator
    metrics: GatewayMetrics
    client: httpx.AsyncClient
    catalogue: Catalogue
    experiments: Experiments
    registry: Registry
    forwarder: Forwarder
    shadows: Shadows
    delivered: dict[str, None] = field(default_factory=dict)
    background: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def settings(self) -> GatewaySettings:
        """The gateway's own settings."""
        return self.platform.gateway

    def remember(self, delivery: str) -> None:
        """Note a delivery that was dealt with."""
        self.delivered[delivery] = None
        if len(self.delivered) > _REMEMBERED:
            del self.delivered[next(iter(self.delivered))]


def get_parts(request: Request) -> Parts:
    """Return the application's parts."""
    parts: Parts = request.app.state.parts
    return parts


PartsDependency = Annotated[Parts, Depends(get_parts)]


def require_token(parts: PartsDependency, authorization: Annotated[str, Header()] = "") -> None:
    """Let only the platform itself pass, or raise `AccessDeniedError`."""
    expected = f"Bearer {parts.settings.token.get_secret_value()}"
    if not hmac.compare_digest(authorization.encode(), expected.encode()):
        raise AccessDeniedError


def refuse_other_sites(request: Request) -> None:
    """Refuse what a page of another site has a browser send, or raise `AccessDeniedError`."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise AccessDeniedError


async def read_body(request: Request) -> bytes:
    """Return the body as it came."""
    return await request.body()


Body = Annotated[bytes, Depends(read_body)]
