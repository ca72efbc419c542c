"""PyCaret's verbs on the platform's own search: a script written for PyCaret 3 runs on them.

The functions work on one experiment, that of the last `setup`; an experiment object has the same
verbs as methods. What is supported, and what differs, is told in docs/pycaret.md.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import cloudpickle
import numpy as np
import pandas as pd

from tasks.tabular.experiment_errors import NoSetupError, UnsupportedLearnerError
from tasks.tabular.fitting import threshold_of
from tasks.tabular.learners import predict_scores, select
from tasks.tabular.pycaret import IDENTIFIERS, learner_of
from tasks.tabular.verb_models import PLOTS, Made, Models
from tasks.tabular.verb_setup import (
    SORT,
    TRAIN_SIZE,
    judged,
    named,
    open_table,
    options_of,
    predictions,
    problem_of,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sklearn.pipeline import Pipeline

    from tasks.tabular.problem import ProblemType


class TabularExperiment:
    """Data that were set up and the models made of them; the target says what kind of problem.

    The rows held out train nothing before `finalize_model`. Models are fitted pipelines that
    take raw rows.
    """

    _forced: ClassVar[ProblemType | None] = None

    def __init__(self) -> None:
        self._models: Models | None = None
        self._grid = pd.DataFrame()
        self._sort = ""

    def setup(
        self,
        data: pd.DataFrame,
        target: str | int = -1,
        *,
        session_id: int | None = None,
        train_size: float = TRAIN_SIZE,
        **params: Any,
    ) -> Self:
        """Deal out the rows of `data` and begin anew.

        Parameters
        ----------
        target : str or int
            The column to predict, or its place; the last.
        params : mapping
            Other parameters of PyCaret's `setup`.

        Raises
        ------
        UnsupportedParametersError
            With every parameter that cannot be honoured, why, and what to use instead.
        TabularError
            If the target cannot be learned or the rows cannot be dealt out.
        """
        given = {**params, "train_size": train_size}
        if session_id is not None:
            given["session_id"] = session_id
        table = open_table(data, target, given, self._forced)
        self._models = Models(table)
        self._sort = SORT[table.kind]
        self._grid = table.described()
        return self

    def compare_models(
        self,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        *,
        sort: str | None = None,
        n_select: int = 1,
        budget_time: float | None = None,
        turbo: bool = True,
        round: int = 4,  # noqa: A002 - PyCaret's name
        **options: Any,
    ) -> Any:
        """Cross-validate learners as they are; return the best, or a list of the `n_select` best.

        Parameters
        ----------
        budget_time : float, optional
            Minutes after which no further learner is begun.

        Raises
        ------
        NoCandidateError
            If no learner could be fitted.
        """
        models = self._use("compare_models")
        table = models.table
        sort = sort or SORT[table.kind]
        listed = {"turbo": turbo} if include is None else {"include": list(include)}
        asked = {**options, **listed, "exclude": list(exclude or ()), "n_select": n_select}
        if budget_time is not None:
            asked["budget_time"] = budget_time
        read = table.understand("compare_models", asked, sort)
        task = table.judged(sort, read.folds)
        chosen = select(read.learners, task.problem.kind)
        if include is None:
            size = len(task.y), len(task.problem.classes)
            chosen = [each for each in chosen if each.handles(task.problem.kind, *size)]
        policy = models.policy(params={each.name: {} for each in chosen})
        made = models.search("compare_models", task, chosen, policy, seconds=read.budget_seconds)
        identifiers = {mine: each for each, mine in IDENTIFIERS[table.kind].items()}
        lines = {
            identifiers.get(each.part.learner, each.part.learner): {
                "Model": each.part.learner,
                **each.by_fold(sort).loc["Mean"].to_dict(),
                "TT (Sec)": each.candidate.fit_seconds / len(task.folds),
            }
            for each in made
        }
        self._sort = sort
        self._grid = pd.DataFrame.from_dict(lines, orient="index").round(round)
        found = models.fit(made[:n_select])
        return found[0] if n_select == 1 else found

    def create_model(
        self,
        estimator: str,
        *,
        round: int = 4,  # noqa: A002 - PyCaret's name
        **params: Any,
    ) -> Pipeline:
        """Cross-validate one learner and fit it on the training rows.

        Parameters
        ----------
        estimator : str
            PyCaret's identifier or the platform's name.
        params : mapping
            PyCaret's `fold`, and parameters of the learner.

        Raises
        ------
        UnknownNameError
            If there is no such learner; the nearest are suggested.
        UnsupportedLearnerError
            If it cannot be used for such a problem.
        """
        models = self._use("create_model")
        table = models.table
        if not isinstance(estimator, str):
            kind = type(estimator).__name__
            raise UnsupportedLearnerError(kind, "it is an object", "name a learner, such as rf")
        name = learner_of(estimator, table.kind)
        options, params = options_of(params)
        read = table.understand("create_model", options, SORT[table.kind])
        task = table.judged(SORT[table.kind], read.folds)
        learners = select([name], task.problem.kind)
        made = models.search("create_model", task, learners, models.policy(params={name: params}))
        self._grid = made[0].by_fold().round(round)
        return models.fit(made)[0]

    def tune_model(
        self,
        estimator: Pipeline,
        *,
        n_iter: int = 10,
        optimize: str | None = None,
        custom_grid: Mapping[str, Sequence[Any]] | None = None,
        search_library: str = "optuna",
        choose_better: bool = True,
        round: int = 4,  # noqa: A002 - PyCaret's name
        **options: Any,
    ) -> Pipeline:
        """Look for better parameters of a model; return it as it was where there are none.

        Parameters
        ----------
        n_iter : int
            Configurations to try beside the model's own.
        optimize : str, optional
            The metric; accuracy or R² if not given.
        custom_grid : mapping, optional
            Values by parameter: all combinations are tried instead.
        search_library : {"optuna", "scikit-learn"}
            What proposes: Optuna's TPE, or chance.
        """
        models = self._use("tune_model")
        table = models.table
        before = models.single("tune_model", estimator)
        sort = optimize or SORT[table.kind]
        if search_library not in ("optuna", "scikit-learn"):
            instead = 'use "optuna" or "scikit-learn"'
            raise refused("tune_model.search_library", search_library, "it is not here", instead)
        if n_iter < 1:
            raise refused("tune_model.n_iter", n_iter, "nothing would be tried", "use 1 or more")
        task = table.judged(sort, table.understand("tune_model", options, sort).folds)
        name, params = before.part.learner, before.part.params
        if custom_grid is not None:
            values = {key: list(each) for key, each in custom_grid.items()}
            policy = models.policy(strategy="grid", grid={name: values})
        else:
            strategy = "optuna" if search_library == "optuna" else "random"
            policy = models.policy(strategy=strategy, params={name: params}, trials=n_iter + 1)
        learners = select([name], task.problem.kind)
        made = models.search("tune_model", task, learners, policy, held=params)
        if not choose_better:  # the model as it was is the first that was tried
            made = [each for each in made if each.part.params != params] or made
        best = made[0]
        self._grid = best.by_fold(sort).round(round)
        if choose_better and best.candidate.score <= np.mean(before.judged(task)):
            return estimator
        return models.fit([best])[0]

    def blend_models(
        self,
        estimator_list: Sequence[Pipeline],
        *,
        method: str = "auto",
        weights: Sequence[float] | None = None,
        choose_better: bool = False,
        round: int = 4,  # noqa: A002 - PyCaret's name
        **options: Any,
    ) -> Pipeline:
        """Average what models answer, by `weights` or all alike."""
        models = self._use("blend_models")
        members = models.several(
            "blend_models", estimator_list, options, choose_better=choose_better
        )
        if method not in ("auto", "soft"):
            what = "probabilities are averaged"
            raise refused("blend_models.method", method, what, 'use "soft"')
        shares = np.ones(len(members)) if weights is None else np.asarray(weights, dtype=float)
        if len(shares) != len(members) or (shares < 0).any() or not shares.sum() > 0:
            what = "there is one for every model, none of them negative"
            raise refused("blend_models.weights", weights, what, "leave it out to weigh all alike")
        return self._shown(models.blended(members, shares), round)

    def stack_models(
        self,
        estimator_list: Sequence[Pipeline],
        meta_model: str | None = None,
        *,
        method: str = "auto",
        choose_better: bool = False,
        round: int = 4,  # noqa: A002 - PyCaret's name
        **options: Any,
    ) -> Pipeline:
        """Let a linear model learn, from out-of-fold scores, how much each model is believed."""
        models = self._use("stack_models")
        members = models.several(
            "stack_models", estimator_list, options, choose_better=choose_better
        )
        if meta_model not in (None, "lr"):
            what = "models are weighed by a linear one"
            raise refused("stack_models.meta_model", meta_model, what, "leave it out")
        if method not in ("auto", "predict_proba"):
            what = "probabilities are weighed"
            raise refused("stack_models.method", method, what, "leave it out")
        return self._shown(models.stacked(members), round)

    def finalize_model(self, estimator: Pipeline) -> Pipeline:
        """Fit a model once more, on all rows: the holdout can judge it no longer."""
        models = self._use("finalize_model")
        return models.finalize(models.made("finalize_model", estimator))

    def predict_model(
        self,
        estimator: Pipeline,
        data: pd.DataFrame | None = None,
        *,
        probability_threshold: float | None = None,
        raw_score: bool = False,
        round: int = 4,  # noqa: A002 - PyCaret's name
        verbose: bool = True,  # noqa: ARG002 - nothing is shown
    ) -> pd.DataFrame:
        """Return rows with `prediction_label` and, for classes, `prediction_score` beside them.

        Without data they are the rows held out. Where the target is known, `pull` has the
        figures. `prediction_score` is the probability of the label; `raw_score` gives that of
        every class.
        """
        if data is None:
            models = self._use("predict_model")
            data = models.table.holdout
            if (made := models.find(estimator)) is not None and made.saw_holdout:
                told = "the rows held out were fitted on when the model was finalized"
                warnings.warn(told, stacklevel=2)
        target = "" if self._models is None else self._models.table.task.problem.target
        problem = problem_of(estimator, target)
        rows = named(data)
        scores = predict_scores(estimator, rows, problem)
        threshold = threshold_of(estimator)
        if probability_threshold is not None:
            threshold = probability_threshold
        if (found := judged(problem, rows, scores, threshold)) is not None:
            made = None if self._models is None else self._models.find(estimator)
            name = type(estimator[-1]).__name__ if made is None else made.candidate.learner
            self._grid = pd.DataFrame([{"Model": name, **found}]).round(round)
        answers = predictions(problem, scores, threshold, raw_score=raw_score, digits=round)
        return data.assign(**answers)

    def pull(self) -> pd.DataFrame:
        """Return the last score grid."""
        return self._grid.copy()

    def get_config(self, variable: str | None = None) -> Any:
        """Return a variable of the setup, such as `X_train`; the names there are for None."""
        return self._use("get_config").table.config(variable)

    def get_leaderboard(self) -> pd.DataFrame:
        """Return all that was tried, best first by the metric of the last comparison.

        `score` is greater-is-better, with a 95 % interval.
        """
        return self._use("get_leaderboard").leaderboard(self._sort)

    leaderboard = get_leaderboard

    def plot_model(
        self, estimator: Pipeline, plot: str | None = None, *, save: bool | str | Path = True
    ) -> str:
        """Draw how a model does on the rows held out, in a PNG file; return its path.

        Parameters
        ----------
        plot : str, optional
            One of `PLOTS`; the ROC curve or the residuals if not given.
        save : path, optional
            Folder; the current one.
        """
        models = self._use("plot_model")
        plot = plot or next(iter(PLOTS[models.table.kind]))
        content = models.drawn(estimator, plot)
        path = (Path() if isinstance(save, bool) else Path(save)) / f"{plot}.png"
        path.write_bytes(content)
        return str(path)

    @staticmethod
    def save_model(model: Pipeline, model_name: str | Path) -> tuple[Pipeline, str]:
        """Write the whole pipeline to `<model_name>.pkl`; return it and the file's name."""
        path = Path(f"{model_name}.pkl")
        path.write_bytes(cloudpickle.dumps(model))
        return model, str(path)

    @staticmethod
    def load_model(model_name: str | Path) -> Pipeline:
        """Read what `save_model` wrote; such a file can run any code, so trust who wrote it."""
        model: Pipeline = cloudpickle.loads(Path(f"{model_name}.pkl").read_bytes())
        return model

    def _use(self, verb: str) -> Models:
        if self._models is None:
            raise NoSetupError(verb)
        return self._models

    def _shown(self, made: Made, digits: int) -> Pipeline:
        self._grid = made.by_fold().round(digits)
        return made.model


