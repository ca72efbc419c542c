from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import inspect, text

from infra.database import ledger
from infra.database.catalogue import Catalogue, DatasetEntry
from infra.database.engine import open_database, upgrade
from infra.database.ledger import Promotions, Releases
from infra.database.routes import Route, Routes, Target
from infra.database.tables import metadata
from infra.errors import (
    DatasetDeletedError,
    DatasetNotFoundError,
    DatasetRejectedError,
    ServiceUnavailableError,
    SmokeTestError,
    SupersededError,
)
from infra.provenance import ROOT
from infra.refs import DatasetRef, ModelRef
from infra.settings import DatabaseSettings

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from infra.settings import Settings

CHURN = ModelRef(name="churn", version=2)


@pytest.fixture
def engine(platform: Settings) -> Engine:
    return open_database(platform.database)


def add(catalogue: Catalogue, digest: str, name: str = "churn") -> DatasetRef:
    return catalogue.add("default", name, entry(digest)).ref


def entry(digest: str, **values: object) -> DatasetEntry:
    return DatasetEntry("f.csv", digest, f"f{digest}", {"columns": []}, **values)


def test_migrations_make_the_tables_the_code_expects(engine: Engine) -> None:
    inspector = inspect(engine)

    for table in metadata.tables.values():
        made = {column["name"]: column["nullable"] for column in inspector.get_columns(table.name)}
        assert made == {column.name: column.nullable for column in table.columns}


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    upgrade(engine)
    upgrade(engine)


@pytest.mark.parametrize("statement", ["DROP TABLE", "CREATE VIEW", "CREATE UNIQUE INDEX"])
def test_a_migration_that_is_killed_is_done_by_the_next(tmp_path: Path, statement: str) -> None:
    """The process dies at one statement of the second migration; version 1 has a row."""
    path = tmp_path / "old.db"
    command = [sys.executable, "-c", KILLED, str(path), statement]
    done = subprocess.run(command, cwd=ROOT, check=False)

    engine = open_database(DatabaseSettings(url=f"sqlite:///{path}"))

    assert done.returncode == 9
    found = Catalogue(engine).get(DatasetRef(name="old", version=1))
    assert (found.entry.file, found.entry.rows) == ("f.csv", None)
    engine.dispose()


KILLED = """
import os, sys
from alembic import command
from alembic.config import Config
from sqlalchemy import event, text
from infra.database import engine as e
from infra.settings import DatabaseSettings
config = Config()
config.set_main_option("script_location", str(e._MIGRATIONS))
upgrade = e.upgrade
e.upgrade = lambda engine: None
engine = e.open_database(DatabaseSettings(url=f"sqlite:///{sys.argv[1]}"))
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")
    connection.execute(text(
        "INSERT INTO dataset_versions (project, name, version, source, source_digest, frame_digest,"
        " schema, state, reasons, created_at) VALUES ('default', 'old', 1, 'f.csv', 'd', 'f', '{}',"
        " 'validated', '[]', '2026-01-01 00:00:00')"))
@event.listens_for(engine, "before_cursor_execute")
def die(connection, cursor, statement, *_):
    if sys.argv[2] in statement:
        os._exit(9)
upgrade(engine)
"""


def test_versions_count_up_and_equal_bytes_are_one_version(engine: Engine) -> None:
    catalogue = Catalogue(engine)

    assert [add(catalogue, digest).version for digest in ("a", "b", "a", "c")] == [1, 2, 1, 3]
    assert add(catalogue, "a", name="other").version == 1


def test_uploads_at_once_get_a_version_each(engine: Engine) -> None:
    catalogue = Catalogue(engine)

    with ThreadPoolExecutor(8) as pool:
        refs = list(pool.map(lambda n: add(catalogue, f"digest {n % 4}"), range(16)))

    assert sorted({ref.version for ref in refs}) == [1, 2, 3, 4]


def test_only_a_validated_version_is_trusted(engine: Engine) -> None:
    catalogue = Catalogue(engine)
    ref = add(catalogue, "a")

    with pytest.raises(DatasetRejectedError, match="never validated"):
        catalogue.trusted(ref)
    catalogue.mark(ref, "rejected", ("age: out of range",))
    with pytest.raises(DatasetRejectedError, match="age: out of range"):
        catalogue.trusted(ref)
    catalogue.mark(ref, "validated")
    assert catalogue.trusted(ref).ref == catalogue.latest("default", "churn").ref == ref


def test_an_unknown_version_is_answered_with_what_there_is(engine: Engine) -> None:
    catalogue = Catalogue(engine)
    add(catalogue, "a")

    with pytest.raises(DatasetNotFoundError, match="there are: churn"):
        catalogue.get(DatasetRef(name="chrun", version=1))


def test_what_is_said_of_a_version_is_kept(engine: Engine) -> None:
    catalogue = Catalogue(engine)
    said = {"owner": "ann", "description": "Leavers", "tags": {"team": "crm"}, "notes": ("n",)}
    ref = catalogue.add("default", "churn", entry("a", rows=7, file="f.csv", **said)).ref

    catalogue.describe(ref, {"rows": 7})
    catalogue.record_findings(ref, {"findings": []})

    found = catalogue.get(ref)
    assert found.entry == entry("a", rows=7, file="f.csv", **said)
    assert (found.statistics, found.findings) == ({"rows": 7}, {"findings": []})


