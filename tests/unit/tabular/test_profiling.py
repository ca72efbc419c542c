from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.tabular.inference import infer_file
from tasks.tabular.profiling import profile
from tasks.tabular.reading import convert
from tasks.tabular.reports import profile_page

if TYPE_CHECKING:
    from pathlib import Path


def test_the_figures_are_those_of_pandas(adult: pd.DataFrame, stored) -> None:
    report = profile(*stored(adult))

    assert report.rows == len(adult)
    assert report.duplicates == adult.duplicated().sum()
    for column in report.columns:
        values = adult[column.name]
        assert column.missing == values.isna().sum()
        assert column.distinct == values.nunique()
        assert list(column.top.values()) == values.value_counts().head(10).tolist()
        if column.kind == "numeric":
            assert column.moments["mean"] == pytest.approx(values.mean())
            assert column.moments["deviation"] == pytest.approx(values.std())
            assert column.moments["skewness"] == pytest.approx(values.skew())
            assert column.moments["kurtosis"] == pytest.approx(values.kurt())
            assert column.zeros == (values == 0).sum()
            for level, quantile in column.quantiles.items():
                assert quantile == pytest.approx(values.quantile(float(level)))
            assert sum(column.histogram.counts) == values.notna().sum()


def test_duplicates_are_rows_that_are_the_same_in_every_column(stored) -> None:
    frame = pd.DataFrame({"a": [1, 1, 1, None, None], "b": ["x", "x", None, None, None]})

    assert profile(*stored(frame)).duplicates == frame.duplicated().sum() == 2


def test_associations_are_those_of_the_formulas(stored, rng: np.random.Generator) -> None:
    x = rng.normal(size=2_000)
    group = np.where(x > 0, "up", "down")
    frame = pd.DataFrame(
        {"x": x, "minus": -(x**3), "group": group, "same": group, "noise": rng.normal(size=2_000)}
    )

    found = {(each.first, each.second): each.strength for each in profile(*stored(frame)).pairs}

    between = sum(
        (group == g).sum() * (x[group == g].mean() - x.mean()) ** 2 for g in ("up", "down")
    )
    assert found["x", "minus"] == pytest.approx(-1)
    assert found["group", "same"] == pytest.approx(1, abs=1e-3)
    assert found["x", "group"] == pytest.approx(
        np.sqrt(between / ((x - x.mean()) ** 2).sum()), abs=1e-3
    )
    assert abs(found["x", "noise"]) < 0.1


def test_what_gives_the_target_away_is_named(adult: pd.DataFrame, stored) -> None:
    told = (adult["income"] == adult["income"].iloc[0]).astype(int) * 7 + 1
    frame = adult.assign(code=told, paid=told.where(told > 1))

    report = profile(*stored(frame), target="income")

    assert set(report.leaks) == {"code", "paid"}
    assert profile(*stored(adult), target="income").leaks == {}
    assert "gives the target away" in report.columns[-1].warnings


def test_odd_columns_are_warned_about(stored, rng: np.random.Generator) -> None:
    n = 500
    frame = pd.DataFrame(
        {
            "id": np.arange(n),
            "constant": "x",
            "gaps": [1.0] * 100 + [None] * (n - 100),
            "tail": np.r_[np.zeros(n - 1), 1e9],
            "fine": rng.normal(size=n),
        }
    )

    warnings = {each.name: each.warnings for each in profile(*stored(frame)).columns}

    assert warnings["id"] == ("likely an identifier",)
    assert warnings["constant"] == ("constant",)
    assert "mostly missing" in warnings["gaps"]
    assert warnings["tail"] == ("very skewed",)
    assert warnings["fine"] == ()


@pytest.mark.parametrize(
    "values",
    [
        [None, None, None],
        [1.0, None, None],
        ["a", None, "a"],
        [True, False, True],
        [5, 5, 5],
        pd.to_datetime(["2020-01-01", None, "1999-12-31"]).tolist(),
        ["", " ", "\u200b"],
    ],
    ids=str,
)
def test_odd_columns_have_a_profile_that_is_json_and_a_page(values: list[object], stored) -> None:
    report = profile(*stored(pd.DataFrame({"odd": values})))

    json.dumps(report.to_json(), allow_nan=False)
    assert "odd" in profile_page(report, "title")


def test_a_fingerprint_s_shares_are_those_of_all_rows(adult: pd.DataFrame, stored) -> None:
    columns = {each.name: each for each in profile(*stored(adult)).columns}

    age, sex, job = (columns[name].fingerprint for name in ("age", "sex", "occupation"))
    assert sum(age["shares"]) == pytest.approx(1)
    assert sex["values"] == pytest.approx(adult["sex"].value_counts(normalize=True).to_dict())
    assert sum(job["values"].values()) + job["missing"] == pytest.approx(1)


def test_no_value_of_a_hidden_column_is_told(stored) -> None:
    frame = pd.DataFrame(
        {
            "mail": [f"secret{n}@example.org" for n in range(50)],
            "born": pd.date_range("1971-03-05", periods=50),
        }
    )
    path, schema = stored(frame)

    report = profile(path, schema, hidden=("mail", "born"))

    told = json.dumps(report.to_json()) + profile_page(report, "t")
    assert "secret" not in told
    assert "1971" not in told
    assert [each.distinct for each in report.columns] == [50, 50]


def test_the_page_loads_nothing_and_escapes_everything(stored) -> None:
    evil = '<script>alert("x")</script><img src=x onerror=alert(1)>'
    frame = pd.DataFrame({evil: [evil, "b"] * 30, "b": range(60)})

    page = profile_page(profile(*stored(frame)), evil, evil)

    assert not re.search(r"(?:src|href|url\()\s*=?\s*[\"']?(?:https?:)?//", page)
    assert "<script" not in page
    assert "<img" not in page


def test_a_profile_does_not_depend_on_how_the_file_is_cut(
    data_folder: Path, tmp_path: Path
) -> None:
    done = convert(data_folder / "titanic.csv", tmp_path / "whole.parquet")
    pd.read_parquet(tmp_path / "whole.parquet").to_parquet(
        tmp_path / "cut.parquet", row_group_size=100
    )
    schema = infer_file(tmp_path / "whole.parquet", done.missing, done.formats)

    assert profile(tmp_path / "whole.parquet", schema) == profile(tmp_path / "cut.parquet", schema)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([2**60 + n for n in range(50)], id="beyond doubles"),
        pytest.param([1e16, 1e16 + 2] * 25, id="no room between"),
        pytest.param([1e308, -1e308] * 25, id="too far apart"),
        pytest.param([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)] * 25, id="all years"),
    ],
)
def test_extreme_values_have_a_profile(values: list[object], tmp_path: Path) -> None:
    path = tmp_path / "extreme.parquet"
    pq.write_table(pa.table({"x": values, "y": [*range(50)]}), path)

    report = profile(path, infer_file(path, {"x": 0, "y": 0}), target="y")

    assert report.columns[0].distinct == len(set(values))
    assert "x" in profile_page(report, "title")
