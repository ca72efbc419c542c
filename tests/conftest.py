"""What many tests share: seeded randomness, real data, a platform of its own per test."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch
from uuid import uuid4

import hypothesis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.testing.utilities import prefect_test_harness
from pydantic import SecretStr

from infra.database.engine import open_database
from infra.ports import find_free
from infra.provenance import ROOT
from infra.settings import S3Storage, Settings, TrackingSettings, get_settings
from infra.storage.local import LocalStore
from infra.tracking import Tracking
from tasks.tabular.inference import infer_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.tabular.schema import Schema

hypothesis.settings.register_profile(
    "shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared")  # the machine is shared: slow is not wrong

S3 = ROOT / "infra" / "local" / "s3.sh"
ADULT = ROOT / "infra" / "local" / "data" / "adult.csv.gz"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def adult() -> pd.DataFrame:
    """The first 3,000 rows of the bundled census data."""
    return pd.read_csv(ADULT, nrows=3_000)


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[pd.DataFrame], tuple[Path, Schema]]:
    """What a frame is in the store: a Parquet file in row groups, and its schema."""

    def store(frame: pd.DataFrame) -> tuple[Path, Schema]:
        path = tmp_path / f"{uuid4().hex}.parquet"
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table, path, row_group_size=1_000)
        return path, infer_file(path, {name: table[name].null_count for name in table.column_names})

    return store


@pytest.fixture
def adult_csv(adult: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "adult.csv"
    adult.to_csv(path, index=False)
    return path


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings of a platform that works alone, with all its files under a temporary folder."""
    home = tmp_path / "home"
    for name in [each for each in os.environ if each.startswith("MILLRACE_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "STORAGE__KIND": "local",
        "STORAGE__ROOT": str(home / "store"),
        "DATABASE__URL": f"sqlite:///{home / 'millrace.db'}",
        "TRACKING__URL": f"sqlite:///{home / 'mlflow.db'}",
        "TRACKING__ARTIFACTS": str(home / "artifacts"),
        "SERVING__HOME": str(home / "serving"),
        "STACK__HOME": str(home),
        "SOURCES__STAGING": str(home / "staging"),
    }.items():
        monkeypatch.setenv(f"MILLRACE_{name}", value)
    get_settings.cache_clear()
    yield get_settings()
    open_database(get_settings().database).dispose()
    open_database.cache_clear()
    get_settings.cache_clear()


@pytest.fixture
def store(platform: Settings) -> LocalStore:
    return LocalStore(platform.storage.root)


@pytest.fixture(scope="session")
def _empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without content; making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    Tracking(TrackingSettings(url=f"sqlite:///{path}")).aliased(())
    return path


@pytest.fixture
def tracking(platform: Settings, _empty_registry: Path) -> Tracking:
    path = Path(platform.tracking.url.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(_empty_registry, path)
    return Tracking(platform.tracking)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets; tests that need one are skipped where it is absent."""
    folder = Path(os.environ.get("MILLRACE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set MILLRACE_DATA to the folder of data sets")
    return folder


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[None]:
    """One temporary Prefect server for the session."""
    with (
        # the harness would take a port that the system may give to a client at any time
        patch("prefect.testing.utilities._find_available_port", lambda: find_free(25000, 25900)),
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@pytest.fixture(autouse=True)
def _prefect_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("prefect"):
        request.getfixturevalue("prefect_api")


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server: Ceph's gateway from Debian's packages, where they are installed."""
    if any(shutil.which(each) is None for each in ("radosgw", "ceph-mon", "ceph-osd")):
        pytest.skip("no S3 server: install Debian's radosgw, ceph-mon and ceph-osd")
    folder = tmp_path_factory.mktemp("s3")
    port = find_free(22000, 22900)
    subprocess.run([S3, "start", folder, str(port)], check=True, capture_output=True)
    yield f"127.0.0.1:{port}"
    subprocess.run([S3, "stop", folder], check=True)


@pytest.fixture
def s3(s3_endpoint: str) -> S3Storage:
    return S3Storage(
        bucket=f"test-{uuid4().hex[:12]}",
        endpoint=s3_endpoint,
        secure=False,
        access_key=SecretStr("millrace"),
        secret_key=SecretStr("millrace-secret"),
    )
