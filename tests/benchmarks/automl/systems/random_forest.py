"""A random forest of 500 trees: categories coded by ordinal, numbers filled by the median."""

from __future__ import annotations

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from tests.benchmarks.automl.systems.common import Fitted, Task, run

TREES = 500


def fit(task: Task) -> Fitted:
    """Fit one forest; the budget is not needed."""
    coding = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    )
    prepared = make_column_transformer(
        (coding, make_column_selector(dtype_exclude="number")),
        (
            SimpleImputer(strategy="median", keep_empty_features=True),
            make_column_selector(dtype_include="number"),
        ),
    )
    forest = RandomForestRegressor if task.regression else RandomForestClassifier
    model = make_pipeline(
        prepared, forest(n_estimators=TREES, n_jobs=task.cores, random_state=task.seed)
    ).fit(task.features, task.labels)
    if task.regression:
        return Fitted(model.predict)
    return Fitted(model.predict_proba, classes=list(model.classes_))


if __name__ == "__main__":
    run(fit)
