from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from feature_engine.discretisation import DecisionTreeDiscretiser
from pandas.testing import assert_frame_equal
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - opens the import below
from sklearn.feature_selection import f_classif, mutual_info_classif
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.preprocessing import KBinsDiscretizer, PowerTransformer, QuantileTransformer
from skrub import StringEncoder

from tasks.tabular.errors import SpecError, StepError
from tasks.tabular.problem import Problem
from tasks.tabular.schema import conform, infer
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.steps.base import Context, RowStep
from tasks.tabular.steps.registry import steps
from tasks.tabular.transformers.blocks import Blocks
from tasks.tabular.transformers.expressions import columns_of, evaluate, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.tabular.schema import Schema
    from tasks.tabular.steps.base import AnyStep

N = 240
BINARY = Problem("binary", "y", (0, 1))
NUMBERS = ["age", "pay", "hour", "twin", "flat"]


def _rows() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    pay = rng.lognormal(size=N)
    age = rng.normal(40, 10, N)
    age[rng.random(N) < 0.1] = np.nan
    job = rng.choice(["cook", "driver", "nurse"], N).astype(object)
    job[rng.random(N) < 0.1] = None
    born = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 4e4, N), "h"))
    born[::9] = pd.NaT
    return pd.DataFrame(
        {
            "age": age,
            "pay": pay,
            "hour": rng.integers(0, 24, N).astype(float),
            "twin": 3 * pay + 1,
            "flat": np.full(N, 4.0),
            "job": job,
            "town": rng.choice(list("ABCDE"), N, p=[0.5, 0.2, 0.2, 0.09, 0.01]),
            "born": born,
            "left": born + pd.to_timedelta(rng.integers(0, 4e4, N), "min"),
            "note": [
                " ".join(rng.choice(["late", "paid", "new", "odd", "big"], 3)) for _ in range(N)
            ],
        }
    ).set_axis(rng.permutation(N), axis=0)


RAW = _rows()
SCHEMA = infer(RAW)
Y = np.random.default_rng(8).integers(0, 2, N)
SERVED_RAW = pd.DataFrame(
    {
        "age": [np.nan, 41.0, 1e6],
        "pay": [2.0, 0.5, -1e6],
        "hour": [6.0, 12.0, 23.0],
        "twin": [7.0, 2.5, 0.0],
        "flat": [4.0, 5.0, 4.0],
        "job": ["pilot", None, "nurse"],
        "town": ["A", "Z", "E"],
        "born": ["2024-02-29T12:30:15", None, "1969-12-31T23:00:00"],
        "left": ["2024-03-01T12:30:15", "2024-03-01T00:00:00", "1970-01-01T00:00:00"],
        "note": ["late and new", "", "unheard"],
    },
    index=[5, 3, 9],
)


def _schema() -> Schema:
    kinds = {"note": "text"}
    columns = [
        {**each, "kind": kinds.get(each["name"], each["kind"])}
        for each in SCHEMA.to_json()["columns"]
    ]
    return type(SCHEMA).from_json({"columns": columns})


TYPES = _schema()
ROWS, SERVED = conform(RAW, TYPES), conform(SERVED_RAW, TYPES)


def bound(problem: Problem | None = BINARY, **given: Any) -> Any:
    """Return the transformer of a step that a mapping means."""
    (step,) = PipelineSpec.parse({"steps": [given]}).steps
    assert not isinstance(step, RowStep)
    return step.apply(Context(TYPES, problem, 0), "it")


def row_step(**given: Any) -> Any:
    (step,) = PipelineSpec.parse({"steps": [given]}).steps
    return step


def framed(made: Any) -> pd.DataFrame:
    """Return rows as one frame of dense columns."""
    if isinstance(made, pd.DataFrame):
        return made
    if made.wide is None:
        return made.frame
    wide = pd.DataFrame(made.wide.toarray(), columns=list(made.wide_names), index=made.frame.index)
    return pd.concat([made.frame, wide], axis=1)


def numbers(rows: pd.DataFrame, *columns: str) -> np.ndarray:
    return rows[list(columns)].to_numpy(dtype=float)


@dataclass(frozen=True)
class Case:
    """A step, the columns that go, and what it makes of the served rows after training rows."""

    given: dict[str, Any]
    expected: Callable[[], dict[str, Any]]
    gone: tuple[str, ...] = ()
    tolerance: float = 1e-12
    rows: pd.DataFrame = field(default_factory=lambda: ROWS)
    served: pd.DataFrame = field(default_factory=lambda: SERVED)

    @property
    def name(self) -> str:
        return str(self.given["step"])


def scaled(centre: float, scale: float) -> dict[str, Any]:
    return {"pay": (SERVED["pay"] - centre) / scale}


def fitted(transformer: Any, *columns: str) -> np.ndarray:
    return transformer.fit(numbers(ROWS, *columns)).transform(numbers(SERVED, *columns))


def clipped(low: float, high: float) -> dict[str, Any]:
    return {"pay": SERVED["pay"].clip(low, high)}


def filled(value: float) -> dict[str, Any]:
    return {"age": SERVED["age"].fillna(value)}


def target_means() -> dict[str, Any]:
    """Means shrunk by 10 rows of the overall mean; what is unseen has the overall mean."""
    groups = pd.Series(Y, ROWS.index).groupby(ROWS["town"])
    means = (groups.sum() + 10 * Y.mean()) / (groups.count() + 10)
    return {"town": SERVED["town"].map(means).fillna(Y.mean())}


def hashed() -> dict[str, Any]:
    values = np.zeros((3, 8))
    hashes = pd.util.hash_array(SERVED["town"].to_numpy(), hash_key="0" * 16)
    for row, each in enumerate(map(int, hashes)):
        values[row, (each >> 1) % 8] = 1 if each % 2 else -1
    return {f"hash{place}": values[:, place] for place in range(8)}


