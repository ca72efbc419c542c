"""MLflow's registry as the gateway needs it: aliases, over HTTP and without its library."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from infra.errors import ModelNotFoundError, ServiceUnavailableError

if TYPE_CHECKING:
    from infra.settings import TrackingSettings

_ALIAS = "/api/2.0/mlflow/registered-models/alias"
_SECONDS = 5.0


class Registry:
    """Sets aliases; what they mean is brought about by whoever hears of them."""

    def __init__(self, settings: TrackingSettings, client: httpx.AsyncClient) -> None:
        self._url = settings.url
        self._client = client

    async def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias to a version.

        Raises
        ------
        ModelNotFoundError
            If the registry has no such version.
        ServiceUnavailableError
            If it does not answer, or is a file that no server keeps.
        """
        if not self._url.startswith("http"):
            raise ServiceUnavailableError("MLflow", f"{self._url} is no server")
        body = {"name": model, "alias": alias, "version": str(version)}
        try:
            answer = await self._client.post(f"{self._url}{_ALIAS}", json=body, timeout=_SECONDS)
        except httpx.TransportError as error:
            raise ServiceUnavailableError("MLflow", str(error) or type(error).__name__) from error
        if answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST):
            raise ModelNotFoundError(f"model {model} v{version}")
        if answer.is_error:
            raise ServiceUnavailableError("MLflow", f"HTTP {answer.status_code}")
