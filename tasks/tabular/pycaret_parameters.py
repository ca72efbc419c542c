"""Every documented parameter of PyCaret's `setup` and `compare_models`, and which values are read.

The names are those of PyCaret 3.3, and those of 2.3 that 3 no longer has. A parameter that means
nothing here is accepted at the values that ask for nothing, and refused at all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tasks.tabular.errors import suggest
from tasks.tabular.pycaret_values import (
    Findings,
    RefusedError,
    components,
    date_parts,
    engine,
    filling,
    index,
    jobs,
    names,
    number,
    one_of,
    only,
    or_null,
    same,
    some,
    switch,
    text,
    whole,
)
from tasks.tabular.resampling import ADDING

if TYPE_CHECKING:
    from tasks.tabular.problem import ProblemType
    from tasks.tabular.pycaret_values import Reader
    from tasks.tabular.resampling import Method

Section = Literal["feature_engineering_params", "modeling_params"]

_BOTH: tuple[ProblemType, ...] = ("classification", "regression")
_CLASSES: tuple[ProblemType, ...] = ("classification",)
_VALUES: tuple[ProblemType, ...] = ("regression",)


EVERY = object()
"""Stands for all values."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """How a parameter is read.

    `read` returns the value in our terms or raises `RefusedError`. `needs` are parameters with
    the values at one of which this one has an effect; elsewhere PyCaret ignores it, and we say so.
    `note` is told where the value is `noted`.
    """

    read: Reader
    needs: tuple[tuple[str, Any], ...] = ()
    kinds: tuple[ProblemType, ...] = _BOTH
    note: str = ""
    noted: Any = EVERY


NEVER = object()
"""A value nothing has: with it, the parameter that is needed is itself refused if used."""

USUAL = {"imputation_type": "simple"}
"""What parameters that others need are where they are not given; the others are off."""


_TYPES = (
    "columns have the types of their dataset version",
    'give `options` with `types`, such as {"zip": "text"}, in the load step',
)
_LOADED = ("the load step brings the data", "name them there")
_RECORDED = ("every model is recorded in MLflow as it is", "leave it out")
_NOT_RARE = (
    "rare categories are told by rows, not by a share",
    "use prepare_data with one_hot and its min_frequency, in rows",
)
_FORMULA = ("there is no such step", "use prepare_data with expression and a formula")
_BALANCED = "{} is not here", "use SMOTE, BorderlineSMOTE, ADASYN, RandomOverSampler, class_weights"
_SELECTOR = ("the forest of the feature selection is of extra trees", 'use "et" or leave it out')


def _off(reason: str, instead: str) -> Parameter:
    """Return a parameter that may only say no."""
    return Parameter(only(False, None, [], {}, reason=reason, instead=instead))  # noqa: FBT003 - a value


_FREE = Parameter(switch)
"""Of what is shown or kept aside: without an effect on the result, whatever it is."""

_OWN_BALANCING: tuple[Method, ...] = ("none", "class_weights", "threshold", *ADDING)
_IMBLEARN: dict[str, str] = {
    "SMOTE": "smote",
    "SMOTENC": "smote_nc",
    "SMOTEN": "smote",
    "BorderlineSMOTE": "borderline_smote",
    "ADASYN": "adasyn",
    "RandomOverSampler": "random_over",
    "RandomUnderSampler": "random_under",
    **{each: each for each in _OWN_BALANCING},
}

SETUP: dict[str, Parameter] = {
    "data": Parameter(only(None, reason=_LOADED[0], instead=_LOADED[1])),
    "data_func": Parameter(only(None, reason=_LOADED[0], instead=_LOADED[1])),
    "target": Parameter(text),
    "index": Parameter(index),
    "train_size": Parameter(number(0.5, 0.95)),
    "test_data": _off(_LOADED[0], "use train_size: part of the data is held out"),
    "ordinal_features": _off(
        "categories have no order of their own here",
        "leave it out, or use prepare_data with ordinal, which goes by the order of the texts",
    ),
    "numeric_features": _off(*_TYPES),
    "categorical_features": Parameter(or_null(names)),
    "date_features": Parameter(or_null(names)),
    "text_features": Parameter(or_null(names)),
    "ignore_features": Parameter(or_null(names)),
    "keep_features": Parameter(or_null(names)),
    "preprocess": Parameter(switch),
    "create_date_columns": Parameter(date_parts),
    "imputation_type": Parameter(or_null(one_of({"simple": "simple", "iterative": "iterative"}))),
    "numeric_imputation": Parameter(filling, needs=(("imputation_type", "simple"),)),
    "categorical_imputation": Parameter(text, needs=(("imputation_type", "simple"),)),
    "iterative_imputation_iters": Parameter(
        only(10, reason="there are ten rounds at most", instead="leave it out, or write 10"),
        needs=(("imputation_type", "iterative"),),
    ),
    "numeric_iterative_imputer": Parameter(
        only("br", reason="it is Bayesian ridge", instead='leave it out, or write "br"'),
        needs=(("imputation_type", "iterative"),),
    ),
    "categorical_iterative_imputer": Parameter(
        only(None, reason="the most frequent category fills gaps", instead="leave it out"),
        needs=(("imputation_type", "iterative"),),
    ),
    "text_features_method": Parameter(
        one_of({"tf-idf": "tf-idf"}, {"bow": ("words are weighed", 'use "tf-idf"')}),
        note="text_features_method: the TF-IDF of a text is projected on 30 numbers",
    ),
    "max_encoding_ohe": Parameter(whole(-(10**6), 10**4)),
    "encoding_method": Parameter(
        or_null(
            one_of(
                {
                    "TargetEncoder": "target_encode",
                    "CountEncoder": "count_encode",
                    "HashingEncoder": "hash_encode",
                }
            )
        )
    ),
    "rare_to_value": _off(*_NOT_RARE),
    "rare_value": Parameter(text, needs=(("rare_to_value", NEVER),)),
    "polynomial_features": Parameter(switch),
    "polynomial_degree": Parameter(whole(2, 5), needs=(("polynomial_features", True),)),
    "low_variance_threshold": Parameter(or_null(number(0, 1e300))),
    "group_features": _off(*_FORMULA),
    "drop_groups": Parameter(switch, needs=(("group_features", NEVER),)),
    "remove_multicollinearity": Parameter(switch),
    "multicollinearity_threshold": Parameter(
        number(0, 1, inside=True), needs=(("remove_multicollinearity", True),)
    ),
    "bin_numeric_features": Parameter(
        or_null(names),
        note="bin_numeric_features: ten bins by k-means; PyCaret's number follows from the rows",
    ),
    "remove_outliers": _off("no step leaves out outliers", "use prepare_data with clip"),
    "outliers_method": Parameter(text, needs=(("remove_outliers", NEVER),)),
    "outliers_threshold": Parameter(number(0, 1), needs=(("remove_outliers", NEVER),)),
    "fix_imbalance": Parameter(switch, kinds=_CLASSES),
    "fix_imbalance_method": Parameter(
        or_null(
            one_of(
                _IMBLEARN,
                {
                    each: (_BALANCED[0].format(each), _BALANCED[1])
                    for each in ("SVMSMOTE", "KMeansSMOTE", "SMOTETomek", "SMOTEENN", "NearMiss")
                },
            )
        ),
        needs=(("fix_imbalance", True),),
        kinds=_CLASSES,
    ),
    "transformation": Parameter(switch),
    "transformation_method": Parameter(
        one_of({"yeo-johnson": "power", "quantile": "quantile"}), needs=(("transformation", True),)
    ),
    "normalize": Parameter(switch),
    "normalize_method": Parameter(
        one_of(
            {"zscore": "standard", "minmax": "min_max", "maxabs": "max_abs", "robust": "robust"}
        ),
        needs=(("normalize", True),),
    ),
    "pca": Parameter(switch),
    "pca_method": Parameter(
        one_of(
            {"linear": "linear", "incremental": "linear"},
            {"kernel": ("components are linear", 'use "linear"')},
        ),
        needs=(("pca", True),),
    ),
    "pca_components": Parameter(or_null(components), needs=(("pca", True),)),
    "feature_selection": Parameter(switch),
    "feature_selection_method": Parameter(
        one_of(
            {"classic": "forest", "univariate": "f_test"},
            dict.fromkeys(
                ("sequential", "boruta"),
                ("it fits a model for every column and round", 'use "classic"'),
            ),
        ),
        needs=(("feature_selection", True),),
    ),
    "feature_selection_estimator": Parameter(
        only("et", None, reason=_SELECTOR[0], instead=_SELECTOR[1]),
        needs=(("feature_selection", True),),
    ),
    "n_features_to_select": Parameter(whole(1, 10**6), needs=(("feature_selection", True),)),
    "custom_pipeline": _off(
        "code does not travel in a message", "publish steps under `millrace.steps`"
    ),
    "custom_pipeline_position": Parameter(whole(-1, 100), needs=(("custom_pipeline", NEVER),)),
    "data_split_shuffle": Parameter(switch),
    "data_split_stratify": Parameter(switch),
    "fold_strategy": Parameter(
        one_of({each: each for each in ("kfold", "stratifiedkfold", "groupkfold", "timeseries")})
    ),
    "fold": Parameter(whole(2, 100)),
    "fold_shuffle": Parameter(
        switch, note="fold_shuffle: rows are shuffled by the seed all the same", noted=False
    ),
    "fold_groups": Parameter(or_null(text), needs=(("fold_strategy", "groupkfold"),)),
    "n_jobs": Parameter(jobs),
    "use_gpu": _off("learners are fitted on the processor", "leave it out"),
    "html": _FREE,
    "session_id": Parameter(
        or_null(whole(0, 2**32 - 1)),
        note="session_id: the seed is 0, not a random one",
        noted=None,
    ),
    "system_log": _FREE,
    "log_experiment": Parameter(
        only(True, False, "mlflow", reason=_RECORDED[0], instead="leave it out"),  # noqa: FBT003 - values
        note=f"log_experiment: {_RECORDED[0]}",
        noted=False,
    ),
    "experiment_name": _off("experiment_config has it", "leave it out"),
    "experiment_custom_tags": _off(*_RECORDED),
    "log_plots": _off(*_RECORDED),
    "log_profile": _off("datasets have profiles of their own", "start the flow profile-dataset"),
    "log_data": _off("the version of the data is recorded, they stay in the store", "leave it out"),
    "verbose": _FREE,
    "memory": _FREE,
    "profile": _off("datasets have profiles of their own", "start the flow profile-dataset"),
    "profile_kwargs": Parameter(lambda given: given, needs=(("profile", NEVER),)),
    "transform_target": Parameter(
        only(False, reason="targets are learned as they are", instead="leave it out"),  # noqa: FBT003 - a value
        kinds=_VALUES,
    ),
    "transform_target_method": Parameter(text, needs=(("transform_target", NEVER),), kinds=_VALUES),
    # PyCaret 2
    "high_cardinality_features": _off(
        "how categories are encoded goes by their number", "use max_encoding_ohe"
    ),
    "high_cardinality_method": Parameter(text, needs=(("high_cardinality_features", NEVER),)),
    "handle_unknown_categorical": Parameter(
        only(True, reason="every encoding meets new categories", instead="leave it out")  # noqa: FBT003 - a value
    ),
    "unknown_categorical_method": Parameter(
        only("least_frequent", reason="new categories count as rare ones", instead="leave it out")
    ),
    "ignore_low_variance": _off("it needs a threshold", "use low_variance_threshold"),
    "combine_rare_levels": _off(*_NOT_RARE),
    "rare_level_threshold": Parameter(number(0, 1), needs=(("combine_rare_levels", NEVER),)),
    "remove_perfect_collinearity": _off(
        "it needs a threshold",
        "use remove_multicollinearity with multicollinearity_threshold 0.999",
    ),
    "create_clusters": _off("there is no such step", "leave it out"),
    "cluster_iter": Parameter(whole(1, 10**6), needs=(("create_clusters", NEVER),)),
    "trigonometry_features": Parameter(switch),
    "polynomial_threshold": Parameter(
        only(None, reason="features that are made all stay", instead="use feature_selection"),
        needs=(("polynomial_features", True), ("trigonometry_features", True)),
    ),
    "group_names": Parameter(names, needs=(("group_features", NEVER),)),
    "feature_selection_threshold": Parameter(
        only(None, reason="how many stay is said as a number", instead="use n_features_to_select"),
        needs=(("feature_selection", True),),
    ),
    "feature_interaction": _off("pairs are multiplied, all of them", "use polynomial_features"),
    "feature_ratio": _off(*_FORMULA),
    "interaction_threshold": Parameter(
        number(0, 1), needs=(("feature_interaction", NEVER), ("feature_ratio", NEVER))
    ),
    "silent": _FREE,
}
"""Parameters of `setup`, by name."""

COMPARE: dict[str, Parameter] = {
    "estimator_list": Parameter(some),
    "include": Parameter(or_null(some)),
    "exclude": Parameter(or_null(names)),
    "fold": Parameter(or_null(whole(2, 100))),
    "round": Parameter(only(4, reason="scores are not rounded", instead="leave it out")),
    "cross_validation": Parameter(
        only(True, reason="nothing is chosen by the rows held out", instead="leave it out")  # noqa: FBT003 - a value
    ),
    "sort": Parameter(text),
    "n_select": Parameter(whole(1, 100)),
    "budget_time": Parameter(or_null(number(1 / 60, 1_440))),
    "turbo": Parameter(switch),
    "errors": Parameter(
        only("ignore", reason="a learner that fails costs itself", instead='use "ignore"')
    ),
    "fit_kwargs": _off("learners are fitted as they are", "leave it out"),
    "groups": Parameter(or_null(text), needs=(("fold_strategy", "groupkfold"),)),
    "experiment_custom_tags": _off(*_RECORDED),
    "probability_threshold": Parameter(
        only(
            None,
            0.5,
            reason="the threshold is not fixed",
            instead='use fix_imbalance with fix_imbalance_method "threshold", which learns it',
        ),
        kinds=_CLASSES,
    ),
    "engine": Parameter(engine),
    "verbose": _FREE,
    "parallel": _off("a worker fits one learner at a time", "start more workers"),
    "display": _off("nothing is shown", "leave it out"),
    "tune": Parameter(switch),
    "ensemble": Parameter(switch),
}
"""Parameters of `compare_models`, and those that source E has beside them, by name."""

SECTIONS: dict[Section, dict[str, Parameter]] = {
    "feature_engineering_params": SETUP,
    "modeling_params": COMPARE,
}


def read(
    section: Section, given: Any, setup: Any, kind: ProblemType, findings: Findings
) -> dict[str, Any]:
    """Return the values of a section that have an effect, in our terms.

    `setup` are the values of `feature_engineering_params` as they are given.
    """
    if not isinstance(given, dict):
        findings.refuse(section, given, "it is an object", "write {} for none")
        return {}
    found: dict[str, Any] = {}
    for name, value in given.items():
        place = f"{section}.{name}"
        parameter = SECTIONS[section].get(name)
        if parameter is None:
            findings.refuse(place, value, *_unknown(section, name))
        elif kind not in parameter.kinds:
            if value is not False and value is not None:
                findings.refuse(place, value, f"it does not belong to {kind}", "leave it out")
        elif not _acts(parameter, setup if isinstance(setup, dict) else {}):
            gates = " or ".join(dict.fromkeys(gate for gate, _ in parameter.needs))
            findings.notes.append(f"{name} has no effect as {gates} is set")
        else:
            try:
                found[name] = parameter.read(value)
            except RefusedError as error:
                findings.refuse(place, value, error.reason, error.instead)
                continue
            if parameter.note and (parameter.noted is EVERY or same(value, parameter.noted)):
                findings.notes.append(parameter.note)
    return found


def _acts(parameter: Parameter, setup: dict[str, Any]) -> bool:
    """Whether PyCaret would look at a parameter."""

    def now(gate: str) -> Any:
        value = setup.get(gate, USUAL.get(gate))
        return value.casefold() if isinstance(value, str) else value

    return not parameter.needs or any(same(now(gate), wanted) for gate, wanted in parameter.needs)


def _unknown(section: Section, name: str) -> tuple[str, str]:
    """Say where a parameter belongs that is not in its section."""
    for other, parameters in SECTIONS.items():
        if other != section and name in parameters:
            return f"it does not belong in {section}", f"move it to {other}"
    near = suggest(name[:100], tuple(SECTIONS[section]))
    hint = near if near.startswith("did") else "compare its spelling with PyCaret's documentation"
    return "PyCaret has no such parameter", hint
