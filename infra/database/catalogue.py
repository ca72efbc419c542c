"""The catalogue: which immutable dataset versions there are and where their bytes lie."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, Row, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from infra.database.engine import transaction
from infra.database.tables import dataset_parents, dataset_versions
from infra.errors import (
    DatasetDeletedError,
    DatasetNameError,
    DatasetNotFoundError,
    DatasetRejectedError,
    ServiceUnavailableError,
)
from infra.refs import DatasetRef

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Engine

State = Literal["ingested", "validated", "rejected"]
Direction = Literal["ancestors", "descendants"]

_NAME = re.compile(r"[a-z0-9_]{1,100}")
"""What a reference can name: a row it cannot would break every listing."""

_ATTEMPTS = 10
"""Times an upload looks for a free version number when others upload at the same moment."""

_ROWS = dataset_versions.c


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """What is known of a version when it is entered.

    `source_digest` is the SHA-256 of the bytes as they came, `frame_digest` that of the
    Parquet frame made of them; `schema` is the JSON of `tasks.tabular.schema.Schema`. `rows`
    is None in versions of before it was kept. `file` is what the original was called; derived
    data has none, but `parents` and the `recipe` it was made by.
    """

    source: str
    source_digest: str
    frame_digest: str
    schema: dict[str, Any]
    rows: int | None = None
    file: str | None = None
    owner: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    parents: tuple[DatasetRef, ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def derived(
        cls,
        parent: DatasetVersion,
        how: str,
        digest: str,
        schema: dict[str, Any],
        *,
        rows: int | None,
        notes: tuple[str, ...],
        recipe: dict[str, Any] | None = None,
    ) -> DatasetEntry:
        """Return the entry of a version made from another, whose owner and tags it keeps."""
        return cls(
            source=f"{how} {parent.ref}",
            source_digest=digest,
            frame_digest=digest,
            schema=schema,
            rows=rows,
            owner=parent.entry.owner,
            description=parent.entry.description,
            tags=parent.entry.tags,
            notes=notes,
            parents=(parent.ref,),
            recipe=recipe or {},
        )


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One row: an entry, its address, and what the stages found since.

    `statistics` is the profile's summary and `findings` what was found of personal data;
    None where nobody has looked yet.
    """

    ref: DatasetRef
    entry: DatasetEntry
    state: State
    reasons: tuple[str, ...]
    created_at: datetime
    statistics: dict[str, Any] | None
    findings: dict[str, Any] | None
    deleted_at: datetime | None = None
    deleted_because: str | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """JSON of the version's schema."""
        return self.entry.schema

    @property
    def frame_digest(self) -> str:
        """Address of the version's frame in the store."""
        return self.entry.frame_digest

    @property
    def source_digest(self) -> str:
        """Address of the version's original in the store."""
        return self.entry.source_digest


