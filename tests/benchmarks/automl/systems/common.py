"""What every system's script shares: read the folder, time the fit, write the predictions."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UPS, SINGLE_ROWS = 2, 20


@dataclass(frozen=True, slots=True)
class Task:
    """One folder: its training rows and what the harness asks for."""

    folder: Path
    train: pd.DataFrame
    task: str
    target: str
    metric: str
    budget_seconds: float
    seed: int
    cores: int

    @property
    def regression(self) -> bool:
        """Whether the target is a number."""
        return self.task == "regression"

    @property
    def features(self) -> pd.DataFrame:
        """The training rows without the target."""
        return self.train.drop(columns=self.target)

    @property
    def labels(self) -> pd.Series:
        """The target of the training rows."""
        return self.train[self.target]

    def remaining(self) -> float:
        """Seconds of the budget that the start of the process and its imports left."""
        return self.budget_seconds - since_start()


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model ready to predict.

    `predict` gives values, shape (n,), or probabilities, shape (n, n_classes), in the order
    of `classes`. `warm` is what a server does once before its first request; it counts
    neither as fitting nor as predicting.
    """

    predict: Callable[[pd.DataFrame], Any]
    classes: list[Any] | None = None
    note: str = ""
    warm: Callable[[], object] | None = None


def since_start() -> float:
    """Seconds since this process was started, its imports included.

    The kernel's ticks are exact to 10 ms; `create_time` adds them to a boot time in whole
    seconds, and is off by up to one.
    """
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return time.time() - psutil.Process().create_time()
    # the name in the second field may hold spaces; the start is the twentieth after it
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def run(fit: Callable[[Task], Fitted]) -> None:
    """Fit on the folder named on the command line and write what the harness reads."""
    folder = Path(sys.argv[1]).resolve()
    settings = json.loads((folder / "task.json").read_text())
    task = Task(folder=folder, train=pd.read_csv(folder / "train.csv"), **settings)
    fitted = fit(task)
    fit_seconds = since_start()
    if fitted.warm is not None:
        fitted.warm()

    test = pd.read_csv(folder / "test.csv")
    started = time.perf_counter()
    predicted = np.asarray(fitted.predict(test), dtype=float)
    predict_seconds = time.perf_counter() - started
    if task.regression:
        np.savez(folder / "predictions.npz", values=predicted)
    else:
        classes = np.array([str(label) for label in fitted.classes or []])
        np.savez(folder / "predictions.npz", probabilities=predicted, classes=classes)

    result = {
        "fit_seconds": fit_seconds,
        "predict_seconds": predict_seconds,
        "single_row_ms": _single_row_ms(fitted, test),
        "note": fitted.note,
    }
    (folder / "result.json").write_text(json.dumps(result))


def _single_row_ms(fitted: Fitted, test: pd.DataFrame) -> float:
    """Median of the milliseconds that one row takes, a new row every time."""
    taken = []
    for turn in range(WARM_UPS + SINGLE_ROWS):
        row = test.iloc[[turn % len(test)]]
        started = time.perf_counter()
        fitted.predict(row)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken[WARM_UPS:])
