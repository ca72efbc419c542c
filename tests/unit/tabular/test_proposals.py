"""A study that several searches share: on a real PostgreSQL, two processes at a time."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from infra.errors import StackError
from infra.local import postgres
from infra.local.layout import Layout
from infra.settings import Settings, StackSettings
from tasks.tabular.jobs import FoldResult
from tasks.tabular.learners import LEARNERS, select
from tasks.tabular.pool import opened
from tasks.tabular.proposals import Proposals, grid
from tasks.tabular.search import SearchPolicy, search
from tasks.tabular.search_errors import PoolError
from tasks.tabular.task import Trial
from tests.unit.tabular.test_search import task_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.tabular.task import Task

ROOT = Path(__file__).parents[3]
LINEAR, TREE = "logistic_regression", "decision_tree"

WORKER = """
import sys
from dataclasses import replace
import numpy as np, optuna, pandas as pd
from tasks.tabular.learners import select
from tasks.tabular.search import SearchPolicy, search
from tests.unit.tabular.test_search import task_of

url, trials, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
x = np.random.default_rng(0).normal(size=(200, 2))
task = task_of(pd.DataFrame(x, columns=["a", "b"]).assign(y=np.where(x[:, 0] > 0, "s", "t")))
task = replace(task, seed=seed)
study = optuna.load_study(study_name="shared", storage=url)
policy = SearchPolicy(strategy="optuna", trials=trials, study=study, ensemble=False)
found = search(task, select(("lr", "dt")), budget_seconds=60, policy=policy)
print("tried", len(found.candidates), flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The embedded PostgreSQL; outside pytest's folder, which its user may not enter."""
    with tempfile.TemporaryDirectory(prefix="millrace-") as home:
        layout = Layout(Settings(stack=StackSettings(home=Path(home))))
        control = partial(postgres._run, "pg_ctl", "-D", str(layout.postgres))
        try:
            postgres.initialise(layout)
            options = f"-h '' -k {layout.postgres_socket}"
            control("-l", f"{layout.postgres}/log", "-o", options, "start")
        except (StackError, OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"PostgreSQL does not start here: {error}")
        yield postgres.database_url(layout, "optuna", "psycopg2")
        control("-m", "immediate", "stop")
        shutil.rmtree(layout.runtime)


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """A database with an empty study that is called shared."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(storage=server, study_name="shared", direction="maximize")
    yield server
    optuna.delete_study(storage=server, study_name="shared")


@pytest.fixture
def task(rng: np.random.Generator) -> Task:
    x = rng.normal(size=(200, 2))
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(y=np.where(x[:, 0] > 0, "s", "t"))
    halves = np.arange(100), np.arange(100, 200)
    return task_of(frame, crossed=(halves, halves[::-1]))


def started(url: str, trials: int, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), url, str(trials), str(seed)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def trials_of(url: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="shared", storage=url).get_trials(deepcopy=False)


def ended(process: subprocess.Popen[str]) -> str:
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint[-800:]
    return said


def test_two_processes_lose_and_double_no_trial(url: str) -> None:
    workers = [started(url, 6, seed) for seed in range(2)]

    said = [ended(each) for each in workers]

    assert said == ["tried 6\n"] * 2
    trials = trials_of(url)
    assert sorted(each.number for each in trials) == list(range(12))
    assert all(each.state == TrialState.COMPLETE for each in trials)
    assert all(each.value is not None and 0.5 < each.value <= 1 for each in trials)
    proposed = [tuple(sorted(each.params.items())) for each in trials if len(each.params) > 1]
    assert len(proposed) == 8  # each has tried two defaults first
    assert len(set(proposed)) == 8  # and nobody twice what the other has tried


def test_a_worker_that_is_killed_leaves_the_study_usable(url: str, task: Task) -> None:
    worker = started(url, 10_000, 0)
    try:
        until = time.monotonic() + 90
        while len(trials_of(url)) < 4 and time.monotonic() < until:
            assert worker.poll() is None, worker.stderr and worker.stderr.read()[-800:]
            time.sleep(0.2)
    finally:
        worker.kill()
        worker.communicate()
    left = trials_of(url)
    assert len(left) >= 4

    study = optuna.load_study(study_name="shared", storage=url)
    policy = SearchPolicy(strategy="optuna", trials=5, study=study, ensemble=False)
    found = search(task, select(("lr", "dt")), budget_seconds=60, policy=policy)

    assert len(found.candidates) == 5
    trials = trials_of(url)
    assert len(trials) == len(left) + 5
    assert all(each.state.is_finished() for each in trials[len(left) :])
    assert study.best_value == max(each.value for each in trials if each.value is not None)


def test_searches_of_other_learners_share_a_study(url: str, task: Task) -> None:
    """The best four differ from search to search, so those proposed do, too."""
    for names in (("lr", "dt"), ("dt", "knn"), ("lr",)):
        study = optuna.load_study(study_name="shared", storage=url)
        policy = SearchPolicy(strategy="optuna", trials=len(names) + 1, study=study, ensemble=False)

        found = search(task, select(names), budget_seconds=60, policy=policy)

        assert len(found.candidates) == len(names) + 1

    assert len(trials_of(url)) == 3 + 3 + 2


def test_in_memory_too_searches_of_other_learners_share_a_study() -> None:
    study = optuna.create_study(direction="maximize")
    for number, names in enumerate(([LINEAR, TREE], [TREE, "nearest_neighbours"])):
        proposals = Proposals([LEARNERS[each] for each in names], seed=0, study=study)

        name, _ = proposals.ask(number)
        proposals.tell(tried(number, name, {}, 0.7))

        assert name in names
    assert [each.state for each in study.trials] == [TrialState.COMPLETE] * 2


# what a study is told


def tried(number: int, learner: str, params: dict[str, Any], *scores: float, **given: Any) -> Trial:
    results = {
        fold: FoldResult(fold, np.zeros(1), score, 0.1, 0.1, 0.0, 1, {}, "", whole=False)
        for fold, score in enumerate(scores)
    }
    return Trial(number, learner, params, **{"origin": "portfolio", "results": results, **given})


def test_the_portfolios_results_teach_the_study(task: Task) -> None:
    study = optuna.create_study(direction="maximize")
    learners = select(("lightgbm", "logistic_regression", "extra_trees"))
    policy = SearchPolicy(trials=7, study=study, ensemble=False)

    found = search(task, learners, budget_seconds=60, policy=policy)

    by_origin: dict[str, list[float]] = {}
    for each in study.trials:
        assert each.state == TrialState.COMPLETE
        by_origin.setdefault(each.user_attrs["origin"].partition(",")[0], []).append(each.value)
    assert len(study.trials) == 7
    for origin in ("portfolio", "optuna"):
        scores = [each.score for each in found.candidates if each.origin == origin]
        np.testing.assert_allclose(sorted(by_origin[origin]), sorted(scores))
    known = [each for each in study.trials if each.user_attrs["origin"] != "optuna"]
    assert {
        next(v for k, v in each.params.items() if k.startswith("learner of")) for each in known
    } == {each.name for each in learners}
    assert any("lightgbm.learning_rate" in each.params for each in known)


def test_a_timed_search_tells_nothing_twice(task: Task) -> None:
    study = optuna.create_study(direction="maximize")
    learners = select(("lr", "dt", "lightgbm", "knn", "extra_trees"))

    found = search(task, learners, budget_seconds=9, policy=SearchPolicy(study=study))

    assert all(each.state.is_finished() for each in study.trials)
    told = [each for each in study.trials if each.user_attrs.get("origin", "optuna") != "optuna"]
    tried_first = [each for each in found.candidates if each.origin == "portfolio"]
    assert len(told) <= len(tried_first)
    proposed = [each for each in found.candidates if each.origin == "optuna"]
    assert len(study.trials) - len(told) >= len(proposed)


def test_a_study_is_told_once_of_a_trial_it_has_not_asked_for() -> None:
    proposals = Proposals([LEARNERS[TREE]], seed=0)
    trial = tried(0, TREE, {"max_depth": 3, "min_samples_leaf": 5}, 0.6, 0.8)

    proposals.tell(trial)

    (told,) = proposals.study.trials
    assert told.value == pytest.approx(0.7)
    assert told.params == {
        f"learner of {TREE}": TREE,
        f"{TREE}.max_depth": 3,
        f"{TREE}.min_samples_leaf": 5,
    }
    assert told.intermediate_values == {0: 0.6, 1: 0.8}


def test_values_outside_of_the_space_are_left_out() -> None:
    proposals = Proposals([LEARNERS[TREE]], seed=0)

    proposals.tell(tried(0, TREE, {"max_depth": 10**6, "min_samples_leaf": 0.5, "x": 1}, 0.6))
    proposals.tell(tried(1, TREE, {"max_depth": None, "min_samples_leaf": True}, 0.6))
    proposals.tell(tried(2, TREE, {"max_depth": 3.5, "min_samples_leaf": float("nan")}, 0.6))

    for told in proposals.study.trials:
        for name, value in told.params.items():
            assert told.distributions[name]._contains(
                told.distributions[name].to_internal_repr(value)
            )
            assert isinstance(value, int | str)


def test_endings_are_told_as_they_were() -> None:
    proposals = Proposals([LEARNERS[TREE]], seed=0)
    for number in range(4):
        name, params = proposals.ask(number)
        assert name == TREE
        assert set(params) == set(LEARNERS[TREE].space)

    proposals.tell(tried(0, TREE, {}, 0.5, 0.7))
    proposals.tell(tried(1, TREE, {}, 0.5, dropped=True))
    proposals.tell(tried(2, TREE, {}, error="it broke"))
    proposals.forget()
    proposals.forget()

    states = [each.state for each in proposals.study.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL]
    assert proposals.study.best_value == pytest.approx(0.6)


def test_failures_of_others_teach_nothing() -> None:
    proposals = Proposals([LEARNERS[TREE]], seed=0)

    proposals.tell(tried(0, TREE, {}, error="it broke"))
    proposals.tell(tried(1, TREE, {}))
    proposals.tell(tried(2, LINEAR, {}, 0.9))

    assert proposals.study.trials == []


@pytest.mark.parametrize("how", ["whoever is told", "the server"])
def test_a_search_that_breaks_off_leaves_no_trial_waiting(how: str, task: Task) -> None:
    study = optuna.create_study(direction="maximize")
    seen = []
    with opened(2) as pool:

        def interrupt(candidate: Any) -> None:
            seen.append(candidate)
            if len(seen) == 4 and how == "the server":
                os.kill(pool.server, signal.SIGKILL)
            elif len(seen) == 4:
                raise KeyboardInterrupt

        policy = SearchPolicy(strategy="optuna", trials=50, study=study)
        with pytest.raises((KeyboardInterrupt, PoolError)):
            search(
                task,
                select(("lr", "dt")),
                budget_seconds=60,
                policy=policy,
                on_candidate=interrupt,
                pool=pool,
            )

    assert len(study.trials) >= 2
    assert all(each.state.is_finished() for each in study.trials)


def test_two_searches_of_the_same_seed_do_not_ask_the_same() -> None:
    """A training's seed is 0 unless somebody says otherwise, and so is its neighbour's."""
    study = optuna.create_study(direction="maximize")
    both = [
        Proposals([LEARNERS[TREE], LEARNERS[LINEAR]], seed=0, study=study, shared=True)
        for _ in range(2)
    ]

    asked = []
    for number in range(4):
        asked += [each.ask(number) for each in both]

    assert len({str(each) for each in asked}) == len(asked)


@pytest.mark.parametrize("random", [True, False])
def test_the_same_seed_asks_the_same(random: bool) -> None:
    asked = []
    for _ in range(2):
        proposals = Proposals(
            [LEARNERS[each] for each in (LINEAR, TREE, "lightgbm")], seed=3, random=random
        )
        found = []
        for number in range(15):
            name, params = proposals.ask(number)
            proposals.tell(tried(number, name, params, number / 20))
            found.append((name, params))
        asked.append(found)

    assert asked[0] == asked[1]
    assert len({name for name, _ in asked[0]}) == 3


def test_learners_without_a_space_are_not_proposed() -> None:
    assert not Proposals([LEARNERS["gaussian_process"]], seed=0)
    proposals = Proposals([LEARNERS["gaussian_process"], LEARNERS[TREE]], seed=0)

    assert proposals
    assert {proposals.ask(number)[0] for number in range(8)} == {TREE}


# the spaces


@pytest.mark.parametrize("name", LEARNERS)
def test_spaces_hold_only_finite_values(name: str) -> None:
    for key, space in LEARNERS[name].space.items():
        if isinstance(space, CategoricalDistribution):
            assert len(set(space.choices)) == len(space.choices) > 1, key
            floats = [each for each in space.choices if isinstance(each, float)]
            assert all(math.isfinite(each) for each in floats), key
            continue
        assert isinstance(space, FloatDistribution | IntDistribution), key
        assert math.isfinite(space.low), key
        assert math.isfinite(space.high), key
        assert space.low < space.high, key
        assert not space.log or space.low > 0, key


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_proposed_lies_in_the_space(seed: int) -> None:
    learners = [each for each in LEARNERS.values() if each.space]
    proposals = Proposals(learners, seed=seed, random=True)
    for number in range(4):
        name, params = proposals.ask(number)

        space = LEARNERS[name].space
        assert set(params) == set(space)
        for key, value in params.items():
            assert space[key]._contains(space[key].to_internal_repr(value))


# the grid


def test_a_grid_is_every_combination_in_order() -> None:
    found = list(grid({"a": {"y": [1, 2], "x": ["p", None]}, "b": {"z": [0.5]}, "c": {}}))

    assert found == [
        ("a", {"x": "p", "y": 1}),
        ("a", {"x": "p", "y": 2}),
        ("a", {"x": None, "y": 1}),
        ("a", {"x": None, "y": 2}),
        ("b", {"z": 0.5}),
        ("c", {}),
    ]
