"""PyCaret's names and parameters in the platform's terms: all of them, or told why not.

Versions 3.3 and, for what 3 no longer has, 2.3. PyCaret itself is not needed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.tabular.errors import UnknownNameError, suggest
from tasks.tabular.experiment_errors import UnsupportedLearnerError, UnsupportedParametersError
from tasks.tabular.metrics import ALIASES, METRICS, canonical
from tasks.tabular.problem import ProblemType
from tasks.tabular.pycaret_parameters import read
from tasks.tabular.pycaret_setup import SETUP, dropped, preparation
from tasks.tabular.pycaret_values import Findings
from tasks.tabular.splitting import HOLDOUT_SHARE, SplitPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.tabular.metrics import Metric
    from tasks.tabular.resampling import Method
    from tasks.tabular.spec import PipelineSpec

_SHARED = {
    "dt": "decision_tree",
    "rf": "random_forest",
    "et": "extra_trees",
    "ada": "ada_boost",
    "knn": "nearest_neighbours",
    "mlp": "mlp",
    "ridge": "ridge",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
}
IDENTIFIERS: dict[ProblemType, dict[str, str]] = {
    "classification": {
        **_SHARED,
        "lr": "logistic_regression",
        "nb": "naive_bayes",
        "svm": "linear_svm",
        "rbfsvm": "svm",
        "gpc": "gaussian_process",
        "qda": "qda",
        "gbc": "gradient_boosting",
        "lda": "lda",
    },
    "regression": {
        **_SHARED,
        "lr": "linear_regression",
        "lasso": "lasso",
        "en": "elastic_net",
        "lar": "lars",
        "llar": "lasso_lars",
        "omp": "orthogonal_matching_pursuit",
        "br": "bayesian_ridge",
        "ard": "ard_regression",
        "par": "stochastic_gradient",
        "ransac": "ransac",
        "tr": "theil_sen",
        "huber": "huber",
        "kr": "kernel_ridge",
        "svm": "svm",
        "gbr": "gradient_boosting",
    },
}
"""PyCaret's 18 classifiers and 25 regressors."""

SLOW: dict[ProblemType, tuple[str, ...]] = {
    "classification": ("rbfsvm", "gpc", "mlp"),
    "regression": ("ard", "ransac", "tr", "kr", "svm", "mlp"),
}
"""What `turbo` leaves out."""

_ANY: tuple[ProblemType, ...] = ("classification", "regression")
OWN: dict[str, tuple[ProblemType, ...]] = {
    **dict.fromkeys(
        (
            *("logistic_regression", "ridge", "lasso", "elastic_net", "stochastic_gradient"),
            *("linear_svm", "svm", "nearest_neighbours", "decision_tree", "random_forest"),
            *("extra_trees", "ada_boost", "gradient_boosting", "hist_gradient_boosting"),
            *("gaussian_process", "mlp", "neural_network", "ebm"),
            *("xgboost", "lightgbm", "catboost"),
        ),
        _ANY,
    ),
    **dict.fromkeys(("naive_bayes", "lda", "qda"), ("classification",)),
    **dict.fromkeys(
        (
            *("linear_regression", "lars", "lasso_lars", "orthogonal_matching_pursuit"),
            *("bayesian_ridge", "ard_regression", "ransac", "theil_sen", "huber", "kernel_ridge"),
        ),
        ("regression",),
    ),
}
"""The platform's learners and what they predict (a test compares them)."""

_COMBINED = ("every list is combined so at the end", "set ensemble to true")
REFUSED: dict[str, tuple[str, str]] = {
    "dummy": ("it learns nothing", "leave it out, or use decision_tree"),
    "bagging": ("it is made of another learner", "use random_forest or extra_trees"),
    "stacking": _COMBINED,
    "voting": _COMBINED,
    "calibratedcv": ("it is made of another learner", "name that one"),
}
"""Names of PyCaret that are no learner here, why, and what to use instead."""

