"""Where each system runs: our own environment, or one made on demand for its peers."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
KEPT = ROOT / ".bench-automl"
SYSTEMS = {
    "millrace": None,
    "autogluon_medium": "autogluon",
    "autogluon_best": "autogluon",
    "autogluon_best_tuned": "autogluon",
    "flaml": "flaml",
    "h2o": "h2o",
    "lightgbm_default": None,
    "random_forest": None,
}
"""Environment of each system; None is the repository's own."""


class UnavailableError(RuntimeError):
    """A system cannot run on this machine."""

    def __str__(self) -> str:
        system, reason = self.args
        return f"{system} is left out: {reason}"


def python_of(system: str) -> Path:
    """Find the interpreter of a system, making its environment where its pins changed."""
    if system not in SYSTEMS:
        raise UnavailableError(system, f"unknown, of {', '.join(SYSTEMS)}")
    if system == "h2o" and shutil.which("java") is None:
        raise UnavailableError(system, "its server needs Java")
    environment = SYSTEMS[system]
    if environment is None:
        return Path(sys.executable)
    return _made(system, environment)


def _made(system: str, environment: str) -> Path:
    folder = KEPT / "envs" / environment
    python = folder / "bin" / "python"
    pins = HERE / f"requirements-{environment}.txt"
    overrides = HERE / "requirements-overrides.txt"
    asked = hashlib.sha256(pins.read_bytes() + overrides.read_bytes()).hexdigest()
    stamp = folder / ".pins"
    if python.exists() and stamp.exists() and stamp.read_text() == asked:
        return python

    uv = str(Path(sys.executable).parent / "uv")
    # a CPU build of PyTorch is taken from PIP_FIND_LINKS where there is one (docs/adr/0003)
    variables = os.environ | {"UV_FIND_LINKS": os.environ.get("PIP_FIND_LINKS", "")}
    sys.stderr.write(f"installing {environment}\n")
    made = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)]
    filled = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    filled += ["--overrides", str(overrides), "--requirements", str(pins)]
    for command in (made, filled):
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError(system, done.stderr.strip()[-400:])
    stamp.write_text(asked)
    return python
