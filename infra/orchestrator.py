"""Prefect as the gateway needs it: events and runs, over HTTP and without its library."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx

from infra.errors import FlowRunNotFoundError, RefusedRequestError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.errors import PlatformError
    from infra.settings import OrchestratorSettings

_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.3
_ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_TEMPLATE = "__prefect_kind"
_MOST_BYTES = 500_000
"""Prefect takes 512 KiB of parameters."""


@dataclass(frozen=True, slots=True)
class FlowRun:
    """A run and where it stands; `state` is a type of Prefect's, `message` its words for it."""

    id: UUID
    deployment: UUID | None
    state: str
    message: str
    parameters: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether nothing more will become of it."""
        return self.state in _ENDED

    @property
    def completed(self) -> bool:
        """Whether it did what it was asked for."""
        return self.state == "COMPLETED"


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
        RefusedRequestError
            If the flow does not take such parameters.
        """
        _require_plain(deployment, parameters)
        found = await self.deployment(deployment)
        run = await self._ask(
            "POST",
            f"/deployments/{found['id']}/create_flow_run",
            {"parameters": dict(parameters), "state": {"type": "SCHEDULED"}},
            errors={HTTPStatus.CONFLICT: partial(RefusedRequestError, f"a run of {deployment}")},
        )
        return UUID(run["id"])

    async def deployment(self, name: str) -> dict[str, Any]:
        """Return what Prefect knows of `<flow>/<deployment>`."""
        found: dict[str, Any] = await self._ask("GET", f"/deployments/name/{name}")
        return found

    async def find(self, run: UUID, deployment: str) -> FlowRun:
        """Return a run of `<flow>/<deployment>` as it stands.

        Raises
        ------
        ServiceUnavailableError
            If Prefect does not answer, or does not know the deployment.
        FlowRunNotFoundError
            If the deployment has no such run.
        """
        wanted = await self.deployment(deployment)
        found = await self._read(run, deployment)
        if str(found.deployment) != wanted["id"]:
            raise FlowRunNotFoundError(str(run), deployment)
        return found

    async def cancel(self, run: UUID) -> None:
        """Have a run stopped; one that has ended stays as it is."""
        state = {"type": "CANCELLING", "message": "cancelled over the gateway"}
        await self._ask("POST", f"/flow_runs/{run}/set_state", {"state": state})

    async def wait(self, run: UUID, seconds: float) -> FlowRun | None:
        """Wait for a run to end and return it; None where it takes longer."""
        end = time.monotonic() + seconds
        while True:
            found = await self._read(run)
            if found.ended:
                return found
            if time.monotonic() > end:
                return None
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(self, run: UUID, flow: str = "any flow") -> FlowRun:
        found = await self._ask(
            "GET",
            f"/flow_runs/{run}",
            errors={HTTPStatus.NOT_FOUND: lambda _: FlowRunNotFoundError(str(run), flow)},
        )
        state = found["state"] or {"type": "PENDING", "name": "Pending", "message": None}
        deployment = found.get("deployment_id")
        return FlowRun(
            run,
            None if deployment is None else UUID(deployment),
            state["type"],
            state["message"] or state["name"],
            found.get("parameters", {}),
        )

    async def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        errors: Mapping[int, Callable[[str], PlatformError]] | None = None,
    ) -> Any:
        """Ask Prefect; `errors` makes what is raised for a status of its detail."""
        if self._url is None:
            raise ServiceUnavailableError("Prefect", "MILLRACE_ORCHESTRATOR__URL is not set")
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
                response = await client.request(method, f"{self._url}{path}", json=body)
                if errors and response.status_code in errors:
                    raise errors[response.status_code](str(response.json()["detail"]))
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


def _require_plain(deployment: str, parameters: Mapping[str, Any]) -> None:
    """Raise `RefusedRequestError` for parameters that cannot be kept, or would be filled in."""
    why = ""
    try:
        content = json.dumps(parameters, allow_nan=False, ensure_ascii=False).encode()
        if len(content) > _MOST_BYTES:
            why = f"its parameters are more than {_MOST_BYTES:,} bytes"
        elif b"\\u0000" in content:
            why = "a text holds the character 0"
        elif _TEMPLATE.encode() in content:  # filled from the server's own variables
            why = f"{_TEMPLATE!r} is not data"
    except (ValueError, RecursionError) as error:  # NaN, half a character, nested without end
        why = f"its parameters cannot be written as JSON ({error})"
    if why:
        raise RefusedRequestError(f"a run of {deployment}", why)
