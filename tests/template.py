"""Modules of the Bento template, which import each other as they do in a Bento."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def load_template(source: Path, *names: str) -> dict[str, Any]:
    """Import modules from a folder without leaving them to other tests."""
    path = list(sys.path)
    sys.path.insert(0, str(source))
    try:
        return {name: importlib.import_module(name) for name in names}
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.path[:] = path
