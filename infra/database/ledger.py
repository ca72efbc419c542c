"""The ledger: which promotions were decided and which releases were tried, by whom and why."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from infra.database.engine import transaction
from infra.database.tables import promotions, releases
from infra.errors import PlatformError, SupersededError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from infra.refs import ModelRef

ReleaseState = Literal["running", "live", "superseded", "failed", "undone"]
"""`undone` failed for a reason that time may cure and is tried again; `failed` is not."""

ABANDONED_AFTER = timedelta(minutes=6)
"""A release that runs longer was killed: another may take its place. Building may take two
minutes and starting three (`ServingSettings`)."""


PATIENCE = 5
"""Attempts in a row that time did not cure before reconciliation leaves a version alone."""


@dataclass(frozen=True, slots=True)
class Release:
    """One attempt to bring a version behind its alias."""

    id: int
    version: int
    state: ReleaseState
    reason: str
    started_at: datetime


class Promotions:
    """Decisions of the promotion gates."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(
        self,
        model: ModelRef,
        alias: str,
        *,
        champion: int | None,
        promoted: bool,
        reason: str,
        flow_run: str | None,
    ) -> None:
        """Append one decision."""
        with transaction(self._engine) as connection:
            connection.execute(
                insert(promotions).values(
                    model=model.registered_name,
                    version=model.version,
                    alias=alias,
                    champion=champion,
                    promoted=promoted,
                    reason=reason,
                    flow_run=flow_run,
                    created_at=datetime.now(UTC),
                )
            )


class Releases:
    """Attempts to release; at most one per model version runs at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, model: ModelRef, alias: str, flow_run: str | None) -> int | None:
        """Begin a release and return its id, or None while another run is at it."""
        self._give_up_abandoned(model)
        try:
            with transaction(self._engine) as connection:
                result = connection.execute(
                    insert(releases).values(
                        model=model.registered_name,
                        version=model.version,
                        alias=alias,
                        state="running",
                        reason="",
                        flow_run=flow_run,
                        started_at=datetime.now(UTC),
                    )
                )
                key = result.inserted_primary_key
        except IntegrityError:
            return None
        return int(key[0]) if key is not None else None

    @contextmanager
    def attempt(self, model: ModelRef, alias: str, flow_run: str | None) -> Iterator[bool]:
        """Claim a release for the length of the block and record how the block ends.

        Yields False, and records nothing, while another run is at it.
        """
        claimed = self.claim(model, alias, flow_run)
        if claimed is None:
            yield False
            return
        try:
            yield True
        except SupersededError as error:
            self.finish(claimed, "superseded", str(error))
            raise
        except BaseException as error:
            curable = not isinstance(error, PlatformError) or isinstance(error, TransientError)
            self.finish(claimed, "undone" if curable else "failed", str(error))
            raise
        self.finish(claimed, "live")

    def finish(self, release: int, state: ReleaseState, reason: str = "") -> None:
        """Record how the attempt ended."""
        with transaction(self._engine) as connection:
            connection.execute(
                update(releases)
                .where(releases.c.id == release)
                .values(state=state, reason=reason, finished_at=datetime.now(UTC))
            )

    def in_progress(self) -> set[str]:
        """Return the models a version of which is being released now."""
        fresh = releases.c.started_at >= datetime.now(UTC) - ABANDONED_AFTER
        query = select(releases.c.model).where(releases.c.state == "running", fresh)
        with transaction(self._engine) as connection:
            return set(connection.scalars(query))

    def given_up(self, model: ModelRef) -> str | None:
        """Return why a version should not be tried again unasked, or None if it may be.

        Either its newest attempt failed for a reason that time does not cure, or time did
        not cure it in `PATIENCE` attempts in a row.
        """
        last = self.last(model)
        if last is None or last.state not in {"failed", "undone"}:
            return None
        query = (
            select(releases.c.state)
            .where(releases.c.model == model.registered_name, releases.c.version == model.version)
            .order_by(releases.c.id.desc())
            .limit(PATIENCE)
        )
        with transaction(self._engine) as connection:
            states = list(connection.scalars(query))
        stubborn = states == ["undone"] * PATIENCE
        return last.reason if last.state == "failed" or stubborn else None

    def last(self, model: ModelRef) -> Release | None:
        """Return the newest attempt for this model version."""
        query = (
            select(releases)
            .where(releases.c.model == model.registered_name, releases.c.version == model.version)
            .order_by(releases.c.id.desc())
            .limit(1)
        )
        with transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Release(row.id, row.version, row.state, row.reason, row.started_at)

    def _give_up_abandoned(self, model: ModelRef) -> None:
        with transaction(self._engine) as connection:
            connection.execute(
                update(releases)
                .where(
                    releases.c.model == model.registered_name,
                    releases.c.version == model.version,
                    releases.c.state == "running",
                    releases.c.started_at < datetime.now(UTC) - ABANDONED_AFTER,
                )
                .values(state="undone", reason="its run was killed", finished_at=datetime.now(UTC))
            )
