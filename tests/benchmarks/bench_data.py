"""The data stages' figures, each beside its bar and its peer. Run with `make bench`.

Memory and throughput are taken in processes of their own, peers by turns with ours.
"""

from __future__ import annotations

import gzip
import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import great_expectations as gx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from great_expectations.core import ExpectationSuite

from infra.provenance import ROOT
from tasks.tabular import pii
from tasks.tabular.errors import TabularError
from tasks.tabular.expectations import check
from tasks.tabular.inference import infer_file
from tasks.tabular.masking import Mask, mask_values
from tasks.tabular.profiling import profile
from tasks.tabular.reading import convert, read_table
from tasks.tabular.reports import profile_page
from tests.benchmarks.figures import ROUNDS, note, show, take
from tests.benchmarks.planted import CLEAN, PERSONAL, planted
from tests.unit.tabular.dirty_files import CORPUS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(autouse=True)
def _only_when_asked(benchmark: BenchmarkFixture) -> None:
    if benchmark.disabled:
        pytest.skip("it takes minutes: run `make bench`")


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    yield
    show()


@pytest.fixture(scope="module")
def gigabyte(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of a gigabyte: the flights, again and again."""
    path = tmp_path_factory.mktemp("large") / "flights.csv"
    packed = (data_folder / "nyc_flights.csv.gz").read_bytes()
    header, body = gzip.decompress(packed).split(b"\n", 1)
    with path.open("wb") as file:
        file.write(header + b"\n")
        while file.tell() < 10**9:
            file.write(body)
    return path


_INGEST = """
import json, logging, sys, threading, time
import psutil
from tasks import ingestion
from infra.database.engine import open_database
from infra.settings import get_settings
ingestion.get_run_logger = lambda: logging.getLogger("bench")
open_database(get_settings().database)
process, peak, done = psutil.Process(), [0], threading.Event()
idle = process.memory_info().rss
def watch():
    while not done.wait(0.02):
        peak[0] = max(peak[0], process.memory_info().rss)
watching = threading.Thread(target=watch)
watching.start()
began = time.perf_counter()
ingestion.ingest_dataset.fn(sys.argv[1], "default", "flights")
seconds = time.perf_counter() - began
done.set()
watching.join()
print(json.dumps({"seconds": seconds, "megabytes": (peak[0] - idle) / 1e6}))
"""

_STREAM = """
import json, sys, time
from pyarrow import csv
began = time.perf_counter()
rows = sum(batch.num_rows for batch in csv.open_csv(sys.argv[1]))
print(json.dumps({"seconds": time.perf_counter() - began}))
"""


def _measured(script: str, path: Path, home: Path) -> dict[str, float]:
    settings = {
        "MILLRACE_STORAGE__KIND": "local",
        "MILLRACE_STORAGE__ROOT": str(home / "store"),
        "MILLRACE_DATABASE__URL": f"sqlite:///{home / 'millrace.db'}",
        "MILLRACE_SOURCES__STAGING": str(home / "staging"),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env=os.environ | settings,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def bench_read_and_version(benchmark: BenchmarkFixture, gigabyte: Path, tmp_path: Path) -> None:
    own: list[dict[str, float]] = []
    peer: list[dict[str, float]] = []

    def both() -> None:
        peer.append(_measured(_STREAM, gigabyte, tmp_path))
        own.append(_measured(_INGEST, gigabyte, tmp_path / f"home{len(own)}"))

    benchmark.pedantic(both, rounds=ROUNDS, iterations=1)

    ours, theirs = (statistics.median(each["seconds"] for each in runs) for runs in (own, peer))
    size = gigabyte.stat().st_size / 1e6
    ratio = statistics.median(b["seconds"] / a["seconds"] for a, b in zip(own, peer, strict=True))
    memory = statistics.median(each["megabytes"] for each in own)
    note("read + version 1 GB of CSV", f"{ours:.1f} s, {size / ours:.0f} MB/s", "")
    note("pyarrow.csv streaming alone", f"{theirs:.1f} s, {size / theirs:.0f} MB/s", "")
    note("throughput over pyarrow.csv's", f"{ratio:.2f}", ">= 0.5")
    note("peak memory above idle", f"{memory:.0f} MB", "<= 500 MB")


_YDATA = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import pandas as pd
from ydata_profiling import ProfileReport
frame = pd.read_parquet(sys.argv[1])
began = time.perf_counter()
ProfileReport(frame, minimal=True, progress_bar=False).to_html()
print(json.dumps({"seconds": time.perf_counter() - began}))
"""


@pytest.fixture(scope="module")
def ydata(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """Interpreter of an environment with ydata-profiling, where that installs."""
    folder = tmp_path_factory.mktemp("ydata")
    python = str(folder / "bin" / "python")
    uv = [str(ROOT / ".venv" / "bin" / "uv"), "pip", "install", "-q", "--python", python]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        subprocess.run([*uv, "ydata-profiling==4.18.*", "setuptools<81", "pyarrow"], check=True)
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None
    return python


def bench_profile(
    benchmark: BenchmarkFixture, data_folder: Path, tmp_path: Path, ydata: str | None
) -> None:
    path = tmp_path / "flights.parquet"
    done = convert(data_folder / "nyc_flights.csv.gz", path)
    schema = infer_file(path, done.missing, done.formats)
    reports = []

    def run() -> None:
        reports.append(profile(path, schema, "late"))
        profile_page(reports[-1], "flights")

    own = take(benchmark, f"profile {done.rows:,} x {len(schema.names)}", "<= 12 s", run)

    frame = pd.read_parquet(path)
    for column in reports[-1].columns:
        assert column.missing == frame[column.name].isna().sum()
        assert column.distinct == frame[column.name].nunique()
        if column.kind == "numeric":
            assert column.mean == pytest.approx(frame[column.name].mean())
            assert column.quantiles["0.25"] == pytest.approx(frame[column.name].quantile(0.25))
    if ydata is None:
        note("ydata-profiling, minimal", "does not install here", ">= 5 x ours")
        return
    command = [ydata, "-c", _YDATA, str(path)]
    times = []
    for _ in range(ROUNDS):
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        times.append(json.loads(answer.stdout.splitlines()[-1])["seconds"])
    peer = statistics.median(times)
    note("ydata-profiling, minimal", f"{peer:.1f} s, {peer / own:.1f} x ours", ">= 5 x ours")


def bench_validate(benchmark: BenchmarkFixture, rng: np.random.Generator, tmp_path: Path) -> None:
    rows, path = 1_000_000, tmp_path / "frame.parquet"
    numbers = {f"n{place}": rng.normal(size=rows) for place in range(14)}
    texts = {f"t{place}": rng.choice([*"abcdefgh"], rows) for place in range(8)}
    pd.DataFrame(numbers | texts | {"id": np.arange(rows)}).to_parquet(path)
    e = gx.expectations
    held = [
        *(e.ExpectColumnValuesToNotBeNull(column=name) for name in numbers),
        *(
            e.ExpectColumnValuesToBeBetween(column=name, min_value=-3, max_value=3, mostly=0.9)
            for name in numbers
        ),
        *(e.ExpectColumnValuesToBeInSet(column=name, value_set=[*"abcdefg"]) for name in texts),
        *(e.ExpectColumnValueLengthsToEqual(column=name, value=1) for name in texts),
        *(
            e.ExpectColumnMeanToBeBetween(column=f"n{n}", min_value=-1, max_value=1)
            for n in range(4)
        ),
        e.ExpectColumnValuesToBeUnique(column="id"),
        e.ExpectTableRowCountToBeBetween(min_value=1),
    ]
    suite = ExpectationSuite(name="fifty", expectations=held)
    reports = []

    take(
        benchmark,
        f"validate {rows:,} rows, {len(held)} expectations",
        "<= 20 s",
        lambda: reports.append(check(path, suite)),
    )

    assert reports[-1].checked == len(held) == 50
    assert {each.column for each in reports[-1].failures} == set(texts)


def bench_personal_data(
    benchmark: BenchmarkFixture, rng: np.random.Generator, tmp_path: Path
) -> None:
    source, path = tmp_path / "planted.csv", tmp_path / "planted.parquet"
    planted(rng, 1_000).to_csv(source, index=False)
    convert(source, path)
    found = []

    take(
        benchmark,
        f"personal data in {len(PERSONAL) + len(CLEAN)} columns",
        "none",
        lambda: found.append(pii.find(path)),
    )

    named = set(found[-1].unmasked)
    hits, false = named & set(PERSONAL), named & set(CLEAN)
    note(
        f"planted personal data: recall of {len(PERSONAL)} columns",
        f"{len(hits) / len(PERSONAL):.2f}",
        ">= 0.95",
    )
    note(
        f"planted personal data: precision beside {len(CLEAN)} look-alikes",
        f"{len(hits) / len(hits | false):.2f}",
        ">= 0.90",
    )


def bench_dirty_files(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    wrong: list[str] = []

    def read_all() -> None:
        wrong.clear()
        for place, file in enumerate(CORPUS):
            folder = tmp_path / f"{place}-{time.monotonic_ns()}"
            folder.mkdir()
            path = folder / file.file
            path.write_bytes(file.content)
            try:
                frame = read_table(path)
            except TabularError as error:
                if file.expected is not None or not all(w in str(error) for w in file.refused):
                    wrong.append(file.name)
            else:
                if file.expected is None or not frame.equals(file.expected):
                    wrong.append(file.name)

    benchmark.pedantic(read_all, rounds=1, iterations=1)

    note("dirty files read right or refused", f"{len(CORPUS) - len(wrong)} of {len(CORPUS)}", "all")


@pytest.mark.parametrize("policy", ["hash", "redact"])
def bench_mask(benchmark: BenchmarkFixture, policy: str) -> None:
    rows = 1_000_000
    values = pa.chunked_array([[f"user{n}@example.org" for n in range(rows)]])
    key, mask = b"a key of sixteen bytes", Mask(policy)
    times: list[float] = []

    def run() -> None:
        began = time.perf_counter()
        masked = mask_values(values, "email", mask, key)
        assert masked.null_count == 0
        times.append(time.perf_counter() - began)

    benchmark.pedantic(run, rounds=ROUNDS, iterations=1)

    speed = rows / statistics.median(times)
    note(f"mask 1,000,000 different values by {policy}", f"{speed:,.0f} /s", ">= 200,000 /s")
