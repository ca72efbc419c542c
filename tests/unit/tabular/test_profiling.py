from __future__ import annotations

import json

import pandas as pd
import pytest

from tasks.tabular.profiling import profile
from tasks.tabular.schema import infer


def test_the_figures_are_those_of_pandas(adult: pd.DataFrame) -> None:
    report = profile(adult, infer(adult))

    assert report.rows == len(adult)
    assert report.duplicates == adult.duplicated().sum()
    for column in report.columns:
        values = adult[column.name]
        assert column.missing == values.isna().sum()
        assert column.distinct == values.nunique()
        if column.kind == "numeric":
            assert column.mean == pytest.approx(values.mean())
            assert column.deviation == pytest.approx(values.std())
            assert column.quantiles["0.5"] == values.median()
        else:
            assert column.top == values.value_counts().head(10).to_dict()


@pytest.mark.parametrize(
    "values", [[None, None, None], [1.0, None, None], ["a", None, "a"], [True, False, True]]
)
def test_odd_columns_have_a_profile_that_is_json(values: list[object]) -> None:
    frame = pd.DataFrame({"odd": values})

    json.dumps(profile(frame, infer(frame)).to_json(), allow_nan=False)
