from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import psutil
import pytest
from sklearn.model_selection import GridSearchCV

from tasks.tabular.leaderboard import rank
from tasks.tabular.learners import LEARNERS, make_model, predict_scores, select
from tasks.tabular.metrics import choose, evaluate
from tasks.tabular.problem import identify
from tasks.tabular.schema import conform, infer
from tasks.tabular.search import SearchPolicy, finalized, search
from tasks.tabular.search_errors import NoCandidateError
from tasks.tabular.spaces import Tunable, spaced
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.splitting import crossed
from tasks.tabular.stacking import fit_stacker
from tasks.tabular.task import Task
from tests.unit.tabular.rogues import Blathers, Breaks, Dies, Eats, Hangs, rogue

ROOT = Path(__file__).parents[3]
LINEAR = LEARNERS["logistic_regression"]
FOREST = LEARNERS["random_forest"]


def task_of(frame: pd.DataFrame, target: str = "y", **given) -> Task:
    problem = identify(frame, target)
    schema = infer(frame).features(target)
    rows = conform(frame, schema)
    return Task(rows, frame[target], problem, schema, choose(problem), 0, 2, **given)


@pytest.fixture
def frame(rng: np.random.Generator) -> pd.DataFrame:
    x = rng.normal(size=(400, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["group"] = rng.choice(["p", "q", "r"], len(x))
    noisy = x[:, 0] + 0.5 * x[:, 1] ** 2 + rng.normal(size=len(x)) / 2
    return frame.assign(y=np.where(noisy > 0.3, "yes", "no"))


@pytest.fixture
def task(frame: pd.DataFrame) -> Task:
    return task_of(frame)


COUNTED = SearchPolicy(trials=3)


def test_the_best_is_found_and_answers(task: Task) -> None:
    found = search(task, select(("lr", "rf", "dt")), budget_seconds=60, policy=COUNTED)

    assert found.best == found.candidates[0]
    assert found.best.score == max(each.score for each in found.candidates)
    scores = predict_scores(found.model, task.rows, task.problem)
    assert scores.shape == (400, 2)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert sum(found.weights.values()) == pytest.approx(1)
    assert set(found.model.predict(task.rows)) == {"yes", "no"}


def test_the_budget_is_kept(task: Task) -> None:
    started = time.monotonic()

    found = search(task, [LINEAR, FOREST], budget_seconds=12)

    assert time.monotonic() - started < 12 * 1.05 + 3
    assert len(found.candidates) > 2  # after the defaults Optuna proposed
    assert any(each.origin == "optuna" for each in found.candidates)


def test_one_candidate_is_tried_whatever_the_budget(task: Task) -> None:
    found = search(task, [LINEAR], budget_seconds=0.001)

    assert len(found.candidates) == 1


def test_the_same_seed_finds_the_same_model(task: Task) -> None:
    policy = SearchPolicy(trials=4)
    one, other = (
        search(task, select(("lr", "dt")), budget_seconds=1, policy=policy) for _ in range(2)
    )

    assert [each.params for each in one.candidates] == [each.params for each in other.candidates]
    mine, theirs = (predict_scores(each.model, task.rows, task.problem) for each in (one, other))
    assert mine.tobytes() == theirs.tobytes()


def test_every_row_is_scored_by_a_model_that_has_not_seen_it(task: Task) -> None:
    found = search(task, [LINEAR], budget_seconds=60, policy=SearchPolicy(trials=1))
    scores = found.best.scores
    assert scores is not None

    for training, validation in task.folds:
        model = make_model(LINEAR, {}, task.problem, task.schema, seed=0, threads=1).pipeline
        # what knows nothing of the target is prepared on all training rows at once
        features = model[:-1].fit_transform(task.rows)
        model[-1].fit(features[training], task.codes[training])
        np.testing.assert_allclose(
            model[-1].predict_proba(features[validation]), scores[validation]
        )


def test_steps_that_see_the_target_are_fitted_in_every_fold(rng: np.random.Generator) -> None:
    many = rng.integers(0, 150, 600).astype(str)
    frame = pd.DataFrame({"many": "m" + pd.Series(many), "x": rng.normal(size=600)})
    frame["y"] = rng.choice(["no", "yes"], 600)
    spec = PipelineSpec.model_validate({"steps": [{"step": "target_encode", "columns": ["many"]}]})
    task = task_of(frame, spec=spec)

    found = search(task, select(("dt",)), budget_seconds=60, policy=SearchPolicy(trials=1))

    assert 0.35 < found.best.score < 0.65  # nothing can be known of a random target
    assert len(found.model[-1].preparations_) == len(task.folds)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Breaks, "ValueError: I cannot read this"),
        (Dies, "its process was killed by SIGSEGV"),
        (Hangs, "it took longer than"),
        (Blathers, "its scores are not numbers"),
    ],
)
def test_a_learner_that_fails_costs_a_line_and_not_the_search(
    kind: type, said: str, task: Task
) -> None:
    told = []

    found = search(task, [rogue(kind), LINEAR], budget_seconds=7, on_candidate=told.append)
    board = rank(task.metric, found.candidates, task.codes)

    assert found.best.learner == LINEAR.name
    failed = next(each for each in found.candidates if each.learner == kind.__name__.lower())
    assert said in failed.error
    assert board.lines[-1].error
    assert board.lines[-1].score is None
    assert [line.rank for line in board.lines] == list(range(1, len(board.lines) + 1))
    assert {each.number for each in told} == {each.number for each in found.candidates}


