from __future__ import annotations

import subprocess
import sys

from infra.provenance import ROOT
from tasks.tabular.packing import own_code, requirements

TEMPLATE = ROOT / "bento" / "requirements.txt"


def test_the_library_can_be_imported_from_its_pack_alone() -> None:
    script = "import sys; sys.modules['prefect'] = None; import tasks.tabular.features"

    with own_code(ROOT / "tasks") as code:
        assert sorted(each.name for each in code.iterdir()) == ["__init__.py", "tabular"]
        subprocess.run([sys.executable, "-c", script], cwd=code.parent, check=True)


def test_a_model_asks_only_for_its_own_learner() -> None:
    names = {line.split("==")[0] for line in requirements(TEMPLATE, "xgboost")}

    assert "xgboost" in names
    assert names.isdisjoint({"lightgbm", "catboost"})


def test_versions_are_exact() -> None:
    assert all("==" in line for line in requirements(TEMPLATE, "lightgbm"))