def parts() -> dict[str, Any]:
    born = SERVED["born"].dt
    days = (SERVED["born"] - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1)
    week, weekend = born.isocalendar().week.astype(float), (born.dayofweek >= 5).astype(float)
    made = {
        "year": born.year,
        "quarter": born.quarter,
        "month": born.month,
        "week": week,
        "day": born.day,
        "dayofweek": born.dayofweek,
        "dayofyear": born.dayofyear,
        "hour": born.hour,
        "minute": born.minute,
        "second": born.second,
        "weekend": weekend.mask(SERVED["born"].isna()),
        "days": days,
    }
    return {f"born_{name}": values for name, values in made.items()}


def trees() -> np.ndarray:
    tree = DecisionTreeDiscretiser(
        bin_output="bin_number",
        scoring="neg_log_loss",
        regression=False,
        param_grid={"max_leaf_nodes": [2, 3]},
        random_state=0,
    )
    return tree.fit(ROWS[["pay"]], pd.Series(Y, ROWS.index)).transform(SERVED[["pay"]])["pay"]


def words() -> dict[str, Any]:
    encoder = StringEncoder(2, analyzer="word", ngram_range=(1, 1), random_state=0)
    made = encoder.fit(ROWS["note"]).transform(SERVED["note"])
    return {f"note_{place}": made.iloc[:, place] for place in range(2)}


def sparse_components() -> dict[str, Any]:
    towns = sorted(set(ROWS["town"]))
    train = np.column_stack([ROWS["town"] == each for each in towns]).astype(float)
    serve = np.column_stack([SERVED["town"] == each for each in towns]).astype(float)
    made = TruncatedSVD(2, random_state=0).fit(sparse.csr_matrix(train)).transform(serve)
    return {"pca0": made[:, 0], "pca1": made[:, 1]}


TOWNS = {f"town={each}": (SERVED["town"] == each).astype(float) for each in "ABCDE"}
PAY = ROWS["pay"]
LOW, MIDDLE, HIGH = np.quantile(PAY, [0.25, 0.5, 0.75])
ONE_PAY = {"columns": ["pay"]}
MANY = ("year", "quarter", "month", "week", "day", "dayofweek", "dayofyear")
MORE = ("hour", "minute", "second", "weekend", "days")

