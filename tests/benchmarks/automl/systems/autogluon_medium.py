"""AutoGluon's preset medium_quality, as shipped."""

from __future__ import annotations

from tests.benchmarks.automl.systems.autogluon_common import fit
from tests.benchmarks.automl.systems.common import run

if __name__ == "__main__":
    run(lambda task: fit(task, "medium_quality"))
