from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from tasks.tabular.diagram import StepDescription, describe, html, svg
from tasks.tabular.features import prepare
from tasks.tabular.problem import Problem
from tasks.tabular.schema import infer
from tasks.tabular.spec import PipelineSpec

if TYPE_CHECKING:
    from tasks.tabular.diagram import PipelineDescription

BINARY = Problem("binary", "y", (0, 1))
SVG = "{http://www.w3.org/2000/svg}"

HOSTILE = [
    pytest.param("<script>alert(1)</script>", id="script"),
    pytest.param("\"><img src=x onerror='alert(1)'>", id="quotes"),
    pytest.param("a & b", id="ampersand"),
    pytest.param("]]><!--", id="XML's own marks"),
    pytest.param("{{ 7 * 7 }}", id="template"),
    pytest.param("Größe 名 🜁", id="letters of all kinds"),
    pytest.param("tab\tline\nbreak", id="white space"),
    pytest.param("bell\x07 and \x00", id="control characters"),
]


@pytest.fixture
def rows(rng: np.random.Generator) -> pd.DataFrame:
    n = 100
    numbers = rng.normal(size=(n, 2))
    return pd.DataFrame(
        {
            "a": np.arange(n) / (n - 1),
            "b": numbers[:, 0],
            "copy": 2 * numbers[:, 0],
            "c": np.where(numbers[:, 1] > 1, np.nan, numbers[:, 1]),
            "job": rng.choice(["cook", "nurse"], n),
        }
    )


def fitted(rows: pd.DataFrame, *steps: dict[str, Any], remainder: str = "default") -> Pipeline:
    spec = PipelineSpec.parse({"steps": list(steps), "remainder": remainder})
    pipeline = prepare(infer(rows), "linear", problem=BINARY, spec=spec).pipeline
    return pipeline.fit(rows, np.arange(len(rows)) % 2)


def described(model: Pipeline, name: str) -> StepDescription:
    (found,) = (each for each in describe(model).steps if each.name == name)
    return found


def texts(picture: str) -> list[str]:
    root = ElementTree.fromstring(picture)
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def everything(rows: pd.DataFrame) -> Pipeline:
    return fitted(
        rows,
        {"step": "clip"},
        {"step": "impute"},
        {"step": "drop_collinear"},
        {"step": "polynomial"},
        {"step": "bin", "columns": ["a"]},
        {"step": "pca", "components": 2},
        {"step": "one_hot"},
    )


def test_every_step_is_drawn(rows: pd.DataFrame) -> None:
    model = everything(rows)

    picture = svg(describe(model))

    assert [name for name, _ in model.steps] == [
        each for each in texts(picture) if each in dict(model.steps)
    ]


def test_a_whole_model_is_drawn_up_to_its_learner(rows: pd.DataFrame) -> None:
    prepared = fitted(rows)
    y = np.arange(len(rows)) % 2
    learner = LogisticRegression().fit(prepared.transform(rows), y)

    picture = svg(describe(Pipeline([*prepared.steps, ("learner", learner)])))

    assert {"learner", "LogisticRegression", "prediction"} <= set(texts(picture))


def test_the_picture_is_as_high_as_its_boxes(rows: pd.DataFrame) -> None:
    root = ElementTree.fromstring(svg(describe(everything(rows))))

    boxes = root.findall(f"{SVG}g/{SVG}rect")
    lowest = max(float(each.attrib["y"]) + float(each.attrib["height"]) for each in boxes)

    assert lowest <= float(root.attrib["height"])


def test_the_picture_loads_nothing(rows: pd.DataFrame) -> None:
    picture = svg(describe(everything(rows)))

    assert re.findall(r"(?:href|src|url)\s*[=(]", picture) == []
    assert re.findall(r"https?://[^\"]*", picture) == ["http://www.w3.org/2000/svg"]


