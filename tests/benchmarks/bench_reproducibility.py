"""Whether the same seed and data give the same predictions in two fresh processes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.provenance import ROOT

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

DATA = Path(os.environ.get("MILLRACE_DATA", ROOT / ".." / "shared" / "data"))
SETS = ("credit_g", "car", "abalone", "wine_quality")
FAMILIES = ("lightgbm", "xgboost", "catboost", "random_forest", "neural_network")

_LEARN = """
import sys
import numpy as np, pandas as pd
from tasks.tabular.automl import learn
from tasks.tabular.search import SearchPolicy
if __name__ == "__main__":
    file, target, learner, answer = sys.argv[1:]
    frame = pd.read_csv(file)
    found = learn(frame, target, learners=[learner], policy=SearchPolicy(trials=1), seed=3)
    np.save(answer, found.predict_scores(frame))
"""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", SETS)
def bench_two_fresh_processes_answer_alike(
    benchmark: BenchmarkFixture, name: str, family: str, tmp_path: Path
) -> None:
    """A search bound by trials looks at no clock: equal bytes, grade A."""
    if benchmark.disabled:
        pytest.skip("it takes minutes: run `make bench`")
    if not (DATA / "index.json").is_file():
        pytest.skip(f"there are no data sets in {DATA}")
    entry = next(
        each for each in json.loads((DATA / "index.json").read_text()) if each["name"] == name
    )

    def learned(number: int) -> str:
        answer = tmp_path / f"{number}.npy"
        subprocess.run(
            [
                *(sys.executable, "-W", "ignore", "-c", _LEARN),
                *(str(DATA / entry["file"]), entry["target"], family, str(answer)),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            timeout=280,
        )
        return hashlib.sha256(answer.read_bytes()).hexdigest()

    first = learned(0)
    again = benchmark.pedantic(learned, args=(1,), rounds=1)

    assert first == again
