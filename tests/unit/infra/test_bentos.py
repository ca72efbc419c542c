from __future__ import annotations

import gzip
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from infra.errors import BuildError
from infra.provenance import ROOT
from infra.serving import bentos, clean
from infra.serving.bentos import Ingredients, build, serve_command
from infra.tracking import PLAN_ABOUT
from tests.services.served_models import fit_income, ingredients

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Ingredients:
    """A LightGBM model with a plan."""
    return ingredients(fit_income(), tmp_path_factory.mktemp("compiled"), "income", compiled=True)


@pytest.fixture(scope="module")
def built(compiled: Ingredients, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("built")
    return build(compiled, name="income", version="v1", home=home)


@pytest.fixture
def as_it_is(compiled: Ingredients) -> Ingredients:
    """The same model without its plan."""
    return replace(compiled, plan=None)


@pytest.fixture
def laid_out(tmp_path: Path) -> Callable[[Ingredients], tuple[Path, list[str]]]:
    """What BentoML would be given: a folder, and the requirements."""

    def lay_out(given: Ingredients) -> tuple[Path, list[str]]:
        context = tmp_path / "context"
        context.mkdir()
        return context, bentos._lay_out(given, context)

    return lay_out


def names(requirements: list[str]) -> set[str]:
    return {each.split("==")[0] for each in requirements}


def without(requirements: list[str], name: str) -> list[str]:
    return [each for each in requirements if not each.startswith(f"{name}==")]


def test_a_compiled_model_requires_its_booster_and_little_else(compiled: Ingredients) -> None:
    found = names(compiled.requirements())

    assert {"lightgbm", "numpy", "bentoml"} <= found
    assert found.isdisjoint({"prefect", "optuna", "torch", "scikit-learn", "pandas", "mlflow"})


def test_a_model_as_it_is_requires_what_it_is_made_of(as_it_is: Ingredients) -> None:
    found = names(as_it_is.requirements())

    assert {"lightgbm", "scikit-learn", "pandas", "cloudpickle", "bentoml"} <= found
    assert found.isdisjoint({"prefect", "optuna", "torch", "mlflow"})


def test_every_requirement_is_pinned_to_what_is_installed(compiled: Ingredients) -> None:
    for each in compiled.requirements():
        name, _, pinned = each.partition("==")
        assert pinned == version(name)


def test_each_package_is_required_once(as_it_is: Ingredients) -> None:
    assert len(names(as_it_is.requirements())) == len(as_it_is.requirements())


def test_the_models_pins_win_over_the_templates(compiled: Ingredients, tmp_path: Path) -> None:
    plan = tmp_path / "plan"
    plan.mkdir()
    (plan / PLAN_ABOUT).write_text(json.dumps({"requirements": ["numpy==1.0"]}))
    (plan / "plan.pickle").touch()

    found = replace(compiled, plan=plan).requirements()

    assert [each for each in found if each.startswith("numpy==")] == ["numpy==1.0"]


def test_a_plan_folder_without_a_plan_serves_the_model(
    compiled: Ingredients, tmp_path: Path
) -> None:
    assert not replace(compiled, plan=tmp_path).planned


def test_a_built_bento_is_whole_and_building_again_returns_it(
    compiled: Ingredients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bento = build(compiled, name="income", version="v3", home=tmp_path)
    found = {each.name for each in (bento / "src").iterdir()}
    manifest = json.loads((bento / "src" / "manifest.json").read_text())
    monkeypatch.setattr(bentos, "require_clean", lambda *_: pytest.fail("built again"))

    assert bento == tmp_path / "bentoml" / "bentos" / "income" / "v3"
    assert found >= {"serve.py", "service.py", "rows.py", "plan.pickle", "manifest.json"}
    assert manifest == json.loads(json.dumps({**compiled.manifest, "serves": "plan"}))
    assert not (bento / "src" / "model" / "model.pkl").exists()
    assert (bento / "env" / "python" / "requirements.txt").is_file()
    assert not list((tmp_path / "bentoml").glob(".draft-*"))
    assert build(compiled, name="income", version="v3", home=tmp_path) == bento


def test_what_a_model_as_it_is_requires_is_enough(as_it_is: Ingredients, laid_out) -> None:
    context, requirements = laid_out(as_it_is)

    clean.require_clean(context, requirements, "income v3")


@pytest.mark.parametrize(
    ("served", "name", "words"),
    [
        ("compiled", "lightgbm", "the package lightgbm is not installed"),
        ("as_it_is", "pandas", "No module named 'pandas'"),
    ],
)
def test_a_lacking_requirement_is_refused_by_name(
    request: pytest.FixtureRequest, laid_out, served: str, name: str, words: str
) -> None:
    context, requirements = laid_out(request.getfixturevalue(served))
    # whatever requires it in turn goes too, or it would come back
    fewer = [each for each in without(requirements, name) if not _needs(each, name)]

    with pytest.raises(BuildError, match=words):
        clean.require_clean(context, fewer, "income v3")


def _needs(requirement: str, name: str) -> bool:
    found = {each.metadata["Name"].lower() for each in clean._closure([requirement], "")}
    return name in found


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("lightgbm==0.0.1", "lightgbm==0.0.1 is required, .* is installed"),
        ("no-such-package==1.0", "no-such-package==1.0 is not installed here"),
    ],
)
def test_a_requirement_that_is_not_installed_is_refused(
    compiled: Ingredients, tmp_path: Path, wrong: str, words: str
) -> None:
    requirements = [*without(compiled.requirements(), "lightgbm"), wrong]

    with pytest.raises(BuildError, match=words):
        clean.require_clean(tmp_path, requirements, "income v3")


