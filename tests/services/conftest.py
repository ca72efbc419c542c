"""Bentos of small models, built once for the tests that ask them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.services.served_models import Served, build_all

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    """Three Bentos: a compiled classifier, a compiled regression, and the classifier as it is."""
    folder: Path = tmp_path_factory.mktemp("bentos")
    return build_all(folder)
