"""Predictions as any client asks for them: at the gateway, or at the server where none runs."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from infra.errors import RouteNotFoundError, ServiceUnavailableError
from infra.serving import switching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.settings import Settings

_SECONDS = 60.0


@contextmanager
def open_predictor(
    settings: Settings, model: str, *, caller: str
) -> Iterator[Callable[[dict[str, Any]], tuple[int, Any]]]:
    """Yield a function from a request to the answer's status and body.

    Raises
    ------
    RouteNotFoundError
        If no version of the model is released.
    ServiceUnavailableError
        If nobody answers, or the answer is that nobody can.
    """
    url = _address(settings, model)
    with httpx.Client(timeout=_SECONDS, headers={"x-caller": caller}) as client:

        def ask(request: dict[str, Any]) -> tuple[int, Any]:
            try:
                answer = client.post(url, json=request)
            except httpx.TransportError as error:
                raise ServiceUnavailableError(url, str(error) or type(error).__name__) from error
            if answer.status_code == HTTPStatus.NOT_FOUND:
                raise RouteNotFoundError(model, ())
            if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise ServiceUnavailableError(url, answer.text[:200])
            return answer.status_code, answer.json()

        yield ask


def _address(settings: Settings, model: str) -> str:
    if settings.gateway.url is not None:
        return f"{settings.gateway.url}/predict/{model}"
    route = switching.current_route(settings, model)
    if route is None:
        raise RouteNotFoundError(model, ())
    return f"{route.url}/predict"
