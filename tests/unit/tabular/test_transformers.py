from __future__ import annotations

import pickle
import tracemalloc
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.utils.estimator_checks import parametrize_with_checks

from tasks.tabular.errors import StepError
from tasks.tabular.transformers.blocks import Blocks
from tasks.tabular.transformers.categories import HashedCategories, NativeCategories
from tasks.tabular.transformers.columns import Matrix, OnColumns
from tasks.tabular.transformers.conforming import ConformColumns
from tasks.tabular.transformers.dates import DateParts, Elapsed
from tasks.tabular.transformers.filling import Filler
from tasks.tabular.transformers.numbers import (
    Clipper,
    Cycles,
    Expressions,
    Functions,
    Products,
    Scaler,
)
from tasks.tabular.transformers.reduction import Projection, PruneCollinear, PruneCorrelated

if TYPE_CHECKING:
    from collections.abc import Callable

    from sklearn.base import BaseEstimator


class Scaling(Scaler):
    """The scaler, because scikit-learn asks every class called `Scaler` for `with_mean`."""


NO_NUMBERS = "the answer is a frame of pandas categories"


def allowed_to_fail(estimator: BaseEstimator) -> dict[str, str]:
    if isinstance(estimator, NativeCategories):
        return dict.fromkeys(
            (
                "check_estimators_pickle",
                "check_fit_idempotent",
                "check_methods_sample_order_invariance",
                "check_methods_subset_invariance",
                "check_pipeline_consistency",
                "check_transformer_data_not_an_array",
                "check_transformer_general",
                "check_transformer_preserve_dtypes",
            ),
            NO_NUMBERS,
        )
    return {}


@parametrize_with_checks(
    [
        *(Scaling(method) for method in ("standard", "min_max", "max_abs", "robust")),
        *(Scaling(method) for method in ("power", "quantile")),
        Filler(),
        Filler("most_frequent", indicator=True),
        Filler("knn"),
        Clipper(),
        Clipper("iqr", 1.5, None),
        Clipper("fixed", -1.0, 1.0),
        Functions(),
        Cycles(24.0),
        Products(),
        Products(3, interaction_only=True, max_features=1_000),
        Expressions(),
        Projection(),
        Projection(1),
        PruneCollinear(),
        PruneCorrelated(),
        DateParts(),
        DateParts(("week", "holiday"), cyclical=True, timezone="Europe/Berlin", country="DE"),
        Elapsed("hours"),
        NativeCategories(),
        HashedCategories(8),
        OnColumns(),
        OnColumns(Scaling()),
        OnColumns(Scaling(), keep=True),
        OnColumns("drop"),
        Matrix(),
        Matrix("frame"),
        ConformColumns(),
    ],
    expected_failed_checks=allowed_to_fail,
)
def test_scikit_learn_finds_nothing_wrong(
    estimator: BaseEstimator, check: Callable[[Any], None]
) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def big() -> sparse.csr_matrix:
    """200,000 x 2,000 numbers, one in a thousand of them stored: 3.2 GB if they all were."""
    return sparse.random(
        200_000, 2_000, density=0.001, format="csr", random_state=np.random.default_rng(7)
    )


@pytest.mark.parametrize("method", ["standard", "min_max", "max_abs"])
def test_scaling_never_stores_zeros(big: sparse.csr_matrix, method: str) -> None:
    tracemalloc.start()

    scaled = Scaler(method).fit_transform(big)

    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100e6
    assert scaled.nnz == big.nnz


def test_sparse_columns_are_scaled_by_their_deviation(big: sparse.csr_matrix) -> None:
    mean = np.asarray(big.mean(axis=0)).ravel()
    squares = np.asarray(big.multiply(big).mean(axis=0)).ravel()

    scaled = Scaler().fit_transform(big)

    expected = big.multiply(1 / np.sqrt(squares - mean**2)).tocsr()
    np.testing.assert_allclose(scaled.data, expected.data, rtol=1e-12)


@pytest.mark.parametrize(
    "transformer",
    [
        pytest.param(Scaler(), id="standard"),
        pytest.param(Scaler("min_max"), id="min_max"),
        pytest.param(Scaler("max_abs"), id="max_abs"),
        pytest.param(Scaler("robust"), id="robust"),
        pytest.param(Scaler("quantile"), id="quantile"),
        pytest.param(OnColumns(Scaler()), id="on columns"),
        pytest.param(OnColumns(), id="untouched"),
        pytest.param(Matrix(), id="matrix"),
    ],
)
def test_sparse_stays_sparse(transformer: Any) -> None:
    wide = sparse.random(500, 40, density=0.05, format="csr", random_state=7)

    values = clone(transformer).fit_transform(wide)

    assert sparse.issparse(values)
    assert values.nnz == wide.nnz


