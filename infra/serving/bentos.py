"""Bentos: built from the template in `bento/` and a model's files, served by BentoML."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx

from infra.errors import BuildError
from infra.provenance import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TEMPLATE = ROOT / "bento"
_TEMPLATE_FILES = ("service.py", "payloads.py", "bentofile.yaml")
_BUILD_SECONDS = 120.0


def build(
    model_files: Path,
    manifest: Mapping[str, Any],
    requirements: Sequence[str],
    *,
    name: str,
    version: str,
    labels: Mapping[str, str],
    home: Path,
) -> Path:
    """Build a Bento and return its folder; one that is there already is returned as it is.

    The build runs in a process of its own: BentoML imports the service to describe it.

    Raises
    ------
    BuildError
        With the last line of what BentoML printed.
    """
    store = home / "bentoml"
    finished = store / "bentos" / name / version
    if (finished / "bento.yaml").is_file():
        return finished
    store.mkdir(parents=True, exist_ok=True)
    # built in a store of its own and moved when it is whole: a killed build leaves no half Bento
    with TemporaryDirectory() as folder, TemporaryDirectory(dir=store, prefix=".draft-") as draft:
        context = Path(folder)
        for each in _TEMPLATE_FILES:
            shutil.copy(TEMPLATE / each, context)
        shutil.copytree(model_files, context / "model")
        (context / "manifest.json").write_text(json.dumps(manifest))
        (context / "README.md").write_text(_readme(manifest))
        (context / "requirements.txt").write_text("\n".join(requirements) + "\n")
        command = [sys.executable, "-m", "bentoml", "build", "--name", name, "--version", version]
        for key, value in labels.items():
            command += ["--label", f"{key}={value}"]
        _run([*command, "."], context, Path(draft), f"{name} {version}")
        finished.parent.mkdir(parents=True, exist_ok=True)
        if not finished.exists():  # else a build beside this one was faster
            (Path(draft) / "bentos" / name / version).replace(finished)
    return finished


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
    """Return what the model's Swagger page says above its endpoints."""
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
            "`POST /predict` takes named rows; its example can be sent as it is.",
            "",
            "| column | kind | |",
            "|---|---|---|",
            *rows,
        ]
    )


def serve_command(bento: Path, port: int) -> list[str]:
    """Return the command that serves a Bento on a loopback port."""
    return [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        str(bento),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]


def is_ready(url: str) -> bool:
    """Whether a model server has loaded its model and answers."""
    try:
        return httpx.get(f"{url}/readyz", timeout=2.0).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
