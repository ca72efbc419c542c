from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tasks.tabular.expectations import check, draft
from tasks.tabular.schema import infer


@pytest.fixture
def suite(adult: pd.DataFrame) -> dict:
    drafted = draft(adult, infer(adult), "adult")
    return json.loads(json.dumps(drafted, default=str))


def test_a_table_meets_the_suite_drafted_from_it(adult: pd.DataFrame, suite: dict) -> None:
    report = check(adult, suite)

    assert report.passed
    assert report.checked > len(adult.columns)


def test_other_rows_of_the_same_kind_pass(adult: pd.DataFrame) -> None:
    half = len(adult) // 2
    reference, later = adult.iloc[:half], adult.iloc[half:]

    assert check(later, draft(reference, infer(reference), "adult")).passed


@pytest.mark.parametrize(
    ("column", "damage"),
    [
        pytest.param("age", lambda values: values * 100, id="another unit"),
        pytest.param("age", lambda values: values.astype(str) + " years", id="another type"),
        pytest.param("sex", lambda values: values.str.upper(), id="another spelling"),
        pytest.param("education", lambda values: values.where(values.index % 2 == 0), id="gaps"),
        pytest.param("hours_per_week", lambda values: values.astype(float) * np.nan, id="empty"),
    ],
)
def test_a_damaged_column_is_named(adult: pd.DataFrame, suite: dict, column: str, damage) -> None:
    report = check(adult.assign(**{column: damage(adult[column])}), suite)

    assert not report.passed
    assert {failure.column for failure in report.failures} == {column}


def test_a_column_that_is_gone_fails_without_the_table_s_expectation_too(
    adult: pd.DataFrame, suite: dict
) -> None:
    of_columns = [each for each in suite["expectations"] if "column" in each["kwargs"]]

    report = check(adult.drop(columns="age"), {**suite, "expectations": of_columns})

    assert {failure.column for failure in report.failures} == {"age"}


@pytest.mark.parametrize("kind", ["int16", "uint64", "float32"])
def test_numbers_of_any_width_meet_their_own_suite(kind: str) -> None:
    frame = pd.DataFrame({"n": pd.Series(range(20), dtype=kind)})

    assert check(frame, draft(frame, infer(frame), "n")).passed


def test_a_column_that_is_gone_fails_once(adult: pd.DataFrame, suite: dict) -> None:
    report = check(adult.drop(columns="age"), suite)

    assert len(report.failures) == 1
    assert "age" in str(report.failures[0])
