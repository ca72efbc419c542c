"""A fitted model as a plan: compiled without pandas, and proven equal before it may serve.

See `plans.plan` for what a plan is. Whatever has no counterpart, or does not answer as the fitted
pipeline does, is served by the pipeline itself, and the reason is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.tabular.ensemble import EnsembleClassifier, EnsembleRegressor
from tasks.tabular.evidence import difference
from tasks.tabular.learners import FITTING_ERRORS
from tasks.tabular.packing import packages_of
from tasks.tabular.plans import scoring as ops
from tasks.tabular.plans.encoders import Builder, compile_preparation
from tasks.tabular.plans.errors import NotCompiledError
from tasks.tabular.plans.learners import compile_learner, is_exact
from tasks.tabular.plans.native import NativeError
from tasks.tabular.plans.plan import Plan, dump_plan, load_plan
from tasks.tabular.plans.proof import Proof, prove
from tasks.tabular.rows import Reader

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

    from tasks.tabular.evidence import Evidence
    from tasks.tabular.problem import Problem
    from tasks.tabular.schema import Schema


def compile_model(model: Pipeline, schema: Schema, problem: Problem) -> Plan:
    """Compile a fitted whole model, raw columns of `schema` in, scores out.

    Raises
    ------
    NotCompiledError
        If a part of it has no counterpart.
    """
    builder = Builder.of(schema)
    last = model[-1]
    if isinstance(last, EnsembleClassifier | EnsembleRegressor):
        exact = _compile_ensemble(builder, last)
    else:
        classes = None if problem.kind == "regression" else last.classes_
        features = compile_preparation(builder, model[:-1])
        compile_learner(builder, last, features, classes)
        exact = is_exact(last)
    return Plan(builder.columns, tuple(builder.operations), exact)


def _compile_ensemble(builder: Builder, model: Any) -> bool:
    """Add all members, each preparation once, and their mix; say whether it is exact."""
    classes = getattr(model, "classes_", None)
    codes = None if classes is None else np.arange(len(classes))
    prepared = {
        place: compile_preparation(builder, model.preparations_[place])
        for place in dict.fromkeys(member.preparation for member in model.members_)
    }
    candidates: dict[str, list[tuple[int, float]]] = {}
    for member in model.members_:
        known = codes if member.coded else classes
        register = compile_learner(builder, member.estimator, prepared[member.preparation], known)
        candidates.setdefault(member.candidate, []).append((register, member.weight))
    mixed = tuple(tuple(each) for each in candidates.values())
    count = 0 if classes is None else len(classes)
    if model.stacker_ is None:
        last = builder.add(ops.Mixed(mixed, count))
    else:
        packages = tuple(packages_of(model.stacker_))
        last = builder.add(ops.Stacked(mixed, model.stacker_, count, packages))
    calibration = getattr(model, "calibration_", None)
    if calibration is not None:
        builder.add(ops.Calibrated(last, calibration))
    exact = all(is_exact(member.estimator) for member in model.members_)
    return exact and model.stacker_ is None


@dataclass(frozen=True, slots=True)
class Compilation:
    """What became of compiling a model: a plan that is proven, or why there is none."""

    plan: Plan | None
    proof: Proof | None
    reason: str = ""

    def __str__(self) -> str:
        if self.proof is None or self.reason:
            return f"as it is: {self.reason}"[:500]
        equal = "to the bit" if self.proof.exact else f"to {self.proof.difference:.0e}"
        return f"compiled, equal {equal} on {self.proof.rows:,} rows"


def compile_proven(
    model: Pipeline, schema: Schema, problem: Problem, holdout: pd.DataFrame, *, seed: int = 0
) -> Compilation:
    """Compile a model and prove the stored plan on `holdout` and adversarial rows.

    Nothing a model is made of stops this: what goes wrong is the reason to serve it as it is.
    """
    try:
        plan = load_plan(dump_plan(compile_model(model, schema, problem)))
        proof = prove(plan, model, problem, holdout, seed=seed)
    except NotCompiledError as error:
        return Compilation(None, None, error.reason)
    except (NativeError, *FITTING_ERRORS) as error:
        return Compilation(None, None, f"{type(error).__name__}: {error}")
    return Compilation(plan if proof.holds else None, proof, proof.reason)


def plan_difference(content: bytes, evidence: Evidence) -> float:
    """Score the recorded sample by a stored plan and return how far it is from the record."""
    plan = load_plan(content)
    batch = Reader(plan.columns).read_named(evidence.sample)
    return difference(plan.scores(batch), np.asarray(evidence.scores))