def test_a_learner_that_eats_the_memory_is_stopped(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.tabular.search.MEMORY_SHARE", 1e-6)  # leaves the least there is

    found = search(task, [rogue(Eats), LINEAR], budget_seconds=8)

    failed = next(each for each in found.candidates if each.learner == "eats")
    assert "it needed more than 256 MiB" in failed.error
    assert found.best.learner == LINEAR.name


def test_nothing_but_failures_is_an_error(task: Task) -> None:
    with pytest.raises(NoCandidateError, match="I cannot read this"):
        search(task, [rogue(Breaks)], budget_seconds=5)


def test_a_score_that_is_no_number_is_a_failure(task: Task) -> None:
    hopeless = replace(task.metric, function=lambda _y, _scores: float("nan"))

    with pytest.raises(NoCandidateError, match="not a number"):
        search(replace(task, metric=hopeless), [LINEAR], budget_seconds=5)


def test_nothing_stays_behind(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = {each.pid for each in psutil.Process().children(recursive=True)}

    search(task, [rogue(Hangs), LINEAR], budget_seconds=5)

    assert {each.pid for each in psutil.Process().children(recursive=True)} <= before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_whoever_is_stopped_takes_its_fits_along(how: str, tmp_path: Path) -> None:
    """Cancelled or killed: within five seconds nothing of the search runs any more."""
    script = tmp_path / "searching.py"
    script.write_text(
        textwrap.dedent("""
        import numpy as np, pandas as pd
        from tests.unit.tabular.rogues import Hangs, rogue
        from tests.unit.tabular.test_search import task_of
        from tasks.tabular.search import search
        x = np.random.default_rng(0).normal(size=(300, 2))
        frame = pd.DataFrame(x, columns=["a", "b"]).assign(y=np.where(x[:, 0] > 0, "s", "t"))
        print("begun", flush=True)
        search(task_of(frame), [rogue(Hangs)], budget_seconds=300)
        """)
    )
    run = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert run.stdout is not None
    run.stdout.readline()
    parent = psutil.Process(run.pid)
    until = time.monotonic() + 60
    while len(family := parent.children(recursive=True)) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert len(family) >= 2, "no fit was started"

    getattr(run, how)()
    gone, alive = psutil.wait_procs(family, timeout=5)

    run.wait(10)
    assert not alive
    assert len(gone) == len(family)


def test_a_grid_finds_what_scikit_learn_finds(task: Task) -> None:
    values = {"min_samples_leaf": [1, 5, 20], "max_depth": [2, 6]}
    policy = SearchPolicy(strategy="grid", grid={"decision_tree": values}, ensemble=False)

    found = search(task, select(("dt",)), budget_seconds=60, policy=policy)
    model = make_model(
        LEARNERS["decision_tree"], {}, task.problem, task.schema, seed=0, threads=1
    ).pipeline
    theirs = GridSearchCV(
        model,
        {f"learner__{key}": each for key, each in values.items()},
        scoring="roc_auc",
        cv=task.folds,
    ).fit(task.rows, task.y)

    assert {f"learner__{k}": v for k, v in found.best.params.items()} == theirs.best_params_
    assert found.best.score == pytest.approx(theirs.best_score_, abs=1e-12)
    assert len(found.candidates) == 6
    mine = predict_scores(found.model, task.rows, task.problem)
    np.testing.assert_array_equal(mine, theirs.predict_proba(task.rows))


def test_random_draws_are_as_many_as_asked(task: Task) -> None:
    policy = SearchPolicy(strategy="random", trials=4, ensemble=False)

    found = search(task, select(("lr", "dt")), budget_seconds=60, policy=policy)

    assert len(found.candidates) == 4
    assert all(each.origin == "optuna" and each.params for each in found.candidates)


def test_a_fast_deployment_is_one_model_of_all_rows(task: Task) -> None:
    policy = SearchPolicy(trials=2, deploy="fast")

    found = search(task, select(("lr", "rf")), budget_seconds=60, policy=policy)

    assert len(found.weights) == 1
    assert len(np.unique(found.fitted.origins)) == 400


def test_two_searches_share_a_study(task: Task, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    for _ in range(2):
        study = optuna.create_study(
            storage=url, study_name="s", direction="maximize", load_if_exists=True
        )
        policy = SearchPolicy(strategy="optuna", trials=4, study=study)
        search(task, select(("lr", "dt")), budget_seconds=60, policy=policy)

    trials = optuna.load_study(study_name="s", storage=url).trials
    assert len(trials) == 8
    assert all(each.state.is_finished() for each in trials)


def test_rows_of_the_future_never_train(rng: np.random.Generator) -> None:
    """Folds that do not cover all rows make no bag: what is served is fitted on all of them."""
    x = rng.normal(size=(300, 2))
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(y=np.where(x[:, 0] > 0, "yes", "no"))
    folds = tuple((np.arange(0, n), np.arange(n, n + 50)) for n in (100, 150, 200, 250))
    task = task_of(frame, crossed=folds)

    found = search(task, select(("lr", "dt")), budget_seconds=60, policy=SearchPolicy(trials=2))

    assert len(np.unique(found.fitted.origins)) == 300


def test_what_was_chosen_can_be_fitted_on_more_rows(task: Task, frame: pd.DataFrame) -> None:
    found = search(task, select(("lr", "dt")), budget_seconds=60, policy=SearchPolicy(trials=2))

    final = finalized(task_of(pd.concat([frame, frame])), found.recipe, select(("lr", "dt")))

    assert len(np.unique(final.origins)) == 800


@pytest.mark.parametrize("target", ["three", "quantity"])
def test_ensembles_of_classes_and_quantities(target: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(500, 3))
    signal = x[:, 0] + np.abs(x[:, 1])
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["three"] = np.select([signal < 0, signal < 1.2], ["low", "mid"], "top")
    frame["quantity"] = 100 * signal + rng.normal(size=500)
    task = task_of(frame.drop(columns="quantity" if target == "three" else "three"), target)

    found = search(task, select(("lr", "rf", "lightgbm")), budget_seconds=60, policy=COUNTED)
    scores = predict_scores(found.model, task.rows, task.problem)

    assert found.score >= max(each.score for each in found.ensembles) - 1e-9
    assert evaluate(task.metric, task.codes, scores) > found.score
    names = {each.name.partition(" ")[0] for each in found.ensembles}
    assert {"greedy", "best", "blend_3"} <= names


def test_asked_for_the_best_two_it_blends_and_stacks_them(task: Task) -> None:
    policy = SearchPolicy(strategy="optuna", trials=3, select=2)

    found = search(task, select(("rf", "lightgbm", "knn")), budget_seconds=60, policy=policy)
    names = {each.name for each in found.ensembles}
    best_two = {str(each.number) for each in found.candidates[:2]}

    assert len(found.candidates) == 3
    assert {"blend_2", "stack_2", "greedy"} < names
    assert all(set(each.weights) <= best_two for each in found.ensembles)


def test_a_stacked_ensemble_answers_as_its_stacker_does(task: Task) -> None:
    policy = SearchPolicy(strategy="optuna", trials=2, select=2)
    found = search(task, select(("rf", "lr")), budget_seconds=60, policy=policy)
    given = [each.scores for each in sorted(found.candidates, key=lambda each: each.number)]

    ensemble = found.model[-1]
    ensemble.calibration_, ensemble.stacker_ = None, fit_stacker(given, task.codes, seed=0)
    loaded = pickle.loads(pickle.dumps(found.model))
    scores = predict_scores(loaded, task.rows, task.problem)

    parts = []
    for name in dict.fromkeys(each.candidate for each in ensemble.members_):
        own = [each for each in ensemble.members_ if each.candidate == name]
        features = [ensemble.preparations_[each.preparation].transform(task.rows) for each in own]
        answers = [m.estimator.predict_proba(x) for m, x in zip(own, features, strict=True)]
        parts.append(np.mean(answers, axis=0))
    np.testing.assert_allclose(scores, ensemble.stacker_.apply(parts))


def test_a_bound_on_the_time_per_row_is_kept(task: Task) -> None:
    learners = select(("rf", "lr", "dt"))
    free = search(task, learners, budget_seconds=60, policy=SearchPolicy(trials=3))
    bound = search(
        task, learners, budget_seconds=60, policy=SearchPolicy(trials=3, row_seconds=1e-6)
    )

    assert len(bound.weights) == 1
    assert bound.row_seconds < free.row_seconds


def test_uncrossed_folds_are_those_of_the_splitting(task: Task) -> None:
    mine = task.folds
    theirs = crossed(task.y, task.problem, len(mine), seed=task.seed)

    assert all((a[1] == b[1]).all() for a, b in zip(mine, theirs, strict=True))


def test_a_space_of_ones_own_is_searched_from_its_defaults(task: Task) -> None:
    depth = Tunable.model_validate({"type": "int", "default": 2, "range": [1, 3]})
    learners, starts = spaced(select(("dt",)), {"decision_tree": {"max_depth": depth}}, "binary")
    policy = SearchPolicy(strategy="optuna", trials=4, starts=starts)

    found = search(task, learners, budget_seconds=60, policy=policy)

    by_number = {each.number: each.params for each in found.candidates}
    assert by_number[0] == {"max_depth": 2}
    assert len(by_number) == 4
    assert all(each.keys() == {"max_depth"} for each in by_number.values())
    assert {each["max_depth"] for each in by_number.values()} <= {1, 2, 3}
