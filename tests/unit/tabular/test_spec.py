from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tasks.tabular.errors import SpecError
from tasks.tabular.spec import MAX_BYTES, MAX_STEPS, PipelineSpec
from tasks.tabular.steps.registry import schemas, steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NEEDED: dict[str, dict[str, Any]] = {
    "drop_columns": {"columns": ["a"]},
    "expression": {"formulas": {"ratio": "a / (b + 1)", "größe": 'col("unit price") ** 2'}},
    "cyclical": {"columns": ["hour"], "period": 24},
    "elapsed": {"columns": ["start", "end"]},
}
"""Parameters without a default."""

SEVERAL = """
steps:
  - {step: drop_nulls, columns: [age, job], thresh: 1}
  - {step: impute, strategy: constant, fill_value: -1}
  - {step: clip, columns: [age, "unit price"], method: iqr, lower: null, upper: 1.5}
  - {step: date_parts, parts: [year, holiday], country: DE, timezone: Europe/Berlin,
     since: 2020-02-29}
  - {step: one_hot, max_categories: 10}
remainder: drop
"""


def problems_of(text: str) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        PipelineSpec.read(text)
    return list(caught.value.problems)


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a package of one module whose entry points are steps."""
    installed: list[str] = []

    def install(module: str, source: str, **entries: str) -> None:
        folder = tmp_path / module
        metadata = folder / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (folder / f"{module}.py").write_text(source)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [f"{name} = {module}:{value}" for name, value in entries.items()]
        (metadata / "entry_points.txt").write_text("\n".join(["[millrace.steps]", *lines, ""]))
        monkeypatch.syspath_prepend(str(folder))
        installed.append(module)
        steps.cache_clear()

    yield install
    steps.cache_clear()
    for module in installed:
        sys.modules.pop(module, None)


DOUBLE = '''
from typing import Literal

from pydantic import BaseModel
from sklearn.preprocessing import FunctionTransformer

from tasks.tabular.steps.base import Step


class Double(Step):
    """Twice the numbers."""

    step: Literal["double"] = "double"
    times: int = 2

    def build(self, context):
        return FunctionTransformer(lambda numbers: self.times * numbers)


class Impostor(Step):
    """Somebody else's `scale`."""

    step: Literal["scale"] = "scale"


class Limits(BaseModel):
    low: float = 0.0


class Nested(Step):
    """Parameters in groups."""

    step: Literal["nested"] = "nested"
    limits: Limits = Limits()


class Opaque(Step):
    """A parameter that JSON has no schema for."""

    model_config = {"arbitrary_types_allowed": True}

    step: Literal["opaque"] = "opaque"
    lock: type(print) | None = None


class Nameless(Step):
    """Without a name of its own."""


