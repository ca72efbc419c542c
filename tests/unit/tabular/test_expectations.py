from __future__ import annotations

import re

import great_expectations as gx
import numpy as np
import pandas as pd
import pytest
from great_expectations.core import ExpectationSuite

from tasks.tabular import expectations
from tasks.tabular.errors import SuiteError
from tasks.tabular.expectations import check, draft
from tasks.tabular.suites import from_yaml, to_yaml


@pytest.fixture
def suite(adult: pd.DataFrame, stored) -> ExpectationSuite:
    return from_yaml(to_yaml(draft(*stored(adult), "adult")))


def test_a_table_meets_the_suite_drafted_from_it(adult, suite, stored) -> None:
    report = check(stored(adult)[0], suite)

    assert report.passed
    assert report.failures == ()
    assert report.checked > len(adult.columns)


def test_other_rows_of_the_same_kind_pass(adult: pd.DataFrame, stored) -> None:
    half = len(adult) // 2

    drafted = draft(*stored(adult.iloc[:half]), "adult")

    assert check(stored(adult.iloc[half:])[0], drafted).passed


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
def test_a_damaged_column_is_named(adult, suite, stored, column: str, damage) -> None:
    damaged = adult.assign(**{column: damage(adult[column])})

    report = check(stored(damaged)[0], suite)

    assert not report.passed
    assert {failure.column for failure in report.failures} == {column}


def test_a_column_that_is_gone_fails_once(adult, suite, stored) -> None:
    report = check(stored(adult.drop(columns="age"))[0], suite)

    assert len(report.failures) == 1
    assert "age" in str(report.failures[0])


def test_a_column_that_is_gone_fails_without_the_table_s_expectation_too(
    adult, suite, stored
) -> None:
    of_columns = [each for each in suite.expectations if hasattr(each, "column")]

    report = check(stored(adult.drop(columns="age"))[0], ExpectationSuite("x", of_columns))

    assert {failure.column for failure in report.failures} == {"age"}


def test_a_batch_need_not_have_the_target(adult, suite, stored) -> None:
    batch, _ = stored(adult.drop(columns="income"))

    assert not check(batch, suite).passed
    assert check(batch, suite, absent=("income",)).passed
    assert not check(
        stored(adult.drop(columns=["income", "age"]))[0], suite, absent=("income",)
    ).passed


@pytest.mark.parametrize("kind", ["int16", "uint64", "float32"])
def test_numbers_of_any_width_meet_their_own_suite(kind: str, stored) -> None:
    path, schema = stored(pd.DataFrame({"n": pd.Series(range(20), dtype=kind)}))

    assert check(path, draft(path, schema, "n")).passed


def test_a_column_of_dates_stays_one(stored) -> None:
    days = pd.DataFrame({"day": pd.date_range("2020-01-01", periods=60), "n": range(60)})
    drafted = draft(*stored(days), "days")

    assert check(stored(days)[0], drafted).passed
    assert not check(stored(days.assign(day=days["day"].astype(str)))[0], drafted).passed


def test_keys_must_stay_unique(stored) -> None:
    frame = pd.DataFrame({"order_id": range(100), "age": [*range(100)]})
    drafted = draft(*stored(frame), "orders")

    twice = check(stored(frame.assign(order_id=[0, *range(99)], age=[0, *range(99)]))[0], drafted)

    assert [(each.column, each.rows) for each in twice.failures] == [("order_id", (0, 1))]


def test_fewer_rows_are_a_warning_that_lets_the_version_pass(adult, suite, stored) -> None:
    report = check(stored(adult.head(100))[0], suite)

    assert report.passed
    assert [each.expectation for each in report.warnings] == [
        "expect_table_row_count_to_be_between"
    ]


def test_the_rows_that_fail_are_named(stored) -> None:
    frame = pd.DataFrame({"age": [30, 31, 999, 33, -5]})
    held = gx.expectations.ExpectColumnValuesToBeBetween(column="age", min_value=0, max_value=120)

    report = check(stored(frame)[0], ExpectationSuite("x", [held]))

    assert report.failures[0].rows == (2, 4)
    assert "999" in report.failures[0].observed
    assert "40.0 % of rows" in report.failures[0].observed


def test_values_of_hidden_columns_are_not_told(stored) -> None:
    frame = pd.DataFrame({"mail": ["secret@example.org", "b"], "n": [1, 2]})
    held = gx.expectations.ExpectColumnValuesToBeInSet(column="mail", value_set=["b"])

    report = check(stored(frame)[0], ExpectationSuite("x", [held]), hidden=("mail",))

    assert not report.passed
    assert "secret" not in report.page + str(report.to_json())


def test_a_large_table_is_looked_at_in_parts_with_the_same_result(
    adult, suite, stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged, _ = stored(adult.assign(age=adult["age"] * 100, sex="?"))
    whole = check(damaged, suite)
    monkeypatch.setattr(expectations, "_CELLS", 2 * len(adult))

    parts = check(damaged, suite)

    assert set(parts.failures) == set(whole.failures)
    assert parts.checked == whole.checked


def test_the_document_of_great_expectations_loads_nothing(adult, suite, stored) -> None:
    page = check(stored(adult)[0], suite).page

    assert "Evaluated Expectations" in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"']https?:", page)
    assert "<script" not in page


def test_a_suite_survives_being_written_for_people(adult: pd.DataFrame, stored) -> None:
    drafted = draft(*stored(adult), "adult")

    again = from_yaml(to_yaml(drafted))

    assert to_yaml(again) == to_yaml(drafted)
    assert [each.severity for each in again.expectations] == [
        each.severity for each in drafted.expectations
    ]


KNOWN = "expect_column_max_to_be_between"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("x: [", "line 1"),
        ("just text", "list of `expectations`"),
        ("expectations: [{kwargs: {}}]", "expectation 1 has no `type`"),
        ("expectations: [{type: expect_colum_max_to_be_between}]", f"did you mean {KNOWN}"),
        (f"expectations: [{{type: {KNOWN}, kwargs: {{colum: a}}}}]", "column field required"),
        (f"expectations: [{{type: {KNOWN}, severity: stop}}]", "`fail` or `warn`"),
        (f"expectations: [{{type: {KNOWN}, kwargs: [1]}}]", "`kwargs` are names with values"),
        (f"expectations: [{{type: {KNOWN}, severty: warn}}]", "did you mean severity"),
        ("expectations: [{type: 5}]", "there is no '5'"),
        ("!!python/object/apply:os.system ['true']", "python/object"),
    ],
)
def test_a_suite_that_cannot_be_read_is_refused_with_cause(content: str, says: str) -> None:
    with pytest.raises(SuiteError, match=re.escape(says)):
        from_yaml(content)


def test_no_value_of_a_hidden_column_is_written_into_the_suite(stored) -> None:
    frame = pd.DataFrame({"mail": [f"secret{n}@x.org" for n in range(30)] * 2, "pin": range(60)})

    drafted = to_yaml(draft(*stored(frame), "people", hidden=("mail", "pin")))

    assert "secret" not in drafted
    assert "59" not in drafted


def test_what_the_data_says_is_no_markup_in_the_document(stored) -> None:
    evil = '<form action="https://evil.example"><img src=x>'
    frame = pd.DataFrame({evil: [evil, "b"]})
    held = gx.expectations.ExpectColumnValuesToBeInSet(column=evil, value_set=["b", evil + "?"])

    page = check(stored(frame)[0], ExpectationSuite("x", [held])).page

    assert "evil.example" in page
    assert "<form" not in page
    assert "<img" not in page