class Catalogue:
    """Dataset versions in the platform's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(
        self, project: str, name: str, source_digest: str, frame_digest: str | None = None
    ) -> DatasetVersion | None:
        """Return the newest version that these bytes have under this name, if any.

        The same original read with other options is another frame, and another version.
        """
        same_frame = [] if frame_digest is None else [_ROWS.frame_digest == frame_digest]
        return self._one(
            *_named(project, name),
            _ROWS.source_digest == source_digest,
            _ROWS.deleted_at.is_(None),
            *same_frame,
        )

    def add(
        self,
        project: str,
        name: str,
        entry: DatasetEntry,
        *,
        state: State = "ingested",
        findings: dict[str, Any] | None = None,
    ) -> DatasetVersion:
        """Enter a version; the same data under the same name give the version they have.

        Owner, description and tags of that version are replaced where the entry says any;
        `state` and `findings` are those of a version that is new.

        The row is written last, after the bytes are in the store, so that a version that
        can be found can be read.
        """
        if not _NAME.fullmatch(name):
            raise DatasetNameError(name)
        for _ in range(_ATTEMPTS):
            known = self.find(project, name, entry.source_digest, entry.frame_digest)
            if known is not None:
                return self._described(known, entry)
            try:
                with transaction(self._engine) as connection:
                    _insert(connection, project, name, entry, state=state, findings=findings)
            except IntegrityError:  # another upload took the number or entered the same bytes
                continue
        known = self.find(project, name, entry.source_digest, entry.frame_digest)
        if known is None:
            raise ServiceUnavailableError("the catalogue", f"{_ATTEMPTS} uploads at once")
        return known

    def _described(self, known: DatasetVersion, entry: DatasetEntry) -> DatasetVersion:
        said = {
            key: value
            for key in ("owner", "description", "tags")
            if (value := getattr(entry, key)) and value != getattr(known.entry, key)
        }
        if said:
            self._update(known.ref, **said)
        return self.get(known.ref) if said else known

    def get(self, ref: DatasetRef) -> DatasetVersion:
        """Return the row of `ref`, or raise `DatasetNotFoundError` or `DatasetDeletedError`."""
        found = self._one(*_at(ref))
        if found is None:
            raise DatasetNotFoundError(str(ref), self._known(ref.project))
        if found.deleted_at is not None:
            raise DatasetDeletedError(
                str(ref), found.deleted_at.isoformat(), found.deleted_because or ""
            )
        return found

    def trusted(self, ref: DatasetRef) -> DatasetVersion:
        """Return the row of `ref` if it passed validation, or raise `DatasetRejectedError`."""
        found = self.get(ref)
        if found.state != "validated":
            raise DatasetRejectedError(str(ref), found.reasons)
        return found

    def latest(self, project: str, name: str) -> DatasetVersion:
        """Return the newest validated version, or raise `DatasetNotFoundError`."""
        found = self._one(
            *_named(project, name), _ROWS.state == "validated", _ROWS.deleted_at.is_(None)
        )
        if found is None:
            raise DatasetNotFoundError(f"{project}.{name}", self._known(project))
        return found

    def precedent(self, project: str, name: str) -> DatasetVersion | None:
        """Return the newest version that was not rejected, if any: its types hold for the next.

        It need not be validated: an original of which a masked version is made never is.
        """
        return self._one(
            *_named(project, name), _ROWS.state != "rejected", _ROWS.deleted_at.is_(None)
        )

    def versions(
        self,
        project: str | None = None,
        name: str | None = None,
        *,
        text: str = "",
        limit: int = 100,
        offset: int = 0,
    ) -> list[DatasetVersion]:
        """Return a page of living versions, newest first, of a project or dataset if one is named.

        `text` looks for versions whose name, description or owner holds it.
        """
        query = select(dataset_versions).where(_ROWS.deleted_at.is_(None))
        for column, wanted in ((_ROWS.project, project), (_ROWS.name, name)):
            query = query.where(column == wanted) if wanted is not None else query
        if text:
            columns = (_ROWS.name, _ROWS.description, _ROWS.owner)
            query = query.where(or_(*(each.icontains(text, autoescape=True) for each in columns)))
        query = query.order_by(_ROWS.id.desc()).limit(limit).offset(offset)
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
            return [_read(connection, row) for row in rows]

    def lineage(self, ref: DatasetRef, direction: Direction) -> tuple[DatasetRef, ...]:
        """Return what a version was made from, or what was made from it, nearest first.

        Deleted versions are named too: what was made from them remains.
        """
        here, there = (
            (dataset_parents.c.child, dataset_parents.c.parent)
            if direction == "ancestors"
            else (dataset_parents.c.parent, dataset_parents.c.child)
        )
        with transaction(self._engine) as connection:
            found: dict[int, None] = {}
            nearest = set(connection.scalars(select(_ROWS.id).where(*_at(ref))))
            if not nearest:
                raise DatasetNotFoundError(str(ref), self._known(ref.project))
            while nearest:
                nearest = set(connection.scalars(select(there).where(here.in_(nearest)))) - set(
                    found
                )
                found |= dict.fromkeys(sorted(nearest))
            return tuple(_refs(connection, found))

    def add_trusted(self, parent: DatasetVersion, name: str, entry: DatasetEntry) -> DatasetRef:
        """Enter a version that is as trusted, and as personal, as what it was made from."""
        made = self.add(
            parent.ref.project, name, entry, state="validated", findings=parent.findings
        )
        return made.ref

    def derived(
        self, parent: DatasetRef, name: str, recipe: dict[str, Any]
    ) -> DatasetVersion | None:
        """Return the newest trusted version called `name` that was made from `parent` so."""
        made = self.versions(parent.project, name, limit=1_000)
        for each in made:
            same = each.entry.recipe == recipe and parent in each.entry.parents
            if same and each.state == "validated":
                return each
        return None

    def mark(self, ref: DatasetRef, state: State, reasons: tuple[str, ...] = ()) -> None:
        """Record what validation found."""
        self._update(ref, state=state, reasons=list(reasons))

    def describe(self, ref: DatasetRef, statistics: dict[str, Any]) -> None:
        """Record the profile's summary."""
        self._update(ref, statistics=statistics)

    def record_findings(self, ref: DatasetRef, findings: dict[str, Any]) -> None:
        """Record what was found of personal data."""
        self._update(ref, findings=findings)

    def delete(self, ref: DatasetRef, because: str) -> None:
        """Put a tombstone on a version: its number is never used again, its row remains.

        Raises
        ------
        DatasetNotFoundError, DatasetDeletedError
            If there is no such version, or no more.
        """
        self.get(ref)
        self._update(ref, deleted_at=datetime.now(UTC), deleted_because=because)

    def _update(self, ref: DatasetRef, **values: object) -> None:
        with transaction(self._engine) as connection:
            connection.execute(
                update(dataset_versions)
                .where(*_at(ref), _ROWS.deleted_at.is_(None))
                .values(**values)
            )

    def _one(self, *conditions: ColumnElement[bool]) -> DatasetVersion | None:
        query = select(dataset_versions).where(*conditions).order_by(_ROWS.version.desc()).limit(1)
        with transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
            return _read(connection, row) if row is not None else None

    def _known(self, project: str) -> tuple[str, ...]:
        query = select(_ROWS.name).where(_ROWS.project == project).distinct()
        with transaction(self._engine) as connection:
            return tuple(sorted(connection.scalars(query)))


