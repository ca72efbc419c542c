"""The tables, their splits and the folder a system sees."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from tests.benchmarks.automl.environments import ROOT

if TYPE_CHECKING:
    from numpy.typing import NDArray

CORES = 2
TEST_SHARE = 0.25
SPLITTABLE = 4
"""Rows a class needs for a quarter of them to be a row; rarer classes are only trained on."""

METRICS = {
    "binary": "roc_auc",
    "multiclass": "neg_log_loss",
    "regression": "neg_root_mean_squared_error",
}
DEFAULT = (
    "adult",
    "bank_marketing",
    "credit_g",
    "telco_churn",
    "mammography",
    "covertype_15k",
    "dry_bean",
    "letter",
    "abalone",
    "california",
    "diamonds",
    "bike_sharing",
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """One table of the index."""

    name: str
    path: Path
    task: str
    target: str

    @property
    def metric(self) -> str:
        """What it is scored by; more is better."""
        return METRICS[self.task]


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of one table; `labels` are its known classes as text, None for numbers."""

    train: pd.DataFrame
    test: pd.DataFrame
    truth: NDArray[Any]
    labels: list[str] | None


def load_index(folder: Path | None = None) -> dict[str, Dataset]:
    """Read which tables there are, by name."""
    place = folder or Path(os.environ.get("MILLRACE_DATA", ROOT.parent / "shared" / "data"))
    entries = json.loads((place / "index.json").read_text())
    return {
        entry["name"]: Dataset(entry["name"], place / entry["file"], entry["task"], entry["target"])
        for entry in entries
    }


def split(frame: pd.DataFrame, target: str, *, regression: bool, seed: int) -> Split:
    """Set a quarter of the rows apart, by class where there are classes."""
    known = frame[frame[target].notna()].reset_index(drop=True)
    if regression:
        train, test = train_test_split(known, test_size=TEST_SHARE, random_state=seed)
        return Split(train, test.drop(columns=target), test[target].to_numpy(dtype=float), None)

    text = known[target].astype(str)
    rare = text.map(text.value_counts()) < SPLITTABLE
    train, test = train_test_split(
        known[~rare], test_size=TEST_SHARE, random_state=seed, stratify=text[~rare]
    )
    train = pd.concat([train, known[rare]])
    truth = text.loc[test.index].to_numpy(dtype=str)
    labels = sorted(np.unique(text.loc[train.index].to_numpy(dtype=str)).tolist())
    return Split(train, test.drop(columns=target), truth, labels)


def write_folder(
    folder: Path, parts: Split, dataset: Dataset, *, budget: float, seed: int, cores: int = CORES
) -> None:
    """Write what a system may see: never the truth of the test rows."""
    folder.mkdir(parents=True)
    parts.train.to_csv(folder / "train.csv", index=False)
    parts.test.to_csv(folder / "test.csv", index=False)
    settings = {
        "task": dataset.task,
        "target": dataset.target,
        "metric": dataset.metric,
        "budget_seconds": budget,
        "seed": seed,
        "cores": cores,
    }
    (folder / "task.json").write_text(json.dumps(settings))
