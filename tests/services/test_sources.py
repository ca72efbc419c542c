from __future__ import annotations

import gzip
import io
import shutil
import sqlite3
import tempfile
import threading
import traceback
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import sources
from infra.errors import ServiceUnavailableError, SourceError, SourceOfflineError, TransientError
from infra.local import postgres
from infra.local.layout import Layout
from infra.settings import S3Storage, Settings, SourceSettings, StackSettings
from infra.sources.sql import _ROWS
from infra.storage import open_store
from tasks.tabular.reading import ReadOptions, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Fetch = Callable[..., Path]


TOKEN = {"kaggle_username": "somebody", "kaggle_key": "hush-key"}
BASIC = "Basic c29tZWJvZHk6aHVzaC1rZXk="
CITIES = "/api/v1/datasets/download/owner/cities"
CSV = b"city,people\nOslo,700000\nBergen,290000\n"


class Site(ThreadingHTTPServer):
    """A web site that notes who connects, and what is asked with which credentials."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.connections, self.wanted, self.fallback = 0, None, (404, b"")
        self.received, self.pages = [], {}

    def verify_request(self, *_arguments: object) -> bool:
        self.connections += 1
        return True


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        given = self.headers.get("authorization")
        self.server.received.append((self.path, given))
        status, body, *headers = self.server.pages.get(self.path, self.server.fallback)
        if self.server.wanted not in {None, given}:
            status, body, headers = 403 if given else 401, b"", []
        self.send_response(status)
        for name, value in ({"content-length": len(body)} | dict(headers)).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None: ...


def serve() -> Iterator[Site]:
    with Site() as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


site, other_site = pytest.fixture(serve, name="site"), pytest.fixture(serve, name="other_site")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=tmp_path))


@pytest.fixture
def fetch(platform: Settings, folder: Path) -> Fetch:
    """`sources.fetch` into `folder`, from local servers too, with settings changed at will."""

    def call(source: str, query: str | None = None, **changes: object) -> Path:
        chosen = SourceSettings(**{"private_hosts": True, "timeout_seconds": 5} | changes)
        return sources.fetch(source, folder, platform.model_copy(update={"sources": chosen}), query)

    return call


def told(error: BaseException) -> str:  # what a log would show, causes included
    return "".join(traceback.format_exception(error))


SECRETIVE = """postgresql+psycopg2://me:hush@db/sales postgresql://me:hush@hush@db/sales
    mysql://me:hush@db:3306/x HTTPS://:hush@h/x https://me:%40hush%2F@h/x.csv?token=hush#hush"""


@pytest.mark.parametrize("source", SECRETIVE.split())
def test_a_password_is_refused_and_not_repeated(source: str) -> None:
    with pytest.raises(SourceError, match="password") as caught:
        sources.check(source)

    assert "hush" not in told(caught.value) + sources.shown(source)


@pytest.mark.parametrize(
    ("source", "shown", "name"),
    [
        ("mysql://me:hush@db/sales", "mysql://me@db/sales", "sales"),
        ("/a b/me:x@y.csv", "/a b/me:x@y.csv", "me:x@y.csv"),
        ("https://h/a/x.csv.gz?signature=hush#hush", "https://h/a/x.csv.gz", "x.csv.gz"),
    ],
)
def test_a_source_is_shown_and_named_without_secrets(source: str, shown: str, name: str) -> None:
    assert (sources.shown(source), sources.file_name(source)) == (shown, name)
    sources.check(shown)


WANTED = {
    "kaggle:// kaggle://owner kaggle://owner/ kaggle:///cities": "kaggle://owner/dataset/file",
    "s3:// s3://bucket s3://bucket/ s3:///key": "s3://bucket/key",
    "example:// example://titanic": "iris, wine, breast_cancer, diabetes, digits",
}


@pytest.mark.parametrize("addresses", WANTED)
def test_half_an_address_is_completed(fetch: Fetch, addresses: str) -> None:
    for address in addresses.split():
        with pytest.raises(SourceError, match=WANTED[addresses]):
            fetch(address, **TOKEN)


def test_a_local_file_stays_where_it_is(fetch: Fetch) -> None:
    assert fetch("/data/x.csv") == fetch("file:///data/x.csv") == Path("/data/x.csv")


FILES = {
    ("sales.tsv?v=1.2", "text/csv"): "sales.tsv",
    ("export?format=.x", "text/csv; charset=utf-8"): "export.csv",
    ("export/", "Application/Zip"): "export.zip",
    ("", "application/vnd.apache.parquet"): "download.parquet",
    ("My%20Sales.csv", "text/html"): "My Sales.csv",
    ("..%2F..%2Fetc%2Fpasswd", ""): "passwd",
}


