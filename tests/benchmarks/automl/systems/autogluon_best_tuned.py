"""AutoGluon's preset best_quality, without what a minute on two cores cannot pay for.

Folds are fitted one after another (no check that all of them fit in memory at once), no
share of the budget goes to a trial of stacking, and nothing is stacked.
"""

from __future__ import annotations

from tests.benchmarks.automl.systems.autogluon_common import fit
from tests.benchmarks.automl.systems.common import Fitted, Task, run


def tuned(task: Task) -> Fitted:
    """Fit with the options that suit a small machine."""
    return fit(
        task,
        "best_quality",
        dynamic_stacking=False,
        num_stack_levels=0,
        ag_args_ensemble={"fold_fitting_strategy": "sequential_local"},
    )


if __name__ == "__main__":
    run(tuned)
