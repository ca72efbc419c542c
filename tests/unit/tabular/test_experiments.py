from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.tabular.experiment_errors import ExperimentError
from tasks.tabular.experiment_steps import (
    LoadFromKaggle,
    LoadStep,
    PrepareData,
    TrainModel,
    schemas,
    steps,
)
from tasks.tabular.experiments import MAX_PIPELINES, MAX_STEPS, Experiment
from tasks.tabular.messages import read_message
from tests.unit.tabular.source_messages import FRAUD, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONFIG = {
    "experiment_name": "test",
    "model_name": "test",
    "main_metric": "Kappa",
    "problem_type": "classification",
    "target": "Class",
}
LOAD = {"load_data_from_file": {"path": "/app/data/fraud.zip"}}
TRAIN: dict[str, Any] = {"train_model": {}}
REGISTER: dict[str, Any] = {"register_model": {}}
PREPARE: dict[str, Any] = {"prepare_data": {"preparation": {"steps": [{"step": "scale"}]}}}

GOOD: dict[str, list[dict[str, Any]]] = {
    "load_data_from_kaggle": [
        {
            "kaggle_dataset_name": "mlg-ulb/creditcardfraud",
            "training_file_name": "creditcard.csv",
        },
        {"kaggle_dataset_name": "uciml/iris"},
        {"kaggle_dataset_name": "a/b.c", "training_file_name": "my file.csv", "dataset": "fraud"},
    ],
    "load_data_from_file": [
        {"path": "/app/data/creditcardfraud.zip"},
        {"path": "C:\\data\\ü.csv", "dataset": "fraud"},
        {"path": "a.csv", "options": {"delimiter": ";", "types": {"zip": "text"}}},
    ],
    "load_data_from_url": [
        {"url": "https://example.com/a.csv?x=1"},
        {"url": "sql://warehouse", "query": "select * from t"},
        {"url": "example://iris"},
    ],
    "load_data_from_dataset": [
        {"dataset": "adult"},
        {"dataset": "adult", "version": 3},
        {"dataset": "adult", "project": "telco"},
    ],
    "prepare_data": [
        {"preparation": {}},
        {"preparation": {"steps": [{"step": "impute"}, {"step": "drop_nulls"}]}},
        {"preparation": {"steps": [], "remainder": "drop"}},
    ],
    "train_model": [
        {},
        {"feature_engineering_params": {"pca": True}, "finalize": True},
        {"modeling_params": {"estimator_list": ["rf"], "fold": 2, "anything": {"deep": [None]}}},
    ],
    "register_model": [{}],
}
BAD: dict[str, list[tuple[dict[str, Any], str]]] = {
    "load_data_from_kaggle": [
        ({}, "kaggle_dataset_name: Field required"),
        ({"kaggle_dataset_name": "creditcardfraud"}, "should match"),
        ({"kaggle_dataset_name": "../x"}, "should match"),
        ({"kaggle_dataset_name": "a/b/c"}, "should match"),
        ({"kaggle_dataset_name": "a/b", "training_file_name": "../etc/passwd"}, "should match"),
        ({"kaggle_dataset_name": "a/b", "training_file_name": ".."}, "names no file"),
        ({"kaggle_dataset_name": "a/b", "dataset_name": "a"}, "did you mean kaggle_dataset_name"),
    ],
    "load_data_from_file": [
        ({"path": ""}, "at least 1 character"),
        ({"path": "s3://bucket/key"}, "use load_data_from_url"),
        ({"path": "a\0b"}, "NUL"),
        ({"path": 1}, "valid string"),
        ({"path": "a", "dataset": "My Data"}, "should match"),
        ({"path": "a", "options": {"delimeter": ";"}}, "options.delimeter"),
    ],
    "load_data_from_url": [
        ({"url": "/app/data/a.csv"}, "should match"),
        ({"url": "file:///etc/passwd"}, "use load_data_from_file"),
        ({"url": "https://a b"}, "should match"),
        ({"url": "sql://x", "query": ""}, "at least 1 character"),
    ],
    "load_data_from_dataset": [
        ({}, "dataset: Field required"),
        ({"dataset": "adult", "version": 0}, "greater than or equal to 1"),
        ({"dataset": "adult v1"}, "should match"),
    ],
    "prepare_data": [
        ({}, "preparation: Field required"),
        ({"preparation": {"steps": [{"step": "scal"}]}}, "did you mean scale"),
        ({"preparation": {"remainder": "keep"}}, "preparation.remainder"),
    ],
    "train_model": [
        ({"finalize": 1}, "valid boolean"),
        ({"finalize": "yes"}, "valid boolean"),
        ({"modeling_params": []}, "valid dictionary"),
        ({"feature_engineering": {}}, "did you mean feature_engineering_params?"),
    ],
    "register_model": [
        ({"name": "x"}, "no such parameter"),
        ({"": 1}, "no such parameter"),
        ({"model_name": None}, "no such parameter"),
    ],
}