class ClassificationExperiment(TabularExperiment):
    """An experiment whose target is classes, whatever it looks like."""

    _forced: ClassVar[ProblemType | None] = "classification"


class RegressionExperiment(TabularExperiment):
    """An experiment whose target is a quantity, whatever it looks like."""

    _forced: ClassVar[ProblemType | None] = "regression"


_CURRENT = TabularExperiment()

setup = _CURRENT.setup
compare_models = _CURRENT.compare_models
create_model = _CURRENT.create_model
tune_model = _CURRENT.tune_model
blend_models = _CURRENT.blend_models
stack_models = _CURRENT.stack_models
finalize_model = _CURRENT.finalize_model
predict_model = _CURRENT.predict_model
plot_model = _CURRENT.plot_model
pull = _CURRENT.pull
get_config = _CURRENT.get_config
get_leaderboard = _CURRENT.get_leaderboard
leaderboard = _CURRENT.leaderboard
save_model = _CURRENT.save_model
load_model = _CURRENT.load_model

__all__ = [
    "ClassificationExperiment",
    "RegressionExperiment",
    "TabularExperiment",
    "blend_models",
    "compare_models",
    "create_model",
    "finalize_model",
    "get_config",
    "get_leaderboard",
    "leaderboard",
    "load_model",
    "plot_model",
    "predict_model",
    "pull",
    "save_model",
    "setup",
    "stack_models",
    "tune_model",
]
