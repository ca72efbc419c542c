"""Optuna's dashboard on a study of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pandas as pd
import pytest

from infra.ports import find_free
from infra.settings import SearchSettings
from infra.studies import open_study
from tasks.tabular.automl import learn
from tasks.tabular.search import SearchPolicy
from tests.running_stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


@pytest.fixture
def storage(tmp_path: Path, rng: np.random.Generator) -> str:
    """The address of a database with a study of five trials."""
    address = f"sqlite:///{tmp_path / 'studies.db'}"
    study = open_study(SearchSettings(storage=address), "run 1")
    frame = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    frame["y"] = (frame["a"] > 0).astype(int)
    learn(frame, "y", learners=("dt",), policy=SearchPolicy("optuna", trials=5, study=study))
    return address


@pytest.fixture
def dashboard(storage: str) -> Iterator[str]:
    port = find_free(25000, 25900)
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), storage]
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)])
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


def test_the_dashboard_shows_what_a_search_tried(dashboard: str) -> None:
    def studies() -> list[dict[str, object]] | None:
        try:
            answer = httpx.get(f"{dashboard}/api/studies", timeout=5)
        except httpx.TransportError:
            return None
        found: list[dict[str, object]] = answer.json()["study_summaries"]
        return found

    (study,) = wait_until(studies, 30)
    shown = httpx.get(f"{dashboard}/api/studies/{study['study_id']}", timeout=5).json()

    assert study["study_name"] == "run 1"
    assert [each["state"] for each in shown["trials"]] == ["Complete"] * 5
    assert {each["name"] for each in shown["trials"][0]["params"]} >= {"learner of decision_tree"}