_NEAREST = {
    "nb": "use bayesian_ridge",
    "naive_bayes": "use bayesian_ridge",
    "lda": "use ridge",
    "qda": "use gaussian_process",
    "rbfsvm": "use svm",
    "gpc": "use gaussian_process",
    "gbc": "use gbr",
    "gbr": "use gbc",
    "kr": "use rbfsvm",
    "kernel_ridge": "use rbfsvm",
}


def learner_of(identifier: str, kind: ProblemType) -> str:
    """Return the platform's learner that an identifier means, whatever its case.

    PyCaret's identifiers go before our names: `svm` is the linear one of its classifiers.

    Raises
    ------
    UnsupportedLearnerError
        If PyCaret has it and the platform has not, or it does not solve such problems.
    UnknownNameError
        If nobody has it; the nearest are suggested.

    Examples
    --------
    >>> learner_of("rf", "classification"), learner_of("LR", "regression")
    ('random_forest', 'linear_regression')
    """
    name = identifier.strip().casefold()
    if name in IDENTIFIERS[kind]:
        return IDENTIFIERS[kind][name]
    if kind in OWN.get(name, ()):
        return name
    if name in REFUSED:
        raise UnsupportedLearnerError(identifier[:100], *REFUSED[name])
    elsewhere: ProblemType = "regression" if kind == "classification" else "classification"
    if name in OWN or name in IDENTIFIERS[elsewhere]:
        near = _NEAREST.get(name, "use ridge" if kind == "classification" else "use lr")
        raise UnsupportedLearnerError(identifier[:100], f"it does not do {kind}", near)
    known = (*IDENTIFIERS[kind], *(each for each, kinds in OWN.items() if kind in kinds))
    raise UnknownNameError(f"learner for {kind}", identifier[:100], tuple(dict.fromkeys(known)))


def metric_of(name: str, kind: ProblemType) -> str:
    """Return the platform's metric that PyCaret's or scikit-learn's name means.

    Raises
    ------
    UnknownNameError
        If there is none for such problems; the nearest are suggested.

    Examples
    --------
    >>> metric_of("Kappa", "classification"), metric_of("rmse", "regression")
    ('cohen_kappa', 'neg_root_mean_squared_error')
    """
    kinds = {each.name for each in METRICS.values() if _does(each, kind)}
    with suppress(UnknownNameError):
        if (metric := canonical(name)) in kinds:
            return metric
    short = [each for each in ALIASES if ALIASES[each] in kinds]
    raise UnknownNameError(f"metric for {kind}", name[:100], (*short, *sorted(kinds)))


def _does(metric: Metric, kind: ProblemType) -> bool:
    return (kind == "regression") == ("regression" in metric.kinds)


@dataclass(frozen=True, slots=True)
class Translation:
    """What a `train_model` step asks for.

    No `learners` means all; `folds`, `threads` and `budget_seconds` are the platform's own for
    None, and so is the `preparation`: the learner's usual. `notes` tell what is done otherwise
    than PyCaret would, or has no effect.
    """

    learners: tuple[str, ...]
    preparation: PipelineSpec | None
    balancing: Method
    folds: int | None
    select: int
    tune: bool
    ensemble: bool
    finalize: bool
    metric: str
    split: SplitPolicy
    seed: int
    threads: int | None
    budget_seconds: float | None
    notes: tuple[str, ...]


def translate(
    train_model_params: Mapping[str, Any], kind: ProblemType, target: str, main_metric: str
) -> Translation:
    """Put the parameters of a `train_model` step in the platform's terms.

    Parameters
    ----------
    train_model_params : mapping
        `feature_engineering_params`, which are those of PyCaret's `setup`, `modeling_params`,
        which are those of `compare_models` and source E's, and `finalize`.

    Raises
    ------
    UnsupportedParametersError
        With every parameter and value that cannot be honoured, why, and what to use instead.
    UnknownNameError
        If there is no such main metric.
    """
    return _Translator(train_model_params, kind, target, metric_of(main_metric, kind)).translated()


