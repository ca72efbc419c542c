"""Prefect as the gateway needs it: a place to put events, over HTTP and without its library."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx

from infra.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.settings import OrchestratorSettings

_TIMEOUT_SECONDS = 5.0


class Orchestrator:
    """Prefect's API."""

    def __init__(self, settings: OrchestratorSettings) -> None:
        self._url = settings.url

    async def emit(
        self,
        event: str,
        resource: str,
        *,
        labels: Mapping[str, str] | None = None,
        payload: Mapping[str, Any] | None = None,
        identity: UUID | None = None,
    ) -> None:
        """Publish an event; one with an `identity` that was published before is kept once.

        Raises
        ------
        ServiceUnavailableError
            If Prefect does not take it; the caller's own caller may try again.
        """
        if self._url is None:
            raise ServiceUnavailableError("Prefect", "MILLRACE_ORCHESTRATOR__URL is not set")
        body = {
            "id": str(identity or uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": event,
            "resource": {"prefect.resource.id": resource, **(labels or {})},
            "related": [],
            "payload": payload or {},
        }
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
                response = await client.post(f"{self._url}/events", json=[body])
                response.raise_for_status()
        except httpx.HTTPError as error:
            raise ServiceUnavailableError("Prefect", str(error) or type(error).__name__) from error

    async def is_ready(self) -> bool:
        """Whether Prefect answers."""
        if self._url is None:
            return False
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
                return (await client.get(f"{self._url}/health")).is_success
        except httpx.HTTPError:
            return False
