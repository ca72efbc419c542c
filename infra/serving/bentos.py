"""Bentos: built from the template in `bento/` and a model's plan or files, served by BentoML."""

from __future__ import annotations

import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx

from infra.errors import BuildError
from infra.provenance import ROOT
from infra.serving.clean import require_clean
from infra.tracking import PLAN_ABOUT, PLAN_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TEMPLATE = ROOT / "bento"
READER = ROOT / "tasks" / "tabular" / "rows.py"
"""What reads requests; the proof of a plan reads by it too."""

_BUILD_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What a Bento is made of beside the template.

    `files` is the logged model's folder, `plan` the folder with its plan, None where there is
    none.
    """

    files: Path
    plan: Path | None
    manifest: Mapping[str, Any]
    labels: Mapping[str, str]

    @property
    def planned(self) -> bool:
        """Whether a proven plan serves."""
        return self.plan is not None and (self.plan / PLAN_FILE).is_file()

    def requirements(self) -> list[str]:
        """Return what the server needs, pinned: the template's packages, the plan's or model's."""
        lines = (TEMPLATE / "requirements.txt").read_text().splitlines()
        names = [line for line in lines if line and not line.startswith("#")]
        pins = {name: f"{name}=={version(name)}" for name in names}
        if self.planned and self.plan is not None:
            added = json.loads((self.plan / PLAN_ABOUT).read_text())["requirements"]
        else:
            added = (self.files / "requirements.txt").read_text().splitlines()
        pins |= {line.split("==")[0]: line for line in added if line.strip()}
        return sorted(pins.values())


def build(ingredients: Ingredients, *, name: str, version: str, home: Path) -> Path:
    """Build a Bento and return its folder; one that is there already is returned as it is.

    Before it is kept, it predicts its sample in an environment that holds nothing but what it
    requires. The build runs in a process of its own: BentoML imports the service to describe it.

    Raises
    ------
    BuildError
        With the last line of what BentoML printed, or why it does not predict on its own.
    """
    store = home / "bentoml"
    finished = store / "bentos" / name / version
    if (finished / "bento.yaml").is_file():
        return finished
    store.mkdir(parents=True, exist_ok=True)
    what = f"{name} {version}"
    # built in a store of its own and moved when it is whole: a killed build leaves no half Bento
    with TemporaryDirectory() as folder, TemporaryDirectory(dir=store, prefix=".draft-") as draft:
        context = Path(folder)
        requirements = _lay_out(ingredients, context)
        require_clean(context, requirements, what)
        command = [sys.executable, "-m", "bentoml", "build", "--name", name, "--version", version]
        for key, value in ingredients.labels.items():
            command += ["--label", f"{key}={value}"]
        _run([*command, "."], context, Path(draft), what)
        finished.parent.mkdir(parents=True, exist_ok=True)
        if not finished.exists():  # else a build beside this one was faster
            (Path(draft) / "bentos" / name / version).replace(finished)
    return finished


def pack(bento: Path) -> bytes:
    """Return a Bento as the bytes of a `.bento` file, which `bentoml import` reads."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz", preset=1) as archive:
        for path in sorted(bento.iterdir()):
            archive.add(path, arcname=path.name)
    return stream.getvalue()


def unpack(content: bytes, *, name: str, version: str, home: Path) -> Path:
    """Import a packed Bento and return its folder; one that is there already stays as it is.

    Raises
    ------
    BuildError
        If the bytes are no Bento.
    """
    store = home / "bentoml"
    finished = store / "bentos" / name / version
    if (finished / "bento.yaml").is_file():
        return finished
    store.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=store, prefix=".draft-") as folder:
        draft = Path(folder) / "bento"
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                archive.extractall(draft, filter="data")
        except (tarfile.TarError, lzma.LZMAError, OSError, EOFError) as error:
            raise BuildError(f"{name} {version}", f"what is stored is no Bento: {error}") from error
        if not (draft / "bento.yaml").is_file():
            raise BuildError(f"{name} {version}", "what is stored is no Bento: no bento.yaml")
        finished.parent.mkdir(parents=True, exist_ok=True)
        if not finished.exists():
            draft.replace(finished)
    return finished


def _lay_out(ingredients: Ingredients, context: Path) -> list[str]:
    """Put the template and the model together; return the pinned requirements."""
    for each in (*TEMPLATE.glob("*.py"), TEMPLATE / "bentofile.yaml", READER):
        if each.name != "__init__.py":
            shutil.copy(each, context)
    if ingredients.planned and ingredients.plan is not None:
        shutil.copy(ingredients.plan / PLAN_FILE, context)
        shutil.copytree(ingredients.files / "code", context / "model" / "code")
    else:
        shutil.copytree(ingredients.files, context / "model")
    manifest = {**ingredients.manifest, "serves": "plan" if ingredients.planned else "model"}
    requirements = ingredients.requirements()
    (context / "manifest.json").write_text(json.dumps(manifest))
    (context / "README.md").write_text(_readme(manifest))
    (context / "requirements.txt").write_text("\n".join(requirements) + "\n")
    return requirements


def _run(command: Sequence[str], context: Path, store: Path, what: str) -> None:
    try:
        result = subprocess.run(  # noqa: S603 - our own command
            command,
            cwd=context,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            env={**os.environ, "BENTOML_HOME": str(store)},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(what, f"no end after {_BUILD_SECONDS:.0f} s") from error
    if result.returncode != 0:
        last = (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()[-1]
        raise BuildError(what, last)


def _readme(manifest: Mapping[str, Any]) -> str:
    """Return what the model's page in BentoML says."""
    problem, columns = manifest["problem"], manifest["schema"]["columns"]
    rows = [
        f"| `{each['name']}` | {each['kind']} | {'may be missing' if each['nullable'] else ''} |"
        for each in columns
    ]
    classes = ", ".join(f"`{each}`" for each in problem["classes"])
    return "\n".join(
        [
            f"# {manifest['model']} v{manifest['version']}",
            f"Predicts `{problem['target']}`" + (f": {classes}." if classes else "."),
            "",
            "`POST /predict` takes named rows; `/docs` has an example that can be sent as it is.",
            "",
            "| column | kind | |",
            "|---|---|---|",
            *rows,
        ]
    )


def serve_command(bento: Path, port: int, *, log: Path, threads: int = 1) -> list[str]:
    """Return the command that serves a Bento on a loopback port, logging below `log`.

    The interpreter is isolated: no folder of the platform's is on its path.
    """
    script = str(bento / "src" / "serve.py")
    return [
        *(sys.executable, "-I", script),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--log", str(log), "--threads", str(threads)),
    ]


def is_ready(url: str) -> bool:
    """Whether a model server has loaded its model and answers."""
    try:
        return httpx.get(f"{url}/health/ready", timeout=2.0).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
