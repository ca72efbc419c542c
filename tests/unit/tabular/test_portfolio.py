"""The portfolio, and searches by it over tables that are not as tables should be."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tasks.tabular import portfolio
from tasks.tabular.automl import learn
from tasks.tabular.errors import TabularError
from tasks.tabular.jobs import PreparedKey, PrepareJob
from tasks.tabular.leaderboard import rank
from tasks.tabular.learners import LEARNERS, make_learner, make_model, predict_scores, select
from tasks.tabular.metrics import METRICS, choose
from tasks.tabular.planning import Plan
from tasks.tabular.pool import Pool
from tasks.tabular.problem import identify
from tasks.tabular.resampling import Balancing
from tasks.tabular.schema import conform, infer
from tasks.tabular.search import SearchPolicy, SearchResult, search
from tasks.tabular.search_errors import NoCandidateError, PoolError
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.splitting import SplitPolicy, crossed, keys_of, split
from tasks.tabular.zoo.entry import Learner, real
from tests.unit.tabular.rogues import Blathers, Breaks
from tests.unit.tabular.test_search import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasks.tabular.task import Task

KINDS = ("binary", "multiclass", "regression")
FAST = ("logistic_regression", "decision_tree", "lightgbm")
NATIVE = ("lightgbm", "xgboost", "catboost")
SMALL = {
    "lightgbm": {"n_estimators": 20},
    "xgboost": {"n_estimators": 20},
    "catboost": {"iterations": 20},
}


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Pool]]:
    pools = [Pool(2, tmp_path_factory.mktemp("pool"))]
    yield pools
    for each in pools:
        each.close()


@pytest.fixture
def pool(_kept: list[Pool], tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """One server for all searches; what one of them leaves behind, the next cannot have."""
    try:
        _kept[-1].give(None)  # type: ignore[arg-type]
        for number in list(_kept[-1].running):
            _kept[-1].cancel(number)
    except PoolError:
        _kept.append(Pool(2, tmp_path_factory.mktemp("pool")))
    for path in _kept[-1].folder.iterdir():
        path.unlink()
    return _kept[-1]


def quick(names: tuple[str, ...], **given: Any) -> list[Learner]:
    """Learners whose defaults are small."""
    found = []
    for each in select(names):
        small = SMALL.get(each.name, {})

        def build(kind: str, each: Learner = each, small: dict[str, Any] = small) -> Any:
            made = getattr(each, kind)
            return made and (lambda params, seed, n: made({**small, **params}, seed, n))

        found.append(replace(each, classifier=build("classifier"), regressor=build("regressor")))
    return found


def run(
    task: Task, pool: Pool, names: tuple[str, ...] = FAST, trials: int = 0, **policy: Any
) -> SearchResult:
    given = SearchPolicy(strategy="optuna", trials=trials or len(names), **policy)
    return search(task, quick(names), budget_seconds=60, policy=given, pool=pool)


def thirds(frame: pd.DataFrame, **given: Any) -> Task:
    """A task of three folds."""
    task = task_of(frame)
    folds = tuple(crossed(task.y, task.problem, 3, seed=0))
    return task_of(frame, crossed=folds, **given)


def table(rng: np.random.Generator, rows: int = 200) -> pd.DataFrame:
    x = rng.normal(size=(rows, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    noisy = x[:, 0] + x[:, 1] ** 2 + rng.normal(size=rows) / 2
    return frame.assign(y=np.where(noisy > 0.8, "yes", "no"))


def require_good(task: Task, found: SearchResult, failing: tuple[str, ...] = ()) -> None:
    """All learners could do it, and what is served answers whatever it was fitted on."""
    assert {each.learner: each.error for each in found.candidates if each.error} == {}
    scores = predict_scores(found.model, task.rows, task.problem)
    assert np.isfinite(scores).all()
    assert sum(found.weights.values()) == pytest.approx(1)
    if task.problem.kind != "regression":
        np.testing.assert_allclose(scores.sum(axis=1), 1)
        assert set(found.model.predict(task.rows).tolist()) <= set(task.problem.classes)
    assert rank(task.metric, found.candidates, task.codes).lines


# the portfolio


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_can_be_built(kind: Any) -> None:
    learners = [LEARNERS[name] for name in portfolio.usual(kind)]

    entries = portfolio.entries(learners, kind, 1_000, 3)

    assert {name for name, _ in entries} == set(portfolio.usual(kind))
    for name, params in entries:
        if not LEARNERS[name].extra:
            make_learner(LEARNERS[name], params, kind, seed=0, threads=1)
    assert len({(name, str(params)) for name, params in entries}) == len(entries)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [50, 2_000, 1_000_000])
@pytest.mark.parametrize("classes", [2, 10, 50])
def test_what_cannot_handle_a_table_is_not_tried(kind: Any, rows: int, classes: int) -> None:
    entries = portfolio.entries(list(LEARNERS.values()), kind, rows, classes)

    assert {name for name, _ in entries} == {
        each.name for each in LEARNERS.values() if each.handles(kind, rows, classes)
    }


def test_only_the_learners_named_are_tried_and_all_of_them() -> None:
    mine = Learner("mine", "linear", lambda *_: None, None)
    learners = [mine, LEARNERS["lightgbm"], LEARNERS["lda"]]

    names = [name for name, _ in portfolio.entries(learners, "binary", 100, 2)]

    assert set(names) == {"mine", "lightgbm", "lda"}
    assert names.index("lightgbm") < names.index("mine")
    assert names.count("mine") == names.count("lda") == 1


def test_the_same_learners_make_the_same_portfolio_in_any_order() -> None:
    learners = [LEARNERS[name] for name in portfolio.usual("binary")]

    one, other = (portfolio.entries(each, "binary", 100, 2) for each in (learners, learners[::-1]))

    assert one == other


def test_a_learner_for_few_rows_that_is_asked_for_alone_is_named_if_refused(pool: Pool) -> None:
    rng = np.random.default_rng(0)
    task = task_of(table(rng, rows=1_600))

    with pytest.raises(NoCandidateError, match="gaussian_process"):
        search(
            task,
            [LEARNERS["gaussian_process"]],
            budget_seconds=60,
            policy=SearchPolicy(trials=1),
            pool=pool,
        )


# every learner on columns as they come


def crooked(rng: np.random.Generator, rows: int = 150) -> pd.DataFrame:
    x = rng.normal(size=(rows, 2))
    frame = pd.DataFrame(x, columns=["x", "gaps"])
    frame.loc[frame.index % 4 == 0, "gaps"] = np.nan
    frame["group"] = rng.choice(["p", "q", None], rows)
    frame["same"] = 3.0
    frame["nothing"] = np.nan
    return frame


@pytest.mark.parametrize("kind", ["binary", "regression"])
@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_takes_columns_with_gaps(
    name: str, kind: Any, rng: np.random.Generator
) -> None:
    learner = LEARNERS[name]
    if learner.extra:
        pytest.importorskip(learner.extra)
    if not learner.handles(kind):
        pytest.skip(f"{name} does not do {kind}")
    frame = crooked(rng)
    y = pd.Series(np.where(frame["x"] > 0, "yes", "no")) if kind == "binary" else 9 * frame["x"]
    whole = frame.assign(y=y)
    params: dict[str, Any] = dict(SMALL.get(name, {}))
    params |= {"epochs": 3} if name == "neural_network" else {}
    params |= {"max_rounds": 20, "interactions": 0} if name == "ebm" else {}
    schema = infer(whole).features("y")
    rows = conform(whole, schema)
    given = (learner, params, identify(whole, "y"), schema)

    model = make_model(*given, seed=0, threads=1).pipeline.fit(rows, whole["y"])

    assert np.isfinite(predict_scores(model, rows, identify(whole, "y"))).all()


# tables that are not as they should be


def _wide(rng: np.random.Generator) -> pd.DataFrame:
    x = rng.normal(size=(50, 60))
    return pd.DataFrame(x, columns=[f"f{n}" for n in range(60)]).assign(
        y=np.where(x[:, 0] > 0, "yes", "no")
    )


def _constant(rng: np.random.Generator) -> pd.DataFrame:
    return table(rng).assign(one=1, word="same", nothing=np.nan, date=pd.Timestamp("2024-01-01"))


def _gaps(rng: np.random.Generator) -> pd.DataFrame:
    frame = table(rng)
    frame.loc[rng.uniform(size=200) < 0.6, "a"] = np.nan
    frame.loc[frame["y"] == "yes", "b"] = np.nan
    frame["group"] = rng.choice(["p", None], 200)
    return frame


def _rare(rng: np.random.Generator) -> pd.DataFrame:
    frame = table(rng)
    frame.loc[:4, "y"] = "rare"
    return frame


def _rarest(rng: np.random.Generator) -> pd.DataFrame:
    frame = table(rng).assign(y="no")
    frame.loc[:4, "y"] = "yes"
    frame.loc[:4, "a"] += 3
    return frame


def _texts_and_dates(rng: np.random.Generator) -> pd.DataFrame:
    frame = table(rng)
    good, bad = "a fine day out in the hills", "nothing but rain and mud again"
    frame["told"] = [
        f"{good if each == 'yes' else bad}, said number {n}" for n, each in enumerate(frame["y"])
    ]
    frame["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, 200), "D")
    frame.loc[::7, "when"] = pd.NaT
    frame.loc[::9, "told"] = None
    return frame


ODD_NAMES = ("a[b]<c>", 'say "x":{1},', "é 日本 🍰", " ", "a__b", "f(x) = x\ny", "x" * 300)


def _odd_names(rng: np.random.Generator) -> pd.DataFrame:
    frame = table(rng).rename(columns={"a": ODD_NAMES[0], "b": ODD_NAMES[1], "c": ODD_NAMES[2]})
    for name in ODD_NAMES[3:]:
        frame[name] = rng.normal(size=200)
    frame["gr[ou]p"] = rng.choice(["p<q", "{r}", "s,t"], 200)
    return frame


def _clashing_names(rng: np.random.Generator) -> pd.DataFrame:
    names = {"a": "learner", "b": "columns", "c": "weight"}
    return table(rng).rename(columns=names).assign(matrix=1.5 * np.arange(200), index=range(200))


def _duplicates(rng: np.random.Generator) -> pd.DataFrame:
    return pd.concat([table(rng, rows=60)] * 4)


def _ints(rng: np.random.Generator) -> pd.DataFrame:
    frame = table(rng)
    return frame.assign(y=np.where(frame["y"] == "yes", 7, -2))


def _bools(rng: np.random.Generator) -> pd.DataFrame:
    frame = table(rng)
    return frame.assign(y=frame["y"] == "yes", flag=rng.choice([True, False], 200))


def _categories(rng: np.random.Generator) -> pd.DataFrame:
    frame = table(rng)
    frame["many"] = [f"m{n}" for n in rng.integers(0, 90, 200)]
    return frame.assign(y=frame["y"].astype("category"))


def _infinite(rng: np.random.Generator) -> pd.DataFrame:
    frame = table(rng)
    frame.loc[:3, "a"] = [np.inf, -np.inf, 1e30, -1e30]
    return frame


TABLES: dict[str, Callable[[np.random.Generator], pd.DataFrame]] = {
    "50 rows and 60 columns": _wide,
    "constant columns": _constant,
    "gaps": _gaps,
    "a class of five rows": _rare,
    "five rows against all": _rarest,
    "texts and dates": _texts_and_dates,
    "odd names": _odd_names,
    "names that are ours": _clashing_names,
    "duplicates": _duplicates,
    "whole numbers for labels": _ints,
    "truth for labels": _bools,
    "categories": _categories,
    "infinities": _infinite,
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_learned_by_every_family(name: str, pool: Pool) -> None:
    task = thirds(TABLES[name](np.random.default_rng(7)).reset_index(drop=True))

    found = run(task, pool, ("logistic_regression", "decision_tree", *NATIVE))

    require_good(task, found)
    assert found.score > (0.5 if task.problem.kind == "binary" else -1.5)


@pytest.mark.parametrize("target", ["learner", "columns", "matrix", "ensemble", "index", "é [x]"])
def test_a_target_may_have_any_name(target: str, pool: Pool) -> None:
    frame = table(np.random.default_rng(7)).rename(columns={"y": target})
    task = task_of(frame, target)

    require_good(task, run(task, pool))


def test_an_index_with_repetitions_is_no_place(pool: Pool) -> None:
    frame = table(np.random.default_rng(7)).set_axis(np.arange(200) % 9, axis=0)
    task = task_of(frame)

    require_good(task, run(task, pool))


def test_one_thread_finds_what_two_do() -> None:
    frame = table(np.random.default_rng(7), rows=80)
    policy = SearchPolicy(strategy="optuna", trials=2)

    one, two = (
        learn(frame, "y", learners=FAST[:2], policy=policy, threads=threads) for threads in (1, 2)
    )

    assert one.predict_scores(frame).tobytes() == two.predict_scores(frame).tobytes()
    assert one.result.score == two.result.score


def test_rows_without_a_target_are_left_out() -> None:
    frame = table(np.random.default_rng(7)).assign(y=lambda each: each["y"] == "yes")
    frame["y"] = frame["y"].astype(object)
    frame.loc[::10, "y"] = None

    found = learn(
        frame, "y", learners=FAST[:1], policy=SearchPolicy(strategy="optuna", trials=1), threads=2
    )

    assert len(np.unique(found.result.fitted.origins)) == 180
    assert set(found.predict(frame).tolist()) == {True, False}
    assert found.problem.classes == (False, True)


# folds and parts


def test_a_validation_part_of_one_class_is_judged_where_the_metric_can(pool: Pool) -> None:
    frame = table(np.random.default_rng(7)).sort_values("y").reset_index(drop=True)
    order = np.arange(200)
    folds = ((order[20:], order[:20]), (order[:-20], order[-20:]))  # no "yes", then no "no"
    task = task_of(frame, crossed=folds)
    task = replace(task, metric=METRICS["neg_log_loss"])

    require_good(task, run(task, pool, select=3))


def test_a_validation_part_of_one_class_is_an_error_where_the_metric_cannot(pool: Pool) -> None:
    frame = table(np.random.default_rng(7)).sort_values("y").reset_index(drop=True)
    order = np.arange(200)
    task = task_of(frame, crossed=((order[20:], order[:20]),))

    with pytest.raises(NoCandidateError, match="not a number"):
        run(task, pool)


def test_a_training_part_of_one_class_costs_candidates_or_the_search(pool: Pool) -> None:
    frame = table(np.random.default_rng(7)).sort_values("y").reset_index(drop=True)
    order = np.arange(200)
    folds = ((order[:30], order[30:]), (order[::2], order[1::2]))
    task = replace(task_of(frame, crossed=folds), metric=METRICS["accuracy"])

    try:
        found = run(task, pool)
    except NoCandidateError:
        return
    assert np.isfinite(found.score)


def test_a_class_that_is_validated_once_is_no_end_of_a_search(pool: Pool) -> None:
    """A validation part that somebody has predefined may have one row of it."""
    frame = table(np.random.default_rng(7), rows=400)
    part = np.where(np.arange(400) < 300, "train", "validation")
    frame.loc[300:, "y"] = "no"
    frame.loc[399, "y"] = "yes"
    task = task_of(frame, crossed=((np.flatnonzero(part == "train"), np.arange(300, 400)),))

    found = run(task, pool)

    require_good(task, found)
    assert len(found.candidates) == 3


@pytest.mark.parametrize(
    ("kind", "column"), [("grouped", "who"), ("time", "when"), ("predefined", "part")]
)
def test_rows_split_by_a_column_are_learned(kind: Any, column: str, pool: Pool) -> None:
    rng = np.random.default_rng(7)
    frame = table(rng, rows=400)
    frame["who"] = rng.integers(0, 40, 400)
    frame["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.permutation(400), "h")
    frame["part"] = rng.choice(["train", "valid", "test"], 400, p=[0.6, 0.2, 0.2])
    policy = SplitPolicy(kind=kind, column=column)
    problem = identify(frame, "y")
    dealt = split(frame["y"], problem, seed=0, policy=policy, keys=keys_of(frame, policy))
    rows = frame.iloc[dealt.training].drop(columns=["who", "part"]).reset_index(drop=True)
    task = task_of(rows, crossed=tuple(dealt.crossed))

    found = run(task, pool)

    require_good(task, found)
    assert found.score > 0.7
    best = found.best
    assert best.scores is not None
    judged = np.unique(np.concatenate([validation for _, validation in dealt.crossed]))
    assert (~np.isnan(best.scores[:, 0])).sum() == len(judged)


# filters, weights, made-up rows


def poisoned(rng: np.random.Generator) -> pd.DataFrame:
    """Rows with a gap in `checked` say the opposite of what is so."""
    x = rng.normal(size=(400, 2))
    frame = pd.DataFrame(x, columns=["a", "b"])
    wrong = np.arange(400) % 20 < 9
    frame["checked"] = np.where(wrong, np.nan, rng.normal(size=400))
    return frame.assign(y=np.where((x[:, 0] > 0) ^ wrong, "yes", "no"))


@pytest.mark.parametrize("deploy", ["accurate", "fast"])
def test_rows_that_are_filtered_out_train_nothing(deploy: Any, pool: Pool) -> None:
    frame = poisoned(np.random.default_rng(7))
    steps = [
        {"step": "drop_nulls", "columns": ["checked"]},
        {"step": "drop_columns", "columns": ["checked"]},
    ]
    task = thirds(frame, spec=PipelineSpec.model_validate({"steps": steps}))

    found = run(task, pool, ("logistic_regression", "decision_tree"), deploy=deploy)

    left_out = np.flatnonzero(frame["checked"].isna())
    assert not np.isin(found.fitted.origins, left_out).any()
    truth = np.where(frame["a"] > 0, "yes", "no")
    assert (found.model.predict(task.rows) == truth).mean() > 0.95


def test_the_filters_of_a_search_are_those_of_a_fit(pool: Pool) -> None:
    """A candidate's fold is fitted on the rows that a fit for good would take of it."""
    frame = poisoned(np.random.default_rng(7))
    steps = [
        {"step": "drop_nulls", "columns": ["checked"]},
        {"step": "drop_columns", "columns": ["checked"]},
    ]
    task = thirds(frame, spec=PipelineSpec.model_validate({"steps": steps}))

    found = run(task, pool, ("logistic_regression",))

    assert found.best.scores is not None
    truth = (frame["a"] > 0).to_numpy()
    assert ((found.best.scores[:, 1] > 0.5) == truth).mean() > 0.95


