from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks
from xgboost import XGBClassifier

from tasks.tabular.errors import ColumnValueError, MissingColumnsError, SpecError, StepError
from tasks.tabular.preprocessor import DataPreprocessor
from tasks.tabular.spec import PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.tabular.features import Family

N = 200
FAMILIES: tuple[Family, ...] = ("linear", "tree", "native")

STEPS: dict[str, Any] = {
    "steps": [{"step": "impute"}, {"step": "scale", "method": "robust"}],
    "remainder": "drop",
}
YAML = """
steps:
  - {step: impute}
  - {step: scale, method: robust}
remainder: drop
"""
BY_TARGET = {"steps": [{"step": "target_encode", "columns": ["town"]}], "remainder": "drop"}


@parametrize_with_checks([DataPreprocessor(family="linear"), DataPreprocessor(family="tree")])
def test_scikit_learn_finds_nothing_wrong(
    estimator: BaseEstimator, check: Callable[[Any], None]
) -> None:
    check(estimator)


@pytest.fixture
def rows(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": np.where(rng.random(N) < 0.1, np.nan, rng.normal(40, 10, N)),
            "job": rng.choice(["cook", "nurse", "smith", None], N),
            "town": [f"town {each}" for each in rng.integers(0, 80, N)],
            "born": pd.Timestamp("1980-01-01") + pd.to_timedelta(rng.integers(0, 9000, N), "D"),
            "member": rng.random(N) < 0.5,
        }
    )


@pytest.fixture
def y(rows: pd.DataFrame) -> np.ndarray:
    return (rows["age"].fillna(40) + 5 * rows["member"] > 42).to_numpy().astype(int)


def boosted(**parameters: Any) -> Pipeline:
    learner = XGBClassifier(n_estimators=5, n_jobs=1)
    return Pipeline([("prep", DataPreprocessor(**parameters)), ("m", learner)])


def cells(features: Any) -> np.ndarray:
    return features.toarray() if hasattr(features, "toarray") else np.asarray(features)


@pytest.mark.parametrize("family", ["linear", "tree"])
def test_any_learner_can_follow(family: Family, rows: pd.DataFrame, y: np.ndarray) -> None:
    model = boosted(family=family).fit(rows, y)

    assert model.score(rows, y) > 0.9


def test_learners_of_categories_can_follow(rows: pd.DataFrame, y: np.ndarray) -> None:
    learner = XGBClassifier(n_estimators=5, n_jobs=1, enable_categorical=True)
    model = Pipeline([("prep", DataPreprocessor(family="native")), ("m", learner)])

    assert model.fit(rows, y).score(rows, y) > 0.9


@pytest.mark.parametrize("family", ["linear", "tree"])
def test_a_pickled_model_predicts_the_same_bytes(
    family: Family, rows: pd.DataFrame, y: np.ndarray
) -> None:
    model = boosted(family=family).fit(rows, y)

    read = pickle.loads(pickle.dumps(model))

    assert read.predict_proba(rows).tobytes() == model.predict_proba(rows).tobytes()


@pytest.mark.parametrize("family", ["linear", "tree"])
def test_a_clone_learns_the_same(family: Family, rows: pd.DataFrame, y: np.ndarray) -> None:
    model = boosted(family=family, spec=BY_TARGET | {"remainder": "default"}, random_state=3)
    copy = clone(model.fit(rows, y))

    with pytest.raises(NotFittedError):
        copy.predict(rows)

    assert copy.fit(rows, y).predict_proba(rows).tobytes() == model.predict_proba(rows).tobytes()


@pytest.mark.parametrize("family", ["linear", "tree"])
def test_gaps_and_unseen_categories_are_predicted(
    family: Family, rows: pd.DataFrame, y: np.ndarray
) -> None:
    model = boosted(family=family).fit(rows, y)
    odd = {"age": None, "job": "astronaut", "town": "Atlantis", "born": None, "member": None}
    served = pd.DataFrame([dict.fromkeys(rows.columns), odd])

    chances = model.predict_proba(served)

    assert chances.shape == (2, 2)
    assert np.isfinite(chances).all()