@pytest.mark.parametrize("asked", FILES)
def test_address_and_type_name_a_file(fetch: Fetch, site: Site, folder: Path, asked: tuple) -> None:
    path, kind = asked
    site.fallback = (200, CSV, ("content-type", kind))

    assert fetch(f"{site.url}/{path}") == folder / FILES[asked]
    assert [each.name for each in folder.iterdir()] == [FILES[asked]]


def test_going_in_circles_ends(fetch: Fetch, site: Site) -> None:
    site.fallback = (301, b"", ("location", "/again"))

    with pytest.raises(SourceError, match="redirects"):
        fetch(site.url)

    assert 1 < len(site.received) <= 10


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 503])
def test_what_may_pass_is_tried_again(fetch: Fetch, site: Site, folder: Path, status: int) -> None:
    site.fallback = (status, b"sorry")
    passes = status in {429, 500, 503}

    with pytest.raises(ServiceUnavailableError if passes else SourceError) as caught:
        fetch(f"{site.url}/x.csv")

    assert isinstance(caught.value, TransientError) == passes
    assert str(status) in caught.value.reason
    assert list(folder.iterdir()) == []


def test_a_body_comes_byte_for_byte_up_to_the_limit(fetch: Fetch, site: Site) -> None:
    content = bytes(range(256)) * 10_000
    site.pages = {"/fits": (200, content), "/more": (200, content + b"x")}

    assert fetch(f"{site.url}/fits", limit_bytes=2_560_000).read_bytes() == content
    with pytest.raises(SourceError, match="2,560,000 bytes"):
        fetch(f"{site.url}/more", limit_bytes=2_560_000)


def test_what_comes_packed_stays_so_and_says_so(fetch: Fetch, site: Site) -> None:
    site.fallback = (200, gzip.compress(CSV), ("content-encoding", "gzip"))

    for asked in ("x.csv", "x.csv.gz"):
        path = fetch(f"{site.url}/{asked}")
        assert (path.name, gzip.decompress(path.read_bytes())) == ("x.csv.gz", CSV)


@pytest.mark.parametrize("how", ["content-length 100", "transfer-encoding chunked"])
def test_a_body_that_ends_early_is_no_file(fetch: Fetch, site: Site, how: str) -> None:
    site.fallback = (200, b"5\r\nhello\r\n", how.split())

    with pytest.raises(ServiceUnavailableError):
        fetch(f"{site.url}/x.csv")


INSIDE = """127.0.0.1 localhost LocalHost 127.1 2130706433 0x7f.1 0.0.0.0 [::1] [::ffff:127.0.0.1]
    [fd00::1] 10.0.0.1 169.254.169.254 192.168.1.1"""


@pytest.mark.parametrize("host", INSIDE.split())
def test_nobody_inside_the_network_is_asked(fetch: Fetch, site: Site, host: str) -> None:
    for scheme, says in (("https", "inside the network"), ("http", "only https")):
        with pytest.raises(SourceError, match=says):
            fetch(f"{scheme}://{host}:{site.server_port}/x.csv", private_hosts=False)

    assert site.connections == 0


def zipped(*names: str) -> tuple[Any, ...]:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, CSV)
    return 200, content.getvalue(), ("content-type", "application/zip")


