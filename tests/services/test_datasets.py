from __future__ import annotations

import hashlib
import io
import threading
import time
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.gateway.app import create_app
from infra.refs import DatasetRef
from infra.settings import Settings, get_settings
from infra.storage import open_store
from tasks import ingestion
from tasks.ingestion import Description
from tasks.tabular.errors import TabularError
from tests.services.neighbours import JsonHandler, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = {"Authorization": "Bearer platform-token"}
CONTENT = "name,age\nann,31\nbob,42\ncid,53\n"


class Prefect(ThreadingHTTPServer):
    """Prefect's API as far as the gateway asks it; a started run really ingests its source.

    The flow itself runs in the tests of the stack, where Prefect is the real one.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.parameters: dict[str, Any] = {}
        self.state = {"type": "COMPLETED", "name": "Completed", "message": None}
        self.forgets = False

    def start_run(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        source, project, name = (parameters[key] for key in ("source", "project", "name"))
        try:
            ingestion.ingest_dataset.fn(
                source, project, name, description=Description(**parameters["description"])
            )
        except TabularError as error:
            self.state = {"type": "FAILED", "name": "Failed", "message": str(error)}


class _Handler(JsonHandler):
    server: Prefect

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        if self.server.forgets and "/flow_runs/" in self.path:
            self.answer({"detail": "Flow run not found"}, 404)
        else:
            self.answer({"id": "d", "state": self.server.state})

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = self.body()
        if self.path.endswith("create_flow_run"):
            self.server.start_run(body["parameters"])
        self.answer({"id": "00000000-0000-4000-8000-000000000001"})


@pytest.fixture
def prefect(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prefect]:
    server = Prefect()
    monkeypatch.setenv("MILLRACE_ORCHESTRATOR__URL", f"http://127.0.0.1:{server.server_port}/api")
    monkeypatch.setenv("MILLRACE_GATEWAY__TOKEN", "platform-token")
    monkeypatch.setenv("MILLRACE_GATEWAY__BODY_LIMIT_BYTES", "1000")
    monkeypatch.setenv("MILLRACE_GATEWAY__UPLOAD_LIMIT_BYTES", "100000")
    monkeypatch.setattr(ingestion, "_tell", lambda _version: None)  # outside a run, nobody to tell
    get_settings.cache_clear()
    with serving(server):
        yield server


@pytest.fixture
def client(prefect: Prefect) -> Iterator[TestClient]:
    with TestClient(create_app(get_settings()), raise_server_exceptions=False) as each:
        yield each


def upload(client: TestClient, content: str = CONTENT, name: str = "My DataSet.csv", **form: Any):
    return client.post("/datasets/upload", files={"file": (name, content.encode())}, data=form)


PATH = "/datasets/default/my_dataset/versions/1"


def test_an_upload_becomes_a_version(client: TestClient) -> None:
    answer = upload(client)

    assert answer.status_code == 201
    body = answer.json()
    assert (body["name"], body["version"], body["rows"]) == ("my_dataset", 1, 3)
    assert body["sha256"] == hashlib.sha256(CONTENT.encode()).hexdigest()
    assert [(each["name"], each["type"]) for each in body["schema"]] == [
        ("name", "string"),
        ("age", "int64"),
    ]
    assert client.get(PATH).json() == body


def test_the_same_bytes_are_the_same_version(client: TestClient) -> None:
    assert upload(client).status_code == 201
    again = upload(client)

    assert (again.status_code, again.json()["version"]) == (200, 1)
    assert upload(client, CONTENT + "dan,9\n").json()["version"] == 2


def test_what_is_uploaded_is_told_to_the_flow_and_forgotten(
    client: TestClient, prefect: Prefect
) -> None:
    upload(client, target="age", owner="ann", project="hr", name="../../a b.csv")

    asked = prefect.parameters
    assert (asked["project"], asked["name"], asked["target"]) == ("hr", "a_b", "age")
    assert asked["description"] == {"owner": "ann", "description": ""}
    assert unquote(urlsplit(asked["source"]).path) == "/a b.csv"
    with TestClient(create_app(get_settings())):  # a moment in which the run is seen to end
        pass
    assert list(open_store(get_settings().storage).keys("uploads/")) == []


def test_an_upload_whose_run_was_deleted_is_forgotten(client: TestClient, prefect: Prefect) -> None:
    prefect.forgets = True

    assert upload(client).status_code == 404
    with TestClient(create_app(get_settings())):  # a moment, as above
        pass
    assert list(open_store(get_settings().storage).keys("uploads/")) == []


def test_a_bad_file_is_refused_with_cause(client: TestClient) -> None:
    answer = upload(client, "a,b\n1\n")

    assert answer.status_code == 422
    assert "line 2" in answer.json()["detail"]
    assert client.get("/datasets").json() == []


def test_a_run_that_takes_longer_is_answered_before_it_ends(
    client: TestClient, prefect: Prefect
) -> None:
    prefect.state = {"type": "RUNNING", "name": "Running", "message": None}
    threading.Timer(2.0, prefect.state.update, [{"type": "COMPLETED"}]).start()

    answer = upload(client, wait_seconds=0)

    assert answer.status_code == 202
    assert answer.json()["flow_run"] == "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        pytest.param("x" * 200_000, {}, 413, id="too large"),
        pytest.param(CONTENT, {"Origin": "https://evil.example"}, 401, id="from another site"),
    ],
)
def test_an_upload_that_may_not_be_is_refused(
    client: TestClient, content: str, headers: dict[str, str], status: int
) -> None:
    files = {"file": ("a.csv", content.encode())}

    answer = client.post("/datasets/upload", files=files, headers=headers)

    assert answer.status_code == status
    assert client.get("/datasets").json() == []


def test_a_body_that_grows_too_large_is_cut_off(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        for _ in range(40):
            yield b"1,2\n" * 1_000

    answer = client.post(
        "/datasets/upload",
        content=chunks(),
        headers={"content-type": "multipart/form-data; boundary=x"},
    )

    assert answer.status_code == 413


def test_uploads_that_nobody_watches_are_forgotten_when_the_gateway_starts(
    prefect: Prefect, platform: Settings
) -> None:
    store = open_store(platform.storage)
    old, new = (f"uploads/{time.time() - age:.0f}-x" for age in (200_000, 10))
    for key in (old, new):
        store.write(key, b"content")

    with TestClient(create_app(get_settings())):
        deadline = time.monotonic() + 10
        while list(store.keys("uploads/")) != [new]:  # beside the start, not before it
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_gateway_starts_while_the_store_is_away(
    prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MILLRACE_STORAGE__ROOT")
    for name, value in {
        "KIND": "s3",
        "BUCKET": "bucket",
        "ENDPOINT": "127.0.0.1:1",
        "ACCESS_KEY": "nobody",
        "SECRET_KEY": "nothing",
    }.items():
        monkeypatch.setenv(f"MILLRACE_STORAGE__{name}", value)
    get_settings.cache_clear()

    with TestClient(create_app(get_settings())) as client:
        assert client.get("/health/live").is_success


def test_a_file_without_a_usable_name_is_refused(client: TestClient) -> None:
    assert upload(client, name="???.csv").status_code == 422


def test_the_original_comes_back_to_the_byte(client: TestClient) -> None:
    upload(client)

    answer = client.get(f"{PATH}/raw")

    assert answer.content == CONTENT.encode()
    assert "attachment" in answer.headers["content-disposition"]


def test_rows_come_in_pages(client: TestClient) -> None:
    upload(client)

    page = client.get(f"{PATH}/data", params={"limit": 2, "offset": 1})
    parquet = client.get(f"{PATH}/data", params={"format": "parquet", "offset": 2})

    assert page.text == '"name","age"\n"bob",42\n"cid",53\n'
    assert page.headers["x-total-rows"] == "3"
    assert pd.read_parquet(io.BytesIO(parquet.content)).to_dict("list") == {
        "name": ["cid"],
        "age": [53],
    }
    assert client.get(f"{PATH}/data", params={"offset": 99}).text == '"name","age"\n'


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/datasets/default/nothing/versions/1", 404),
        (f"{PATH}/profile", 404),
        (f"{PATH}/else", 422),
        (f"{PATH}/data?limit=0", 422),
        (f"{PATH}/data?offset=-1", 422),
        (f"{PATH}/data?format=exe", 422),
        ("/datasets/default/..%2F..%2Fetc/versions/1", 404),
        ("/datasets/default/UPPER/versions/1", 422),
        ("/datasets/default/my_dataset/versions/0", 422),
        ("/datasets/default/my_dataset/versions/99999999999999999999", 422),
    ],
)
def test_what_is_not_there_is_no_crash(client: TestClient, path: str, status: int) -> None:
    upload(client)

    assert client.get(path).status_code == status


def test_lineage_and_search_are_answered(client: TestClient) -> None:
    upload(client, description="People of the office")

    assert client.get(f"{PATH}/lineage").json() == {"ancestors": [], "descendants": []}
    assert [each["name"] for each in client.get("/datasets?text=OFFICE").json()] == ["my_dataset"]
    assert client.get("/datasets?project=other").json() == []


def test_pages_run_no_scripts(client: TestClient, platform: Settings) -> None:
    upload(client)
    open_store(platform.storage).write("profiles/default/my_dataset/1.html", b"<h1>Profile</h1>")

    answer = client.get(f"{PATH}/profile")

    assert answer.text == "<h1>Profile</h1>"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_deleting_needs_the_token_and_leaves_a_tombstone(
    client: TestClient, platform: Settings
) -> None:
    upload(client)

    assert client.delete(PATH).status_code == 401
    assert client.delete(PATH, params={"because": "a wish"}, headers=TOKEN).status_code == 204

    gone = client.get(PATH)
    assert (gone.status_code, "a wish" in gone.json()["detail"]) == (410, True)
    assert client.get(f"{PATH}/raw").status_code == 410
    catalogue = Catalogue(open_database(platform.database))
    assert catalogue.lineage(DatasetRef(name="my_dataset", version=1), "ancestors") == ()
    assert upload(client).json()["version"] == 2