def test_columns_may_come_in_another_order_and_with_others(
    rows: pd.DataFrame, y: np.ndarray
) -> None:
    model = boosted().fit(rows, y)

    other = model.predict_proba(rows[rows.columns[::-1]].assign(more=1))

    assert other.tobytes() == model.predict_proba(rows).tobytes()


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(YAML, id="YAML"),
        pytest.param(STEPS, id="mapping"),
        pytest.param(PipelineSpec.parse(STEPS), id="specification"),
    ],
)
def test_a_specification_may_be_text_or_values(spec: Any, rows: pd.DataFrame) -> None:
    preprocessor = DataPreprocessor(spec).fit(rows)

    numbers = rows[["age", "member"]].fillna(rows["age"].median()).astype(float)
    low, middle, high = np.quantile(numbers, [0.25, 0.5, 0.75], axis=0)
    np.testing.assert_allclose(preprocessor.transform(rows), (numbers - middle) / (high - low))


@pytest.mark.parametrize("spec", ["steps: [{step: scal}]", {"steps": [{"step": "scal"}]}])
def test_an_unknown_step_is_refused_with_the_nearest(spec: Any, rows: pd.DataFrame) -> None:
    with pytest.raises(SpecError, match="scale"):
        DataPreprocessor(spec).fit(rows)


@pytest.mark.parametrize("step", ["drop_nulls", "drop_duplicates"])
def test_a_step_that_leaves_out_rows_is_refused(
    step: str, rows: pd.DataFrame, y: np.ndarray
) -> None:
    with pytest.raises((SpecError, StepError), match=step):
        DataPreprocessor({"steps": [{"step": step}]}).fit(rows, y)


@pytest.mark.parametrize("labels", [(0, 1), ("no", "yes"), (False, True)])
def test_encoding_by_the_target_is_cross_fitted(
    labels: tuple[Any, Any], rows: pd.DataFrame, y: np.ndarray
) -> None:
    folds = StratifiedKFold(5, shuffle=True, random_state=4)
    encoder = TargetEncoder(target_type="binary", cv=folds)
    preprocessor = DataPreprocessor(BY_TARGET, random_state=4)
    named = np.asarray(labels)[y]

    fitted = cells(preprocessor.fit_transform(rows[["town"]], named))

    np.testing.assert_allclose(fitted, encoder.fit_transform(rows[["town"]], y))
    np.testing.assert_allclose(
        preprocessor.transform(rows[["town"]]), encoder.transform(rows[["town"]])
    )
    assert not np.allclose(fitted, preprocessor.transform(rows[["town"]]))


@pytest.mark.parametrize("scale", [1.0, 0.001])
def test_a_quantity_is_encoded_by_its_mean(
    scale: float, rows: pd.DataFrame, rng: np.random.Generator
) -> None:
    price = scale * rng.integers(100_000, 900_000, N) + 0.5
    encoder = TargetEncoder(target_type="continuous", cv=KFold(5, shuffle=True, random_state=0))

    fitted = DataPreprocessor(BY_TARGET).fit_transform(rows[["town"]], price)

    np.testing.assert_allclose(cells(fitted), encoder.fit_transform(rows[["town"]], price))


@pytest.mark.parametrize("scale", [1, 1_000])
def test_a_quantity_of_whole_numbers_is_a_quantity(
    scale: int, rows: pd.DataFrame, rng: np.random.Generator
) -> None:
    price = scale * rng.integers(100, 900, N)

    fitted = DataPreprocessor(BY_TARGET).fit_transform(rows[["town"]], price)

    assert fitted.shape == (N, 1)


def test_three_classes_are_encoded_by_a_mean_each(rows: pd.DataFrame) -> None:
    named = np.asarray(["a", "b", "c"])[np.arange(N) % 3]

    fitted = DataPreprocessor(BY_TARGET).fit_transform(rows[["town"]], named)

    assert fitted.shape == (N, 3)


def test_encoding_by_the_target_needs_one(rows: pd.DataFrame) -> None:
    with pytest.raises(StepError, match="needs a target"):
        DataPreprocessor(BY_TARGET).fit(rows)


def test_families_are_searched_through(rows: pd.DataFrame, y: np.ndarray) -> None:
    grid = {"prep__family": ["linear", "tree"], "prep__spec": [None, "remainder: drop"]}

    search = GridSearchCV(boosted(), grid, cv=3, error_score="raise").fit(rows, y)

    assert len(search.cv_results_["params"]) == 4
    assert search.best_score_ > 0.8
    assert search.predict(rows).shape == (N,)