def message(*given: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {"pipeline": [{"MLSteps": list(given)}], "experiment_config": {**CONFIG, **config}}


def problems_of(content: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ExperimentError) as caught:
        Experiment.parse(content)
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
        group = "[millrace.experiment_steps]"
        (metadata / "entry_points.txt").write_text("\n".join([group, *lines, ""]))
        monkeypatch.syspath_prepend(str(folder))
        installed.append(module)
        steps.cache_clear()

    yield install
    steps.cache_clear()
    for module in installed:
        sys.modules.pop(module, None)


THIRD_PARTY = '''
from typing import ClassVar

from tasks.tabular.experiment_steps import ExperimentStep


class Announce(ExperimentStep):
    """Tell a channel of the trained model."""

    name: ClassVar[str] = "announce"
    needs: ClassVar = ("model",)

    channel: str

    def run(self, work):
        return [*work, self.channel]


class Impostor(ExperimentStep):
    """Somebody else's `train_model`."""

    name: ClassVar[str] = "train_model"


class Nameless(ExperimentStep):
    """Without a name of its own."""


class Numbered(ExperimentStep):
    """With a name that is none."""

    name: ClassVar = 3


nothing = 42
'''


def test_every_step_has_examples_here() -> None:
    assert set(GOOD) == set(BAD) == set(steps())
    assert all(len(GOOD[name]) + len(BAD[name]) >= 4 for name in steps())


@pytest.mark.parametrize(
    ("name", "given"), [(n, each) for n, many in GOOD.items() for each in many]
)
def test_a_step_is_read_and_written(name: str, given: dict[str, Any]) -> None:
    step = steps()[name].model_validate(given)

    assert steps()[name].model_validate(step.model_dump(mode="json")) == step
    with pytest.raises(ValidationError, match="frozen"):
        step.__class__.model_validate(given).__setattr__("dataset", "x")


@pytest.mark.parametrize(
    ("name", "given", "told"), [(n, given, told) for n, many in BAD.items() for given, told in many]
)
def test_a_wrong_parameter_is_told_with_its_place(
    name: str, given: dict[str, Any], told: str
) -> None:
    loaded = [] if name.startswith("load") else [LOAD]
    trained = [TRAIN] if name == "register_model" else []

    ((place, what),) = problems_of(message(*loaded, *trained, {name: given}))

    assert place.startswith(f"pipeline[0].MLSteps[{len(loaded + trained)}].{name}")
    assert told in f"{place.rpartition(f'.{name}.')[2]}: {what}"


@pytest.mark.parametrize("name", steps())
def test_every_step_and_parameter_is_described(name: str) -> None:
    schema = schemas()[name]

    assert schema["description"]
    assert all(each.get("description") for each in schema["properties"].values())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("name", steps())
@given(data=st.data())
def test_any_parameters_are_read_or_refused_with_their_place(
    name: str, data: st.DataObject
) -> None:
    names = [*steps()[name].model_fields, "other"]
    given_ = data.draw(st.dictionaries(st.sampled_from(names), json_values) | json_values)
    content = message({name: given_})

    places: list[str] = []
    try:
        experiment = Experiment.parse(content)
    except ExperimentError as error:
        places = [place for place, _ in error.problems]
    else:
        assert Experiment.parse(experiment.to_json()) == experiment

    assert all(place.startswith("pipeline[0].MLSteps[0]") for place in places)


@given(json_values)
def test_any_content_is_read_or_refused(content: Any) -> None:
    for each in (
        {"pipeline": content, "experiment_config": CONFIG},
        {"pipeline": [content], "experiment_config": CONFIG},
        {"pipeline": [{"MLSteps": content}], "experiment_config": CONFIG},
        {"pipeline": [{"MLSteps": [content]}], "experiment_config": CONFIG},
        {**message(LOAD), "experiment_config": content},
        {"x": content},
    ):
        with pytest.raises(ExperimentError):
            Experiment.parse(each)


@pytest.mark.parametrize("text", [FRAUD, SECOND])
def test_the_examples_of_the_source_are_experiments(text: str) -> None:
    content = read_message(text).content
    before = copy.deepcopy(content)

    experiment = Experiment.parse(content)

    (names,) = ([step.name for step in each.steps] for each in experiment.pipeline)
    assert names == [name for each in content["pipeline"][0]["MLSteps"] for name in each]
    assert experiment.experiment_config.model_dump() == content["experiment_config"]
    assert Experiment.parse(experiment.to_json()) == experiment
    assert content == before


def test_steps_are_found_by_their_kind() -> None:
    (pipeline,) = Experiment.parse(read_message(FRAUD).content).pipeline

    load = pipeline.find(LoadStep)
    assert isinstance(load, LoadFromKaggle)
    assert load.source == "kaggle://mlg-ulb/creditcardfraud/creditcard.csv"
    assert isinstance(pipeline.find(TrainModel), TrainModel)
    assert pipeline.find(PrepareData) is None


@pytest.mark.parametrize(
    ("name", "given", "source"),
    [
        ("load_data_from_kaggle", {"kaggle_dataset_name": "a/b"}, "kaggle://a/b"),
        ("load_data_from_file", {"path": "a.csv"}, "a.csv"),
        ("load_data_from_url", {"url": "s3://b/k"}, "s3://b/k"),
    ],
)
def test_a_load_knows_its_source(name: str, given: dict[str, Any], source: str) -> None:
    assert steps()[name].model_validate(given).source == source


@pytest.mark.parametrize(
    "given",
    [
        [LOAD],
        [LOAD, TRAIN],
        [LOAD, PREPARE],
        [LOAD, PREPARE, TRAIN, REGISTER],
        [{"load_data_from_dataset": {"dataset": "adult"}}, TRAIN, REGISTER],
    ],
)
def test_steps_may_stand_in_order(given: list[dict[str, Any]]) -> None:
    assert len(Experiment.parse(message(*given)).pipeline[0].steps) == len(given)


@pytest.mark.parametrize(
    ("given", "at", "told"),
    [
        ([TRAIN], "[0] (train_model)", "there are no data yet"),
        ([PREPARE, LOAD], "[0] (prepare_data)", "there are no data yet"),
        ([LOAD, REGISTER], "[1] (register_model)", "no model is trained yet"),
        ([LOAD, TRAIN, LOAD], "[2] (load_data_from_file)", "loaded already"),
        ([LOAD, TRAIN, TRAIN], "[2] (train_model)", "trained already"),
        ([LOAD, PREPARE, PREPARE], "[2] (prepare_data)", "a preparation already"),
        ([LOAD, TRAIN, PREPARE], "[2] (prepare_data)", "too late after train_model"),
        ([LOAD, TRAIN, REGISTER, REGISTER], "[3] (register_model)", "registered already"),
    ],
)
def test_a_step_out_of_order_is_told_with_its_place(
    given: list[dict[str, Any]], at: str, told: str
) -> None:
    ((place, what),) = problems_of(message(*given))

    assert place == f"pipeline[0].MLSteps{at}"
    assert told in what


def test_the_order_is_told_beside_wrong_parameters() -> None:
    places = [place for place, _ in problems_of(message(TRAIN, {"load_data_from_file": {}}))]

    assert places == [
        "pipeline[0].MLSteps[1].load_data_from_file.path",
        "pipeline[0].MLSteps[0] (train_model)",
    ]


def test_pipelines_share_nothing() -> None:
    content = message(LOAD, TRAIN)
    content["pipeline"].append({"MLSteps": [TRAIN]})

    assert problems_of(content)[0][0] == "pipeline[1].MLSteps[0] (train_model)"

    content["pipeline"][1]["MLSteps"] = [LOAD, TRAIN, REGISTER]
    assert len(Experiment.parse(content).pipeline) == 2


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"train_modl": {}}, "did you mean train_model?"),
        ({"load_data_from_kagle": {}}, "did you mean load_data_from_kaggle"),
        ({"x" * 10_000: {}}, "there is no step 'xxx"),
        ({**LOAD, **TRAIN}, "this has 2"),
        ({}, "this has 0"),
        ("train_model", "this is none"),
        ({"train_model": None}, "is missing"),
        ({"train_model": []}, "is an object"),
    ],
)
def test_what_is_no_step_is_told_with_its_place(step: Any, told: str) -> None:
    ((place, what),) = problems_of(message(LOAD, step))

    assert place.startswith("pipeline[0].MLSteps[1]")
    assert told in what
    assert len(what) < 500


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"experiment_name": ""}, "experiment_config.experiment_name"),
        ({"experiment_name": "../x"}, "experiment_config.experiment_name"),
        ({"model_name": "Credit Fraud"}, "experiment_config.model_name"),
        ({"main_metric": "Kapa"}, "did you mean"),
        ({"main_metric": "RMSE"}, "metric for classification"),
        ({"problem_type": "clustering"}, "experiment_config.problem_type"),
        ({"problem_type": None}, "experiment_config.problem_type"),
        ({"target": ""}, "experiment_config.target"),
        ({"targt": "y"}, "did you mean target?"),
    ],
)
def test_a_wrong_configuration_is_told(changed: dict[str, Any], told: str) -> None:
    ((place, what),) = problems_of(message(LOAD, **changed))

    assert told in f"{place}: {what}"


