"""Data sets that scikit-learn brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn import datasets

from infra.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

_LOADERS = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
    "digits": datasets.load_digits,
}


def write_example(source: str, folder: Path) -> Path:
    """Write `example://name` as a CSV whose column `target` holds the class names or values."""
    name = source.removeprefix("example://")
    if name not in _LOADERS:
        raise SourceError(source, f"there are the examples {', '.join(_LOADERS)}")
    loaded = _LOADERS[name](as_frame=True)
    frame = loaded.frame
    if "target_names" in loaded and name != "digits":
        frame["target"] = loaded.target_names[frame["target"]]
    path = folder / f"{name}.csv"
    frame.to_csv(path, index=False)
    return path
