"""What a model needs to be loaded elsewhere: its own code and its exact requirements."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tasks.tabular.learners import OPTIONAL_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def own_code(tasks: Path) -> Iterator[Path]:
    """Yield a folder that holds this library alone, importable as `tasks.tabular`.

    Models refer to classes of the library; the rest of `tasks` needs the platform and stays.
    """
    with TemporaryDirectory() as folder:
        code = Path(folder) / "tasks"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(tasks / "tabular", code / "tabular", ignore=ignored)
        (code / "__init__.py").touch()
        yield code


def requirements(template: Path, learner: str) -> list[str]:
    """Pin the names in `template` to the installed versions, the ones the model is made with.

    Packages that only other learners need are left out.
    """
    lines = [line.split("#")[0].strip() for line in template.read_text().splitlines()]
    others = [package for package in OPTIONAL_PACKAGES if package != learner]
    return [f"{line}=={version(line)}" for line in lines if line and line not in others]
