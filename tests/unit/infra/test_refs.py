from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.errors import DatasetNameError, ModelNotFoundError
from infra.refs import DatasetRef, ModelRef, normalise_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My DataSet.csv", "my_dataset"),
        ("adult.csv.gz", "adult"),
        ("Über-Größe 2024.parquet", "uber_groe_2024"),
        ("  sales__q1.CSV", "sales_q1"),
        ("v1.2 final.csv", "v1_2_final"),
    ],
)
def test_file_names_become_catalogue_names(text: str, name: str) -> None:
    assert normalise_name(text) == name


@given(st.text(max_size=300))
def test_a_normalised_name_is_valid_and_stays(text: str) -> None:
    try:
        name = normalise_name(text)
    except DatasetNameError:
        return

    assert re.fullmatch(r"[a-z0-9_]{1,100}", name)
    assert normalise_name(name) == name


@pytest.mark.parametrize(
    ("model", "registered"),
    [
        (ModelRef(name="adult", version=1), "adult"),
        (ModelRef(project="telco", name="churn", version=3), "telco.churn"),
    ],
)
def test_registered_names_are_read_back(model: ModelRef, registered: str) -> None:
    assert model.registered_name == registered
    assert ModelRef.from_registered(registered, model.version) == model


@pytest.mark.parametrize("foreign", ["My Model", "a.b.c", "", "a/b", "../x", "default.adult"])
def test_a_foreign_name_is_no_reference(foreign: str) -> None:
    with pytest.raises(ModelNotFoundError):
        ModelRef.from_registered(foreign, 1)


@pytest.mark.parametrize("name", ["", "A", "a-b", "../../etc", "a" * 101])
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        DatasetRef(name=name, version=1)
