from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.tabular.features import DateParts, make_features
from tasks.tabular.schema import conform, infer

FRAME = pd.DataFrame(
    {
        "age": [20.0, np.nan, 40.0, 50.0] * 10,
        "job": ["a", "b", None, "a"] * 10,
        "born": pd.to_datetime(
            ["2020-02-29 13:00", "2021-01-01 00:00", None, "1969-12-31 00:00"] * 10
        ),
    }
)
SCHEMA = infer(FRAME)
ROWS = conform(FRAME, SCHEMA)


def test_dates_are_split_into_parts() -> None:
    parts = DateParts().fit(ROWS[["born"]]).transform(ROWS[["born"]])

    assert parts[0].tolist() == [2020, 2, 29, 5, 13, 18321 + 13 / 24]
    assert parts[3, -1] == -1
    assert np.isnan(parts[2]).all()


def test_parts_are_named_after_their_column() -> None:
    names = DateParts().fit(ROWS[["born"]]).get_feature_names_out()

    assert names.tolist()[:2] == ["born_year", "born_month"]


def test_linear_features_are_finite() -> None:
    features = make_features(SCHEMA, "linear").fit_transform(ROWS)

    assert np.isfinite(np.asarray(features, dtype=float)).all()


def test_tree_features_keep_missing_values() -> None:
    features = np.asarray(make_features(SCHEMA, "tree").fit_transform(ROWS), dtype=float)

    assert np.isnan(features[1, 0])


@pytest.mark.parametrize("family", ["linear", "tree"])
def test_unseen_and_missing_values_do_not_stop_serving(family: str) -> None:
    fitted = make_features(SCHEMA, family).fit(ROWS)
    odd = conform(pd.DataFrame({"age": [None], "job": ["never seen"], "born": [None]}), SCHEMA)

    assert fitted.transform(odd).shape[0] == 1


@pytest.mark.parametrize("family", ["linear", "tree"])
def test_a_table_of_one_kind_needs_no_others(family: str) -> None:
    numbers = FRAME[["age"]]

    assert (
        make_features(infer(numbers), family).fit_transform(conform(numbers, infer(numbers))).size
    )