CASES = {
    "scale by deviation": Case(
        {"step": "scale", **ONE_PAY}, lambda: scaled(PAY.mean(), PAY.std(ddof=0)), ("pay",)
    ),
    "scale by range": Case(
        {"step": "scale", **ONE_PAY, "method": "min_max"},
        lambda: scaled(PAY.min(), PAY.max() - PAY.min()),
        ("pay",),
        1e-6,
    ),
    "scale by magnitude": Case(
        {"step": "scale", **ONE_PAY, "method": "max_abs"},
        lambda: scaled(0, PAY.abs().max()),
        ("pay",),
    ),
    "scale by quartiles": Case(
        {"step": "scale", **ONE_PAY, "method": "robust"},
        lambda: scaled(MIDDLE, HIGH - LOW),
        ("pay",),
    ),
    "scale by a power": Case(
        {"step": "scale", **ONE_PAY, "method": "power"},
        lambda: {"pay": fitted(PowerTransformer(), "pay")[:, 0]},
        ("pay",),
    ),
    "scale by ranks": Case(
        {"step": "scale", **ONE_PAY, "method": "quantile"},
        lambda: {
            "pay": fitted(QuantileTransformer(n_quantiles=N, output_distribution="normal"), "pay")[
                :, 0
            ]
        },
        ("pay",),
    ),
    "impute the median": Case(
        {"step": "impute", "columns": ["age"]}, lambda: filled(ROWS["age"].median()), ("age",)
    ),
    "impute the mean": Case(
        {"step": "impute", "columns": ["age"], "strategy": "mean"},
        lambda: filled(ROWS["age"].mean()),
        ("age",),
    ),
    "impute a value": Case(
        {"step": "impute", "columns": ["age"], "strategy": "constant", "fill_value": -1},
        lambda: filled(-1),
        ("age",),
    ),
    "impute a text": Case(
        {"step": "impute", "columns": ["job"], "strategy": "constant", "fill_value": "none"},
        lambda: {"job": ["pilot", "none", "nurse"]},
        ("job",),
    ),
    "impute the commonest": Case(
        {"step": "impute", "columns": ["job"], "strategy": "most_frequent"},
        lambda: {"job": ["pilot", ROWS["job"].mode()[0], "nurse"]},
        ("job",),
    ),
    "impute and say where": Case(
        {"step": "impute", "columns": ["age", "pay"], "indicator": True},
        lambda: (
            filled(ROWS["age"].median()) | {"pay": SERVED["pay"], "missing(age)": [1.0, 0.0, 0.0]}
        ),
        ("age", "pay"),
    ),
    "impute by neighbours": Case(
        {"step": "impute", "columns": ["age", "pay"], "strategy": "knn", "neighbors": 3},
        lambda: {
            "age": fitted(KNNImputer(n_neighbors=3), "age", "pay")[:, 0],
            "pay": SERVED["pay"],
        },
        ("age", "pay"),
    ),
    "impute by regression": Case(
        {"step": "impute", "columns": ["age", "pay"], "strategy": "iterative"},
        lambda: {
            "age": fitted(IterativeImputer(random_state=0), "age", "pay")[:, 0],
            "pay": SERVED["pay"],
        },
        ("age", "pay"),
    ),
    "clip to shares": Case(
        {"step": "clip", **ONE_PAY}, lambda: clipped(*np.quantile(PAY, [0.01, 0.99])), ("pay",)
    ),
    "clip to ranges": Case(
        {"step": "clip", **ONE_PAY, "method": "iqr", "lower": 1.5, "upper": 3.0},
        lambda: clipped(LOW - 1.5 * (HIGH - LOW), HIGH + 3 * (HIGH - LOW)),
        ("pay",),
    ),
    "clip to values": Case(
        {"step": "clip", **ONE_PAY, "method": "fixed", "lower": 0.75, "upper": None},
        lambda: clipped(0.75, np.inf),
        ("pay",),
    ),
    "leave out columns": Case(
        {"step": "drop_columns", "columns": ["age", "note"]}, dict, ("age", "note")
    ),
    "leave out what is constant": Case(
        {"step": "drop_constant", "columns": ["pay", "flat"]},
        lambda: {"pay": SERVED["pay"]},
        ("pay", "flat"),
    ),
    "formulas": Case(
        {
            "step": "expression",
            "formulas": {
                "ratio": "pay / (hour - 6)",
                "late": "hour if hour > 12 else -1",
                "grown": "age + 1",
                "rest": "hour % 5 + hour // 5 + pay ** 2",
            },
        },
        lambda: {
            "ratio": [np.nan, 0.5 / 6, -1e6 / 17],
            "late": [-1, -1, 23],
            "grown": [np.nan, 42, 1_000_001],
            "rest": [1 + 1 + 4, 2 + 2 + 0.25, 3 + 4 + 1e12],
        },
    ),
    "products": Case(
        {"step": "polynomial", "columns": ["pay", "hour"]},
        lambda: {
            "pay^2": SERVED["pay"] ** 2,
            "pay*hour": SERVED["pay"] * SERVED["hour"],
            "hour^2": SERVED["hour"] ** 2,
        },
    ),
    "waves": Case(
        {"step": "trigonometry", "columns": ["hour", "age"], "functions": ["sin", "tan"]},
        lambda: {
            "sin(hour)": np.sin(SERVED["hour"]),
            "sin(age)": np.sin(SERVED["age"]),
            "tan(hour)": np.tan(SERVED["hour"]),
            "tan(age)": np.tan(SERVED["age"]),
        },
    ),
    "hours come round": Case(
        {"step": "cyclical", "columns": ["hour"], "period": 24},
        lambda: {
            "hour_sin": np.sin(2 * np.pi * SERVED["hour"] / 24),
            "hour_cos": np.cos(2 * np.pi * SERVED["hour"] / 24),
        },
        ("hour",),
    ),
    "parts of dates": Case(
        {"step": "date_parts", "columns": ["born"], "parts": [*MANY, *MORE]}, parts, ("born",)
    ),
    "time between dates": Case(
        {"step": "elapsed", "columns": ["born", "left"], "unit": "hours"},
        lambda: {"left-born": [24.0, np.nan, 1.0]},
    ),
    "texts": Case({"step": "text", "components": 2}, words, ("note",), 1e-6),
    "an indicator per category": Case(
        {"step": "one_hot", "columns": ["town"]}, lambda: TOWNS, ("town",)
    ),
    "a code per category": Case(
        {"step": "ordinal", "columns": ["town", "job"]},
        lambda: {"town": [0.0, -1.0, 4.0], "job": [-1.0, np.nan, 2.0]},
        ("town", "job"),
    ),
    "means of the target": Case(
        {"step": "target_encode", "columns": ["town"], "smooth": 10}, target_means, ("town",)
    ),
    "counts": Case(
        {"step": "count_encode", "columns": ["town"]},
        lambda: {"town": SERVED["town"].map(ROWS["town"].value_counts()).fillna(0)},
        ("town",),
    ),
    "shares": Case(
        {"step": "count_encode", "columns": ["town"], "method": "frequency"},
        lambda: {"town": SERVED["town"].map(ROWS["town"].value_counts() / N).fillna(0)},
        ("town",),
    ),
    "hashes": Case({"step": "hash_encode", "columns": ["town"], "features": 8}, hashed, ("town",)),
    "native categories": Case(
        {"step": "category", "columns": ["job"]},
        lambda: {
            "job": pd.Categorical(
                ["(other)", "(missing)", "nurse"],
                categories=[*ROWS["job"].value_counts().index, "(other)", "(missing)"],
            )
        },
        ("job",),
    ),
    "bins of equal width": Case(
        {"step": "bin", **ONE_PAY, "strategy": "uniform", "bins": 4},
        lambda: {
            "pay": np.clip(
                np.digitize(SERVED["pay"], np.linspace(PAY.min(), PAY.max(), 5)[1:-1]), 0, 3
            )
        },
        ("pay",),
    ),
    "bins of equal counts": Case(
        {"step": "bin", **ONE_PAY, "bins": 4},
        lambda: {"pay": np.digitize(SERVED["pay"], [LOW, MIDDLE, HIGH])},
        ("pay",),
    ),
    "bins by clusters": Case(
        {"step": "bin", **ONE_PAY, "strategy": "kmeans", "bins": 3},
        lambda: {
            "pay": fitted(
                KBinsDiscretizer(3, encode="ordinal", strategy="kmeans", random_state=0), "pay"
            )[:, 0]
        },
        ("pay",),
    ),
    "bins of a tree": Case(
        {"step": "bin", **ONE_PAY, "strategy": "tree", "bins": 3},
        lambda: {"pay": trees()},
        ("pay",),
    ),
    "components": Case(
        {"step": "pca", "columns": ["pay", "hour", "twin"], "components": 2},
        lambda: {
            f"pca{place}": fitted(PCA(2), "pay", "hour", "twin")[:, place] for place in range(2)
        },
        ("pay", "hour", "twin"),
        1e-6,
    ),
    "correlated columns": Case(
        {"step": "drop_correlated", "columns": ["pay", "hour", "twin"]},
        lambda: {"pay": SERVED["pay"], "hour": SERVED["hour"]},
        ("pay", "hour", "twin"),
    ),
    "collinear columns": Case(
        {"step": "drop_collinear", "columns": ["pay", "hour", "twin"]},
        lambda: {"pay": SERVED["pay"], "hour": SERVED["hour"]},
        ("pay", "hour", "twin"),
    ),
    "selected columns": Case(
        {"step": "select", "columns": ["pay", "hour"], "features": 2, "method": "f_test"},
        lambda: {"pay": SERVED["pay"], "hour": SERVED["hour"]},
        ("pay", "hour"),
    ),
}