def _named(project: str, name: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _ROWS.project == project, _ROWS.name == name


def _at(ref: DatasetRef) -> tuple[ColumnElement[bool], ...]:
    return (*_named(ref.project, ref.name), _ROWS.version == ref.version)


def _insert(
    connection: Connection,
    project: str,
    name: str,
    entry: DatasetEntry,
    *,
    state: State,
    findings: dict[str, Any] | None,
) -> None:
    newest = connection.scalar(select(func.max(_ROWS.version)).where(*_named(project, name)))
    made = connection.scalar(
        insert(dataset_versions)
        .values(
            project=project,
            name=name,
            version=(newest or 0) + 1,
            source=entry.source,
            source_digest=entry.source_digest,
            frame_digest=entry.frame_digest,
            schema=entry.schema,
            state=state,
            findings=findings,
            reasons=[],
            created_at=datetime.now(UTC),
            file=entry.file,
            rows=entry.rows,
            owner=entry.owner,
            description=entry.description,
            tags=entry.tags,
            notes=list(entry.notes),
            recipe=entry.recipe,
        )
        .returning(_ROWS.id)
    )
    for parent in entry.parents:
        connection.execute(
            insert(dataset_parents).values(
                child=made,
                parent=select(_ROWS.id).where(*_at(parent)).scalar_subquery(),
            )
        )


def _refs(connection: Connection, ids: dict[int, None]) -> list[DatasetRef]:
    rows = connection.execute(select(dataset_versions).where(_ROWS.id.in_(list(ids)))).all()
    by_id = {row.id: _ref(row) for row in rows}
    return [by_id[each] for each in ids]


def _ref(row: Row[Any]) -> DatasetRef:
    return DatasetRef(project=row.project, name=row.name, version=row.version)


def _read(connection: Connection, row: Row[Any]) -> DatasetVersion:
    parents = connection.scalars(
        select(dataset_parents.c.parent).where(dataset_parents.c.child == row.id)
    )
    return DatasetVersion(
        ref=_ref(row),
        entry=DatasetEntry(
            source=row.source,
            source_digest=row.source_digest,
            frame_digest=row.frame_digest,
            schema=row.schema,
            rows=row.rows,
            file=row.file,
            owner=row.owner,
            description=row.description,
            tags=row.tags,
            notes=tuple(row.notes),
            parents=tuple(_refs(connection, dict.fromkeys(parents))),
            recipe=row.recipe,
        ),
        state=row.state,
        reasons=tuple(row.reasons),
        created_at=row.created_at,
        statistics=row.statistics,
        findings=row.findings,
        deleted_at=row.deleted_at,
        deleted_because=row.deleted_because,
    )