def imbalanced(rng: np.random.Generator) -> pd.DataFrame:
    x = rng.normal(size=(500, 2))
    y = np.where(x[:, 0] + 0.8 * rng.normal(size=500) > 1.9, "yes", "no")
    return pd.DataFrame(x, columns=["a", "b"]).assign(group=rng.choice(["p", "q"], 500), y=y)


METHODS = ("class_weights", "threshold", "random_over", "random_under", "smote")


@pytest.mark.parametrize("method", METHODS)
def test_every_candidate_is_balanced_where_that_is_asked_for(method: Any, pool: Pool) -> None:
    task = thirds(imbalanced(np.random.default_rng(7)))

    found = run(task, pool, balancing=Balancing(method=method))

    require_good(task, found)
    wanted = None if method == "threshold" else method  # which is moved in the end
    assert {each.balancing and each.balancing.method for each in found.candidates} == {wanted}
    asked = {part.balancing and part.balancing.method for part in found.recipe.parts}
    assert asked == {wanted}


@pytest.mark.parametrize("method", METHODS)
def test_balanced_models_find_more_of_the_rare(method: Any, pool: Pool) -> None:
    """Whatever the metric: it was asked for, and what is served decides by it."""
    task = thirds(imbalanced(np.random.default_rng(7)))
    plain = run(task, pool, ("logistic_regression",))

    found = run(task, pool, ("logistic_regression",), balancing=Balancing(method=method))

    rare = (task.y == "yes").to_numpy()
    found_rare, plain_rare = (
        (each.model.predict(task.rows) == "yes")[rare].mean() for each in (found, plain)
    )
    assert found_rare > plain_rare + 0.1


