"""The routing table in memory: read by every request, written through to the database."""

from __future__ import annotations

import random
from dataclasses import dataclass
from hashlib import blake2b
from itertools import cycle
from threading import Lock
from typing import TYPE_CHECKING

from infra.aliases import PRODUCTION
from infra.errors import RouteNotFoundError
from infra.routing_errors import TargetNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.database.routes import Role, Route, Routes, Target


@dataclass(frozen=True, slots=True)
class Choice:
    """Servers that may answer a request, the first first; `shadow` gets a copy of it."""

    routes: tuple[Route, ...]
    role: str
    shadow: Route | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """All servers of one model; `live` are those of the live version, in turn."""

    route: Route
    live: tuple[Route, ...]
    targets: dict[str, Target]
    turns: Iterator[int]

    @classmethod
    def of(cls, route: Route, targets: list[Target]) -> Routing:
        """Sort the servers of a model."""
        live = (route, *(each.route for each in targets if each.role == "replica"))
        others: dict[str, Target] = {each.role: each for each in targets if each.role != "replica"}
        return cls(route, live, others, cycle(range(len(live))))

    def choose(self, caller: str, environment: str) -> Choice:
        """Choose who answers: callers that name themselves always get the same version."""
        if environment != PRODUCTION:
            target = self.targets.get(environment)
            if target is None:
                known = (PRODUCTION, *sorted(self.targets))
                raise TargetNotFoundError(self.route.model, environment, known)
            return Choice((target.route,), environment)
        shadow = self.targets.get("shadow")
        copied = shadow.route if shadow is not None else None
        canary = self.targets.get("canary")
        if canary is not None and _place(self.route.model, caller) < canary.weight:
            return Choice((canary.route, *self.live), "canary", copied)
        first = next(self.turns) if len(self.live) > 1 else 0
        return Choice((*self.live[first:], *self.live[:first]), "live", copied)


def _place(model: str, caller: str) -> float:
    """Return where a caller stands between 0 and 1; who names nobody stands anywhere."""
    if not caller:
        return random.random()  # noqa: S311 - a share of traffic, not a secret
    digest = blake2b(f"{model}\0{caller}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class RoutingTable:
    """Servers by model. A switch is one assignment: a request sees the old route or the new."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._lock = Lock()  # or a slow reading would bring back the route of before a switch
        self._table: dict[str, Routing] = {}
        self.loaded = False

    def refresh(self) -> None:
        """Read all routes from the database."""
        with self._lock:
            self._read()
            self.loaded = True

    def _read(self) -> None:
        targets = self._routes.targets()
        self._table = {
            route.model: Routing.of(route, [each for each in targets if each.model == route.model])
            for route in self._routes.all()
        }

    def find(self, model: str) -> Routing:
        """Return the servers of `model`, or raise `RouteNotFoundError`."""
        try:
            return self._table[model]
        except KeyError:
            raise RouteNotFoundError(model, self.models()) from None

    def models(self) -> tuple[str, ...]:
        """Return the models that are served, sorted."""
        return tuple(sorted(self._table))

    def switch(self, route: Route) -> None:
        """Write the route, then use it."""
        with self._lock:
            self._routes.put(route)
            self._read()

    def put_target(self, target: Target) -> None:
        """Put a server in a role beside the live one."""
        with self._lock:
            self._routes.put_target(target)
            self._read()

    def remove_target(self, model: str, role: Role) -> None:
        """Forget the model's servers in a role."""
        with self._lock:
            self._routes.remove_target(model, role)
            self._read()

    def roll_back(self, model: str, alias: str, *, actor: str, reason: str) -> Route:
        """Let standby and live server change places, or raise `NothingToRollBackError`."""
        with self._lock:
            back = self._routes.roll_back(model, alias, actor=actor, reason=reason)
            self._read()
        return back

    def settle(self, model: str, alias: str) -> None:
        """Note that the registry's alias is where it is to be."""
        self._routes.settle(model, alias)

    def remove(self, model: str) -> None:
        """Forget the model's servers, in the database first."""
        with self._lock:
            self._routes.remove(model)
            self._read()

    def all(self) -> list[Route]:
        """Return every live route, by model."""
        return [self._table[model].route for model in self.models()]
