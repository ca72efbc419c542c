"""AutoGluon under one preset, told the budget as its documentation tells users to."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.automl.systems.common import Fitted, Task

METRICS = {
    "roc_auc": "roc_auc",
    "neg_log_loss": "log_loss",
    "neg_root_mean_squared_error": "root_mean_squared_error",
}


def fit(task: Task, preset: str, **options: Any) -> Fitted:
    """Fit AutoGluon; `options` go to its fit as they are."""
    from autogluon.tabular import TabularPredictor  # noqa: PLC0415 - only its own environment has it

    predictor = TabularPredictor(
        label=task.target,
        problem_type=task.task,
        eval_metric=METRICS[task.metric],
        path=str(task.folder / "model"),
        verbosity=2,
    ).fit(
        task.train,
        presets=preset,
        time_limit=task.budget_seconds,
        num_cpus=task.cores,
        num_gpus=0,
        **options,
    )
    names = predictor.model_names()
    note = f"best {predictor.model_best} of {len(names)} models"
    if task.regression:
        return Fitted(predictor.predict, note=note, warm=predictor.persist)
    return Fitted(
        predictor.predict_proba,
        classes=list(predictor.class_labels),
        note=note,
        warm=predictor.persist,
    )