def test_balancings_are_tried_with_the_best_and_told(pool: Pool) -> None:
    frame = imbalanced(np.random.default_rng(7))
    balancings = (Balancing(method="class_weights"), Balancing(method="smote"))
    task = thirds(frame, balancings=balancings)
    task = replace(task, metric=choose(task.problem, "balanced_accuracy"))
    told = []
    policy = SearchPolicy(strategy="optuna", trials=2)

    found = search(
        task,
        quick(FAST[:2]),
        budget_seconds=60,
        policy=policy,
        pool=pool,
        on_candidate=told.append,
    )

    require_good(task, found)
    assert found.balancing is not None
    assert [each.balancing.method for each in found.balancing.trials] == [
        "none",
        "class_weights",
        "smote",
    ]
    methods = {each.balancing.method if each.balancing else "none" for each in told}
    assert methods == {"none", "class_weights", "smote"}
    tried = [each for each in found.candidates if each.origin == "balancing"]
    assert len(tried) == 3
    assert all(each.row_seconds > 0 for each in tried)  # or all are on the front for nothing


# what a search does when things go wrong


def test_the_first_learner_that_cannot_be_prepared_is_not_the_last() -> None:
    """A plan without a clock goes on to the next family."""
    task = task_of(table(np.random.default_rng(7)))
    entries = [("logistic_regression", {}), ("decision_tree", {})]
    plan = Plan(task, LEARNERS, iter(entries), lambda _: None, 2, None, 60.0, trials_wanted=2)
    step = plan.next()
    assert step is not None
    assert isinstance(step.job, PrepareJob)
    plan.started(step)
    plan.unprepared(step.job.key, "it broke")

    after = plan.next()

    assert after is not None
    assert after.job == PrepareJob(PreparedKey("tree"))


