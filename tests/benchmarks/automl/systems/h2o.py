"""H2O AutoML on a server of its own with 6 GB, as shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.benchmarks.automl.systems.common import Fitted, Task, run

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

METRICS = {"roc_auc": "AUC", "neg_log_loss": "logloss", "neg_root_mean_squared_error": "RMSE"}
NUMERIC = {"int", "real"}
MEMORY = "6g"


def fit(task: Task) -> Fitted:
    """Start the server, fit for the budget, keep the leader."""
    import h2o  # noqa: PLC0415 - only its own environment has it
    from h2o.automl import H2OAutoML  # noqa: PLC0415

    h2o.init(
        nthreads=task.cores,
        max_mem_size=MEMORY,
        bind_to_localhost=True,
        start_h2o=True,
        port=54421,
        ice_root=str(task.folder),
        log_dir=str(task.folder),
    )
    h2o.no_progress()
    train = h2o.H2OFrame(task.train)
    if not task.regression:
        train[task.target] = train[task.target].asfactor()
    automl = H2OAutoML(
        max_runtime_secs=int(task.budget_seconds),
        seed=task.seed,
        sort_metric=METRICS[task.metric],
        nfolds=-1,
    )
    automl.train(y=task.target, training_frame=train)
    leader = automl.leader
    types = {
        column: "numeric" if kind in NUMERIC else kind
        for column, kind in train.types.items()
        if column != task.target
    }

    def predict(rows: pd.DataFrame) -> NDArray[Any]:
        frame = h2o.H2OFrame(rows, column_types=types)
        predicted = leader.predict(frame).as_data_frame().to_numpy()
        return predicted[:, 0] if task.regression else predicted[:, 1:].astype(float)

    note = f"best {leader.model_id}"
    if task.regression:
        return Fitted(predict, note=note)
    # the columns of a prediction are renamed where the classes are numbers; the levels are not
    return Fitted(predict, classes=train[task.target].levels()[0], note=note)


if __name__ == "__main__":
    run(fit)
