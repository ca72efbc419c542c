"""Routes: which model server answers for which model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from infra.database.engine import transaction
from infra.database.tables import routes

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests for a model go.

    `url` is the base address of its server, `program` the name under which it can be stopped.
    """

    model: str
    version: int
    url: str
    program: str


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

    def put(self, route: Route) -> None:
        """Point the model to its new server: afterwards readers see the old or the new route."""
        values = {
            "version": route.version,
            "url": route.url,
            "program": route.program,
            "switched_at": datetime.now(UTC),
        }
        with transaction(self._engine) as connection:
            changed = connection.execute(
                update(routes).where(routes.c.model == route.model).values(values)
            )
            if changed.rowcount == 0:
                connection.execute(insert(routes).values(model=route.model, **values))

    def remove(self, model: str) -> None:
        """Forget the route of `model`; a route that is not there is forgotten already."""
        with transaction(self._engine) as connection:
            connection.execute(delete(routes).where(routes.c.model == model))