nothing = 42
'''


@pytest.mark.parametrize("name", steps())
def test_every_step_survives_yaml_and_json(name: str) -> None:
    spec = PipelineSpec.parse({"steps": [{"step": name, **NEEDED.get(name, {})}]})

    assert PipelineSpec.read(spec.to_yaml()) == spec
    assert PipelineSpec.read(json.dumps(spec.to_json())) == spec


def test_parameters_survive_yaml_and_json() -> None:
    spec = PipelineSpec.read(SEVERAL)

    assert PipelineSpec.read(spec.to_yaml()) == spec
    assert PipelineSpec.read(json.dumps(spec.to_json())) == spec
    assert PipelineSpec.parse(spec.to_json()).digest == spec.digest


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("no", id="a word YAML reads as false"),
        pytest.param("2020-01-01", id="a date"),
        pytest.param("12", id="a number"),
        pytest.param("a: b # c", id="YAML's own characters"),
        pytest.param("größe", id="umlauts"),
        pytest.param("😀", id="beyond 16 bits"),
        pytest.param("two\nlines", id="two lines"),
        pytest.param("", id="nothing"),
    ],
)
def test_names_of_columns_survive_yaml_and_json(name: str) -> None:
    spec = PipelineSpec.parse({"steps": [{"step": "scale", "columns": [name]}]})

    assert PipelineSpec.read(spec.to_yaml()).named_columns == (name,)
    assert PipelineSpec.read(json.dumps(spec.to_json())).named_columns == (name,)


@pytest.mark.parametrize("value", [0, -1, 0.1, 1e-7, 1e22, "", "0", "none", "1e-7"])
def test_values_that_fill_gaps_survive_yaml_and_json(value: float | str) -> None:
    step = {"step": "impute", "strategy": "constant", "fill_value": value}
    spec = PipelineSpec.parse({"steps": [step]})

    assert PipelineSpec.read(spec.to_yaml()) == spec
    assert PipelineSpec.read(json.dumps(spec.to_json())) == spec


def test_json_may_be_indented_by_tabs() -> None:
    content = {"steps": [{"step": "scale"}]}

    assert PipelineSpec.read(json.dumps(content, indent="\t")) == PipelineSpec.parse(content)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"steps": [{"step": "scale"}]}', id="JSON"),
        pytest.param("steps:\n- step: scale\n", id="YAML in lines"),
        pytest.param("steps: [{columns: numeric, step: scale}]", id="another order"),
        pytest.param("steps: [{step: scale, method: standard}]", id="a default written out"),
        pytest.param("remainder: default\nsteps: [step: scale]  # usual", id="a remark"),
    ],
)
def test_the_same_meaning_has_the_same_digest(text: str) -> None:
    spec = PipelineSpec.parse({"steps": ({"step": "scale"},)})

    assert PipelineSpec.read(text).digest == spec.digest


def test_whole_numbers_mean_the_same_with_a_point() -> None:
    whole = PipelineSpec.read("steps: [{step: pca, components: 2}]")

    assert PipelineSpec.read("steps: [{step: pca, components: 2.0}]").digest == whole.digest


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("steps: [{step: bin}, {step: scale}]", id="another order of steps"),
        pytest.param("steps: [{step: scale}, {step: bin, bins: 6}]", id="another parameter"),
        pytest.param("steps: [{step: scale, columns: [a]}, {step: bin}]", id="other columns"),
        pytest.param("steps: [{step: scale}, {step: bin}]\nremainder: drop", id="other remainder"),
        pytest.param("steps: [{step: scale}]", id="a step less"),
    ],
)
def test_another_meaning_has_another_digest(text: str) -> None:
    spec = PipelineSpec.read("steps: [{step: scale}, {step: bin}]")

    assert PipelineSpec.read(text).digest != spec.digest


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("steps: [{step: scal}]", "step 1 step", "did you mean scale?"),
        ("steps: [{step: Scale}]", "step 1 step", "did you mean scale"),
        ("steps: [{step: bin}, {step: onehot}]", "step 2 step", "did you mean one_hot"),
        ("steps: [{step: scale, metod: robust}]", "step 1 metod", "did you mean method?"),
        ("steps: [{step: scale, method: robst}]", "step 1 method", "did you mean robust?"),
        ("steps: [{step: date_parts, parts: [yeer]}]", "step 1 parts.0", "did you mean year"),
        ("steps: [{step: date_parts, timezone: Europe/Berln}]", "step 1 timezone", "Europe/Berlin"),
        ("steps: [{step: scale, columns: numerc}]", "step 1 columns", "did you mean numeric?"),
        ("steps: [{step: expression, formulas: {a: sqr(b)}}]", "step 1 formulas", "sqrt"),
        ("remaindr: drop", "remaindr", "did you mean remainder?"),
        ("remainder: dropp", "remainder", "did you mean drop"),
    ],
)
def test_the_nearest_name_and_the_place_are_told(text: str, place: str, hint: str) -> None:
    told = dict(reversed(problems_of(text)))

    assert hint in told[place]


def test_a_problem_is_told_once() -> None:
    assert len(problems_of("steps: [{step: scale, columns: age}]")) == 1
    assert len(problems_of("steps: [{step: date_parts, parts: [yeer]}]")) == 1


def test_all_problems_are_told_at_once() -> None:
    text = "steps: [{step: scal}, {step: bin, bins: 1, colums: [a]}]\nremainder: keep"

    places = [place for place, _ in problems_of(text)]

    assert places == ["step 1 step", "step 2 bins", "step 2 colums", "remainder"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("steps: [{step: impute, strategy: constant}]", "step 1"),
        ("steps: [{step: impute, fill_value: 3}]", "step 1"),
        ("steps: [{step: impute, strategy: knn, neighbors: 0}]", "step 1 neighbors"),
        ("steps: [{step: clip, lower: -1}]", "step 1"),
        ("steps: [{step: clip, lower: 0.9, upper: 0.1}]", "step 1"),
        ("steps: [{step: clip, method: iqr, lower: -1.5}]", "step 1"),
        ("steps: [{step: clip, method: fixed, lower: .nan}]", "step 1 lower"),
        ("steps: [{step: pca, components: .inf}]", "step 1 components"),
        ("steps: [{step: pca, components: 0}]", "step 1 components"),
        ("steps: [{step: polynomial, degree: 1}]", "step 1 degree"),
        ("steps: [{step: bin, bins: many}]", "step 1 bins"),
        ("steps: [{step: cyclical, columns: [hour]}]", "step 1 period"),
        ("steps: [{step: cyclical, columns: all, period: 24}]", "step 1"),
        ("steps: [{step: elapsed, columns: [start]}]", "step 1 columns.1"),
        ("steps: [{step: date_parts, parts: [holiday]}]", "step 1"),
        ("steps: [{step: date_parts, country: DE}]", "step 1"),
        ("steps: [{step: date_parts, parts: [holiday], country: XX}]", "step 1"),
        ("steps: [{step: text, ngrams: [2, 1]}]", "step 1"),
        ("steps: [{step: drop_nulls, how: all, thresh: 2}]", "step 1"),
        ("steps: [{step: scale, columns: [no]}]", "step 1 columns.0"),
    ],
)
def test_impossible_values_are_refused_at_their_place(text: str, place: str) -> None:
    assert place in [where for where, _ in problems_of(text)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("[]", id="a list"),
        pytest.param("scale", id="a word"),
        pytest.param("1", id="a number"),
        pytest.param("1: 2", id="a number for a name"),
        pytest.param("steps: scale", id="a word for steps"),
        pytest.param("steps: {step: scale}", id="a step for steps"),
        pytest.param("steps: [scale]", id="a word for a step"),
        pytest.param("steps: [[step, scale]]", id="a list for a step"),
        pytest.param("steps: [{columns: all}]", id="no name"),
        pytest.param("steps: [{step: [scale]}]", id="a list for a name"),
        pytest.param("steps: [{step: scale, 1: 2}]", id="a number for a parameter"),
        pytest.param("steps: [{step: scale}", id="an open bracket"),
        pytest.param("a: 1\n b: 2", id="a wrong indent"),
        pytest.param("--- {}\n--- {}", id="two documents"),
        pytest.param("steps: \x00", id="a null byte"),
        pytest.param("steps: \ud800", id="half a character"),
        pytest.param("? [a]\n: b", id="a list for a key"),
        pytest.param("steps: !!bool perhaps", id="a truth value that is none"),
        pytest.param("steps: !!int ''", id="an integer that is none"),
        pytest.param("steps: !!float ''", id="a number that is none"),
        pytest.param("steps: !!timestamp soon", id="a time that is none"),
        pytest.param("steps: 2024-13-45", id="a date that is none"),
        pytest.param("steps: [{step: scale, method: " + "9" * 5_000 + "}]", id="many digits"),
    ],
)
def test_what_is_no_specification_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        PipelineSpec.read(text)


@pytest.mark.parametrize(
    "text",
    [
        "steps: !!python/object/apply:os.system ['touch {path}']",
        "!!python/object/new:os.system ['touch {path}']",
        "steps: !!python/name:os.system ''",
        "steps: [{{step: !!python/object/apply:pathlib.Path.touch ['{path}']}}]",
        (
            "steps: [{{step: expression, formulas: "
            "{{a: \"__import__('os').system('touch {path}')\"}}}}]"
        ),
        "steps: [{{step: expression, formulas: {{a: \"open('{path}', 'w')\"}}}}]",
        "steps: [{{step: __import__}}]",
        "steps: [{{step: scale, __class__: 1}}]",
    ],
)
def test_nothing_that_is_written_runs(text: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    problems_of(text.format(path=trace))

    assert not trace.exists()


def test_aliases_are_refused() -> None:
    bomb = "a: &a [1, 1]\n" + "".join(
        f"{name}: &{name} [*{before}, *{before}]\n"
        for before, name in zip("abcdefghijklmnopqrs", "bcdefghijklmnopqrst", strict=True)
    )

    assert "aliases" in problems_of(bomb)[0][1]
    assert "aliases" in problems_of("a: &a [*a]")[0][1]
    assert "aliases" in problems_of("x: &x {step: bin}\nsteps: [{<<: *x}]")[0][1]


@pytest.mark.parametrize("character", ["#", "é", "😀"])
def test_long_texts_are_refused_unread(character: str) -> None:
    text = character * (MAX_BYTES // len(character.encode()) + 1)

    assert str(MAX_BYTES) in problems_of(text)[0][1]


def test_there_are_not_more_steps_than_a_hundred() -> None:
    most = {"steps": [{"step": "scale"}] * MAX_STEPS}
    more = {"steps": [{"step": "scale"}] * (MAX_STEPS + 1)}

    assert len(PipelineSpec.parse(most).steps) == MAX_STEPS
    assert problems_of(json.dumps(more))[0][0] == "steps"


@pytest.mark.parametrize("depth", [100, 1_000, 40_000])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")],
    ids=["lists", "mappings", "lines", "keys"],
)
def test_deep_nesting_is_refused(opening: str, closing: str, depth: int) -> None:
    text = opening * depth + closing * depth

    problems_of("steps:\n  " + text)
    problems_of(text)


@pytest.mark.parametrize("depth", [100, 300])
def test_deep_parameters_are_refused(depth: int) -> None:
    assert problems_of("steps: [{step: scale, columns: " + "[" * depth + "]" * depth + "}]")


@pytest.mark.parametrize("name", steps())
def test_every_step_says_what_it_does_and_takes(name: str) -> None:
    step, schema = steps()[name], schemas()[name]

    assert step.__doc__
    assert schema["description"]
    assert schema["properties"]["step"]["const"] == name
    assert set(schema["properties"]) == set(step.model_fields)
    json.dumps(schema, allow_nan=False)


def test_forms_know_every_step() -> None:
    schema = PipelineSpec.model_json_schema()

    kinds = schema["properties"]["steps"]["items"]["anyOf"]

    assert {each["properties"]["step"]["const"] for each in kinds} == set(steps())
    assert "$ref" not in json.dumps(schema)


def test_named_columns_are_those_of_steps_and_formulas() -> None:
    spec = PipelineSpec.read(
        "steps: [{step: scale, columns: [b, a]}, {step: bin, columns: [a]}, {step: text},"
        " {step: expression, formulas: {c: d + col('unit price')}}]"
    )

    assert spec.named_columns == ("b", "a", "d", "unit price")


def test_a_package_may_bring_a_step(publish: Callable[..., None]) -> None:
    publish("acme_steps", DOUBLE, double="Double")

    spec = PipelineSpec.read("steps: [{step: double, columns: [a], times: 3}]")

    assert spec.to_json()["steps"] == [
        {"step": "double", "columns": ["a"], "without": [], "times": 3}
    ]
    assert schemas()["double"]["description"] == "Twice the numbers."
    assert PipelineSpec.read(spec.to_yaml()).digest == spec.digest


def test_parameters_of_a_foreign_step_are_checked(publish: Callable[..., None]) -> None:
    publish("acme_steps", DOUBLE, double="Double")

    assert "did you mean times?" in problems_of("steps: [{step: double, time: 3}]")[0][1]
    assert "did you mean double?" in problems_of("steps: [{step: doubl}]")[0][1]


def test_a_step_goes_with_its_package() -> None:
    assert "double" not in steps()


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        pytest.param("nothing", "is no Step", id="no step"),
        pytest.param("absent", "cannot be loaded", id="not there"),
        pytest.param("Nameless", "cannot be loaded", id="nameless"),
        pytest.param("Impostor", "the name is taken", id="a taken name"),
    ],
)
def test_a_broken_step_breaks_no_other(
    publish: Callable[..., None], caplog: pytest.LogCaptureFixture, entry: str, told: str
) -> None:
    own = dict(steps())

    publish("acme_steps", DOUBLE, double="Double", broken=entry)

    assert dict(steps()) == own | {"double": steps()["double"]}
    assert told in caplog.text


def test_a_package_that_cannot_be_imported_breaks_no_other(
    publish: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    publish("acme_steps", DOUBLE, double="Double")
    publish("acme_broken", "raise RuntimeError('out of order')", broken="Broken")

    assert "double" in steps()
    assert "out of order" in caplog.text


@pytest.mark.parametrize("entry", ["Nested", "Opaque"])
def test_forms_do_without_a_step_they_cannot_show(publish: Callable[..., None], entry: str) -> None:
    publish("acme_steps", DOUBLE, double="Double", other=entry)

    kinds = PipelineSpec.model_json_schema()["properties"]["steps"]["items"]["anyOf"]

    assert "double" in {each["properties"]["step"]["const"] for each in kinds}
    assert "double" in schemas()


def test_references_in_the_schema_lead_somewhere(publish: Callable[..., None]) -> None:
    publish("acme_steps", DOUBLE, nested="Nested")

    schema = PipelineSpec.model_json_schema()

    named = re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema))
    assert set(named) <= set(schema.get("$defs", {}))
