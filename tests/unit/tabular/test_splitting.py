from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.tabular.problem import Problem
from tasks.tabular.splitting import HOLDOUT_SHARE, SMALL, folds, hold_out, row_hashes

BINARY = Problem("binary", "y", (0, 1))
REGRESSION = Problem("regression", "y")


def test_every_row_is_in_exactly_one_part() -> None:
    y = pd.Series([0, 1] * 100)

    training, holdout = hold_out(y, BINARY, seed=1)

    assert sorted([*training, *holdout]) == list(range(200))
    assert len(holdout) == HOLDOUT_SHARE * 200


def test_the_same_seed_gives_the_same_rows() -> None:
    y = pd.Series(np.arange(100.0))

    assert (
        hold_out(y, REGRESSION, seed=1)[1].tolist() == hold_out(y, REGRESSION, seed=1)[1].tolist()
    )
    assert (
        hold_out(y, REGRESSION, seed=1)[1].tolist() != hold_out(y, REGRESSION, seed=2)[1].tolist()
    )


def test_classes_keep_their_shares() -> None:
    y = pd.Series([0] * 900 + [1] * 100)

    _, holdout = hold_out(y, BINARY, seed=3)

    assert y.iloc[holdout].mean() == 0.1


def test_few_rows_are_cross_validated_and_many_are_not() -> None:
    assert len(folds(pd.Series([0, 1] * 100), BINARY, seed=0)) == 5
    assert len(folds(pd.Series([0, 1] * SMALL), BINARY, seed=0)) == 1


def test_validation_folds_cover_each_row_once() -> None:
    validated = np.concatenate([v for _, v in folds(pd.Series([0, 1] * 100), BINARY, seed=0)])

    assert sorted(validated) == list(range(200))


def test_equal_rows_have_equal_hashes_whatever_their_place() -> None:
    frame = pd.DataFrame({"a": ["x", "y", "x", None], "b": [1.0, 2.0, 1.0, np.nan]})

    hashes = row_hashes(frame)

    assert hashes[0] == hashes[2]
    assert len(set(hashes)) == 3
    assert row_hashes(frame.iloc[::-1]).tolist() == hashes[::-1].tolist()
