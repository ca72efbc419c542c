"""FLAML with its default learners and no ensemble, as shipped."""

from __future__ import annotations

from tests.benchmarks.automl.systems.common import Fitted, Task, run

METRICS = {
    "roc_auc": "roc_auc",
    "neg_log_loss": "log_loss",
    "neg_root_mean_squared_error": "rmse",
}


def fit(task: Task) -> Fitted:
    """Fit FLAML for the budget."""
    from flaml import AutoML  # noqa: PLC0415 - only its own environment has it

    automl = AutoML()
    automl.fit(
        task.features,
        task.labels,
        task="regression" if task.regression else "classification",
        metric=METRICS[task.metric],
        time_budget=task.budget_seconds,
        n_jobs=task.cores,
        seed=task.seed,
        verbose=1,
    )
    note = f"best {automl.best_estimator}"
    if task.regression:
        return Fitted(automl.predict, note=note)
    return Fitted(automl.predict_proba, classes=list(automl.classes_), note=note)


if __name__ == "__main__":
    run(fit)
