"""The routing table in memory: read by every request, written through to the database."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from infra.errors import RouteNotFoundError

if TYPE_CHECKING:
    from infra.database.routes import Route, Routes


class RoutingTable:
    """Routes by model. A switch is one assignment: a request sees the old route or the new."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._lock = Lock()  # or a slow reading would bring back the route of before a switch
        self._table: dict[str, Route] = {}
        self.loaded = False

    def refresh(self) -> None:
        """Read all routes from the database."""
        with self._lock:
            self._table = {route.model: route for route in self._routes.all()}
            self.loaded = True

    def find(self, model: str) -> Route:
        """Return the route of `model`, or raise `RouteNotFoundError`."""
        try:
            return self._table[model]
        except KeyError:
            raise RouteNotFoundError(model, tuple(sorted(self._table))) from None

    def switch(self, route: Route) -> None:
        """Write the route, then use it."""
        with self._lock:
            self._routes.put(route)
            self._table = {**self._table, route.model: route}

    def remove(self, model: str) -> None:
        """Forget the route, in the database first."""
        with self._lock:
            self._routes.remove(model)
            self._table = {name: route for name, route in self._table.items() if name != model}

    def all(self) -> list[Route]:
        """Return every route, by model."""
        return sorted(self._table.values(), key=lambda route: route.model)
