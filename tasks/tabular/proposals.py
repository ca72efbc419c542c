"""Configurations that Optuna proposes, from what was tried before."""

from __future__ import annotations

import secrets
import warnings
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from tasks.tabular.learners import LEARNERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from optuna.distributions import BaseDistribution

    from tasks.tabular.task import Trial
    from tasks.tabular.zoo.entry import Learner, Params

_STARTUP = 8
"""Trials drawn at random before those that were tried say where to look."""


class Proposals:
    """A study that is asked for configurations and told how they did.

    Parameters
    ----------
    learners : sequence of Learner
        Those proposed, each with its own space.
    study : Study, optional
        One in a database: searches that share it share what they learn. By default a new one.
    shared : bool, default False
        Whether others ask the study too: then the seed is drawn, and nothing is repeatable.
    random : bool, default False
        Draw without looking at what was tried.
    """

    def __init__(
        self,
        learners: Sequence[Learner],
        *,
        seed: int,
        study: optuna.Study | None = None,
        shared: bool = False,
        random: bool = False,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._learners = {each.name: each for each in learners if each.space}
        self._names = CategoricalDistribution(sorted(self._learners) or [""])
        # Optuna holds a parameter to its choices: searches with other learners have another one
        self._choice = f"learner of {', '.join(sorted(self._learners))}"
        if shared:  # with the same seed two searches would propose the same
            seed = secrets.randbits(32)
        self._asked: dict[int, optuna.Trial] = {}
        self.study = study or optuna.create_study(direction="maximize")
        self.study.sampler = _sampler(seed, random=random)

    def __bool__(self) -> bool:
        """Whether there is anything to propose."""
        return bool(self._learners)

    def ask(self, number: int) -> tuple[str, Params]:
        """Return a learner and parameters to try as trial `number`."""
        asked = self.study.ask()
        self._asked[number] = asked
        name = asked.suggest_categorical(self._choice, self._names.choices)
        space = self._learners[name].space
        return name, {
            key: _suggest(asked, _label(name, key, space[key]), space[key]) for key in space
        }

    def tell(self, trial: Trial) -> None:
        """Report how a trial ended; those that were not asked for are added."""
        asked = self._asked.pop(trial.number, None)
        if asked is None:
            self._add(trial)
            return
        done = sorted(trial.results)
        for place, fold in enumerate(done, 1):
            mean = np.mean([trial.results[each].score for each in done[:place]])
            asked.report(float(mean), fold)
        asked.set_user_attr("origin", trial.origin)
        if trial.error or not done:
            self.study.tell(asked, state=TrialState.FAIL)
        elif trial.dropped:
            self.study.tell(asked, state=TrialState.PRUNED)
        else:
            self.study.tell(asked, trial.score)

    def forget(self) -> None:
        """Tell the study that what it still waits for will not come."""
        for asked in self._asked.values():
            self.study.tell(asked, state=TrialState.FAIL)
        self._asked.clear()

    def _add(self, trial: Trial) -> None:
        learner = self._learners.get(trial.learner)
        if learner is None or trial.error or not trial.results:
            return
        params: dict[str, Any] = {self._choice: trial.learner}
        spaces: dict[str, BaseDistribution] = {self._choice: self._names}
        for key, distribution in learner.space.items():
            value = trial.params.get(key)
            inside = key in trial.params and contains(distribution, value)
            if inside:
                label = _label(trial.learner, key, distribution)
                params[label], spaces[label] = value, distribution
        steps = {fold: result.score for fold, result in trial.results.items()}
        self.study.add_trial(
            create_trial(
                params=params,
                distributions=spaces,
                value=trial.score,
                intermediate_values=steps,
                user_attrs={"origin": trial.origin},
            )
        )


def _sampler(seed: int, *, random: bool) -> optuna.samplers.BaseSampler:
    if random:
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        # the lock holds Optuna to a version in which the two are as they are
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, n_startup_trials=_STARTUP
        )


def _label(learner: str, key: str, space: BaseDistribution) -> str:
    """Name a parameter in a study; in another space it is another one, to which Optuna holds."""
    usual = LEARNERS[learner].space.get(key) if learner in LEARNERS else space
    return f"{learner}.{key}" if space == usual else f"{learner}.{key} of {space}"


def grid(spaces: Mapping[str, Mapping[str, Sequence[Any]]]) -> Iterator[tuple[str, Params]]:
    """Yield every combination of the given values, learner by learner, as GridSearchCV does."""
    for name, values in spaces.items():
        keys = sorted(values)
        for combination in product(*(values[key] for key in keys)):
            yield name, dict(zip(keys, combination, strict=True))


def _suggest(trial: optuna.Trial, name: str, space: BaseDistribution) -> Any:
    if isinstance(space, FloatDistribution):
        return trial.suggest_float(name, space.low, space.high, log=space.log)
    if isinstance(space, IntDistribution):
        return trial.suggest_int(name, space.low, space.high, log=space.log)
    assert isinstance(space, CategoricalDistribution)  # noqa: S101 - the third of three kinds
    return trial.suggest_categorical(name, space.choices)


def contains(space: BaseDistribution, value: Any) -> bool:
    """Say whether a space has a value, in its own type."""
    if isinstance(space, CategoricalDistribution):
        return value in space.choices
    if isinstance(space, IntDistribution):
        return type(value) is int and space.low <= value <= space.high
    assert isinstance(space, FloatDistribution)  # noqa: S101 - as above
    return isinstance(value, int | float) and space.low <= value <= space.high
