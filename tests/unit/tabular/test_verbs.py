from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from tasks.tabular import verbs
from tasks.tabular.errors import (
    ColumnValueError,
    MetricDomainError,
    SplitError,
    TargetError,
    UnknownColumnError,
    UnknownNameError,
)
from tasks.tabular.experiment_errors import (
    NoSetupError,
    UnknownModelError,
    UnsupportedLearnerError,
    UnsupportedParametersError,
)
from tasks.tabular.learners import LEARNERS, make_model
from tasks.tabular.problem import identify
from tasks.tabular.schema import infer
from tasks.tabular.search_errors import NoCandidateError
from tasks.tabular.verbs import (
    ClassificationExperiment,
    RegressionExperiment,
    TabularExperiment,
)

ROOT = Path(__file__).parents[3]
CHEAP = ["lr", "dt"]
GIVEN = {"session_id": 3, "fold": 3, "n_jobs": 2, "verbose": False}


def classes_of(rng: np.random.Generator, rows: int = 300) -> pd.DataFrame:
    x = rng.normal(size=(rows, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["group"] = rng.choice(["p", "q"], rows)
    noisy = x[:, 0] + 0.5 * x[:, 1] ** 2 + rng.normal(size=rows) / 2
    return frame.assign(y=np.where(noisy > 0.3, "yes", "no"))


def quantities_of(rng: np.random.Generator, rows: int = 240) -> pd.DataFrame:
    frame = classes_of(rng, rows)
    return frame.assign(y=10 * frame["a"] + frame["b"] + rng.normal(size=rows))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return classes_of(np.random.default_rng(7))


@pytest.fixture(scope="module")
def experiment(frame: pd.DataFrame) -> ClassificationExperiment:
    return ClassificationExperiment().setup(frame, "y", **GIVEN)


@pytest.fixture(scope="module")
def pair(experiment: ClassificationExperiment) -> list[Pipeline]:
    """A logistic regression and a decision tree."""
    return [experiment.create_model(each) for each in CHEAP]


# whole scripts, as PyCaret's own examples write them


def test_a_script_for_classes_runs(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = frame.sample(frac=0.9, random_state=1)
    unseen = frame.drop(data.index)
    namespace: dict = {"data": data, "unseen": unseen}
    script = """
        from tasks.tabular.verbs import *

        s = setup(data=data, target="y", session_id=123, fold=3, train_size=0.8, n_jobs=2,
                  normalize=True, log_experiment=False, verbose=False, html=False)
        top = compare_models(include=["lr", "dt"], sort="AUC", n_select=2)
        compared = pull()
        tree = create_model("dt", max_depth=3)
        created = pull()
        tuned = tune_model(tree, n_iter=2, optimize="F1")
        blended = blend_models(top, method="soft")
        stacked = stack_models(estimator_list=[*top, tuned])
        combined = pull()
        held_out = predict_model(stacked)
        judged = pull()
        paths = [plot_model(blended, plot=each, save=True)
                 for each in ("auc", "pr", "confusion_matrix", "calibration", "feature")]
        board = get_leaderboard()
        final = finalize_model(stacked)
        answers = predict_model(final, data=unseen.drop(columns="y"))
        save_model(final, "final")
    """
    exec(textwrap.dedent(script), namespace)

    assert isinstance(namespace["s"], TabularExperiment)
    assert sorted(namespace["compared"].index) == ["dt", "lr"]
    assert namespace["compared"]["AUC"].is_monotonic_decreasing
    assert list(namespace["created"].index) == [0, 1, 2, "Mean", "Std"]
    assert list(namespace["combined"].columns) == list(namespace["created"].columns)
    for each in (*namespace["top"], namespace["tuned"], namespace["blended"], namespace["final"]):
        check_is_fitted(each)
        assert set(each.predict(unseen)) <= {"yes", "no"}  # raw rows, the target left in
    held_out, judged = namespace["held_out"], namespace["judged"]
    assert list(held_out.columns) == [*frame.columns, "prediction_label", "prediction_score"]
    assert len(held_out) == 54  # a fifth of the rows
    assert held_out["prediction_score"].between(0.5, 1).all()
    assert judged["Accuracy"].item() == pytest.approx(
        accuracy_score(held_out["y"], held_out["prediction_label"]), abs=1e-4
    )
    assert judged["Accuracy"].item() > 0.75
    for each in namespace["paths"]:
        assert Path(each).read_bytes().startswith(b"\x89PNG")
    assert {"blend of", "stack of"} <= {
        " ".join(m.split()[:2]) for m in namespace["board"]["model"]
    }
    assert namespace["board"]["score"].dropna().is_monotonic_decreasing
    assert list(namespace["answers"].index) == list(unseen.index)
    assert_same_in_a_fresh_process(namespace["final"], unseen, tmp_path)


def assert_same_in_a_fresh_process(model: Pipeline, rows: pd.DataFrame, folder: Path) -> None:
    """Load `final.pkl` where nothing was set up."""
    rows.to_pickle(folder / "rows.pkl")
    script = textwrap.dedent("""
        import pandas as pd
        from tasks.tabular.verbs import load_model, predict_model

        rows = pd.read_pickle("rows.pkl")
        predict_model(load_model("final"), data=rows, raw_score=True, round=15).to_pickle("out.pkl")
    """)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, check=True)
    found = pd.read_pickle(folder / "out.pkl")

    assert list(found["prediction_label"]) == list(model.predict(rows))
    scores = found[["prediction_score_no", "prediction_score_yes"]].to_numpy()
    np.testing.assert_allclose(scores, model.predict_proba(rows), atol=1e-12)


def test_a_script_for_quantities_runs(tmp_path: Path, rng: np.random.Generator) -> None:
    frame = quantities_of(rng)
    exp = RegressionExperiment()
    exp.setup(frame, target="y", **GIVEN)

    best = exp.compare_models(include=CHEAP, sort="MAE")
    compared = exp.pull()
    tree = exp.create_model("dt")
    tuned = exp.tune_model(tree, custom_grid={"max_depth": [4, 6], "min_samples_leaf": [2]})
    blended = exp.blend_models([best, tuned], weights=[3, 1])
    stacked = exp.stack_models([best, tuned])
    held_out = exp.predict_model(blended)
    judged = exp.pull()

    assert list(compared.index) == ["lr", "dt"]
    assert compared["MAE"].is_monotonic_increasing
    assert (compared[["MAE", "MSE", "RMSE"]] > 0).all(axis=None)
    assert "prediction_score" not in held_out
    assert judged["R2"].item() > 0.9
    assert np.isnan(judged["RMSLE"].item())  # there are negative values
    mean = 0.75 * best.predict(frame) + 0.25 * tuned.predict(frame)
    np.testing.assert_allclose(blended.predict(frame), mean)
    assert not np.allclose(stacked.predict(frame), mean)
    for plot in ("residuals", "error", "feature"):
        path = Path(exp.plot_model(stacked, plot, save=tmp_path))
        assert path.parent == tmp_path
        assert path.read_bytes().startswith(b"\x89PNG")
    final = exp.finalize_model(stacked)
    assert final.predict(frame.drop(columns="y")).shape == (240,)


# what is fitted, and on which rows


def test_the_rows_held_out_train_nothing_before_they_are_to(frame: pd.DataFrame) -> None:
    held_out = TabularExperiment().setup(frame, "y", **GIVEN).get_config("X_test").index
    other = frame.copy()
    other.loc[held_out, ["a", "b", "c"]] *= -50
    training = frame.drop(held_out)
    scores = {}
    for name, data in {"as they are": frame, "wrong": other}.items():
        exp = TabularExperiment().setup(data, "y", **GIVEN)
        models = exp.compare_models(include=CHEAP, n_select=2)
        models.append(exp.stack_models(models))
        assert list(exp.get_config("X_test").index) == list(held_out)
        models.append(exp.finalize_model(models[0]))
        scores[name] = [each.predict_proba(training) for each in models]

    *before, after = zip(*scores.values(), strict=True)
    for one, two in before:
        assert one.tobytes() == two.tobytes()
    assert not np.allclose(*after)


def test_a_finalized_model_is_not_judged_silently(experiment, pair) -> None:
    final = experiment.finalize_model(pair[0])

    with pytest.warns(UserWarning, match="fitted on when the model was finalized"):
        experiment.predict_model(final)


def test_the_grid_is_that_of_a_cross_validation_by_hand(experiment) -> None:
    experiment.create_model("lr", C=0.1)
    grid = experiment.pull()
    rows, y = experiment.get_config("X_train"), experiment.get_config("y_train")
    found = []
    for training, validation in experiment.get_config("fold_generator"):
        model = _unfitted(experiment, C=0.1).fit(rows.iloc[training], y.iloc[training])
        found.append(accuracy_score(y.iloc[validation], model.predict(rows.iloc[validation])))

    assert list(grid["Accuracy"][:3]) == pytest.approx(found, abs=1e-4)
    assert grid.loc["Mean", "Accuracy"] == pytest.approx(np.mean(found), abs=1e-4)
    assert grid.loc["Std", "Accuracy"] == pytest.approx(np.std(found), abs=1e-4)


def _unfitted(experiment: TabularExperiment, **params) -> Pipeline:
    frame = experiment.get_config("data")
    learner = LEARNERS["logistic_regression"]
    schema = infer(frame).features("y")
    return make_model(learner, params, identify(frame, "y"), schema, seed=3, threads=1).pipeline


def test_a_model_that_was_compared_is_the_one_that_is_created(experiment, pair, frame) -> None:
    several = experiment.compare_models(include=CHEAP, n_select=5)

    found = {type(each[-1]).__name__: each.predict_proba(frame) for each in several}
    for each in pair:
        np.testing.assert_allclose(each.predict_proba(frame), found[type(each[-1]).__name__])


def test_no_learner_is_begun_after_the_budget(experiment) -> None:
    experiment.compare_models(include=["dt", "lr"], budget_time=1 / 60)

    assert list(experiment.pull().index) in (["dt"], ["dt", "lr"], ["lr", "dt"])


def test_a_learner_that_fails_costs_itself(experiment) -> None:
    with pytest.raises(NoCandidateError, match=r"decision_tree: TypeError: .*depths"):
        experiment.create_model("dt", depths=3)

    assert "depths" in " ".join(experiment.get_leaderboard()["error"])


def test_tuning_keeps_the_other_parameters(experiment) -> None:
    forest = experiment.create_model("rf", n_estimators=7, max_depth=1)

    tuned = experiment.tune_model(forest, custom_grid={"max_depth": [5]}, optimize="AUC")

    assert tuned is not forest
    assert tuned[-1].get_params()["n_estimators"] == 7
    assert tuned[-1].get_params()["max_depth"] == 5
    assert experiment.finalize_model(tuned)[-1].get_params()["n_estimators"] == 7


def test_a_model_that_cannot_be_bettered_stays(experiment, pair) -> None:
    assert experiment.tune_model(pair[1], custom_grid={"min_samples_leaf": [100]}) is pair[1]

    worse = experiment.tune_model(
        pair[1], custom_grid={"min_samples_leaf": [100]}, choose_better=False
    )
    assert worse[-1].get_params()["min_samples_leaf"] == 100


def test_rare_classes_are_balanced_in_every_fit(rng: np.random.Generator) -> None:
    frame = classes_of(rng)
    frame = pd.concat([frame[frame["y"] == "no"], frame[frame["y"] == "yes"].head(25)])
    plain, balanced = (
        TabularExperiment().setup(frame, "y", **GIVEN, **more)
        for more in ({}, {"fix_imbalance": True, "fix_imbalance_method": "class_weights"})
    )

    shares = [
        (each.create_model("lr").predict(each.get_config("X_test")) == "yes").mean()
        for each in (plain, balanced)
    ]

    assert shares[1] > shares[0]


# predictions


def test_rows_with_a_target_are_judged_and_others_are_not(experiment, pair, frame) -> None:
    experiment.create_model("lr")
    grid = experiment.pull()
    experiment.predict_model(pair[0], data=frame.drop(columns="y"))
    assert experiment.pull().equals(grid)

    rows = frame.head(20).assign(y=[*["yes"] * 10, *[None] * 9, "unheard of"])
    answers = experiment.predict_model(pair[0], data=rows)
    judged = experiment.pull()["Accuracy"].item()

    assert len(answers) == 20
    assert judged == pytest.approx((answers["prediction_label"][:10] == "yes").mean(), abs=1e-4)


def test_the_threshold_can_be_moved(experiment, pair, frame) -> None:
    usual = experiment.predict_model(pair[0], data=frame, raw_score=True)
    strict = experiment.predict_model(pair[0], data=frame, probability_threshold=0.9)

    assert (usual["prediction_score_no"] + usual["prediction_score_yes"]).round(3).eq(1).all()
    assert "prediction_score" not in usual
    expected = np.where(pair[0].predict_proba(frame)[:, 1] >= 0.9, "yes", "no")
    assert list(strict["prediction_label"]) == list(expected)


def test_more_than_two_classes(rng: np.random.Generator) -> None:
    frame = classes_of(rng).assign(y=lambda each: pd.cut(each["a"], 3, labels=False))
    exp = TabularExperiment().setup(frame, "y", **GIVEN)

    model = exp.create_model("dt")
    answers = exp.predict_model(model)

    assert exp.get_config("is_multiclass")
    assert exp.pull()["Accuracy"].item() > 0.9
    assert set(answers["prediction_label"]) <= {0, 1, 2}


# setup


def test_the_target_may_be_named_by_its_place(frame: pd.DataFrame) -> None:
    assert TabularExperiment().setup(frame).get_config("target_param") == "y"
    assert TabularExperiment().setup(frame, 3).get_config("target_param") == "group"


def test_the_variables_of_a_setup(experiment, frame) -> None:
    config = experiment.get_config
    X_train, X_test = config("X_train"), config("X_test")  # noqa: N806 - PyCaret's names

    assert config("seed") == 3
    assert list(X_train.columns) == ["a", "b", "c", "group"]
    assert (len(X_train), len(X_test)) == (210, 90)  # PyCaret's share
    assert not set(X_train.index) & set(X_test.index)
    assert X_train.equals(frame.loc[X_train.index, ["a", "b", "c", "group"]])
    assert config("y_train").equals(frame.loc[X_train.index, "y"])
    assert config("y_test").index.equals(X_test.index)
    assert len(config("fold_generator")) == 3
    assert {"X", "y", "train", "test", "data"} <= config()
    with pytest.raises(UnknownNameError, match="X_train"):
        config("X_trian")


@pytest.mark.parametrize(
    ("kind", "target", "found"),
    [
        (TabularExperiment, [0.5, 1.5, 2.5], "regression"),
        (ClassificationExperiment, [1.0, 2.0], "binary"),
        (TabularExperiment, [1, 2, 3], "multiclass"),
        (RegressionExperiment, [1, 2, 3], "regression"),
        (RegressionExperiment, [0, 1], "regression"),
    ],
)
def test_the_kind_is_found_or_forced(kind: type, target: list, found: str, frame) -> None:
    data = frame.assign(y=np.resize(target, len(frame)))

    told = kind().setup(data, "y").pull().set_index("Description")["Value"]

    assert told["Target type"] == found


def test_what_cannot_be_forced_is_told(frame: pd.DataFrame) -> None:
    with pytest.raises(TargetError, match="no numbers"):
        RegressionExperiment().setup(frame, "y")
    with pytest.raises(TargetError, match="fractions"):
        ClassificationExperiment().setup(frame, "a")
    with pytest.raises(TargetError, match="fractions"):
        ClassificationExperiment().setup(frame.assign(y=np.resize([0.5, 1.5, 2], 300)), "y")
    with pytest.raises(TargetError, match="always"):
        RegressionExperiment().setup(frame.assign(y=1.0), "y")
    for kind in (TabularExperiment, ClassificationExperiment):
        with pytest.raises(UnknownColumnError, match="group"):
            kind().setup(frame, "groop")


def test_every_parameter_that_is_refused_is_told_by_its_place(frame: pd.DataFrame) -> None:
    with pytest.raises(UnsupportedParametersError) as caught:
        TabularExperiment().setup(frame, "y", use_gpu=True, normalise=True, train_size=0.1)

    assert {each[0] for each in caught.value.problems} == {
        "setup.use_gpu",
        "setup.normalise",
        "setup.train_size",
    }
    with pytest.raises(UnsupportedParametersError, match="record nothing"):
        TabularExperiment().setup(frame, "y", log_experiment=True, experiment_name="x")
    with pytest.raises(UnsupportedParametersError, match="thresholds"):
        TabularExperiment().setup(frame, "y", fix_imbalance=True, fix_imbalance_method="threshold")


def test_columns_are_prepared_as_setup_says(rng: np.random.Generator) -> None:
    frame = quantities_of(rng)
    frame["day"] = pd.date_range("2024-01-01", periods=len(frame)).strftime("%Y-%m-%d")
    exp = TabularExperiment().setup(
        frame, "y", ignore_features=["c"], date_features=["day"], fold_strategy="timeseries"
    )

    model = exp.create_model("lr")

    assert exp.get_config("X_train")["day"].max() < exp.get_config("X_test")["day"].min()
    assert len(exp.pull()) == 7  # five folds, whatever is said
    rows = frame.head(3)
    np.testing.assert_allclose(model.predict(rows), model.predict(rows.assign(c=1000.0)))
    assert not np.allclose(model.predict(rows), model.predict(rows.assign(day="2031-07-09")))
    with pytest.raises(ColumnValueError, match="datetime"):
        TabularExperiment().setup(frame, "y", date_features=["group"])
    with pytest.raises(UnknownColumnError, match="day"):
        TabularExperiment().setup(frame, "y", date_features=["dya"])


def test_there_are_as_many_folds_as_the_rarest_class_allows(frame: pd.DataFrame) -> None:
    rare = pd.concat([frame[frame["y"] == "no"], frame[frame["y"] == "yes"].head(6)])

    assert len(TabularExperiment().setup(frame).get_config("fold_generator")) == 10
    assert len(TabularExperiment().setup(rare).get_config("fold_generator")) == 4
    with pytest.raises(SplitError, match="n_splits"):
        TabularExperiment().setup(frame.head(60), fold=100)


def test_a_new_setup_begins_anew(frame: pd.DataFrame) -> None:
    exp = TabularExperiment().setup(frame, "y", **GIVEN)
    model = exp.create_model("dt")
    exp.setup(frame, "y", **GIVEN)

    assert exp.get_leaderboard().empty
    with pytest.raises(UnknownModelError):
        exp.finalize_model(model)


# what is refused


@pytest.mark.parametrize(
    "verb",
    [
        "blend_models",
        "compare_models",
        "create_model",
        "finalize_model",
        "get_config",
        "get_leaderboard",
        "leaderboard",
        "plot_model",
        "predict_model",
        "stack_models",
        "tune_model",
    ],
)
def test_verbs_wait_for_a_setup(verb: str) -> None:
    given = {"create_model": ["lr"], "blend_models": [[]], "stack_models": [[]]}
    none = ["compare_models", "get_config", "get_leaderboard", "leaderboard"]
    name = "get_leaderboard" if verb == "leaderboard" else verb

    with pytest.raises(NoSetupError, match=rf"{name} .* call setup"):
        getattr(TabularExperiment(), verb)(*([] if verb in none else given.get(verb, [None])))


def test_learners_that_do_not_suit_are_told(experiment) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean .*lightgbm"):
        experiment.create_model("lightgmb")
    with pytest.raises(UnsupportedLearnerError, match="classification"):
        experiment.create_model("lasso_lars")
    with pytest.raises(UnsupportedLearnerError, match="object"):
        experiment.create_model(Pipeline([("none", None)]))
    with pytest.raises(UnsupportedParametersError, match=r"compare_models\.include\[1\]"):
        experiment.compare_models(include=["lr", "nothing"])


@pytest.mark.parametrize("verb", ["tune_model", "finalize_model"])
def test_models_of_others_are_told(verb: str, experiment) -> None:
    with pytest.raises(UnknownModelError, match=rf"{verb} does not know"):
        getattr(experiment, verb)(Pipeline([("none", None)]))


def test_plots_and_metrics_are_named(experiment, pair) -> None:
    with pytest.raises(UnknownNameError, match="did you mean auc"):
        experiment.plot_model(pair[0], "auk")
    with pytest.raises(UnknownNameError, match="plot for classification"):
        experiment.plot_model(pair[0], "residuals")
    with pytest.raises(UnknownNameError, match="metric for classification"):
        experiment.tune_model(pair[0], optimize="RMSE")


def test_a_metric_needs_its_targets(rng: np.random.Generator) -> None:
    exp = TabularExperiment().setup(quantities_of(rng), "y", **GIVEN)

    with pytest.raises(MetricDomainError):
        exp.compare_models(include=CHEAP, sort="RMSLE")


@pytest.mark.parametrize(
    ("verb", "given", "place"),
    [
        ("compare_models", {"errors": "raise"}, "compare_models.errors"),
        ("compare_models", {"cross_validation": False}, "compare_models.cross_validation"),
        ("compare_models", {"groups": "group"}, "compare_models.groups"),
        ("compare_models", {"tune": True}, "compare_models.tune"),
        ("compare_models", {"tunee": True}, "compare_models.tunee"),
        ("blend_models", {"method": "hard"}, "blend_models.method"),
        ("blend_models", {"weights": [1]}, "blend_models.weights"),
        ("blend_models", {"weights": [-1, 2]}, "blend_models.weights"),
        ("blend_models", {"fold": 5}, "blend_models.fold"),
        ("blend_models", {"choose_better": True}, "blend_models.choose_better"),
        ("stack_models", {"meta_model": "rf"}, "stack_models.meta_model"),
        ("stack_models", {"restack": True}, "stack_models.restack"),
        ("tune_model", {"search_library": "scikit-optimize"}, "tune_model.search_library"),
        ("tune_model", {"n_iter": 0}, "tune_model.n_iter"),
        ("tune_model", {"return_tuner": True}, "tune_model.return_tuner"),
    ],
)
def test_what_a_verb_does_not_do_is_told(
    verb: str, given: dict, place: str, experiment, pair
) -> None:
    first = {"compare_models": [], "tune_model": [pair[0]]}.get(verb, [pair])

    with pytest.raises(UnsupportedParametersError) as caught:
        getattr(experiment, verb)(*first, **given)

    assert [each[0] for each in caught.value.problems] == [place]


def test_ensembles_are_made_of_several_single_models(experiment, pair) -> None:
    with pytest.raises(UnsupportedParametersError, match="two or more"):
        experiment.blend_models(pair[:1])
    blended = experiment.blend_models(pair)
    for verb in (experiment.blend_models, experiment.stack_models):
        with pytest.raises(UnsupportedLearnerError, match="blend of"):
            verb([pair[0], blended])
    with pytest.raises(UnsupportedLearnerError, match="tune_model takes single models"):
        experiment.tune_model(blended)


def test_a_model_that_was_not_saved_is_missed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verbs.load_model(tmp_path / "none")


def test_all_verbs_are_functions_too() -> None:
    methods = {each for each in vars(TabularExperiment) if not each.startswith("_")}

    assert methods <= set(verbs.__all__)
    assert all(hasattr(verbs, each) for each in verbs.__all__)
