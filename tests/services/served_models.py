"""Small models as Bentos, and ways to ask them: over HTTP, or in this process without a socket."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import cloudpickle
import httpx
import msgspec
import numpy as np
import pandas as pd

from bento.segment import SUFFIX, read_segment
from infra.ports import find_free
from infra.provenance import ROOT
from infra.serving import bentos
from infra.tracking import PLAN_ABOUT, PLAN_FILE
from tasks.tabular import packing
from tasks.tabular.compiled import compile_model
from tasks.tabular.evidence import json_rows
from tasks.tabular.features import usable
from tasks.tabular.learners import LEARNERS, make_model, predict_scores
from tasks.tabular.plans.plan import dump_plan
from tasks.tabular.problem import Problem, identify
from tasks.tabular.schema import Schema, conform, infer
from tests.template import load_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ADULT = ROOT / "infra" / "local" / "data" / "adult.csv.gz"
ASKED = 40
"""Rows of every model that tests ask for and whose answers by the fitted pipeline are known."""


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline, what it was fitted for, and what it answers to `frame`."""

    pipeline: Any
    schema: Schema
    problem: Problem
    frame: pd.DataFrame
    title: str

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """`frame` as JSON values."""
        return json_rows(self.frame)

    @cached_property
    def scores(self) -> list[Any]:
        """What the pipeline answers to `frame`."""
        return np.asarray(predict_scores(self.pipeline, self.frame, self.problem)).tolist()

    def manifest(self, name: str) -> dict[str, Any]:
        return {
            "model": name,
            "version": 3,
            "run_id": "0" * 32,
            "title": self.title,
            "threshold": 0.5,
            "sample": self.rows[:2],
            "schema": self.schema.to_json(),
            "problem": self.problem.to_json(),
        }


@dataclass(frozen=True)
class Served:
    """A Bento and the fitted model it was made of."""

    name: str
    bento: Path
    fitted: Fitted

    @property
    def source(self) -> Path:
        return self.bento / "src"


def fit_income() -> Fitted:
    """LightGBM on 2,000 rows of the census: gaps in three texts, two classes."""
    table = pd.read_csv(ADULT, nrows=2_600)
    return _fit(table, "income", "lightgbm", {"n_estimators": 40}, "Lightgbm")


def crops(rows: int = 500) -> pd.DataFrame:
    """A column of each kind: dates, whole numbers, fractions and texts with gaps, truths."""
    rng = np.random.default_rng(7)
    table = pd.DataFrame(
        {
            "sown": pd.Timestamp("2024-03-01")
            + pd.to_timedelta(rng.integers(0, 400 * 86_400, rows), unit="s"),
            "plants": rng.integers(10, 500, rows),
            "visits": rng.integers(0, 9, rows).astype(float),
            "rain": rng.normal(600, 90, rows).round(1),
            "soil": rng.choice(["clay", "loam", "sand"], rows),
            "irrigated": rng.random(rows) < 0.4,
        }
    )
    weight = table["plants"] * 0.02 + table["rain"] * 0.004 + table["irrigated"] * 1.5
    table["weight"] = weight + rng.normal(0, 0.1, rows)
    table.loc[::9, "rain"] = np.nan
    table.loc[::7, "visits"] = np.nan
    table.loc[::11, "soil"] = None
    return table


def fit_crops() -> Fitted:
    """A linear regression, which answers huge numbers to huge numbers."""
    return _fit(crops(), "weight", "ridge", {}, "Ridge")


def _fit(table: pd.DataFrame, target: str, learner: str, params: dict, title: str) -> Fitted:
    problem = identify(table, target)
    schema = _stored(usable(infer(table), target), table)
    features, cut = conform(table, schema), len(table) * 4 // 5
    made = make_model(LEARNERS[learner], params, problem, schema, seed=0, threads=1)
    made.pipeline.fit(features[:cut], table[target][:cut])
    holdout = table[cut:][list(schema.names)]
    return Fitted(made.pipeline, schema, problem, holdout[:ASKED], title)


def _stored(schema: Schema, table: pd.DataFrame) -> Schema:
    """Return the schema with the types the columns have where they are stored."""
    whole = {
        name
        for name in schema.names
        if pd.api.types.is_integer_dtype(table[name]) or name == "visits"
    }
    columns = (
        replace(each, type="int64") if each.name in whole else each for each in schema.columns
    )
    return Schema(tuple(columns))


