"""Which rows train, which validate, which are held out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.tabular.problem import Problem

HOLDOUT_SHARE = 0.2
SMALL = 5_000
"""Rows up to which candidates are cross-validated; above, one validation split is precise
enough and five times cheaper."""

Fold = tuple["NDArray[np.intp]", "NDArray[np.intp]"]


def hold_out(y: pd.Series, problem: Problem, *, seed: int) -> Fold:
    """Split the positions of `y` into training and holdout, stratified by class.

    Returns
    -------
    training, holdout : arrays of int
        Positions, sorted; the same seed and target give the same rows.
    """
    positions = np.arange(len(y))
    classes = None if problem.kind == "regression" else y
    training, holdout = train_test_split(
        positions, test_size=HOLDOUT_SHARE, random_state=seed, stratify=classes
    )
    return np.sort(training), np.sort(holdout)


def folds(y: pd.Series, problem: Problem, *, seed: int) -> list[Fold]:
    """Return the (training, validation) positions candidates are scored on."""
    if len(y) > SMALL:
        return [hold_out(y, problem, seed=seed)]
    splitter = KFold if problem.kind == "regression" else StratifiedKFold
    return list(splitter(n_splits=5, shuffle=True, random_state=seed).split(np.zeros(len(y)), y))


def row_hashes(frame: pd.DataFrame) -> NDArray[np.uint64]:
    """Hash each row by its values, shape (n_rows,): rows of equal content get equal hashes.

    Types count: hash rows of different tables only in the types of one schema (`conform`).
    """
    return np.asarray(pd.util.hash_pandas_object(frame, index=False), dtype=np.uint64)