def test_raw_columns_are_counted(rows: pd.DataFrame) -> None:
    assert texts(svg(describe(fitted(rows))))[0] == f"{rows.shape[1]} raw columns"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_columns_name_is_no_markup(name: str, rows: pd.DataFrame) -> None:
    model = fitted(rows.rename(columns={"a": name}), {"step": "clip", "columns": [name]})

    picture = svg(describe(model))

    titles = [each.text for each in ElementTree.fromstring(picture).iter(f"{SVG}title")]
    assert any("clip" in str(each) for each in titles)
    assert "<script" not in picture
    assert "<img" not in picture


@pytest.mark.parametrize("name", HOSTILE)
def test_a_steps_name_is_no_markup(name: str, rows: pd.DataFrame) -> None:
    prepared = fitted(rows)
    first, *others = [step for _, step in prepared.steps]
    model = Pipeline([(name, first), *((f"s{place}", each) for place, each in enumerate(others))])

    picture = svg(describe(model))

    assert len(texts(picture)) == 1 + 3 * len(model.steps)
    assert "<script" not in picture
    assert "<img" not in picture


@pytest.mark.parametrize("formula", ['col("<script>") + 1', 'col("a & b") < 1'])
def test_a_parameter_is_no_markup(formula: str, rows: pd.DataFrame) -> None:
    renamed = rows.rename(columns={"a": "<script>", "b": "a & b"})
    model = fitted(renamed, {"step": "expression", "formulas": {"new": formula}})

    picture = svg(describe(model))

    assert any("Expressions" in each for each in texts(picture))
    assert "<script>" not in picture


def test_long_parameters_are_cut_short(rows: pd.DataFrame) -> None:
    formulas = {f"new {place}": "a + b" for place in range(20)}
    model = fitted(rows, {"step": "expression", "formulas": formulas})

    said = described(model, "expression").said

    assert len(said) == 60
    assert said.endswith("…")


def test_what_a_step_takes_and_makes_is_told(rows: pd.DataFrame) -> None:
    found = described(fitted(rows, {"step": "one_hot"}), "one_hot")

    assert found.takes == ("job",)
    assert found.makes == ("job=cook", "job=nurse")
    assert found.leaving == rows.shape[1] + 1


def test_only_parameters_that_are_not_usual_are_told(rows: pd.DataFrame) -> None:
    usual = described(fitted(rows, {"step": "scale"}), "scale")
    other = described(fitted(rows, {"step": "scale", "method": "robust"}), "scale")

    assert usual.parameters == {}
    assert other.parameters == {"method": "robust"}


def test_limits_are_told_by_column(rows: pd.DataFrame) -> None:
    model = fitted(rows, {"step": "clip", "columns": ["a", "b"]})

    learned = described(model, "clip").learned

    low, high = np.quantile(rows["b"], [0.01, 0.99])
    assert learned["lower limit"] == pytest.approx({"a": 0.01, "b": low}, abs=1e-6)
    assert learned["upper limit"] == pytest.approx({"a": 0.99, "b": high}, abs=1e-6)


def test_an_open_limit_is_none(rows: pd.DataFrame) -> None:
    model = fitted(rows, {"step": "clip", "columns": ["a"], "method": "fixed", "lower": 0.0})

    learned = described(model, "clip").learned

    assert learned == {"lower limit": {"a": 0.0}, "upper limit": {"a": None}}


def test_edges_of_bins_are_told_by_column(rows: pd.DataFrame) -> None:
    model = fitted(rows, {"step": "bin", "columns": ["a"], "strategy": "uniform", "bins": 4})

    learned = described(model, "bin").learned

    assert learned == {"bin edges": {"a": [0.0, 0.25, 0.5, 0.75, 1.0]}}


def test_edges_of_bins_of_several_columns_are_told_by_column(rows: pd.DataFrame) -> None:
    model = fitted(rows, {"step": "bin", "columns": ["a", "b"], "bins": 2})

    edges = described(model, "bin").learned["bin edges"]

    assert edges["a"] == [0.0, 0.5, 1.0]
    assert edges["b"] == pytest.approx(np.quantile(rows["b"], [0, 0.5, 1]), abs=1e-6)


