from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.errors import DatasetRejectedError
from infra.frames import read_frame
from tasks.ingestion import ingest_dataset
from tasks.profiling import profile_dataset
from tasks.tabular.errors import TabularError
from tasks.validation import validate_dataset

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from infra.settings import Settings
    from infra.storage.local import LocalStore

pytestmark = pytest.mark.prefect


def ingest(path: Path, target: str | None = None):
    return ingest_dataset(str(path), "default", "adult", target)


def test_the_same_bytes_are_one_version(
    platform: Settings, store: LocalStore, adult: pd.DataFrame, adult_csv: Path
) -> None:
    first, again = ingest(adult_csv), ingest(adult_csv)
    adult.iloc[1:].to_csv(adult_csv, index=False)
    changed = ingest(adult_csv)

    assert (first.version, again.version, changed.version) == (1, 1, 2)
    catalogue = Catalogue(open_database(platform.database))
    assert len(read_frame(store, catalogue.get(first).frame_digest)) == len(adult)
    assert len(read_frame(store, catalogue.get(changed).frame_digest)) == len(adult) - 1


def test_the_original_is_kept_to_the_byte(
    platform: Settings, store: LocalStore, adult_csv: Path
) -> None:
    version = Catalogue(open_database(platform.database)).get(ingest(adult_csv))

    assert store.read(f"raw/{version.source_digest}") == adult_csv.read_bytes()


@pytest.mark.parametrize(
    ("content", "target"),
    [
        pytest.param("", None, id="empty"),
        pytest.param("a,b\n", None, id="header only"),
        pytest.param("a,b\n1,2\n3\n", None, id="ragged"),
        pytest.param("a,a\n1,2\n", None, id="duplicate names"),
        pytest.param("a,b\n" + "1,x\n2,y\n" * 50, "c", id="unknown target"),
        pytest.param("a,b\n" + "1,x\n2,x\n" * 50, "b", id="one class"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    platform: Settings, store: LocalStore, tmp_path: Path, content: str, target: str | None
) -> None:
    source = tmp_path / "bad.csv"
    source.write_text(content)

    with pytest.raises(TabularError):
        ingest(source, target)

    assert list(store.keys()) == []
    with pytest.raises(Exception, match="no dataset"):
        Catalogue(open_database(platform.database)).latest("default", "adult")


def test_a_later_version_is_held_to_the_first(
    platform: Settings, store: LocalStore, adult: pd.DataFrame, adult_csv: Path
) -> None:
    validate_dataset(ingest(adult_csv))
    adult.assign(age=adult["age"] * 1000).to_csv(adult_csv, index=False)
    damaged = ingest(adult_csv)

    with pytest.raises(DatasetRejectedError, match="age: expect_column_values_to_be_between"):
        validate_dataset(damaged)

    with pytest.raises(DatasetRejectedError):
        Catalogue(open_database(platform.database)).trusted(damaged)


def test_an_edited_suite_decides(
    platform: Settings, store: LocalStore, adult: pd.DataFrame, adult_csv: Path
) -> None:
    dataset = ingest(adult_csv)
    validate_dataset(dataset)
    suite = json.loads(store.read("suites/default/adult.json"))
    suite["expectations"] = [
        {"type": "expect_column_max_to_be_between", "kwargs": {"column": "age", "max_value": 30}}
    ]
    store.write("suites/default/adult.json", json.dumps(suite).encode())

    with pytest.raises(DatasetRejectedError, match="expect_column_max_to_be_between"):
        validate_dataset(dataset)


def test_the_profile_is_kept_with_the_frame(
    platform: Settings, store: LocalStore, adult: pd.DataFrame, adult_csv: Path
) -> None:
    dataset = ingest(adult_csv)

    report = profile_dataset(dataset)

    version = Catalogue(open_database(platform.database)).get(dataset)
    kept = json.loads(store.read(f"profiles/{version.frame_digest}.json"))
    assert kept["rows"] == report.rows == len(adult)
