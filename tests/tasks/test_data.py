from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import yaml

from flows.data import prepare_dataset
from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.errors import (
    ArtifactNotFoundError,
    DatasetRejectedError,
    PersonalDataError,
    SourceChangedError,
)
from infra.frames import read_frame
from infra.provenance import ROOT
from infra.refs import DatasetRef
from infra.settings import get_settings
from infra.storage import open_store
from tasks import ingestion
from tasks.catalogue import publish_card
from tasks.ingestion import Description, ingest_dataset
from tasks.profiling import profile_dataset
from tasks.tabular.errors import MaskingError, MistypedValueError, TabularError
from tasks.tabular.reading import ReadOptions
from tasks.training import TrainingRequest, fit_candidates
from tasks.validation import validate_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings
    from infra.storage.local import LocalStore
    from infra.tracking import Tracking

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
        pytest.param("a,b\n1,x\n1,x\n", None, id="constant"),
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
    suite = yaml.safe_load(store.read("suites/default/adult.yaml"))
    suite["expectations"] = [
        {"type": "expect_column_max_to_be_between", "kwargs": {"column": "age", "max_value": 30}}
    ]
    store.write("suites/default/adult.yaml", yaml.safe_dump(suite).encode())

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


PEOPLE = pd.DataFrame(
    {
        "email": [f"ann{n}@example.org" for n in range(80)],
        "age": [20 + n % 50 for n in range(80)],
        "left": ["yes" if n % 3 else "no" for n in range(80)],
    }
)