def test_what_gaps_are_filled_with_is_told(rows: pd.DataFrame) -> None:
    model = fitted(rows, {"step": "impute", "columns": ["c"]})

    assert described(model, "impute").learned == {
        "fills with": {"c": pytest.approx(rows["c"].median(), abs=1e-6)}
    }


def test_what_texts_gaps_are_filled_with_is_told(rows: pd.DataFrame) -> None:
    job = rows["job"].mask(rows.index < 5)
    step = {
        "step": "impute",
        "columns": ["job"],
        "strategy": "constant",
        "fill_value": "none",
    }

    learned = described(fitted(rows.assign(job=job), step), "impute").learned

    assert learned == {"fills with": {"job": "none"}}


@pytest.mark.parametrize("step", ["drop_collinear", "drop_correlated"])
def test_columns_left_out_are_told(step: str, rows: pd.DataFrame) -> None:
    model = fitted(rows, {"step": "impute"}, {"step": step})

    decisions = described(model, step).learned["left out"]

    assert len(decisions) == 1
    assert set(decisions) < {"b", "copy"}


def test_components_and_products_are_counted(rows: pd.DataFrame) -> None:
    numbers = ["a", "b"]
    model = fitted(
        rows,
        {"step": "impute"},
        {"step": "polynomial", "columns": numbers},
        {"step": "pca", "components": 2},
    )

    assert described(model, "polynomial").learned == {"products": 3}
    assert described(model, "pca").learned == {"components": 2}


def test_a_step_without_columns_has_nothing_to_do(rows: pd.DataFrame) -> None:
    found = described(fitted(rows, {"step": "date_parts"}), "date_parts")

    assert (found.takes, found.makes, found.learned) == ((), (), {})
    assert found.leaving == rows.shape[1]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rows: rows, id="as they are"),
        pytest.param(lambda rows: rows.assign(c=np.nan), id="a column without values"),
        pytest.param(lambda rows: rows.assign(c=1e300 * rows["a"]), id="great numbers"),
        pytest.param(lambda rows: rows.rename(columns={"a": "a <&> 'b'"}), id="odd name"),
    ],
)
def test_a_description_is_json(change: Any, rows: pd.DataFrame) -> None:
    model = fitted(
        change(rows),
        {"step": "clip"},
        {"step": "impute"},
        {"step": "drop_collinear"},
        {"step": "bin", "bins": 3},
    )

    content = json.loads(json.dumps(describe(model).to_json(), allow_nan=False))

    assert [each["name"] for each in content] == [name for name, _ in model.steps]
    learned = {each["name"]: each["learned"] for each in content}
    assert set(learned["clip"]) == {"lower limit", "upper limit"}
    assert "left out" in learned["drop_collinear"]
    assert "bin edges" in learned["bin"]


def test_describing_changes_nothing(rows: pd.DataFrame) -> None:
    model = everything(rows)
    before = model.transform(rows)

    descriptions: list[PipelineDescription] = [describe(model), describe(model)]

    assert descriptions[0] == descriptions[1]
    np.testing.assert_array_equal(before, model.transform(rows))


def test_the_page_names_every_step_and_loads_nothing(rows: pd.DataFrame) -> None:
    model = everything(rows)

    page = html(model)

    assert [name for name, _ in model.steps if name not in page] == []
    assert re.findall(r"src\s*=\s*[\"']?(?:https?:)?//", page) == []
    assert re.findall(r"<link\b|@import|<iframe\b|url\(\s*[\"']?http", page) == []


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\"><img src=x onerror='f()'>"])
def test_a_columns_name_is_no_markup_of_the_page(name: str, rows: pd.DataFrame) -> None:
    model = fitted(rows.rename(columns={"a": name}), {"step": "clip", "columns": [name]})

    page = html(model)

    assert "<script>alert" not in page
    assert "<img" not in page
