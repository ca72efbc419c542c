"""The index of predictions: what was answered when, where it is kept, and what came true."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from infra.database.engine import transaction
from infra.database.tables import labels, predictions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Engine, Row, Table

_CHUNK = 500
"""Ids in one query: databases limit the values a statement may hold."""

_COLUMNS = predictions.c


@dataclass(frozen=True, slots=True)
class Window:
    """Which predictions of a model: `since` until before `until`, of one version or of all."""

    model: str
    since: datetime | None = None
    until: datetime | None = None
    version: int | None = None

    def holds(self, time: datetime, version: int) -> bool:
        """Whether a prediction of the model lies in the window."""
        return (
            (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
            and self.version in {None, version}
        )


@dataclass(frozen=True, slots=True)
class PredictionEntry:
    """One request, without what was asked and answered.

    `archive` is the key of the Parquet file that holds both, empty while a segment does.
    """

    id: str
    time: datetime
    model: str
    version: int
    caller: str
    latency_seconds: float
    rows: int
    archive: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """What came true for one row of a request, as JSON text."""

    prediction_id: str
    row: int
    label: str
    labelled_at: datetime


class Predictions:
    """Predictions that were archived, and labels, whether or not their prediction was."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, entries: Iterable[PredictionEntry]) -> None:
        """Enter predictions, all or none; those that are known stay as they are."""
        rows = [_values(each) for each in entries]
        if rows:
            with transaction(self._engine) as connection:
                connection.execute(_insert(connection, predictions).on_conflict_do_nothing(), rows)

    def find(self, window: Window, *, limit: int = 100, offset: int = 0) -> list[PredictionEntry]:
        """Return a page of the window, newest first."""
        query = (
            select(predictions)
            .where(*_within(window))
            .order_by(_COLUMNS.time.desc(), _COLUMNS.id.desc())
            .limit(limit)
            .offset(offset)
        )
        with transaction(self._engine) as connection:
            return [_entry(row) for row in connection.execute(query)]

    def count(self, window: Window) -> int:
        """Return how many predictions of the window are archived."""
        query = select(func.count()).select_from(predictions).where(*_within(window))
        with transaction(self._engine) as connection:
            return connection.scalar(query) or 0

    def get(self, prediction: str) -> PredictionEntry | None:
        """Return the entry of this id, if it is archived."""
        query = select(predictions).where(_COLUMNS.id == prediction)
        with transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return _entry(row) if row is not None else None

    def label(self, given: Iterable[Label]) -> int:
        """Keep what came true and return for how many rows; the last label of a row holds."""
        last = {(each.prediction_id, each.row): asdict(each) for each in given}
        if not last:
            return 0
        with transaction(self._engine) as connection:
            insert = _insert(connection, labels)
            new = {name: insert.excluded[name] for name in ("label", "labelled_at")}
            upsert = insert.on_conflict_do_update(
                index_elements=[labels.c.prediction_id, labels.c.row], set_=new
            )
            connection.execute(upsert, list(last.values()))
        return len(last)

    def labels_of(self, ids: Sequence[str]) -> Mapping[str, tuple[Label, ...]]:
        """Return the labels of predictions by id, each prediction's by row."""
        found: dict[str, tuple[Label, ...]] = {}
        with transaction(self._engine) as connection:
            for start in range(0, len(ids), _CHUNK):
                chunk = labels.c.prediction_id.in_(ids[start : start + _CHUNK])
                query = select(labels).where(chunk).order_by(labels.c.row)
                for row in connection.execute(query):
                    label = Label(row.prediction_id, row.row, row.label, row.labelled_at)
                    found[label.prediction_id] = (*found.get(label.prediction_id, ()), label)
        return found


def _insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Begin the dialect's own insert: the general one knows no conflicts."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def _within(window: Window) -> list[ColumnElement[bool]]:
    conditions = [_COLUMNS.model == window.model]
    if window.since is not None:
        conditions.append(_COLUMNS.time >= window.since.astimezone(UTC))
    if window.until is not None:
        conditions.append(_COLUMNS.time < window.until.astimezone(UTC))
    if window.version is not None:
        conditions.append(_COLUMNS.version == window.version)
    return conditions


def _values(entry: PredictionEntry) -> dict[str, object]:
    """Return the row of an entry; `asdict` would take several times as long."""
    values = {name: getattr(entry, name) for name in _COLUMNS.keys()}  # noqa: SIM118 - columns by name
    return values | {"time": entry.time.astimezone(UTC)}


def _entry(row: Row[Any]) -> PredictionEntry:
    return PredictionEntry(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