def ingredients(fitted: Fitted, folder: Path, name: str, *, compiled: bool) -> bentos.Ingredients:
    """Lay out what training would have logged."""
    files, plan = folder / "model", folder / "plan"
    with packing.own_code(ROOT / "tasks") as code:
        shutil.copytree(code, files / "code" / "tasks")
    (files / "model.pkl").write_bytes(cloudpickle.dumps(fitted.pipeline))
    (files / "requirements.txt").write_text("\n".join(packing.requirements(fitted.pipeline)))
    if compiled:
        made = compile_model(fitted.pipeline, fitted.schema, fitted.problem)
        plan.mkdir()
        (plan / PLAN_FILE).write_bytes(dump_plan(made))
        needs = packing.pinned(made.needs)
        (plan / PLAN_ABOUT).write_text(json.dumps({"requirements": needs}))
    return bentos.Ingredients(
        files, plan if compiled else None, fitted.manifest(name), {"model": name}
    )


def build_all(folder: Path) -> dict[str, Served]:
    """Build the Bentos that the tests of this folder ask.

    The first is built as a release would; the others are laid out only, which leaves out the
    seconds that BentoML takes to describe them.
    """
    income, fields = fit_income(), fit_crops()
    first = ingredients(income, folder / "income", "income", compiled=True)
    bento = bentos.build(first, name="income", version="v3", home=folder)
    found = {"income": Served("income", bento, income)}
    for name, fitted, compiled in (("crops", fields, True), ("as_it_is", income, False)):
        source = folder / name / "src"
        source.mkdir(parents=True)
        bentos._lay_out(ingredients(fitted, folder / name, name, compiled=compiled), source)
        found[name] = Served(name, source.parent, fitted)
    return found


@dataclass
class Server:
    """A model server's process, its address and the folder of its log."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    output: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=20.0)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def lines(self) -> list[dict[str, Any]]:
        return read_log(self.log)

    def predict(self, content: Any, **headers: str) -> httpx.Response:
        return self.client.post("/predict", json=content, headers=headers)

    def wait(self, path: str, status: int = 200) -> None:
        """Wait until `path` answers with `status`; a process that ends is an error."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output.read_text()
            try:
                if self.client.get(path).status_code == status:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"{path} never answered {status}: {self.output.read_text()}")


@contextmanager
def running(source: Path, folder: Path, *, threads: int = 1) -> Iterator[Server]:
    """Run the server that lies in `source`, with its log and output below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    port, output = find_free(26_000, 26_900), folder / "output.txt"
    log = folder / "predictions"
    command = bentos.serve_command(source.parent, port, log=log, threads=threads)
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
    server = Server(process, f"http://127.0.0.1:{port}", folder / "predictions", output)
    try:
        yield server
    finally:
        server.client.close()
        if process.poll() is None:
            process.kill()
        process.wait()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a log, segment after segment; their JSON must be strict."""
    found = []
    for path in sorted(folder.glob(f"*/*{SUFFIX}")):
        with path.open("rb") as file:
            for record in read_segment(file):
                assert record is not None
                fields = msgspec.structs.asdict(record) | {"model": path.parent.name}
                for name in ("request", "response"):
                    text = fields[name].decode("utf-8")
                    fields[name] = json.loads(text, parse_constant=_refuse_constant)
                found.append(fields)
    return found


def _refuse_constant(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


_TEMPLATE = (
    "endpoint",
    "journal",
    "metrics",
    "openapi",
    "predictor",
    "rows",
    "segment",
    "tables",
    "wording",
)


@contextmanager
def in_process(source: Path, log: Path | None = None, **options: Any) -> Iterator[Any]:
    """Yield a Bento's endpoint, not loaded yet, without leaving its modules to other tests."""
    path, modules = list(sys.path), load_template(source, *_TEMPLATE)
    manifest = modules["predictor"].read_manifest()
    journal = modules["journal"].Journal(log / manifest["model"]) if log else None
    endpoint = modules["endpoint"].Endpoint(manifest, journal=journal, **options)
    try:
        yield endpoint
    finally:
        endpoint.close()
        sys.path[:] = path


@dataclass(frozen=True)
class Answer:
    """What an application sent."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: Callable[..., Any],
    body: bytes | Sequence[bytes] = b"",
    *,
    path: str = "/predict",
    method: str = "POST",
    headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
    receive: Callable[[], Any] | None = None,
) -> Answer:
    """Ask an ASGI application once; a sequence of bodies arrives in parts."""
    parts = [body] if isinstance(body, bytes) else list(body)
    sent: list[dict[str, Any]] = []

    async def give() -> dict[str, Any]:
        if not parts:
            return {"type": "http.disconnect"}
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def take(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "path": path,
        "method": method,
        "headers": list(headers),
        "query_string": b"",
    }
    await app(scope, receive or give, take)
    start = sent[0]
    content = b"".join(each.get("body", b"") for each in sent[1:])
    return Answer(start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, content)


def copied(source: Path, folder: Path) -> Path:
    """Return a copy of a Bento's source that a test may spoil; its model's files are linked."""
    target = folder / "src"
    target.mkdir(parents=True)
    for each in source.iterdir():
        if each.is_dir():
            (target / each.name).symlink_to(each)
        else:
            shutil.copy(each, target)
    return target