@pytest.mark.parametrize("name", CONFIG)
def test_every_part_of_the_configuration_is_needed(name: str) -> None:
    content = message(LOAD)
    del content["experiment_config"][name]

    assert problems_of(content) == [(f"experiment_config.{name}", "Field required")]


@pytest.mark.parametrize("metric", ["F1", "f1", "KAPPA", "kappa", "AUC", "Accuracy", "MCC"])
def test_names_of_metrics_and_problems_are_read_in_any_case(metric: str) -> None:
    content = message(LOAD, main_metric=metric, problem_type="Classification")

    assert Experiment.parse(content).experiment_config.problem_type == "classification"


def test_all_problems_are_told_at_once() -> None:
    content = {
        "pipeline": [{"MLSteps": [{"x": {}}], "more": 1}, 3, {"MLSteps": []}],
        "experiment_config": {},
        "extra": 1,
    }

    places = [place for place, _ in problems_of(content)]

    assert places[:5] == [
        "the message",
        "pipeline[0]",
        "pipeline[0].MLSteps[0]",
        "pipeline[1]",
        "pipeline[2].MLSteps",
    ]
    assert len(places) == 5 + len(CONFIG)


def test_sizes_are_limited() -> None:
    many = message(*[LOAD] * (MAX_STEPS + 1))
    assert f"1 to {MAX_STEPS} steps" in problems_of(many)[0][1]

    many = {**message(LOAD), "pipeline": [{"MLSteps": [LOAD]}] * (MAX_PIPELINES + 1)}
    assert f"1 to {MAX_PIPELINES} objects" in problems_of(many)[0][1]

    wrong = {**message(LOAD), "pipeline": [{"MLSteps": [{}] * MAX_STEPS}] * MAX_PIPELINES}
    assert len(problems_of(wrong)) == 50


