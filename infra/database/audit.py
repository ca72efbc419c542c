"""The audit: who did what to which model, each entry sealed with the one before it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, text

from infra.database.engine import transaction
from infra.database.tables import audit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Engine

_FIRST = "0" * 64
_LOCK = 7_236_515
"""Key of PostgreSQL's advisory lock that lets one transaction append at a time."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One deed; `detail` are its particulars as JSON values."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]


def append(
    connection: Connection, *, actor: str, action: str, subject: str, detail: Mapping[str, Any]
) -> None:
    """Add an entry in the caller's transaction: the deed and its record stand or fall together.

    Of two transactions that append at once the second waits: SQLite's begin as writers, and
    PostgreSQL's take a lock. The unique `previous` would refuse what neither prevents.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    last = select(audit.c.digest).order_by(audit.c.id.desc()).limit(1)
    previous = connection.scalar(last) or _FIRST
    at = datetime.now(UTC)
    digest = _digest(previous, at, (actor, action, subject), detail)
    connection.execute(
        insert(audit).values(
            at=at,
            actor=actor,
            action=action,
            subject=subject,
            detail=dict(detail),
            previous=previous,
            digest=digest,
        )
    )


class Audit:
    """Reads the audit and checks its seals."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, subject: str, limit: int = 100) -> list[AuditEntry]:
        """Return the newest entries about a subject, newest first."""
        query = select(audit).where(audit.c.subject == subject).order_by(audit.c.id.desc())
        with transaction(self._engine) as connection:
            rows = connection.execute(query.limit(limit)).all()
        return [AuditEntry(r.id, r.at, r.actor, r.action, r.subject, r.detail) for r in rows]

    def first_broken(self) -> int | None:
        """Return the id of the first entry that was changed or follows a removed one, or None."""
        previous = _FIRST
        with transaction(self._engine) as connection:
            for row in connection.execute(select(audit).order_by(audit.c.id)):
                deed = (row.actor, row.action, row.subject)
                sealed = _digest(previous, row.at, deed, row.detail)
                if (row.previous, row.digest) != (previous, sealed):
                    return int(row.id)
                previous = row.digest
        return None


def _digest(
    previous: str, at: datetime, deed: tuple[str, str, str], detail: Mapping[str, Any]
) -> str:
    content = [previous, at.timestamp(), *deed, dict(detail)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
