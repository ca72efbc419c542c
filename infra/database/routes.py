"""Routes: which model server answers for which model, and which stand beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from sqlalchemy import delete, insert, select, update

from infra.database import audit
from infra.database.engine import transaction
from infra.database.tables import pending_aliases, routes, targets
from infra.routing_errors import NothingToRollBackError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

Role = Literal["replica", "standby", "canary", "shadow", "staging", "dev"]
"""What a server beside the live one is for.

A `replica` is of the live version and shares its requests; the `standby` is of the version
before, warm, for a rollback; a `canary` gets a share of the requests and a `shadow` copies of
them; `staging` and `dev` get only what is sent to them by name.
"""


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests for a model go.

    `url` is the base address of its server, `program` the name under which it can be stopped.
    """

    model: str
    version: int
    url: str
    program: str


@dataclass(frozen=True, slots=True)
class Target:
    """A server beside the live one; `weight` is a canary's share of requests, 0 to 1."""

    model: str
    role: Role
    version: int
    url: str
    program: str
    weight: float = 0.0

    @property
    def route(self) -> Route:
        """The same server as a route."""
        return Route(self.model, self.version, self.url, self.program)


class Routes:
    """The routing table in the platform's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[Route]:
        """Return every route, by model."""
        with transaction(self._engine) as connection:
            rows = connection.execute(select(routes).order_by(routes.c.model)).all()
        return [Route(row.model, row.version, row.url, row.program) for row in rows]

    def get(self, model: str) -> Route | None:
        """Return the route of `model`, if it has one."""
        return next((route for route in self.all() if route.model == model), None)

    def targets(self) -> list[Target]:
        """Return the servers beside the live ones, by model and role."""
        query = select(targets).order_by(targets.c.model, targets.c.role, targets.c.program)
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return [Target(r.model, r.role, r.version, r.url, r.program, r.weight) for r in rows]

    def target(self, model: str, role: Role) -> Target | None:
        """Return the model's server in a role, if there is one."""
        return next((e for e in self.targets() if (e.model, e.role) == (model, role)), None)

    def put(self, route: Route) -> None:
        """Point the model to its new server: afterwards readers see the old or the new route.

        The server it had becomes the standby; the standby and the replicas of before are
        forgotten, and stopped by whoever switched.
        """
        with transaction(self._engine) as connection:
            before = _live(connection, route.model)
            _point(connection, route)
            if before is None or before.program == route.program:
                return
            gone = targets.c.role.in_(("standby", "replica")) | (targets.c.program == route.program)
            connection.execute(delete(targets).where(targets.c.model == route.model, gone))
            same = targets.c.version == route.version  # what was tried beside is live now
            connection.execute(
                delete(targets).where(
                    targets.c.model == route.model, same, targets.c.role.in_(("canary", "shadow"))
                )
            )
            _add(connection, Target(**asdict(before), role="standby"))

    def restore(self, route: Route) -> None:
        """Point the model back to the server it had before a switch that is undone.

        Replicas of the version that is not to be live are forgotten with it.
        """
        with transaction(self._engine) as connection:
            _point(connection, route)
            gone = (targets.c.program == route.program) | (targets.c.role == "replica")
            connection.execute(delete(targets).where(targets.c.model == route.model, gone))

    def put_target(self, target: Target) -> None:
        """Put a server in a role beside the live one; only replicas may be several."""
        with transaction(self._engine) as connection:
            of_role = (targets.c.role == target.role) & (target.role != "replica")
            gone = of_role | (targets.c.program == target.program)
            connection.execute(delete(targets).where(targets.c.model == target.model, gone))
            _add(connection, target)

    def remove_target(self, model: str, role: Role) -> None:
        """Forget the model's servers in a role."""
        with transaction(self._engine) as connection:
            connection.execute(
                delete(targets).where(targets.c.model == model, targets.c.role == role)
            )

    def remove(self, model: str) -> None:
        """Forget all servers of `model`; a route that is not there is forgotten already."""
        with transaction(self._engine) as connection:
            connection.execute(delete(routes).where(routes.c.model == model))
            connection.execute(delete(targets).where(targets.c.model == model))

    def roll_back(self, model: str, alias: str, *, actor: str, reason: str) -> Route:
        """Let standby and live server change places, and record it, in one transaction.

        The registry's alias is to follow: until it has, it is among `pending`.

        Raises
        ------
        NothingToRollBackError
            If the model has no standby.
        """
        with transaction(self._engine) as connection:
            before = _live(connection, model)
            query = select(targets).where(targets.c.model == model, targets.c.role == "standby")
            row = connection.execute(query).one_or_none()
            if before is None or row is None:
                raise NothingToRollBackError(model)
            back = Route(model, row.version, row.url, row.program)
            _point(connection, back)
            connection.execute(
                delete(targets).where(
                    targets.c.model == model, targets.c.role.in_(("standby", "replica"))
                )
            )
            _add(connection, Target(**asdict(before), role="standby"))
            _await_alias(connection, model, alias, back.version)
            audit.append(
                connection,
                actor=actor,
                action="rollback",
                subject=model,
                detail={"from": before.version, "to": back.version, "reason": reason},
            )
        return back

    def pending(self, alias: str) -> dict[str, int]:
        """Return the versions an alias is still to be set to in the registry, by model."""
        query = select(pending_aliases).where(pending_aliases.c.alias == alias)
        with transaction(self._engine) as connection:
            return {row.model: int(row.version) for row in connection.execute(query)}

    def settle(self, model: str, alias: str) -> None:
        """Note that an alias is where it is to be."""
        mine = (pending_aliases.c.model == model) & (pending_aliases.c.alias == alias)
        with transaction(self._engine) as connection:
            connection.execute(delete(pending_aliases).where(mine))


def _live(connection: Connection, model: str) -> Route | None:
    row = connection.execute(select(routes).where(routes.c.model == model)).one_or_none()
    return None if row is None else Route(row.model, row.version, row.url, row.program)


def _point(connection: Connection, route: Route) -> None:
    values = {
        "version": route.version,
        "url": route.url,
        "program": route.program,
        "switched_at": datetime.now(UTC),
    }
    changed = connection.execute(update(routes).where(routes.c.model == route.model).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(routes).values(model=route.model, **values))


def _add(connection: Connection, target: Target) -> None:
    connection.execute(insert(targets).values(**asdict(target), since=datetime.now(UTC)))


def _await_alias(connection: Connection, model: str, alias: str, version: int) -> None:
    mine = (pending_aliases.c.model == model) & (pending_aliases.c.alias == alias)
    connection.execute(delete(pending_aliases).where(mine))
    connection.execute(
        insert(pending_aliases).values(
            model=model, alias=alias, version=version, since=datetime.now(UTC)
        )
    )