@pytest.fixture
def people_csv(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    PEOPLE.to_csv(path, index=False)
    return path


def test_a_file_becomes_a_trusted_described_version(
    platform: Settings, store: LocalStore, adult_csv: Path
) -> None:
    said = Description(owner="ann", description="Census", tags={"year": "1994"})

    dataset = prepare_dataset(str(adult_csv), target="income", description=said)

    version = Catalogue(open_database(platform.database)).trusted(dataset)
    assert (version.entry.owner, version.entry.tags) == ("ann", {"year": "1994"})
    assert version.entry.rows == version.statistics["rows"] == 3_000
    assert version.findings["findings"] == []
    assert b"Evaluated Expectations" in store.read("validations/default/adult/1.html")
    assert b"hours_per_week" in store.read("profiles/default/adult/1.html")
    card = publish_card.fn(dataset)
    assert "| owner | ann |" in card
    assert version.source_digest in card


def test_types_of_a_later_version_are_those_of_the_first(
    platform: Settings, tmp_path: Path
) -> None:
    source = tmp_path / "codes.csv"
    rows = "".join(f"{n:04d},{n}\n" for n in range(60))
    source.write_text(f"code,n\n{rows}")
    prepare_dataset(str(source))
    source.write_text("code,n\n" + "".join(f"{n + 1_000},{n}\n" for n in range(60)))

    later = prepare_dataset(str(source))

    schema = Catalogue(open_database(platform.database)).get(later).schema
    assert [(each["name"], each["type"], each["format"]) for each in schema["columns"]] == [
        ("code", "string", "text"),
        ("n", "int64", "whole"),
    ]
    source.write_text(f"code,n\n{rows}0060,many\n")
    with pytest.raises(MistypedValueError, match=r"line 62 .*'n'.*'many'"):
        prepare_dataset(str(source))


def test_the_same_file_read_otherwise_is_another_version(
    platform: Settings, store: LocalStore, tmp_path: Path
) -> None:
    source = tmp_path / "days.csv"
    source.write_text("day,n\n03/04/2020,1\n05/06/2020,2\n")
    first = ingest_dataset(str(source), "default", "days")

    told = ReadOptions(types={"day": "d/m/y"}, infer_again=True)
    second = ingest_dataset(str(source), "default", "days", options=told)

    catalogue = Catalogue(open_database(platform.database))
    assert (first.version, second.version) == (1, 2)
    assert read_frame(store, catalogue.get(second).frame_digest)["day"][0] == pd.Timestamp(
        "2020-04-03"
    )
    again = ingest_dataset(
        str(source), "default", "days", options=told, description=Description(owner="ann")
    )
    assert again == second
    assert catalogue.get(again).entry.owner == "ann"


def test_a_file_may_be_called_like_one_of_ours(platform: Settings, tmp_path: Path) -> None:
    pd.DataFrame({"n": range(9)}).to_parquet(tmp_path / "frame.parquet")
    open_store(platform.storage).move_file("uploads/1", tmp_path / "frame.parquet")

    dataset = ingest_dataset("upload://1/frame.parquet", "default", "frame")

    assert Catalogue(open_database(platform.database)).get(dataset).entry.rows == 9


def test_the_suite_of_a_dataset_that_is_not_there_is_not_drafted(
    platform: Settings, store: LocalStore, adult_csv: Path
) -> None:
    with pytest.raises(ArtifactNotFoundError, match="adlut"):
        validate_dataset(ingest(adult_csv), suite="adlut")

    assert list(store.keys("suites/")) == []


def test_a_masked_version_is_what_is_trusted(
    platform: Settings,
    store: LocalStore,
    tracking: Tracking,
    people_csv: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MILLRACE_PRIVACY__KEY", "a key of sixteen bytes")
    get_settings.cache_clear()
    request = TrainingRequest(target="left", budget_seconds=1, learners=("logistic_regression",))

    masked = prepare_dataset(str(people_csv), target="left", personal_data="mask")

    catalogue = Catalogue(open_database(platform.database))
    raw = DatasetRef(name="people", version=1)
    assert masked.name == "people_masked"
    assert catalogue.lineage(masked, "ancestors") == (raw,)
    frame = read_frame(store, catalogue.get(masked).frame_digest)
    assert not frame["email"].str.contains("@").any()
    assert frame["email"].nunique() == 80
    assert catalogue.get(raw).state == "ingested"
    fit_candidates(masked, request)


def test_types_hold_for_versions_that_are_only_masked(
    platform: Settings, people_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_PRIVACY__KEY", "a key of sixteen bytes")
    get_settings.cache_clear()
    prepare_dataset(str(people_csv), personal_data="mask")
    PEOPLE.assign(age="old").to_csv(people_csv, index=False)

    with pytest.raises(MistypedValueError, match="'age'"):
        prepare_dataset(str(people_csv), personal_data="mask")


def test_training_on_personal_data_is_refused_or_recorded(
    platform: Settings, tracking: Tracking, people_csv: Path
) -> None:
    dataset = prepare_dataset(str(people_csv))
    request = TrainingRequest(target="left", budget_seconds=1, learners=("logistic_regression",))

    with pytest.raises(PersonalDataError, match="email"):
        fit_candidates(dataset, request)

    trained = fit_candidates(dataset, request.model_copy(update={"allow_personal_data": True}))
    tags = tracking.lineage(trained.run_id)
    assert tags["millrace.personal_data"] == "allowed by the request: email"


def test_hashing_without_a_key_is_refused_and_leaves_nothing(
    platform: Settings, people_csv: Path
) -> None:
    with pytest.raises(MaskingError, match="MILLRACE_PRIVACY__KEY"):
        prepare_dataset(str(people_csv), personal_data="mask")

    versions = Catalogue(open_database(platform.database)).versions()
    assert [each.ref.name for each in versions] == ["people"]


def test_a_batch_is_held_to_the_suite_of_the_training_data(
    platform: Settings, adult: pd.DataFrame, adult_csv: Path, tmp_path: Path
) -> None:
    prepare_dataset(str(adult_csv))
    batch = tmp_path / "batch.csv"
    adult.drop(columns="income").head(100).to_csv(batch, index=False)

    prepare_dataset(str(batch), suite="adult", absent=("income",))

    adult.drop(columns="income").assign(age=1_000).head(90).to_csv(batch, index=False)
    with pytest.raises(DatasetRejectedError, match="age"):
        prepare_dataset(str(batch), suite="adult", absent=("income",))


def test_failing_rows_are_kept_whole(
    platform: Settings, store: LocalStore, adult: pd.DataFrame, adult_csv: Path
) -> None:
    prepare_dataset(str(adult_csv))
    adult.assign(age=adult["age"].mask(adult.index % 4 == 0, 5_000)).to_csv(adult_csv, index=False)

    with pytest.raises(DatasetRejectedError):
        prepare_dataset(str(adult_csv))

    kept = json.loads(store.read("validations/default/adult/2.json"))
    assert not kept["passed"]
    assert [each["row"] for each in kept["rows"][:3]] == [0, 4, 8]
    assert kept["rows"][1]["occupation"] == adult["occupation"][4]


def test_a_file_that_is_written_to_meanwhile_is_read_again(
    platform: Settings, adult_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer = ingestion.infer_file

    def disturbed(*given: object):
        adult_csv.write_bytes(adult_csv.read_bytes() + b"\n")
        return infer(*given)

    monkeypatch.setattr(ingestion, "infer_file", disturbed)
    with pytest.raises(SourceChangedError):
        ingest_dataset.fn(str(adult_csv), "default", "adult")


INGEST = """
import logging, sys
from tasks import ingestion
ingestion.get_run_logger = lambda: logging.getLogger("ingest")
print("started", flush=True)
print(ingestion.ingest_dataset.fn(sys.argv[1], "default", "flights"))
"""


def test_a_killed_ingestion_leaves_no_version_and_the_next_is_whole(
    platform: Settings, store: LocalStore, data_folder: Path
) -> None:
    source = data_folder / "nyc_flights.csv.gz"
    command = [sys.executable, "-c", INGEST, str(source)]
    catalogue = Catalogue(open_database(platform.database))
    for seconds in (0.2, 0.6, 1.0, 1.4):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            time.sleep(seconds)
            process.kill()
        for version in catalogue.versions():  # what can be found can be read
            assert len(read_frame(store, version.frame_digest, ["month"])) == 327_346

    two = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    answers = [each.communicate()[0].splitlines()[-1] for each in two]

    assert answers == ["default.flights v1"] * 2
    (version,) = catalogue.versions()
    assert store.read(f"raw/{version.source_digest}") == source.read_bytes()
    assert len(read_frame(store, version.frame_digest)) == version.entry.rows == 327_346