GAPPY = pd.DataFrame(
    {
        "a": [1.0, np.nan, np.nan, 1.0, 1.0],
        "b": ["x", "x", None, "x", "y"],
        "c": pd.to_datetime(["2020-01-01", None, None, "2020-01-01", "2020-01-01"]),
    },
    index=[4, 2, 8, 6, 0],
)

ROW_CASES: dict[str, list[tuple[dict[str, Any], Callable[[pd.DataFrame], pd.DataFrame]]]] = {
    "drop_nulls": [
        ({}, lambda rows: rows.dropna()),
        ({"how": "all"}, lambda rows: rows.dropna(how="all")),
        ({"thresh": 1}, lambda rows: rows.dropna(thresh=1)),
        ({"thresh": 2}, lambda rows: rows.dropna(thresh=2)),
        ({"columns": ["b"]}, lambda rows: rows.dropna(subset=["b"])),
        (
            {"columns": ["a", "b"], "how": "all"},
            lambda rows: rows.dropna(subset=["a", "b"], how="all"),
        ),
    ],
    "drop_duplicates": [
        ({}, lambda rows: rows.drop_duplicates()),
        ({"keep": "last"}, lambda rows: rows.drop_duplicates(keep="last")),
        ({"keep": "none"}, lambda rows: rows.drop_duplicates(keep=False)),
        ({"columns": ["a"]}, lambda rows: rows.drop_duplicates(["a"])),
        ({"columns": ["b"], "keep": "none"}, lambda rows: rows.drop_duplicates(["b"], keep=False)),
    ],
}


def own_steps() -> dict[str, type[AnyStep]]:
    return {
        name: each for name, each in steps().items() if each.__module__.startswith("tasks.tabular")
    }