def test_a_power_transform_of_sparse_columns_is_refused() -> None:
    wide = sparse.random(50, 4, density=0.5, format="csr", random_state=7)

    with pytest.raises(StepError, match=r"(?i)sparse"):
        OnColumns(Scaler("power"), wide=True).fit(wide)


def test_hashes_are_sparse_and_one_per_value() -> None:
    rows = pd.DataFrame({"job": ["a", "b", None], "town": ["x", None, None]}, dtype=object)

    hashed = HashedCategories(1_024).fit_transform(rows)

    assert sparse.issparse(hashed)
    assert hashed.getnnz(axis=1).tolist() == [2, 1, 0]
    assert set(hashed.data) <= {-1.0, 1.0}


def test_a_text_falls_on_another_hash_in_another_column() -> None:
    rows = pd.DataFrame({"job": ["a"], "town": ["a"]}, dtype=object)

    job = HashedCategories(2**16).fit_transform(rows[["job"]])
    both = HashedCategories(2**16).fit_transform(rows)

    assert job.nnz == 1
    assert both.nnz == 2


def test_sparse_columns_are_decomposed_without_storing_zeros(
    big: sparse.csr_matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    fit = TruncatedSVD.fit

    def spied(self: TruncatedSVD, X: Any, y: Any = None) -> TruncatedSVD:  # noqa: N803 - sklearn's name
        seen.append(sparse.issparse(X))
        return fit(self, X, y)

    monkeypatch.setattr(TruncatedSVD, "fit", spied)
    projected = Projection(3).fit_transform(big[:20_000])

    assert seen == [True]
    assert projected.shape == (20_000, 3)


@pytest.mark.parametrize("components", [5, 0.5])
def test_sparse_and_dense_components_agree_on_their_number(components: float) -> None:
    dense = np.random.default_rng(7).normal(size=(200, 8))

    few = Projection(components).fit(sparse.csr_matrix(dense)).n_components_

    assert few == Projection(components).fit(dense).n_components_


@pytest.mark.parametrize("stored", [0.01, 0.9])
def test_the_matrix_is_sparse_where_few_cells_are_stored(stored: float) -> None:
    frame = pd.DataFrame({"x": np.arange(100.0)})
    wide = sparse.random(100, 200, density=stored, format="csr", random_state=7)
    blocks = Blocks(frame, wide, tuple(f"w{place}" for place in range(200)))

    matrix = Matrix().fit_transform(blocks)

    assert sparse.issparse(matrix) == (stored < 0.3)
    np.testing.assert_array_equal(
        matrix.toarray() if sparse.issparse(matrix) else matrix,
        np.column_stack([frame, wide.toarray()]),
    )


def test_the_matrix_stays_as_it_was_fitted() -> None:
    names = tuple(f"w{place}" for place in range(20))
    few = Blocks(pd.DataFrame(index=range(10)), sparse.csr_matrix((10, 20)), names)
    full = Blocks(pd.DataFrame(index=range(10)), sparse.csr_matrix(np.ones((10, 20))), names)

    assert sparse.issparse(Matrix().fit(few).transform(full))
    assert not sparse.issparse(Matrix().fit(full).transform(few))


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(["a", "b"], dtype=object),
        pd.Series(["a", "b"], dtype="string"),
        pd.to_datetime(pd.Series(["2020-01-01", "2020-01-02"]), utc=True),
        pd.Series(["a", "b"], dtype="category"),
    ],
    ids=lambda values: str(values.dtype),
)
def test_a_column_that_is_no_number_is_refused_by_name(values: pd.Series[Any]) -> None:
    with pytest.raises(StepError, match="'job'"):
        Matrix().fit(pd.DataFrame({"x": [1.0, 2.0], "job": values}))


def test_names_of_the_native_frame_hurt_no_learner() -> None:
    rows = pd.DataFrame({"a[0]": [1.0], "b:c": [2.0]})

    assert Matrix("frame").fit_transform(rows).columns.tolist() == ["f0", "f1"]
    assert Matrix("frame").fit(rows).get_feature_names_out().tolist() == ["a[0]", "b:c"]


