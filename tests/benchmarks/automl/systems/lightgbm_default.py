"""LightGBM with its default parameters and its own coding of categories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightgbm import LGBMClassifier, LGBMRegressor

from tests.benchmarks.automl.systems.common import Fitted, Task, run

if TYPE_CHECKING:
    import pandas as pd


def fit(task: Task) -> Fitted:
    """Fit one model; the budget is not needed."""
    features = task.features
    categories = {
        column: features[column].astype("category").dtype
        for column in features.select_dtypes(exclude="number")
    }

    def coded(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.astype(categories)

    options = {"n_jobs": task.cores, "random_state": task.seed, "verbose": -1}
    if task.regression:
        regressor = LGBMRegressor(**options).fit(coded(features), task.labels)
        return Fitted(lambda rows: regressor.predict(coded(rows)))
    classifier = LGBMClassifier(**options).fit(coded(features), task.labels)
    return Fitted(
        lambda rows: classifier.predict_proba(coded(rows)), classes=list(classifier.classes_)
    )


if __name__ == "__main__":
    run(fit)
