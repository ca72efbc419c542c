"""Predictions as any client asks for them."""

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
def open_predictor(url: str, *, caller: str) -> Iterator[Callable[[Any], tuple[int, Any]]]:
    """Yield a function from a request to the answer's status and body.

    `caller` tells these predictions from others in the log. The function raises
    `ServiceUnavailableError` where nobody answers, or the answer is that nobody can.
    """
    with httpx.Client(timeout=_SECONDS, headers={"x-caller": caller}) as client:

        def ask(request: Any) -> tuple[int, Any]:
            try:
                answer = client.post(url, json=request)
            except httpx.TransportError as error:
                raise ServiceUnavailableError(url, str(error) or type(error).__name__) from error
            if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise ServiceUnavailableError(url, answer.text[:200])
            return answer.status_code, answer.json()

        yield ask


def address_of(settings: Settings, model: str) -> str:
    """Return where a model is asked: at the gateway, or at its server where no gateway runs.

    Raises
    ------
    RouteNotFoundError
        If no version of it is released.
    """
    route = switching.current_route(settings, model)
    if route is None:
        raise RouteNotFoundError(model, ())
    if settings.gateway.url is not None:
        return f"{settings.gateway.url}/predict/{model}"
    return f"{route.url}/predict"