@pytest.mark.parametrize("joint", [False, True])
def test_rows_stay_together_whatever_their_index(joint: bool) -> None:
    numbers = np.random.default_rng(7).normal(size=(30, 6))
    index = np.random.default_rng(8).permutation(100)[:30]
    frame = pd.DataFrame(numbers[:, :2], columns=["a", "b"], index=index)
    blocks = Blocks(frame, sparse.csr_matrix(numbers[:, 2:]), ("w0", "w1", "w2", "w3"))

    made = OnColumns(Projection(2), ("b", "w0", "w1", "w2", "w3"), joint=joint).fit_transform(
        blocks
    )

    assert made.frame.index.tolist() == index.tolist()
    np.testing.assert_array_equal(made.frame["a"], numbers[:, 0])


@pytest.mark.parametrize(
    "transformer",
    [Clipper(), Functions(), Cycles(), Products(), DateParts(), Elapsed(), PruneCollinear()],
    ids=lambda each: type(each).__name__,
)
def test_names_are_those_fitted_on(transformer: Any) -> None:
    rows = pd.DataFrame(np.random.default_rng(7).normal(size=(9, 2)), columns=["a", "b"])

    names = clone(transformer).fit(rows).get_feature_names_out()

    assert len(names) == clone(transformer).fit_transform(rows).shape[1]
    assert all("a" in name or "b" in name for name in names)


@pytest.mark.parametrize(
    "transformer",
    [DateParts(("holiday",), country="DE"), DateParts(timezone="Europe/Berlin"), Elapsed()],
    ids=["holidays", "parts", "elapsed"],
)
def test_transforming_changes_nothing_that_was_fitted(transformer: Any) -> None:
    past = pd.DataFrame({"a": pd.to_datetime(["2020-01-01", "2020-05-01"], utc=True)})
    fitted = clone(transformer).fit(past)
    before = joblib.hash(fitted)

    fitted.transform(past)
    fitted.transform(past + pd.DateOffset(years=9))

    assert joblib.hash(fitted) == before


def test_holidays_survive_pickling() -> None:
    days = pd.DataFrame({"day": pd.to_datetime(["2024-10-03", "2024-10-04"], utc=True)})
    fitted = DateParts(("holiday",), country="DE").fit(days)

    again = pickle.loads(pickle.dumps(fitted))

    assert again.transform(days).tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    "transformer",
    [
        Scaler(),
        Clipper(),
        Functions(),
        Cycles(),
        Products(),
        Expressions({"z": "x0 + x1"}),
        DateParts(),
        Elapsed(),
        NativeCategories(),
        HashedCategories(8),
        OnColumns(),
        Matrix(),
        ConformColumns(),
    ],
    ids=lambda each: type(each).__name__,
)
def test_gaps_in_arrays_pass(transformer: Any) -> None:
    rows = np.array([[1.0, np.nan], [2.0, 3.0], [np.nan, 5.0]])

    fitted = clone(transformer).fit(rows)

    assert fitted.transform(rows).shape[0] == 3


def test_columns_that_are_only_gaps_pass() -> None:
    rows = pd.DataFrame({"job": pd.Series([None, None], dtype=object)})

    assert NativeCategories().fit_transform(rows)["job"].tolist() == ["(missing)"] * 2
    assert HashedCategories(8).fit_transform(rows).nnz == 0
    assert np.isnan(Clipper().fit_transform(np.full((2, 1), np.nan))).all()


def test_numbers_and_texts_are_filled_each_in_their_kind() -> None:
    frame = pd.DataFrame({"age": [1.0, None, 3.0, 3.0], "job": ["a", None, "a", "b"]}, dtype=object)
    frame["age"] = frame["age"].astype(float)

    filled = Filler("most_frequent", indicator=True).fit_transform(frame)

    assert filled["age"].tolist() == [1, 3, 3, 3]
    assert filled["age"].dtype == float
    assert filled["job"].tolist() == ["a", "a", "a", "b"]
    assert filled["missing(job)"].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("filler", "reason"),
    [
        (Filler("median"), "fills numbers"),
        (Filler("constant", 1.0), "texts are filled by a text"),
        (Filler("constant", "x"), "numbers are filled by a number"),
    ],
)
def test_what_would_leave_gaps_is_refused(filler: Filler, reason: str) -> None:
    frame = pd.DataFrame({"age": [1.0, None], "job": ["a", None]})

    with pytest.raises(ValueError, match=reason):
        filler.fit(frame)