@pytest.mark.parametrize("kind", [Breaks, Blathers])
def test_a_search_of_failures_ends_with_its_time(kind: Any, pool: Pool) -> None:
    """They have a space, so there is always another to try."""
    learner = Learner("hopeless", "linear", lambda *_: kind(), None, {"x": real(0.0, 1.0)})
    task = task_of(table(np.random.default_rng(7)))
    started = time.monotonic()

    with pytest.raises(NoCandidateError):
        search(task, [learner], budget_seconds=3, pool=pool)

    assert time.monotonic() - started < 10


def test_an_empty_grid_says_what_is_missing(pool: Pool) -> None:
    task = task_of(table(np.random.default_rng(7)))
    policy = SearchPolicy(strategy="grid", grid={"decision_tree": {"max_depth": []}})

    with pytest.raises(TabularError, match=r"grid|decision_tree|max_depth"):
        search(task, select(("dt",)), budget_seconds=5, policy=policy, pool=pool)


def test_a_grid_of_a_learner_that_is_not_there_says_so(pool: Pool) -> None:
    task = task_of(table(np.random.default_rng(7)))
    policy = SearchPolicy(strategy="grid", grid={"decision_tree": {"max_depth": [2]}})

    with pytest.raises(TabularError, match="decision_tree"):
        search(task, select(("lr",)), budget_seconds=5, policy=policy, pool=pool)
