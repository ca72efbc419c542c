from __future__ import annotations

import subprocess
import sys

import pandas as pd
from lightgbm import LGBMClassifier

from infra.provenance import ROOT
from tasks.tabular.features import prepare
from tasks.tabular.packing import own_code, packages_of, requirements
from tasks.tabular.schema import infer
from tasks.tabular.spec import PipelineSpec

TEMPLATE = ROOT / "bento" / "requirements.txt"


def test_the_library_can_be_imported_from_its_pack_alone() -> None:
    script = "import sys; sys.modules['prefect'] = None; import tasks.tabular.features"

    with own_code(ROOT / "tasks") as code:
        assert sorted(each.name for each in code.iterdir()) == ["__init__.py", "tabular"]
        subprocess.run([sys.executable, "-c", script], cwd=code.parent, check=True)


def test_a_model_asks_only_for_its_own_learner() -> None:
    names = {line.split("==")[0] for line in requirements(LGBMClassifier())}

    assert "lightgbm" in names
    assert names.isdisjoint({"xgboost", "catboost", "feature_engine", "skrub", "torch"})


def test_versions_are_exact() -> None:
    assert all("==" in line for line in requirements(LGBMClassifier()))


def test_packages_of_steps_are_asked_for() -> None:
    frame = pd.DataFrame({"job": list("abcab") * 10})
    spec = PipelineSpec.parse({"steps": [{"step": "count_encode"}]})
    fitted = prepare(infer(frame), "linear", spec=spec).pipeline.fit(frame)

    assert "feature_engine" in packages_of(fitted)