@pytest.mark.parametrize("name", ["numpy", "pandas", "scikit-learn", "msgspec", "uvicorn"])
def test_every_pin_is_held_to_what_is_installed(
    as_it_is: Ingredients, tmp_path: Path, name: str
) -> None:
    requirements = sorted([*without(as_it_is.requirements(), name), f"{name}==0.0.1"])

    with pytest.raises(BuildError, match=f"{name}==0.0.1 is required"):
        clean.require_clean(tmp_path, requirements, "income v3")


def test_the_clean_environment_holds_what_is_required_in_turn() -> None:
    found = {each.metadata["Name"].lower() for each in clean._closure(["lightgbm"], "")}

    assert {"lightgbm", "numpy", "scipy"} <= found
    assert "prefect" not in found


def test_a_failed_build_leaves_nothing(
    compiled: Ingredients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bentos, "require_clean", lambda *_: None)
    monkeypatch.setattr(bentos.sys, "executable", "/bin/false")

    with pytest.raises(BuildError, match="no output"):
        build(compiled, name="income", version="v3", home=tmp_path)
    assert list((tmp_path / "bentoml").iterdir()) == []


_BUILD = """
import pickle, sys
from pathlib import Path
from infra.serving import bentos
bentos.require_clean = lambda *_: None
given = pickle.loads(sys.stdin.buffer.read())
bentos.build(given, name="income", version="v3", home=Path(sys.argv[1]))
"""


def test_a_killed_build_leaves_no_half_bento(compiled: Ingredients, tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-c", _BUILD, home]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(compiled))
        process.stdin.close()
        deadline = time.monotonic() + 60
        while not list(home.glob("bentoml/.draft-*/**/serve.py")):  # BentoML copies
            if (home / "bentoml" / "bentos" / "income" / "v3").exists():
                pytest.skip("the build was faster than the look")
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)

    assert not (home / "bentoml" / "bentos").exists()
    assert not list(home.glob("bentoml/bentos/**/bento.yaml"))


def test_a_build_beside_another_does_not_replace_it(
    compiled: Ingredients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = tmp_path / "bentoml" / "bentos" / "income" / "v3"

    def be_overtaken(*_arguments: Any) -> None:
        finished.mkdir(parents=True)
        (finished / "bento.yaml").write_text("of the faster one")

    monkeypatch.setattr(bentos, "require_clean", lambda *_: None)
    monkeypatch.setattr(bentos, "_run", be_overtaken)

    assert build(compiled, name="income", version="v3", home=tmp_path) == finished
    assert (finished / "bento.yaml").read_text() == "of the faster one"


def test_the_server_runs_in_an_isolated_interpreter(tmp_path: Path) -> None:
    command = serve_command(tmp_path / "bento", 21_000, log=tmp_path / "log", threads=2)

    assert command[:3] == [sys.executable, "-I", str(tmp_path / "bento" / "src" / "serve.py")]
    assert command[3:] == [
        *("--host", "127.0.0.1", "--port", "21000"),
        *("--log", str(tmp_path / "log"), "--threads", "2"),
    ]


def test_nothing_of_the_platform_is_on_the_servers_path(tmp_path: Path) -> None:
    script = tmp_path / "src" / "serve.py"
    script.parent.mkdir()
    script.write_text("import sys; print(sys.path)")
    command = serve_command(tmp_path, 21_000, log=tmp_path / "log")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    told = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    assert f"'{ROOT}'" not in told.stdout
    assert "''" not in told.stdout


def test_a_packed_bento_is_imported_elsewhere(built: Path, tmp_path: Path) -> None:
    content = bentos.pack(built)

    there = bentos.unpack(content, name="income", version="v1", home=tmp_path / "elsewhere")

    files = {path.relative_to(built) for path in built.rglob("*")}
    assert {path.relative_to(there) for path in there.rglob("*")} == files
    assert bentos.unpack(b"", name="income", version="v1", home=tmp_path / "elsewhere") == there


def test_bentoml_imports_what_was_packed(built: Path, tmp_path: Path) -> None:
    packed = tmp_path / "income.bento"
    packed.write_bytes(bentos.pack(built))
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path / "home")}

    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "import", str(packed)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "home").rglob("bento.yaml"))


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"no archive either")])
def test_what_is_no_bento_is_not_imported(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no Bento"):
        bentos.unpack(content, name="income", version="v1", home=tmp_path)

    assert not list((tmp_path / "bentoml").rglob("v1"))