@pytest.fixture
def kaggle(site: Site, fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """`fetch` for a Kaggle that packs one file if it is large, and all files; without a token."""
    site.wanted = BASIC
    site.pages = {CITIES: zipped("large.csv", "small.csv"), f"{CITIES}/small.csv": (200, CSV)}
    site.pages[f"{CITIES}/large.csv"] = zipped("large.csv")
    monkeypatch.delenv("KAGGLE_USERNAME", raising=False)
    monkeypatch.delenv("KAGGLE_KEY", raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    return partial(fetch, kaggle_url=f"{site.url}/api/v1/")


KEPT = {"": "cities.zip", "/large.csv": "large.csv.zip", "/small.csv": "small.csv"}


@pytest.mark.parametrize("file", KEPT)
def test_what_kaggle_sends_can_be_read(kaggle: Fetch, folder: Path, file: str) -> None:
    path = kaggle(f"kaggle://owner/cities{file}", **TOKEN)
    frame = read_table(path, ReadOptions(member="large.csv"))

    assert list(folder.iterdir()) == [path] == [folder / KEPT[file]]
    assert frame.equals(pd.read_csv(io.BytesIO(CSV)))


def test_the_token_stays_with_kaggle(kaggle: Fetch, site: Site, other_site: Site) -> None:
    other_site.pages["/files/7"] = zipped("large.csv")
    site.pages[CITIES] = (302, b"", ("location", "/moved"))
    site.pages["/moved"] = (302, b"", ("location", f"{other_site.url}/files/7"))

    assert read_table(kaggle("kaggle://owner/cities", **TOKEN)).shape == (2, 2)
    assert site.received == [(CITIES, BASIC), ("/moved", BASIC)]
    assert other_site.received == [("/files/7", None)]


def test_kaggle_s_own_places_name_the_token(
    kaggle: Fetch, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kaggle.json"
    file.write_text('{"username": "somebody", "key": "hush-key"}')
    kaggle("kaggle://owner/cities")
    file.unlink()
    monkeypatch.setenv("KAGGLE_USERNAME", "somebody")
    monkeypatch.setenv("KAGGLE_KEY", "hush-key")
    kaggle("kaggle://owner/cities")

    assert site.received == [(CITIES, BASIC)] * 2


def test_without_a_token_it_is_said_what_to_set(kaggle: Fetch, site: Site, tmp_path: Path) -> None:
    for content in (None, "", "{}", "[]", '{"username": "somebody"}'):
        if content is not None:
            (tmp_path / "kaggle.json").write_text(content)
        with pytest.raises(SourceError, match=r"KAGGLE_USERNAME and KAGGLE_KEY.*kaggle\.json"):
            kaggle("kaggle://owner/cities")

    assert site.connections == 0


@pytest.mark.parametrize("change", ["kaggle_username", "kaggle_url"])
def test_neither_denied_nor_offline_is_the_token_told(kaggle: Fetch, change: str) -> None:
    with pytest.raises((SourceError, SourceOfflineError)) as caught:
        kaggle("kaggle://owner/cities", **TOKEN | {change: "http://127.0.0.1:1"})

    assert caught.value.status == (424 if change == "kaggle_url" else 422)
    assert not [each for each in ("hush", BASIC[-12:]) if each in told(caught.value)]


COUNT = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {_ROWS}) SELECT"


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "sales.db") as connection:
        connection.execute("CREATE TABLE sales (id INTEGER, price REAL, item TEXT, note TEXT)")
        connection.execute("INSERT INTO sales VALUES (9007199254740993, 2.5, 'cut 🍰', NULL)")
        connection.execute("INSERT INTO sales VALUES (NULL, 3, '', 'late')")
    return f"sqlite:///{tmp_path}/sales.db"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The embedded PostgreSQL; outside pytest's folder, which its user may not enter."""
    with tempfile.TemporaryDirectory(prefix="millrace-") as home:
        layout = Layout(Settings(stack=StackSettings(home=home)))
        postgres.initialise(layout)
        control = partial(postgres._run, "pg_ctl", "-D", str(layout.postgres))
        control("-l", f"{layout.postgres}/log", "-o", f"-h '' -k {layout.postgres_socket}", "start")
        yield f"postgresql://postgres:hush@/millrace?host={layout.postgres_socket}"
        control("-m", "fast", "stop")
        shutil.rmtree(layout.runtime)


def test_rows_of_a_named_database_keep_values_and_types(
    platform: Settings, sqlite: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_SOURCES__DATABASES__WAREHOUSE", sqlite)

    query = "SELECT * FROM sales ORDER BY price"
    table = pq.read_table(sources.fetch("sql://warehouse", folder, Settings(), query))

    rows = [list(row.values()) for row in table.to_pylist()]
    assert rows == [[9007199254740993, 2.5, "cut 🍰", None], [None, 3.0, "", "late"]]
    assert [str(each) for each in table.schema.types] == ["int64", "double", "string", "string"]


QUESTIONS = {
    ("sql://sales", "SELECT 1"): r"lake, odd.*MILLRACE_SOURCES__DATABASES__SALES",
    ("sql://odd", "SELECT 1"): "none SQLAlchemy knows",
    ("sql://lake", None): "give the query",
    ("sql://lake", "DELETE FROM sales"): "no rows; use a SELECT",
    ("sql://lake", "SELECT * FROM missing"): "no such table: missing",
    ("sql://lake", "SELECT id FROM sales UNION SELECT item FROM sales"): "'id'.*cast it",
    ("sql://lake", f"{COUNT} iif(i < {_ROWS}, i, 'x') AS price FROM n"): "price.*cast it",
}


@pytest.mark.parametrize("asked", QUESTIONS)
def test_a_wrong_question_is_explained(fetch: Fetch, sqlite: str, asked: tuple) -> None:
    databases = {"lake": sqlite, "odd": "nosuchbase://me:hush@db/x"}

    with pytest.raises(SourceError, match=QUESTIONS[asked]) as caught:
        fetch(*asked, databases=databases)

    assert "hush" not in told(caught.value)
    assert read_table(fetch(sqlite, "SELECT * FROM sales")).shape == (2, 4)


def test_an_empty_answer_has_its_columns(fetch: Fetch, sqlite: str) -> None:
    path = fetch(sqlite, "SELECT item, price FROM sales WHERE price > 100")

    assert pq.read_table(path).to_pydict() == {"item": [], "price": []}


@pytest.mark.parametrize("kinds", [(None, 0.1), (None, 2**53 + 1), (None, "text"), (7, 0.1)])
def test_a_column_may_show_late_what_it_is(fetch: Fetch, sqlite: str, kinds: tuple) -> None:
    query = f"{COUNT} iif(i < {_ROWS}, {kinds[0]!r}, {kinds[1]!r}) AS x FROM n"

    table = pq.read_table(fetch(sqlite, query.replace("None", "NULL")))

    assert table.column("x").to_pylist() == [kinds[0]] * _ROWS + [kinds[1]]


def test_a_long_answer_is_streamed_with_its_types(fetch: Fetch, server: str, folder: Path) -> None:
    query = """SELECT i, i % 2 = 0 AS even, CASE WHEN i > 60000 THEN i / 4.0 END AS late,
        lpad(i::text, 32, '0')::uuid AS id, date '2024-02-29' AS day,
        timestamp '2024-01-01 12:30' AS local, timestamptz '2024-01-01 01:00+01'
        + i * interval '1 minute' AS at FROM generate_series(1, 120000) AS i"""

    path = fetch(server, query)
    frame = read_table(path)

    assert list(folder.iterdir()) == [path]
    assert pa.types.is_decimal(pq.read_schema(path).field("late").type)
    assert frame["i"].tolist() == list(range(1, 120_001))
    assert (frame["even"].sum(), frame["late"].count()) == (60_000, 60_000)
    assert [str(each) for each in frame.iloc[-1]] == [
        *("120000", "True", "30000.0", "00000000-0000-0000-0000-000000120000"),
        *("2024-02-29 00:00:00", "2024-01-01 12:30:00", "2024-03-24 08:00:00+00:00"),
    ]


REFUSALS = {
    ("", "SELECT 1 / 0"): SourceError,
    ("", "SELECT pg_terminate_backend(pg_backend_pid())"): ServiceUnavailableError,
    ("/nowhere", "SELECT 1"): ServiceUnavailableError,
}


@pytest.mark.parametrize("asked", REFUSALS)
def test_a_refusal_is_told_without_the_password(fetch: Fetch, server: str, asked: tuple) -> None:
    with pytest.raises(REFUSALS[asked], match="postgres@") as caught:
        fetch(server + asked[0], asked[1])

    assert "hush" not in told(caught.value)


@pytest.mark.services
def test_an_object_comes_from_any_bucket(platform: Settings, s3: S3Storage, folder: Path) -> None:
    open_store(s3).write("2024/My Sales.csv", CSV)
    settings = platform.model_copy(update={"storage": s3.model_copy(update={"bucket": "own"})})

    path = sources.fetch(f"s3://{s3.bucket}/2024/My Sales.csv", folder, settings)

    assert (path, path.read_bytes()) == (folder / "My Sales.csv", CSV)
    with pytest.raises(SourceError, match="no such object"):
        sources.fetch(f"s3://{s3.bucket}/missing.csv", folder, settings)


def test_an_upload_is_called_as_it_was(platform: Settings, fetch: Fetch, folder: Path) -> None:
    open_store(platform.storage).write("uploads/7f", CSV)

    path = fetch("upload://7f/..%2FMy%20Sales%231.csv")

    assert (path, path.read_bytes()) == (folder / "My Sales#1.csv", CSV)
    with pytest.raises(SourceError, match="no such object"):
        fetch("upload://80/My%20Sales%231.csv")


def test_iris_is_there_with_its_classes(fetch: Fetch) -> None:
    frame = pd.read_csv(fetch("example://iris"))

    assert frame.shape == (150, 5)
    assert dict(frame["target"].value_counts()) == {"setosa": 50, "versicolor": 50, "virginica": 50}
