"""The harness on tables and systems small enough for seconds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks.automl import harness, report
from tests.benchmarks.automl.data import Dataset, split
from tests.benchmarks.automl.scoring import ScoringError, align, score_file, score_probabilities

PRIOR = """
from tests.benchmarks.automl.systems.common import Fitted, run
import numpy as np

def fit(task):
    assert task.remaining() < task.budget_seconds
    shares = task.labels.value_counts(normalize=True)
    return Fitted(
        lambda rows: np.tile(shares.to_numpy(), (len(rows), 1)), classes=list(shares.index)
    )

if __name__ == "__main__":
    run(fit)
"""


@pytest.fixture
def frame() -> pd.DataFrame:
    labels = ["b"] * 40 + ["a"] * 20 + ["c"] * 4 + ["once"] + [None]
    return pd.DataFrame({"x": range(len(labels)), "y": labels})


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(harness, "KEPT", tmp_path)
    return tmp_path


def record(system: str, dataset: str, score: float | None, seed: int = 0) -> dict[str, Any]:
    return {
        "system": system,
        "dataset": dataset,
        "metric": "roc_auc",
        "budget": 60.0,
        "seed": seed,
        "score": score,
        "status": "failed" if score is None else "ok",
        "peak_mb": 100.0,
    } | ({"reason": "broke"} if score is None else {"fit_seconds": 30.0, "single_row_ms": 2.0})


def records(*, dataset: str, seed: int = 0, **scores: float | None) -> list[dict[str, Any]]:
    return [record(system, dataset, score, seed) for system, score in scores.items()]


def run_script(source: str, folder: Path, frame: pd.DataFrame, budget: float = 5) -> dict[str, Any]:
    script = folder / "system.py"
    script.write_text(source)
    return harness.run_system(
        "prior",
        Path(sys.executable),
        Dataset("small", folder / "small.csv", "multiclass", "y"),
        split(frame, "y", regression=False, seed=0),
        budget=budget,
        seed=0,
        script=script,
    )


def test_split_keeps_shares_and_leaves_rare_classes_to_training(frame: pd.DataFrame) -> None:
    parts = split(frame, "y", regression=False, seed=0)

    assert parts.labels == ["a", "b", "c", "once"]
    assert pd.Series(parts.truth).value_counts().to_dict() == {"b": 10, "a": 5, "c": 1}
    assert len(parts.train) + len(parts.test) == 65
    assert "y" not in parts.test


def test_split_follows_its_seed(frame: pd.DataFrame) -> None:
    same, again, other = (split(frame, "x", regression=True, seed=s).truth for s in (0, 0, 1))

    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, other)


def test_columns_follow_their_classes() -> None:
    aligned = align(np.array([[0.2, 0.7, 0.1]]), ["b", "a", "c"], ["a", "b", "c"])

    np.testing.assert_array_equal(aligned, [[0.7, 0.2, 0.1]])


def test_the_order_of_two_classes_does_not_matter() -> None:
    truth = np.array(["no", "yes", "no", "yes"])
    p = np.array([0.1, 0.9, 0.6, 0.4])
    forward = align(np.column_stack([1 - p, p]), ["no", "yes"], ["no", "yes"])
    backward = align(np.column_stack([p, 1 - p]), ["yes", "no"], ["no", "yes"])

    scores = [
        score_probabilities(part, truth, ["no", "yes"], "roc_auc") for part in (forward, backward)
    ]
    assert scores == [0.75, 0.75]


def test_loss_counts_trained_classes_absent_from_the_truth() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]])

    score = score_probabilities(probabilities, np.array(["a", "b"]), ["a", "b", "c"], "log_loss")
    assert score == pytest.approx(np.log(0.5))


def test_a_class_left_out_is_a_reason() -> None:
    with pytest.raises(ScoringError, match="absent from the predictions: c"):
        align(np.array([[0.5, 0.5]]), ["a", "b"], ["a", "b", "c"])


def test_unwritten_predictions_are_a_reason(tmp_path: Path, frame: pd.DataFrame) -> None:
    parts = split(frame, "y", regression=False, seed=0)
    with pytest.raises(ScoringError, match="no predictions"):
        score_file(tmp_path / "none.npz", parts, "neg_log_loss")


def test_a_run_is_scored_and_measured(kept: Path, frame: pd.DataFrame) -> None:
    done = run_script(PRIOR, kept, frame)

    assert done["status"] == "ok", done
    assert -2 < done["score"] < 0
    assert done["peak_mb"] > 0
    assert 0 < done["fit_seconds"] < done["wall_seconds"]
    assert not list((kept / "runs").iterdir())


def test_a_broken_run_is_recorded_with_its_last_words(kept: Path, frame: pd.DataFrame) -> None:
    done = run_script("raise SystemExit('out of luck')", kept, frame)

    assert done["status"] == "failed"
    assert done["reason"] == "ended with 1 (out of luck)"


def test_a_hanging_run_is_killed(
    kept: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "GRACE_SECONDS", 0.5)
    done = run_script("import time; time.sleep(60)", kept, frame, budget=0.5)

    assert done["status"] == "failed"
    assert done["reason"].startswith("killed after")
    assert done["wall_seconds"] < 10


def test_results_resume_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    harness.append_result(path, record("a", "d", 0.5))
    with path.open("a") as file:
        file.write(json.dumps(record("a", "e", 0.5))[:20])
    harness.append_result(path, record("b", "d", 0.5))
    harness.append_result(path, record("a", "d", 0.7))

    read = {harness.key_of(one): one["score"] for one in harness.read_results(path)}
    assert read == {("a", "d", 60.0, 0): 0.7, ("b", "d", 60.0, 0): 0.5}


def test_ranks_share_ties_and_put_failures_last() -> None:
    runs = report.complete(
        records(a=0.9, b=0.9, c=None, dataset="d") + records(a=None, b=0.1, c=None, dataset="e")
    )
    ranked = report.ranks(report.score_table(runs))

    assert ranked.loc["d"].to_dict() == {"a": 1.5, "b": 1.5, "c": 3.0}
    assert ranked.loc["e"].to_dict() == {"a": 2.5, "b": 1.0, "c": 2.5}


def test_a_failed_seed_fails_the_dataset() -> None:
    runs = report.complete(
        records(a=0.9, b=0.5, dataset="d") + records(a=None, b=0.5, dataset="d", seed=1)
    )
    assert report.ranks(report.score_table(runs)).loc["d"].to_dict() == {"a": 2.0, "b": 1.0}


def test_only_what_every_system_ran_is_compared() -> None:
    runs = report.complete([record("a", "d", 0.9), record("b", "d", 0.5), record("a", "e", 0.9)])
    assert set(runs["dataset"]) == {"d"}


def test_critical_difference_is_the_published_one() -> None:
    # Demsar (2006), section 3.2.2: four classifiers, fourteen data sets
    assert report.critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)


def test_normalised_scores_and_wins() -> None:
    scores = pd.DataFrame(
        {"millrace": [0.8, 0.1, 0.5], "a": [0.6, 0.5, 0.5], "b": [0.7, np.nan, 0.5]},
        index=["d", "e", "f"],
    )
    shares = report.normalised(scores)
    assert shares.loc["d"].tolist() == pytest.approx([1, 0, 0.5])
    assert shares.loc["f"].tolist() == [1, 1, 1]
    assert shares.loc["e", "b"] == 0
    assert report.beaten(scores).loc["b"].tolist()[:3] == [2, 1, 0]


def test_the_report_names_failures() -> None:
    text = report.report([record("millrace", "d", 0.9), record("b", "d", None)])

    assert "| d | roc_auc | 0.9000 | failed |" in text
    assert "- b on d, seed 0: broke" in text
    assert "## millrace against each" in text