def test_every_step_has_a_case() -> None:
    assert {each.name for each in CASES.values()} | set(ROW_CASES) == set(own_steps())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_step_agrees_with_its_reference(case: Case) -> None:
    step = bound(**case.given)

    step.fit_transform(case.rows, Y)
    made = framed(step.transform(case.served))

    rest = case.served.drop(columns=list(case.gone))
    expected = rest.assign(**case.expected())
    assert list(made.columns) == list(step.get_feature_names_out())
    assert_frame_equal(
        made,
        expected,
        check_dtype=False,
        check_column_type=False,
        rtol=0 if case.tolerance < 1e-9 else 1e-6,
        atol=case.tolerance,
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_training_and_serving_see_the_same_columns(case: Case) -> None:
    step = bound(**case.given)

    trained = framed(step.fit_transform(case.rows, Y))

    assert list(trained.columns) == list(framed(step.transform(case.served)).columns)
    assert trained.index.tolist() == case.rows.index.tolist()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_row_is_served_as_it_is_among_others(case: Case) -> None:
    step = bound(**case.given)
    step.fit_transform(case.rows, Y)

    alone = framed(step.transform(case.served.iloc[[2]]))

    among = framed(step.transform(case.served)).iloc[[2]]
    assert_frame_equal(alone, among, check_dtype=False, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [(name, *each) for name, cases in ROW_CASES.items() for each in cases],
)
def test_rows_stay_as_pandas_keeps_them(
    name: str, given: dict[str, Any], expected: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    kept = row_step(step=name, **given).kept(GAPPY)

    assert_frame_equal(GAPPY[kept], expected(GAPPY))


@pytest.mark.parametrize("name", ROW_CASES)
def test_rows_of_absent_columns_are_not_judged(name: str) -> None:
    with pytest.raises(StepError, match=r"'aa'.*did you mean a"):
        row_step(step=name, columns=["aa"]).kept(GAPPY)


def test_an_unseen_category_is_rare_where_rare_ones_share_an_indicator() -> None:
    step = bound(step="one_hot", columns=["town"], min_frequency=10)
    step.fit_transform(ROWS, Y)

    made = framed(step.transform(SERVED))

    assert made["town=(other)"].tolist() == [0.0, 1.0, 1.0]


def test_names_of_indicators_are_unique() -> None:
    rows = pd.DataFrame({"job": ["None", None, "a", "infrequent_sklearn", "b"] * 5 + ["c"]})
    step = bound(step="one_hot", columns=["job"], min_frequency=5)

    names = framed(step.fit_transform(rows.astype(object))).columns

    assert names.is_unique


def test_gaps_stay_gaps_where_training_had_none() -> None:
    step = bound(step="ordinal", columns=["town"])
    step.fit_transform(ROWS, Y)

    assert np.isnan(step.transform(SERVED.assign(town=None))["town"]).all()


def test_rare_categories_share_a_code() -> None:
    step = bound(step="ordinal", columns=["town"], max_categories=3)

    codes = step.fit_transform(ROWS, Y)["town"]

    assert codes.nunique() == 3
    assert len(set(codes[ROWS["town"].isin(["D", "E"])])) == 1


def test_target_means_in_training_come_from_other_folds() -> None:
    lonely = ROWS.assign(town=[f"town {place}" for place in range(N)])
    step = bound(step="target_encode", columns=["town"])

    encoded = step.fit_transform(lonely, Y)["town"]

    assert abs(np.corrcoef(encoded, Y)[0, 1]) < 0.2
    assert abs(np.corrcoef(step.transform(lonely)["town"], Y)[0, 1]) > 0.9


def test_target_means_of_three_classes_are_three_columns() -> None:
    problem = Problem("multiclass", "y", (0, 1, 2))
    step = bound(problem, step="target_encode", columns=["town"])

    made = step.fit_transform(ROWS, np.arange(N) % 3)

    assert list(made.columns[-3:]) == ["town_0", "town_1", "town_2"]


@pytest.mark.parametrize(
    "given",
    [
        {"step": "target_encode"},
        {"step": "select"},
        {"step": "bin", "strategy": "tree"},
    ],
    ids=lambda given: given["step"],
)
def test_steps_that_look_at_the_target_need_one(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="target"):
        bound(None, **given)


def test_only_columns_of_many_categories_are_counted() -> None:
    step = bound(step="count_encode", columns=["town", "job"], more_than=3)

    made = step.fit_transform(ROWS, Y)

    assert made["town"].tolist() == ROWS["town"].map(ROWS["town"].value_counts()).tolist()
    assert made["job"].tolist() == ROWS["job"].tolist()


def test_categories_beyond_the_limit_are_others() -> None:
    step = bound(step="category", columns=["town"], max_categories=2)

    made = step.fit_transform(ROWS, Y)["town"]

    assert list(made.cat.categories[2:]) == ["(other)", "(missing)"]
    assert (made == "(other)").sum() == ROWS["town"].value_counts().iloc[2:].sum()


@pytest.mark.parametrize(("method", "upper"), [("fixed", 100.0), ("iqr", 1.5)])
def test_shares_are_not_taken_for_values_or_ranges(method: str, upper: float) -> None:
    step = bound(step="clip", columns=["pay"], method=method, upper=upper)
    step.fit_transform(ROWS, Y)

    assert step.transform(SERVED)["pay"].iloc[2] == -1e6


def test_limits_are_those_of_training() -> None:
    step = bound(step="clip", columns=["pay"])
    low, high = np.quantile(PAY, [0.01, 0.99])
    step.fit_transform(ROWS, Y)

    made = step.transform(SERVED.assign(pay=[-5.0, 5e5, 1e6]))["pay"]

    np.testing.assert_allclose(made, [low, high, high], rtol=1e-12)


def test_values_on_an_edge_belong_to_the_upper_bin() -> None:
    rows = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0, 4.0]})
    step = bound(step="bin", columns=["x"], strategy="uniform", bins=4)
    step.fit_transform(rows)

    made = step.transform(pd.DataFrame({"x": [-9.0, 0.0, 1.0, 2.999, 3.0, 4.0, 9.0]}))

    assert made["x"].tolist() == [0, 0, 1, 2, 3, 3, 3]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("a / b", [0.5, np.nan, np.nan]),
        ("a // b", [0, np.nan, np.nan]),
        ("a % b", [1, np.nan, np.nan]),
        ("log(b)", [np.log(2), np.nan, np.nan]),
        ("sqrt(-a)", [np.nan, 0, np.nan]),
        ("exp(1000 * a)", [np.nan, 1.0, np.nan]),
        ("9 ** 9 ** 9 ** 9 + a", [np.nan, np.nan, np.nan]),
        ("a < b", [1, 0, np.nan]),
        ("a == b", [0, 1, np.nan]),
        ("1 if a else 2", [1, 2, np.nan]),
        ("1 if b > a else c", [1, -4, np.nan]),
        ("min(a, b) + max(a, b)", [3, 0, np.nan]),
        ("abs(c) - -c", [0, 0, 0]),
        ("round(c / 3)", [-1, -1, -2]),
        ("sign(c) + floor(0.5) + ceil(0.5)", [0, 0, 0]),
        (
            "log1p(a) + sin(a) + cos(a) + tan(a)",
            [np.log(2) + np.sin(1) + np.cos(1) + np.tan(1), 1, np.nan],
        ),
        ('col("a") * 2', [2, 0, np.nan]),
        ("1e-3 * c + True", [0.997, 0.996, 0.995]),
    ],
)
def test_formulas_agree_with_arithmetic(formula: str, expected: list[float]) -> None:
    columns = {
        "a": np.array([1.0, 0.0, np.nan]),
        "b": np.array([2.0, 0.0, 0.0]),
        "c": np.array([-3.0, -4.0, -5.0]),
    }

    np.testing.assert_allclose(evaluate(parse(formula), columns), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os').system('true')",
        "__import__('os')",
        "eval('1')",
        "a.__class__",
        "a.real",
        "().__class__.__bases__[0].__subclasses__()",
        "lambda: 1",
        "(lambda: 1)()",
        "[a for a in b]",
        "{a: b}",
        "(a for a in b)",
        "a[0]",
        "'text'",
        "f'{a}'",
        "b'1'",
        "1j",
        "None",
        "...",
        "a := 1",
        "(a := 1)",
        "a = 1",
        "a; b",
        "import os",
        "await a",
        "yield a",
        "*a",
        "a and b",
        "not a",
        "a in b",
        "a is b",
        "a < b < c",
        "a << 9",
        "a @ b",
        "~a",
        "sqrt()",
        "sqrt(a, b)",
        "sqrt(*a)",
        "sqrt(x=a)",
        "min(a)",
        "col(a)",
        "col()",
        "col('a', 'b')",
        "col('a')('b')",
        "1e999",
        "9" * 900,
        "",
        " ",
        "a +",
        "\x00",
        "(" * 10_000 + "a" + ")" * 10_000,
        "(" * 450 + "a" + ")" * 450,
        "[" * 450 + "]" * 450,
        "-" * 900 + "a",
        "~" * 900 + "a",
        "not " * 240 + "a",
        "a" + ".a" * 490,
        "a" + "[0]" * 300,
        "a" + "()" * 450,
        "abs(" * 199 + "a" + ")" * 199,
        "a if a else " * 80 + "a",
    ],
    ids=lambda formula: formula[:20].replace("\x00", "null") or "nothing",
)
def test_what_formulas_must_not_hold_is_refused(formula: str) -> None:
    with pytest.raises(SpecError):
        bound(step="expression", formulas={"z": formula})


