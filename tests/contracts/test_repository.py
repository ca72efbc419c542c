"""Promises of the repository about itself."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pickle
import subprocess
import sys
import tomllib
from http import HTTPStatus

import pytest
import yaml
from packaging.requirements import Requirement
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

import infra.errors
import infra.gateway.errors
import infra.predictions.errors
import infra.routing_errors
import tasks.tabular.errors
import tasks.tabular.experiment_errors
import tasks.tabular.plans.errors
import tasks.tabular.search_errors
from infra.errors import PlatformError, TransientError
from infra.provenance import ROOT

DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]

ERRORS = [
    infra.gateway.errors.AccessDeniedError(),
    infra.errors.ArtifactNotFoundError("key", "store"),
    infra.errors.BuildError("adult v1", "no space"),
    infra.errors.ChampionChangedError("adult v3", "production", 1, 2),
    infra.errors.DatasetDeletedError("adult v1", "2026-01-01", "a wish"),
    infra.errors.DatasetNameError("???"),
    infra.errors.DatasetNotFoundError("adult v9", ("adult",)),
    infra.errors.DatasetRejectedError("adult v1", ("age: out of range",)),
    infra.errors.EvidenceMissingError("adult v1", "evidence.json"),
    infra.errors.FlowRunNotFoundError("f00", "train_model"),
    infra.errors.ModelNotFoundError("adult v9"),
    infra.errors.ModelServerError("model-adult", "died", "x.log"),
    infra.errors.PersonalDataError("adult v1", ("email",)),
    infra.errors.PoolUnservedError("gpu", 60.0),
    infra.predictions.errors.PredictionNotFoundError("f00", "adult"),
    infra.errors.PreparationError("a.csv", "line 3"),
    infra.errors.SourceChangedError("a.csv"),
    infra.errors.SourceError("s3://b/k", "there is no such object"),
    infra.errors.SourceOfflineError("https://x", "no route"),
    infra.gateway.errors.PayloadTooLargeError(16),
    infra.errors.PlatformError(),
    infra.errors.RefusedRequestError("the training", "no such learner"),
    infra.errors.ReleaseFailedError("adult v1", "smoke"),
    infra.errors.ReproductionError("adult v1", 0.5, 1e-9),
    infra.errors.RouteNotFoundError("adult", ()),
    infra.errors.ServiceUnavailableError("MLflow", "refused"),
    infra.gateway.errors.SignatureError("it lacks a signature"),
    infra.errors.SmokeTestError("adult v1", "scores differ"),
    infra.errors.StackError("port 5000 is taken", "stop it"),
    infra.predictions.errors.BatchNotFoundError("b", "adult"),
    infra.routing_errors.NothingToRollBackError("adult"),
    infra.routing_errors.TargetNotFoundError("adult", "staging", ("production",)),
    infra.routing_errors.UnclearModelError(("adult",)),
    infra.routing_errors.UnknownAliasError("prod", ("production",)),
    infra.errors.SupersededError("adult v1", "production", "v2"),
    infra.errors.TransientError(),
    infra.errors.UnsafeKeyError("../x"),
    tasks.tabular.errors.ArchiveError("a.zip", "it holds 2 files"),
    tasks.tabular.errors.MaskingError("email", "hash", "there is no key"),
    tasks.tabular.errors.MistypedValueError("a.csv", "line 3", "age", "x", "whole"),
    tasks.tabular.errors.SuiteError("line 3"),
    tasks.tabular.errors.ColumnValueError("age", "'x'", "numeric"),
    tasks.tabular.errors.ConstantTableError(3),
    tasks.tabular.experiment_errors.DuplicateKeyError(3, 5, "pca"),
    tasks.tabular.errors.EmptyTableError("a.csv", "is empty"),
    tasks.tabular.errors.EncodingError("a.csv", 3, 0xE9),
    tasks.tabular.experiment_errors.ExperimentError((("pipeline[0].MLSteps[1]", "no data"),)),
    tasks.tabular.errors.HeaderError("a.csv", "repeats 'a'"),
    tasks.tabular.errors.IncomparableError(3, 30),
    tasks.tabular.errors.LeakageError("holdout", (1, 2)),
    tasks.tabular.errors.MalformedTableError("a.csv", "gzip"),
    tasks.tabular.errors.MetricDomainError("neg_mean_gamma_deviance", "positive", 0.0),
    tasks.tabular.experiment_errors.MessageError(),
    tasks.tabular.experiment_errors.MessageLimitError("bytes", 10),
    tasks.tabular.experiment_errors.MessageShapeError("a list"),
    tasks.tabular.experiment_errors.MessageSyntaxError(3, 5, "a value", "'}'"),
    tasks.tabular.errors.MissingColumnsError(("age",), ("ages",)),
    tasks.tabular.search_errors.PoolError("it was killed"),
    tasks.tabular.search_errors.UnsuitableLearnerError("lda", "no"),
    tasks.tabular.search_errors.NoCandidateError(("x: y",)),
    tasks.tabular.errors.NoRowsLeftError(10, 0),
    tasks.tabular.plans.errors.NotCompiledError("a step of its own"),
    tasks.tabular.experiment_errors.NotFiniteError(3, 5, "NaN"),
    tasks.tabular.errors.OtherProblemError("'y' (0, 1)", "'z' (0, 1)"),
    tasks.tabular.errors.RaggedRowError("a.csv", 3, 2, 1, "x"),
    tasks.tabular.errors.ResamplingError("smote", "one row"),
    tasks.tabular.errors.SourceNotFoundError("a.csv"),
    tasks.tabular.errors.SpecError((("step 1", "there is no step 'x'"),)),
    tasks.tabular.errors.SplitError("time", "no dates"),
    tasks.tabular.errors.StepError("scale", ("a",), "it is text"),
    tasks.tabular.errors.TabularError(),
    tasks.tabular.errors.TargetError("y", "one class"),
    tasks.tabular.errors.UnknownColumnError("incom", ("income",)),
    tasks.tabular.errors.UnknownNameError("learner", "lgbm", ("lightgbm",)),
    tasks.tabular.experiment_errors.UnsupportedLearnerError(
        "dummy", "it learns nothing", "leave it out"
    ),
    tasks.tabular.experiment_errors.UnsupportedParametersError(
        (("use_gpu", "true", "no", "leave it out"),)
    ),
    tasks.tabular.experiment_errors.NoSetupError("create_model"),
    tasks.tabular.experiment_errors.UnknownModelError("tune_model", "Pipeline"),
    tasks.tabular.errors.UnsupportedFormatError("a.doc", (".csv",)),
]


def deployment_name(deployment: dict) -> str:
    return f"{deployment['entrypoint']}/{deployment['name']}"


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=deployment_name)
def test_every_deployment_can_start(deployment: dict) -> None:
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    parameters = inspect.signature(flow.fn).parameters
    given = deployment.get("parameters", {}).keys()
    by_trigger = [each.get("parameters", {}).keys() for each in deployment.get("triggers", [])]
    required = {name for name, each in parameters.items() if each.default is each.empty}

    assert given <= parameters.keys()
    if deployment.keys() & {"schedules"}:  # nobody is there to fill in the rest
        assert given >= required
    for triggered in by_trigger:
        assert triggered <= parameters.keys()
        assert given | triggered >= required


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=deployment_name)
def test_the_parameters_of_a_deployment_are_valid(deployment: dict) -> None:
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    given = deployment.get("parameters", {})
    required = {
        name
        for name, each in inspect.signature(flow.fn).parameters.items()
        if each.default is each.empty
    }

    if given.keys() >= required:
        flow.validate_parameters(given)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=deployment_name)
def test_every_form_says_what_its_fields_mean(deployment: dict) -> None:
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    schema = json.loads(parameter_schema(flow).model_dump_json())

    assert all(field.get("description") for field in schema["properties"].values())


def test_every_deployment_runs_in_a_pool_and_says_what_it_does() -> None:
    for deployment in DEPLOYMENTS:
        assert ":" not in deployment["entrypoint"], "a path entrypoint loads a second copy"
        assert deployment["work_pool"]["name"] in {"cpu", "gpu"}
        assert deployment["description"]
        assert deployment["tags"]


def test_the_nightly_schedule_is_paused() -> None:
    crons = [s for d in DEPLOYMENTS for s in d.get("schedules", []) if "cron" in s]

    assert crons
    assert not any(schedule["active"] for schedule in crons)


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: type(each).__name__)
def test_every_error_survives_pickling(error: Exception) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    "module",
    [
        infra.errors,
        infra.gateway.errors,
        infra.routing_errors,
        infra.predictions.errors,
        tasks.tabular.errors,
        tasks.tabular.experiment_errors,
        tasks.tabular.search_errors,
        tasks.tabular.plans.errors,
    ],
    ids=lambda m: m.__name__,
)
def test_every_error_has_an_example_and_a_line_in_the_tree(module) -> None:
    defined = {
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Exception)
    }

    assert defined <= {type(error) for error in ERRORS}
    assert all(each.__name__ in module.__doc__ for each in defined)


def test_platform_errors_know_their_status() -> None:
    for error in ERRORS:
        if isinstance(error, TransientError):
            assert error.status is HTTPStatus.SERVICE_UNAVAILABLE
        elif isinstance(error, PlatformError) and type(error) is not PlatformError:
            assert error.status is not HTTPStatus.SERVICE_UNAVAILABLE


def modules(folder: str) -> list[str]:
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / folder).glob("*.py")
        if path.stem != "__init__"
    )


def test_the_tabular_library_loads_without_the_platform() -> None:
    hidden = ("prefect", "mlflow", "bentoml", "sqlalchemy", "fastapi", "minio", "infra", "flows")
    script = "import sys\n" + "".join(f"sys.modules[{each!r}] = None\n" for each in hidden)
    whole = modules("tasks/tabular")

    for order in (whole, whole[::-1]):  # in either, lest one lives on another's imports
        imports = "\n".join(f"import {each}" for each in order)
        subprocess.run([sys.executable, "-c", script + imports], cwd=ROOT, check=True)


def test_the_model_server_loads_nothing_of_the_platform() -> None:
    tree = ast.parse((ROOT / "bento" / "service.py").read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert imported.isdisjoint({"flows", "tasks", "infra", "prefect", "mlflow", "sqlalchemy"})


@pytest.mark.parametrize("module", ["flows.training", "infra.tracking", "infra.local.bootstrap"])
def test_nothing_reports_to_its_makers(module: str) -> None:
    script = (
        f"import {module}, os\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "assert is_telemetry_disabled()\n"
        "assert os.environ['PREFECT_SERVER_ANALYTICS_ENABLED'] == 'false'\n"
        "assert os.environ['BENTOML_DO_NOT_TRACK'] == 'true'\n"
    )

    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_decorators_stay_where_they_belong() -> None:
    for path in [*(ROOT / "infra").rglob("*.py"), *(ROOT / "tasks" / "tabular").glob("*.py")]:
        names = {
            ast.unparse(each.func if isinstance(each, ast.Call) else each)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef)
            for each in node.decorator_list
        }
        assert names.isdisjoint({"task", "flow"}), path


def test_both_locks_agree_and_meet_the_project() -> None:
    def pins(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text().splitlines()
        return dict(line.split(" ")[0].split("==") for line in lines if line[:1].isalnum())

    runtime, development = pins("requirements.lock"), pins("requirements-dev.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert runtime.items() <= development.items()
    for requirement in project["dependencies"]:
        name = Requirement(requirement).name
        assert name in runtime


def test_every_module_is_small_enough_to_read() -> None:
    for folder in ("flows", "tasks", "infra", "bento"):
        for path in (ROOT / folder).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 450, path


def test_every_module_can_be_imported() -> None:
    for module in [*modules("flows"), *modules("tasks")]:
        importlib.import_module(module)
