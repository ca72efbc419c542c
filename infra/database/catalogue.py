"""The catalogue: which immutable dataset versions there are and where their bytes lie."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from infra.database.engine import transaction
from infra.database.tables import dataset_versions
from infra.errors import DatasetNotFoundError, DatasetRejectedError, ServiceUnavailableError
from infra.refs import DatasetRef

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Engine

State = Literal["ingested", "validated", "rejected"]

_ATTEMPTS = 10
"""Times an upload looks for a free version number when others upload at the same moment."""


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One catalogue row.

    `source_digest` is the SHA-256 of the bytes as they came, `frame_digest` that of the
    Parquet frame made of them; `schema` is the JSON of `tasks.tabular.schema.Schema`.
    """

    ref: DatasetRef
    source: str
    source_digest: str
    frame_digest: str
    schema: dict[str, Any]
    state: State
    reasons: tuple[str, ...] = ()


class Catalogue:
    """Dataset versions in the platform's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, project: str, name: str, source_digest: str) -> DatasetVersion | None:
        """Return the version these bytes already have under this name, if any."""
        return self._one(*_named(project, name), dataset_versions.c.source_digest == source_digest)

    def add(
        self,
        project: str,
        name: str,
        *,
        source: str,
        source_digest: str,
        frame_digest: str,
        schema: dict[str, Any],
    ) -> DatasetVersion:
        """Enter a version; the same bytes under the same name give the version they have.

        The row is written last, after the bytes are in the store, so that a version that
        can be found can be read.
        """
        for _ in range(_ATTEMPTS):
            known = self.find(project, name, source_digest)
            if known is not None:
                return known
            try:
                with transaction(self._engine) as connection:
                    newest = connection.scalar(
                        select(func.max(dataset_versions.c.version)).where(*_named(project, name))
                    )
                    connection.execute(
                        insert(dataset_versions).values(
                            project=project,
                            name=name,
                            version=(newest or 0) + 1,
                            source=source,
                            source_digest=source_digest,
                            frame_digest=frame_digest,
                            schema=schema,
                            state="ingested",
                            reasons=[],
                            created_at=datetime.now(UTC),
                        )
                    )
            except IntegrityError:  # another upload took the number or entered the same bytes
                continue
        known = self.find(project, name, source_digest)
        if known is None:
            raise ServiceUnavailableError("the catalogue", f"{_ATTEMPTS} uploads at once")
        return known

    def get(self, ref: DatasetRef) -> DatasetVersion:
        """Return the row of `ref`, or raise `DatasetNotFoundError`."""
        found = self._one(*_named(ref.project, ref.name), dataset_versions.c.version == ref.version)
        if found is None:
            raise DatasetNotFoundError(str(ref), self._known(ref.project))
        return found

    def trusted(self, ref: DatasetRef) -> DatasetVersion:
        """Return the row of `ref` if it passed validation, or raise `DatasetRejectedError`."""
        found = self.get(ref)
        if found.state != "validated":
            raise DatasetRejectedError(str(ref), found.reasons)
        return found

    def latest(self, project: str, name: str) -> DatasetVersion:
        """Return the newest validated version, or raise `DatasetNotFoundError`."""
        found = self._one(*_named(project, name), dataset_versions.c.state == "validated")
        if found is None:
            raise DatasetNotFoundError(f"{project}.{name}", self._known(project))
        return found

    def mark(self, ref: DatasetRef, state: State, reasons: tuple[str, ...] = ()) -> None:
        """Record what validation found."""
        with transaction(self._engine) as connection:
            connection.execute(
                update(dataset_versions)
                .where(*_named(ref.project, ref.name), dataset_versions.c.version == ref.version)
                .values(state=state, reasons=list(reasons))
            )

    def _one(self, *conditions: ColumnElement[bool]) -> DatasetVersion | None:
        query = (
            select(dataset_versions)
            .where(*conditions)
            .order_by(dataset_versions.c.version.desc())
            .limit(1)
        )
        with transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return _read(row) if row is not None else None

    def _known(self, project: str) -> tuple[str, ...]:
        query = (
            select(dataset_versions.c.name).where(dataset_versions.c.project == project).distinct()
        )
        with transaction(self._engine) as connection:
            return tuple(sorted(connection.scalars(query)))


def _named(project: str, name: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return dataset_versions.c.project == project, dataset_versions.c.name == name


def _read(row: Row[Any]) -> DatasetVersion:
    return DatasetVersion(
        ref=DatasetRef(project=row.project, name=row.name, version=row.version),
        source=row.source,
        source_digest=row.source_digest,
        frame_digest=row.frame_digest,
        schema=row.schema,
        state=row.state,
        reasons=tuple(row.reasons),
    )