@pytest.mark.parametrize(
    "formula", ["9**9**9**9", "-9**9**9**9*a", "+".join("a" * 50), "a**999999999"]
)
def test_great_formulas_take_no_time(formula: str) -> None:
    began = time.perf_counter()

    evaluate(parse(formula), {"a": np.full(10_000, 9.0)})

    assert time.perf_counter() - began < 1


def test_formulas_name_their_columns() -> None:
    formula = parse('sqrt(a) + col("unit price") * a - b')

    assert sorted(columns_of(formula)) == ["a", "b", "unit price"]


def test_columns_may_be_called_like_functions() -> None:
    assert evaluate(parse("abs(abs)"), {"abs": np.array([-1.0])}).tolist() == [1.0]


def test_an_unknown_column_of_a_formula_is_told_with_the_nearest() -> None:
    with pytest.raises(StepError, match=r"'pai'.*did you mean pay"):
        bound(step="expression", formulas={"z": "pai * 2"}).fit(ROWS)


def test_later_formulas_may_use_earlier_steps() -> None:
    first = bound(step="expression", formulas={"half": "pay / 2"})
    second = bound(step="expression", formulas={"quarter": "half / 2"})

    made = second.fit_transform(first.fit_transform(ROWS))

    np.testing.assert_allclose(made["quarter"], PAY / 4, rtol=1e-12)


def test_more_products_than_the_limit_are_refused() -> None:
    with pytest.raises(StepError, match="max_features = 2"):
        bound(step="polynomial", columns=["pay", "hour"], max_features=2).fit(ROWS)


def test_a_thousand_columns_are_refused_before_they_are_multiplied() -> None:
    rows = pd.DataFrame(np.zeros((3, 1_000)), columns=[f"x{place}" for place in range(1_000)])

    with pytest.raises(StepError, match="max_features"):
        bound(step="polynomial", degree=2).fit(rows)


def test_products_without_powers() -> None:
    step = bound(
        step="polynomial", columns=["pay", "hour", "twin"], degree=3, interaction_only=True
    )

    made = step.fit_transform(ROWS).columns[-4:]

    assert made.tolist() == ["pay*hour", "pay*twin", "hour*twin", "pay*hour*twin"]


def test_one_column_has_no_products_with_others() -> None:
    step = bound(step="polynomial", columns=["pay"], interaction_only=True)

    assert_frame_equal(step.fit_transform(ROWS), ROWS)


def test_products_beyond_all_numbers_are_missing() -> None:
    step = bound(step="polynomial", columns=["pay"])
    step.fit(ROWS)

    assert np.isnan(step.transform(SERVED.assign(pay=1e200))["pay^2"]).all()


@pytest.mark.parametrize(
    ("instant", "hour", "day"),
    [
        ("2024-03-31T00:59:59Z", 1, 31),
        ("2024-03-31T01:00:00Z", 3, 31),
        ("2024-03-31T21:59:59Z", 23, 31),
        ("2024-03-31T22:00:00Z", 0, 1),
        ("2024-10-27T00:30:00Z", 2, 27),
        ("2024-10-27T01:30:00Z", 2, 27),
        ("2024-10-27T02:00:00Z", 3, 27),
        ("2024-10-26T21:59:59Z", 23, 26),
        ("2024-10-26T22:00:00Z", 0, 27),
    ],
)
def test_hours_are_those_people_live_by(instant: str, hour: int, day: int) -> None:
    step = bound(
        step="date_parts", columns=["born"], parts=["hour", "day"], timezone="Europe/Berlin"
    )
    rows = conform(SERVED_RAW.assign(born=instant), TYPES)

    made = step.fit(ROWS).transform(rows)

    assert made["born_hour"].tolist() == [hour] * 3
    assert made["born_day"].tolist() == [day] * 3


def test_a_day_of_a_clock_change_has_its_real_length() -> None:
    rows = conform(
        SERVED_RAW.assign(born="2024-03-30T23:00:00Z", left="2024-03-31T22:00:00Z"), TYPES
    )
    step = bound(step="elapsed", columns=["born", "left"], unit="hours")

    assert step.fit(ROWS).transform(rows)["left-born"].tolist() == [23.0] * 3


def test_a_missing_date_gives_missing_parts() -> None:
    step = bound(step="date_parts", parts=[*MANY, *MORE, "holiday"], country="DE", cyclical=True)

    made = step.fit(ROWS).transform(conform(SERVED_RAW.assign(born=None, left=None), TYPES))

    assert made.filter(regex="^(born|left)_").isna().all(axis=None)


def test_december_is_near_january() -> None:
    days = pd.DataFrame(
        {"born": pd.to_datetime(["2023-12-01", "2024-01-01", "2024-06-01"], utc=True)}
    )
    step = bound(step="date_parts", columns=["born"], parts=["month"], cyclical=True)

    made = step.fit_transform(days)[["born_month_sin", "born_month_cos"]].to_numpy()

    angles = 2 * np.pi * np.array([11, 0, 5]) / 12
    np.testing.assert_allclose(made, np.column_stack([np.sin(angles), np.cos(angles)]), atol=1e-12)


