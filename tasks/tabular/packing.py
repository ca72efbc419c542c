"""What a model needs to be loaded elsewhere: its own code and its exact requirements."""

from __future__ import annotations

import io
import pickle
import shutil
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import cloudpickle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OWN = "tasks"


@contextmanager
def own_code(tasks: Path) -> Iterator[Path]:
    """Yield a folder that holds this library alone, importable as `tasks.tabular`.

    Models refer to classes of the library; the rest of `tasks` needs the platform and stays.
    """
    with TemporaryDirectory() as folder:
        code = Path(folder) / OWN
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(tasks / "tabular", code / "tabular", ignore=ignored)
        (code / "__init__.py").touch()
        yield code


MODEL = ("cloudpickle", "numpy", "pandas", "scikit-learn")
"""What every fitted model needs to be loaded and asked."""


def requirements(model: Any) -> list[str]:
    """Pin what a fitted model imports to the installed versions, the ones it is made with."""
    return pinned([*MODEL, *packages_of(model)])


def pinned(names: Iterable[str]) -> list[str]:
    """Return requirements of the installed versions, each name once and in order."""
    return [f"{name}=={version(name)}" for name in dict.fromkeys(names)]


def packages_of(model: Any) -> list[str]:
    """Return the names of the installed packages that a model's pickle refers to, sorted."""
    reader = _Reader(io.BytesIO(cloudpickle.dumps(model)))
    reader.load()
    distributions = packages_distributions()
    found = {
        distributions[module][0]
        for module in (name.split(".")[0] for name in reader.modules)
        if module in distributions and module != OWN
    }
    return sorted(found)


class _Reader(pickle.Unpickler):
    """Unpickle and note the modules that were looked up."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.modules: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """Note the module."""
        self.modules.add(module)
        return super().find_class(module, name)