_COMPARE = "modeling_params"
_NAMING = (
    *("categorical_features", "date_features", "text_features", "ignore_features"),
    *("keep_features", "bin_numeric_features", "index"),
)


class _Translator:
    """The values that were read, held against each other."""

    def __init__(
        self, params: Mapping[str, Any], kind: ProblemType, target: str, metric: str
    ) -> None:
        self._kind = kind
        self._target = target
        self._metric = metric
        self._findings = Findings()
        known = (SETUP, _COMPARE, "finalize")
        for name, value in params.items():
            if name not in known:
                near = suggest(name[:100], known)
                self._refuse(name, value, "there is no such parameter", near)
        self._finalize = params.get("finalize", False)
        if not isinstance(self._finalize, bool):
            self._refuse("finalize", self._finalize, "it is true or false", "write one of them")
        given = params.get(SETUP, {})
        self._setup = read("feature_engineering_params", given, given, kind, self._findings)
        compare = params.get(_COMPARE, {})
        self._compare = read("modeling_params", compare, given, kind, self._findings)

    def translated(self) -> Translation:
        """Return the whole, or raise every problem at once."""
        learners = self._learners()
        split = self._split()
        steps = preparation(self._setup, self._findings)
        self._agree()
        select, ensemble = self._compare.get("n_select", 1), self._compare.get("ensemble", False)
        if ensemble and select == 1:
            place, what = f"{_COMPARE}.ensemble", "one model is no ensemble"
            self._refuse(place, ensemble, what, "set n_select to 2 or more")
        if learners and select > len(learners):
            self._note(f"n_select: there are {len(learners)} learners to select from")
        if self._findings.problems:
            raise UnsupportedParametersError(tuple(self._findings.problems))
        budget = self._compare.get("budget_time")
        return Translation(
            learners=learners,
            preparation=steps,
            balancing=self._balancing(),
            folds=self._compare.get("fold") or self._setup.get("fold"),
            select=select,
            tune=self._compare.get("tune", False),
            ensemble=ensemble,
            finalize=self._finalize,
            metric=self._metric,
            split=split,
            seed=self._setup.get("session_id") or 0,
            threads=self._setup.get("n_jobs"),
            budget_seconds=None if budget is None else 60 * budget,
            notes=tuple(self._findings.notes),
        )

    def _refuse(self, name: str, given: Any, reason: str, instead: str) -> None:
        self._findings.refuse(name, given, reason, instead)

    def _note(self, note: str) -> None:
        self._findings.notes.append(note)

    def _learners(self) -> tuple[str, ...]:
        listed, included = self._compare.get("estimator_list"), self._compare.get("include")
        if listed and included and listed != included:
            what = "estimator_list says otherwise"
            self._refuse(f"{_COMPARE}.include", list(included), what, "give one of them")
        left_out = set(self._named("exclude", self._compare.get("exclude") or ()))
        if wanted := listed or included:
            if "turbo" in self._compare:
                self._note("turbo has no effect beside a list of learners")
            names = self._named("estimator_list" if listed else "include", wanted)
        elif left_out or "turbo" in self._compare:
            slow = SLOW[self._kind] if self._compare.get("turbo", True) else ()
            names = [mine for each, mine in IDENTIFIERS[self._kind].items() if each not in slow]
        else:
            return ()
        chosen = tuple(each for each in dict.fromkeys(names) if each not in left_out)
        if names and not chosen:
            given = list(self._compare["exclude"])
            self._refuse(f"{_COMPARE}.exclude", given, "no learner is left", "name fewer")
        return chosen

    def _named(self, parameter: str, identifiers: tuple[str, ...]) -> list[str]:
        found = []
        for at, each in enumerate(identifiers):
            place = f"{_COMPARE}.{parameter}[{at}]"
            try:
                found.append(learner_of(each, self._kind))
            except UnsupportedLearnerError as error:
                self._refuse(place, each, error.reason, error.instead)
            except UnknownNameError as error:
                near = suggest(each[:100], error.known)
                self._refuse(place, each, "there is no such learner", near)
        if "par" in (each.casefold() for each in identifiers):
            self._note("par: fitted by stochastic gradient descent, as scikit-learn advises")
        return found

    def _split(self) -> SplitPolicy:
        given = {}
        if "train_size" in self._setup:
            given = {"holdout_share": round(1 - self._setup["train_size"], 6)}
        else:
            self._note(f"train_size: {1 - HOLDOUT_SHARE:.0%} of the rows, where PyCaret takes 70%")
        policy = SplitPolicy(**given)
        strategy = self._setup.get("fold_strategy")
        place = f"{SETUP}.fold_strategy"
        if strategy == "groupkfold":
            column = self._compare.get("groups") or self._setup.get("fold_groups")
            if column is None:
                self._refuse(place, strategy, "it needs a column", "name it in fold_groups")
            else:
                policy = SplitPolicy(kind="grouped", column=column, **given)
                self._note("fold_strategy: groups are held out whole as well")
        elif strategy == "timeseries":
            dates: tuple[str, ...] = self._setup.get("date_features") or ()
            if len(dates) != 1:
                what = "it needs the column that says when"
                self._refuse(place, strategy, what, "name that one column in date_features")
            else:
                policy = SplitPolicy(kind="time", column=dates[0], **given)
                self._note(f"fold_strategy: {dates[0]!r} says which rows are the newest")
        elif strategy is not None and (strategy == "kfold") != (self._kind == "regression"):
            other = "kfold" if self._kind == "regression" else "stratifiedkfold"
            self._refuse(place, strategy, f"it is not done in {self._kind}", f'use "{other}"')
        self._deal(policy)
        return policy

    def _deal(self, policy: SplitPolicy) -> None:
        """Hold what is said about shuffling and strata to what is done."""
        if not self._setup.get("data_split_shuffle", True) and policy.kind != "time":
            what = 'use fold_strategy "timeseries" and name the column in date_features'
            reason = "the order of rows says nothing here"
            self._refuse(f"{SETUP}.data_split_shuffle", given=False, reason=reason, instead=what)
        stratified = self._kind == "classification" and policy.kind != "time"
        if self._setup.get("data_split_stratify", stratified) != stratified:
            reason = "parts are alike in every class" if stratified else "there are no strata"
            place = f"{SETUP}.data_split_stratify"
            self._refuse(place, not stratified, reason, "leave it out")

    def _balancing(self) -> Method:
        if not self._setup.get("fix_imbalance", False):
            return "none"
        method: Method = self._setup.get("fix_imbalance_method") or "smote"
        return method

    def _agree(self) -> None:
        """Hold what is said twice against each other."""
        if self._setup.get("target", self._target) != self._target:
            what = "experiment_config says otherwise"
            self._refuse(f"{SETUP}.target", self._setup["target"], what, "leave it out")
        for name in _NAMING:
            columns = self._setup.get(name) or ()
            if self._target in ((columns,) if isinstance(columns, str) else columns):
                self._refuse(f"{SETUP}.{name}", self._target, "it is the target", "leave it out")
        both = set(self._setup.get("keep_features") or ()) & dropped(self._setup)
        if both:
            what = "ignore_features or index leaves it out"
            self._refuse(f"{SETUP}.keep_features", sorted(both), what, "decide for one")
        for general, own in (("fold", "fold"), ("fold_groups", "groups")):
            one, other = self._setup.get(general), self._compare.get(own)
            if one is not None and other is not None and one != other:
                self._note(f"{own}: {other!r} of {_COMPARE} is used, not {one!r}")
        if "sort" in self._compare:
            self._sort(self._compare["sort"])

    def _sort(self, name: str) -> None:
        place = f"{_COMPARE}.sort"
        try:
            metric = metric_of(name, self._kind)
        except UnknownNameError as error:
            near = suggest(name[:100], error.known)
            self._refuse(place, name, "there is no such metric", near)
            return
        if metric != self._metric:
            self._refuse(place, name, "main_metric says otherwise", "leave it out")