def test_days_count_from_the_date_given() -> None:
    days = pd.DataFrame(
        {"born": pd.to_datetime(["2024-01-02 06:00", "2023-12-31 00:00"], utc=True)}
    )
    step = bound(step="date_parts", columns=["born"], parts=["days"], since="2024-01-01")

    assert step.fit_transform(days)["born_days"].tolist() == [1.25, -1.0]


@pytest.mark.parametrize(
    ("day", "country", "is_one"),
    [
        ("2024-10-03T12:00:00Z", "DE", 1.0),
        ("2024-10-03T12:00:00Z", "US", 0.0),
        ("2024-07-04T12:00:00Z", "US", 1.0),
        ("2024-10-02T22:00:00Z", "DE", 1.0),
        ("2024-10-03T22:00:00Z", "DE", 0.0),
        ("1999-12-25T12:00:00Z", "DE", 1.0),
    ],
)
def test_holidays_are_those_of_the_country(day: str, country: str, is_one: float) -> None:
    step = bound(
        step="date_parts",
        columns=["born"],
        parts=["holiday"],
        country=country,
        timezone="Europe/Berlin",
    )

    made = step.fit(ROWS).transform(conform(SERVED_RAW.assign(born=day), TYPES))

    assert made["born_holiday"].tolist() == [is_one] * 3


@pytest.mark.parametrize("year", [1, 1583, 2261, 2263, 9999])
def test_far_dates_have_parts(year: int) -> None:
    step = bound(step="date_parts", columns=["born"], parts=["year", "month", "dayofweek", "days"])
    day = f"{year:04d}-06-15T00:00:00"

    made = step.fit(ROWS).transform(conform(SERVED_RAW.assign(born=day), TYPES)).iloc[0]

    days = (np.datetime64(day, "D") - np.datetime64("1970-01-01", "D")).astype(int)
    assert made["born_year":"born_days"].tolist() == [year, 6, (days + 3) % 7, days]


def test_texts_alike_are_near() -> None:
    step = bound(step="text", components=3)
    step.fit(ROWS)
    notes = ["late paid new", "new paid late", "odd big odd"]

    made = step.transform(SERVED.assign(note=pd.array(notes, dtype="string")))
    values = made.filter(regex="^note").to_numpy()

    np.testing.assert_allclose(values[0], values[1], atol=1e-6)
    assert np.linalg.norm(values[0] - values[2]) > 0.1


def test_components_of_indicators_are_made_without_storing_zeros(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bool] = []
    fit = TruncatedSVD.fit

    def spied(self: TruncatedSVD, X: Any, y: Any = None) -> TruncatedSVD:  # noqa: N803 - sklearn's name
        seen.append(sparse.issparse(X))
        return fit(self, X, y)

    monkeypatch.setattr(TruncatedSVD, "fit", spied)
    wide = bound(step="one_hot", columns=["town"])
    step = bound(step="pca", columns=list(TOWNS), components=2)
    step.fit_transform(wide.fit_transform(ROWS))
    made = framed(step.transform(wide.transform(SERVED)))

    assert seen == [True]
    for name, values in sparse_components().items():
        np.testing.assert_allclose(made[name], values, atol=1e-9)


def test_components_stay_with_their_rows() -> None:
    wide = bound(step="one_hot", columns=["town"])
    step = bound(step="pca", columns=["pay", *TOWNS], components=2)
    again = ROWS.reset_index(drop=True)

    shuffled = step.fit_transform(wide.fit_transform(ROWS)).frame
    ordered = step.fit_transform(wide.fit_transform(again)).frame

    assert_frame_equal(shuffled.reset_index(drop=True), ordered)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_components_keep_the_share_of_variance(share: float) -> None:
    columns = ["pay", "hour", "twin"]
    step = bound(step="pca", columns=columns, components=share)

    made = framed(step.fit_transform(ROWS, Y)).filter(regex="^pca")

    shares = np.cumsum(PCA().fit(numbers(ROWS, *columns)).explained_variance_ratio_)
    assert made.shape[1] == np.searchsorted(shares, share) + 1


@pytest.mark.parametrize(
    ("step", "given"),
    [("pca", {"components": 1}), ("hash_encode", {"features": 1_024})],
)
def test_a_second_step_does_not_undo_the_first(step: str, given: dict[str, Any]) -> None:
    columns = NUMBERS[1:3] if step == "pca" else ["job", "town"]
    first, second = (bound(step=step, columns=[each], **given) for each in columns)

    one = framed(first.fit_transform(ROWS, Y))
    both = framed(second.fit_transform(first.transform(ROWS), Y))

    assert both.shape[1] - one.shape[1] == one.shape[1] - ROWS.shape[1]


def test_a_new_column_does_not_take_the_place_of_a_given_one() -> None:
    rows = ROWS.assign(born_year=-PAY)
    step = bound(step="date_parts", columns=["born"], parts=["year"])

    try:
        made = framed(step.fit_transform(rows))
    except StepError as error:
        assert "born_year" in str(error)  # noqa: PT017 - refusing it is as good as keeping it
    else:
        assert any(made[name].equals(-PAY) for name in made.select_dtypes("number"))


def planted() -> pd.DataFrame:
    """Two columns of their own, a copy of the first, its double and the sum of both."""
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(2, 300))
    return pd.DataFrame({"a": a, "b": b, "copy": a, "double": 2 * a, "sum": a + b})