def test_a_linear_model_can_follow(rows: pd.DataFrame, y: np.ndarray) -> None:
    model = Pipeline([("prep", DataPreprocessor()), ("m", LogisticRegression())])

    assert model.fit(rows, y).score(rows, y) > 0.9


@pytest.mark.parametrize("family", FAMILIES)
def test_every_feature_has_a_name(family: Family, rows: pd.DataFrame, y: np.ndarray) -> None:
    preprocessor = DataPreprocessor(family=family)

    features = preprocessor.fit_transform(rows, y)

    names = preprocessor.get_feature_names_out()
    assert features.shape == (N, len(names))
    assert len(set(names)) == len(names)
    assert {"age", "member"} <= set(names)


def test_names_tell_their_columns(rows: pd.DataFrame) -> None:
    preprocessor = DataPreprocessor({"steps": [{"step": "one_hot"}]}).fit(rows[["job", "member"]])

    assert preprocessor.get_feature_names_out().tolist() == [
        "member",
        *(f"job={each}" for each in ("cook", "nurse", "smith", "(missing)")),
    ]
    assert preprocessor.feature_names_in_.tolist() == ["job", "member"]
    assert preprocessor.n_features_in_ == 2


def test_frames_can_be_asked_for(rows: pd.DataFrame) -> None:
    preprocessor = DataPreprocessor(STEPS).set_output(transform="pandas")
    moved = rows.set_index(rows.index + 1_000)

    features = preprocessor.fit_transform(moved)

    assert features.columns.tolist() == preprocessor.get_feature_names_out().tolist()
    assert features.index.equals(moved.index)


def test_an_array_is_taken_like_a_frame(rng: np.random.Generator) -> None:
    numbers = rng.normal(size=(50, 3))
    named = pd.DataFrame(numbers, columns=["x0", "x1", "x2"])

    features = DataPreprocessor().fit_transform(numbers)

    np.testing.assert_array_equal(features, DataPreprocessor().fit_transform(named))


def test_a_frame_may_have_numbers_for_names(rng: np.random.Generator) -> None:
    numbers = rng.normal(size=(50, 3))

    features = DataPreprocessor().fit_transform(pd.DataFrame(numbers))

    np.testing.assert_array_equal(features, DataPreprocessor().fit_transform(numbers))


def test_types_of_pandas_are_read(rows: pd.DataFrame) -> None:
    plain = pd.DataFrame({"n": [1, None, 3, 4], "b": [1, 0, None, 1], "c": ["x", "y", None, "x"]})
    typed = plain.astype({"n": "Int64", "c": "category"}).assign(
        b=pd.array([True, False, None, True], dtype="boolean")
    )

    features = DataPreprocessor().fit_transform(typed)

    np.testing.assert_array_equal(cells(features), cells(DataPreprocessor().fit_transform(plain)))


def test_a_missing_column_is_named(rows: pd.DataFrame) -> None:
    preprocessor = DataPreprocessor().fit(rows)

    with pytest.raises(MissingColumnsError, match="no column 'town'") as caught:
        preprocessor.transform(rows.drop(columns="town"))

    assert caught.value.missing == ("town",)


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [("age", "old", "numeric"), ("member", "perhaps", "boolean"), ("born", "soon", "datetime")],
)
def test_a_value_of_another_kind_is_named(
    column: str, value: str, kind: str, rows: pd.DataFrame
) -> None:
    preprocessor = DataPreprocessor().fit(rows)

    with pytest.raises(ColumnValueError) as caught:
        preprocessor.transform(rows.assign(**{column: value}))

    assert caught.value.args == (column, repr(value), kind)


def test_nothing_is_transformed_before_fitting(rows: pd.DataFrame) -> None:
    preprocessor = DataPreprocessor()

    for act in (preprocessor.transform, preprocessor.get_feature_names_out):
        with pytest.raises(NotFittedError):
            act(rows)


def test_the_rows_given_stay_as_they_were(rows: pd.DataFrame, y: np.ndarray) -> None:
    before = rows.copy(deep=True)

    DataPreprocessor().fit(rows, y).transform(rows)

    pd.testing.assert_frame_equal(rows, before)


@pytest.mark.parametrize("spec", [YAML, STEPS, PipelineSpec.parse(STEPS)])
def test_fitting_leaves_the_parameters_alone(spec: Any, rows: pd.DataFrame) -> None:
    preprocessor = DataPreprocessor(spec)

    preprocessor.fit(rows)

    assert preprocessor.get_params()["spec"] is spec