def test_lineage_is_told_in_both_directions_nearest_first(engine: Engine) -> None:
    catalogue = Catalogue(engine)
    raw, other = add(catalogue, "a"), add(catalogue, "b", name="regions")
    joined = catalogue.add("default", "joined", entry("c", parents=(raw, other))).ref
    masked = catalogue.add("default", "masked", entry("d", parents=(joined,))).ref

    assert catalogue.lineage(masked, "ancestors") == (joined, raw, other)
    assert catalogue.lineage(raw, "descendants") == (joined, masked)
    assert catalogue.lineage(raw, "ancestors") == ()
    assert catalogue.get(joined).entry.parents == (raw, other)


def test_a_deleted_version_leaves_a_tombstone_and_its_number(engine: Engine) -> None:
    catalogue = Catalogue(engine)
    ref = add(catalogue, "a")
    catalogue.mark(ref, "validated")
    child = catalogue.add("default", "masked", entry("c", parents=(ref,))).ref

    catalogue.delete(ref, "a wish")

    with pytest.raises(DatasetDeletedError, match="a wish"):
        catalogue.get(ref)
    with pytest.raises(DatasetDeletedError):
        catalogue.delete(ref, "again")
    with pytest.raises(DatasetNotFoundError):
        catalogue.latest("default", "churn")
    assert catalogue.lineage(child, "ancestors") == (ref,)
    assert add(catalogue, "a").version == 2


def test_versions_are_found_by_what_is_said_of_them(engine: Engine) -> None:
    catalogue = Catalogue(engine)
    catalogue.add("default", "churn", entry("a", description="100% of leavers"))
    catalogue.add("sales", "orders", entry("b", owner="Bob"))

    assert [each.ref.name for each in catalogue.versions(text="0% OF")] == ["churn"]
    assert [each.ref.name for each in catalogue.versions(text="bob")] == ["orders"]
    assert [each.ref.name for each in catalogue.versions("sales")] == ["orders"]
    assert catalogue.versions(text="%_%") == []


def test_the_catalogue_can_be_read_with_plain_sql(engine: Engine) -> None:
    add(Catalogue(engine), "a")

    with engine.connect() as connection:
        row = connection.execute(text('SELECT * FROM "DatasetCatalog"')).one()

    assert (row.id, row.name, row.location) == ("default.churn v1", "churn", "frames/fa")


def test_a_switch_that_is_undone_leaves_no_replica_of_its_version(engine: Engine) -> None:
    routes = Routes(engine)
    first, second = Route("churn", 1, "http://a", "p1"), Route("churn", 2, "http://b", "p2")
    routes.put(first)
    routes.put(second)
    routes.put_target(Target("churn", "replica", 2, "http://c", "p3"))

    routes.restore(first)

    assert routes.get("churn") == first
    assert routes.targets() == []


def test_a_route_is_replaced_and_removed(engine: Engine) -> None:
    routes = Routes(engine)
    first, second = Route("churn", 1, "http://a", "p1"), Route("churn", 2, "http://b", "p2")

    routes.put(first)
    routes.put(second)
    assert routes.all() == [second]
    routes.remove("churn")
    routes.remove("churn")
    assert routes.get("churn") is None


def test_one_release_of_a_version_runs_at_a_time(engine: Engine) -> None:
    releases = Releases(engine)

    with releases.attempt(CHURN, "production", None) as first:
        with releases.attempt(CHURN, "production", None) as second:
            assert (first, second) == (True, False)
        assert releases.in_progress() == {"churn"}

    assert releases.in_progress() == set()
    assert releases.last(CHURN).state == "live"


def test_claims_at_once_are_granted_to_one(engine: Engine) -> None:
    releases = Releases(engine)

    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: releases.claim(CHURN, "production", None), range(8)))

    assert sum(claim is not None for claim in claims) == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (SmokeTestError("churn v2", "other scores"), "failed"),
        (SupersededError("churn v2", "production", "v3"), "superseded"),
        (ServiceUnavailableError("the gateway", "refused"), "undone"),
        (KeyboardInterrupt(), "undone"),
    ],
)
def test_how_a_release_ended_is_kept(engine: Engine, error: BaseException, state: str) -> None:
    releases = Releases(engine)

    with pytest.raises(type(error)), releases.attempt(CHURN, "production", "run"):
        raise error

    assert releases.last(CHURN).state == state


def test_what_time_does_not_cure_is_given_up(engine: Engine) -> None:
    releases = Releases(engine)
    outcomes = []
    for _ in range(ledger.PATIENCE):
        outcomes.append(releases.given_up(CHURN))
        releases.finish(releases.claim(CHURN, "production", None), "undone", "no answer")

    assert outcomes == [None] * ledger.PATIENCE
    assert releases.given_up(CHURN) == "no answer"
    releases.finish(releases.claim(CHURN, "production", None), "live")
    assert releases.given_up(CHURN) is None


def test_a_killed_release_gives_its_claim_up(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = Releases(engine)
    assert releases.claim(CHURN, "production", "killed") is not None

    monkeypatch.setattr(ledger, "ABANDONED_AFTER", timedelta(seconds=-1))

    assert releases.claim(CHURN, "production", "next") is not None


def test_decisions_are_appended(engine: Engine) -> None:
    for promoted in (True, False):
        Promotions(engine).record(
            CHURN, "production", champion=1, promoted=promoted, reason="why", flow_run=None
        )


def test_a_database_that_is_away_is_transient(tmp_path: Path) -> None:
    away = DatabaseSettings(url=f"postgresql+psycopg2://postgres:@/x?host={tmp_path}")

    with pytest.raises(ServiceUnavailableError, match="database"):
        Routes(open_database(away)).all()