def test_of_copies_the_first_stays() -> None:
    rows = planted()[["a", "b", "copy", "double"]]
    step = bound(step="drop_correlated", columns=list(rows))

    made = step.fit_transform(rows, (rows["a"] > 0).to_numpy().astype(int))

    (pruner,) = step.transformers_
    assert "b" in made
    assert made.shape[1] == 2
    assert set(pruner.decisions_) | set(made.columns) == set(rows)
    assert set(pruner.decisions_.values()) == set(made.columns) - {"b"}


def test_of_alike_columns_the_one_that_says_most_stays() -> None:
    rng = np.random.default_rng(7)
    a = rng.normal(size=500)
    rows = pd.DataFrame({"vague": a + 0.2 * rng.normal(size=500), "exact": a})
    step = bound(step="drop_correlated", columns=["vague", "exact"])

    made = step.fit_transform(rows, (a > 0).astype(int))

    assert list(made) == ["exact"]
    assert step.transformers_[0].decisions_ == {"vague": "exact"}


def test_columns_that_others_explain_go_one_by_one() -> None:
    rows = planted()[["a", "b", "copy", "sum"]]
    step = bound(step="drop_collinear", columns=list(rows))

    made = step.fit_transform(rows)

    decisions = step.transformers_[0].decisions_
    assert made.shape[1] == 2
    assert set(decisions) == set(rows) - set(made)
    assert all(each > 10 for each in decisions.values())


def test_inflation_factors_agree_with_regression() -> None:
    rng = np.random.default_rng(7)
    a, b, noise = rng.normal(size=(3, 1_000))
    rows = pd.DataFrame({"a": a, "b": b, "c": a + b + 0.2 * noise})
    others = np.column_stack([np.ones(1_000), a, b])
    residual = rows["c"] - others @ np.linalg.lstsq(others, rows["c"], rcond=None)[0]

    step = bound(step="drop_collinear", columns=list(rows))
    step.fit_transform(rows)

    factor = rows["c"].var(ddof=0) / residual.var(ddof=0)
    assert step.transformers_[0].decisions_ == {"c": pytest.approx(factor, rel=1e-4)}


def test_unrelated_columns_stay() -> None:
    rows = planted()[["a", "b"]].assign(flat=1.0)

    for name in ("drop_correlated", "drop_collinear"):
        step = bound(step=name, columns=["a", "b"])
        assert list(step.fit_transform(rows, np.arange(300) % 2)) == ["flat", "a", "b"]
        assert step.transformers_[0].decisions_ == {}


@pytest.mark.parametrize("method", ["f_test", "mutual_information", "forest"])
def test_the_columns_that_say_most_are_selected(method: str) -> None:
    rows = pd.DataFrame(
        np.random.default_rng(7).normal(size=(300, 5)), columns=["a", "b", "c", "d", "e"]
    )
    y = (rows["b"] + 0.7 * rows["d"] > 0).to_numpy().astype(int)

    step = bound(step="select", columns=list(rows), method=method, features=2)

    assert list(step.fit_transform(rows, y)) == ["b", "d"]


@pytest.mark.parametrize("method", ["f_test", "mutual_information"])
def test_scores_of_columns_agree_with_scikit_learn(method: str) -> None:
    columns = ["pay", "hour"]
    step = bound(step="select", columns=columns, method=method, features=1)
    step.fit_transform(ROWS, Y)

    values = numbers(ROWS, *columns)
    scores = (
        f_classif(values, Y)[0]
        if method == "f_test"
        else mutual_info_classif(values, Y, random_state=0)
    )
    np.testing.assert_allclose(step.transformers_[0].scores_, scores, rtol=1e-12)


@pytest.mark.parametrize("method", ["f_test", "mutual_information", "forest"])
def test_no_more_columns_are_selected_than_there_are(method: str) -> None:
    step = bound(step="select", columns=["pay", "hour"], method=method, features=20)

    made = step.fit_transform(ROWS, Y)

    assert {"pay", "hour"} <= set(made)


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("all", list(ROWS)),
        ("numeric", NUMBERS),
        ("categorical", ["job", "town"]),
        ("text", ["note"]),
        ("datetime", ["born", "left"]),
    ],
)
def test_columns_are_chosen_by_what_they_hold(selector: str, names: list[str]) -> None:
    made = bound(step="drop_columns", columns=selector).fit_transform(ROWS)

    assert list(made) == [each for each in ROWS if each not in names]


def test_a_selector_that_finds_nothing_does_nothing() -> None:
    rows = ROWS[["pay"]]

    for name in ("one_hot", "text", "date_parts", "target_encode", "category"):
        assert_frame_equal(bound(step=name).fit_transform(rows, Y), rows)


def test_an_absent_column_is_told_with_the_step_and_the_nearest() -> None:
    with pytest.raises(StepError, match=r"'it' on 'pey'.*did you mean pay"):
        bound(step="scale", columns=["pey"]).fit(ROWS)


def test_a_column_named_twice_is_refused() -> None:
    with pytest.raises((SpecError, StepError), match="pay"):
        bound(step="scale", columns=["pay", "pay"]).fit(ROWS)


def test_columns_of_another_kind_are_told() -> None:
    with pytest.raises(StepError, match=r"'it' on 'job'"):
        bound(step="scale", columns=["job"]).fit(ROWS)


def test_indicators_can_be_counted_by_name() -> None:
    wide = bound(step="one_hot", columns=["town"]).fit_transform(ROWS)

    with pytest.raises(StepError, match="'it'"):
        bound(step="count_encode", columns=["town=A"], more_than=1).fit(wide)


def test_wide_columns_stay_beside_what_is_made() -> None:
    wide = bound(step="one_hot", columns=["town"]).fit_transform(ROWS)

    made = bound(step="scale", columns=["pay"]).fit_transform(wide)

    assert isinstance(made, Blocks)
    assert made.wide_names == tuple(TOWNS)
    assert sparse.issparse(made.wide)