def test_a_package_adds_a_step(publish: Callable[..., None]) -> None:
    publish("acme_experiments", THIRD_PARTY, announce="Announce")

    content = message(LOAD, TRAIN, {"announce": {"channel": "#ml"}}, REGISTER)
    step = Experiment.parse(content).pipeline[0].steps[2]

    assert step.run(["before"]) == ["before", "#ml"]
    assert "announce" in schemas()
    assert problems_of(message(LOAD, {"announce": {"channel": "x"}}))[0][1].startswith("no model")
    assert "did you mean announce?" in problems_of(message(LOAD, {"anounce": {}}))[0][1]
    misspelt = message(LOAD, TRAIN, {"announce": {"chanel": 1}})
    assert "did you mean channel?" in problems_of(misspelt)[-1][1]


def test_a_load_of_ones_own_says_where_from() -> None:
    class Sourceless(LoadStep):
        name = "sourceless"

    with pytest.raises(NotImplementedError, match="sourceless"):
        _ = Sourceless().source


def test_our_own_steps_are_carried_out_by_the_flow() -> None:
    with pytest.raises(NotImplementedError, match="train_model"):
        TrainModel().run(None)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        pytest.param("nothing", "is no ExperimentStep", id="no step"),
        pytest.param("absent", "cannot be loaded", id="not there"),
        pytest.param("Nameless", "cannot be loaded", id="nameless"),
        pytest.param("Numbered", "its name is no text", id="numbered"),
        pytest.param("Impostor", "the name is taken", id="a taken name"),
    ],
)
def test_a_broken_step_breaks_no_other(
    publish: Callable[..., None], caplog: pytest.LogCaptureFixture, entry: str, told: str
) -> None:
    own = dict(steps())

    publish("acme_experiments", THIRD_PARTY, announce="Announce", broken=entry)

    assert dict(steps()) == own | {"announce": steps()["announce"]}
    assert told in caplog.text
