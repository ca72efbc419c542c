"""Prefect as the gateway needs it: a place to put events, over HTTP and without its library."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx

from infra.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.settings import OrchestratorSettings

_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.3
_ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True, slots=True)
class RunState:
    """How a run ended, in Prefect's words."""

    completed: bool
    message: str


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
        body = {
            "id": str(identity or uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": event,
            "resource": {"prefect.resource.id": resource, **(labels or {})},
            "related": [],
            "payload": payload or {},
        }
        await self._ask("POST", "/events", [body])

    async def start(self, deployment: str, parameters: Mapping[str, Any]) -> UUID:
        """Start a run of `<flow>/<deployment>` and return its id.

        Raises
        ------
        ServiceUnavailableError
            If Prefect does not answer, or does not know the deployment.
        """
        found = await self._ask("GET", f"/deployments/name/{deployment}")
        run = await self._ask(
            "POST",
            f"/deployments/{found['id']}/create_flow_run",
            {"parameters": dict(parameters), "state": {"type": "SCHEDULED"}},
        )
        return UUID(run["id"])

    async def wait(self, run: UUID, seconds: float) -> RunState | None:
        """Wait for a run to end and return its last state; None where it takes longer."""
        end = time.monotonic() + seconds
        while True:
            state = (await self._ask("GET", f"/flow_runs/{run}"))["state"]
            if state["type"] in _ENDED:
                return RunState(state["type"] == "COMPLETED", state["message"] or state["name"])
            if time.monotonic() > end:
                return None
            await asyncio.sleep(_POLL_SECONDS)

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        if self._url is None:
            raise ServiceUnavailableError("Prefect", "MILLRACE_ORCHESTRATOR__URL is not set")
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
                response = await client.request(method, f"{self._url}{path}", json=body)
                response.raise_for_status()
        except httpx.HTTPError as error:
            raise ServiceUnavailableError("Prefect", str(error) or type(error).__name__) from error
        return response.json() if response.content else None

    async def is_ready(self) -> bool:
        """Whether Prefect answers."""
        if self._url is None:
            return False
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
                return (await client.get(f"{self._url}/health")).is_success
        except httpx.HTTPError:
            return False
