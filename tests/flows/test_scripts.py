"""Every flow as a plain script, in a process of its own and without any server."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from infra.processes import Records
from infra.provenance import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)


def run(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "MILLRACE_", "MLFLOW_"))
    }
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(folder / "prefect")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_whole_road_from_the_command_line(tmp_path: Path, adult_csv: Path) -> None:
    walked = run(tmp_path, "flows.lifecycle", str(adult_csv), "--target", "income", "--budget", "2")

    servers = Records(tmp_path / ".millrace" / "serving" / "processes").alive()
    stopped = run(tmp_path, "infra.local", "down")

    assert walked.returncode == 0, walked.stderr[-2000:]
    last = walked.stdout.splitlines()[-1]
    assert "stage='release'" in last
    assert "'prediction': '" in last
    assert len(servers) == 1
    assert stopped.returncode == 0
    assert servers[0].process() is None


@pytest.mark.parametrize(
    ("module", "content", "arguments", "says"),
    [
        pytest.param("flows.data", None, [], "there is no file", id="missing file"),
        pytest.param("flows.data", "a,b\n1,2\n3\n", [], "line 3", id="ragged row"),
        pytest.param(
            "flows.training",
            "age,job\n" + "1,x\n2,y\n" * 50,
            ["--target", "jbo"],
            "did you mean job?",
            id="unknown target",
        ),
    ],
)
def test_bad_input_ends_in_one_sentence_and_exit_code_1(
    tmp_path: Path, module: str, content: str | None, arguments: list[str], says: str
) -> None:
    source = tmp_path / "table.csv"
    if content is not None:
        source.write_text(content)

    failed = run(tmp_path, module, str(source), *arguments)

    assert failed.returncode == 1
    sentences = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1
    assert says in sentences[0]
    assert not list((tmp_path / ".millrace").glob("store/*"))
