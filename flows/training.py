"""A trusted dataset version becomes a registered model version."""

from __future__ import annotations

import argparse

from prefect import flow

from flows import scripts
from flows.data import prepare_dataset
from infra.refs import DatasetRef, ModelRef
from tasks.registry import register_model
from tasks.training import TrainingRequest, fit_candidates


@flow
def train_model(
    dataset: DatasetRef,
    request: TrainingRequest,
) -> ModelRef:
    """Search for the best model in the time given, log every candidate, register the winner.

    The winner becomes a version only if, loaded back, it repeats its training-time scores.

    Args:
        dataset: A version that passed its validation.
        request: What to learn, and how long to look for it.
    """
    trained = fit_candidates(dataset, request)
    return register_model(
        trained.run_id, trained.model_uri, dataset.project, request.model or dataset.name
    )


def add_training(arguments: argparse.ArgumentParser) -> None:
    """Add what steers a search."""
    arguments.add_argument("--budget", type=float, default=60.0, help="search seconds")
    arguments.add_argument("--metric", help="scikit-learn's name; the problem's usual if left out")
    arguments.add_argument("--learner", action="append", default=[], help="only these; repeatable")
    arguments.add_argument("--seed", type=int, default=0)


def training_request(given: argparse.Namespace) -> TrainingRequest:
    """Return the search asked for."""
    return TrainingRequest(
        target=given.target,
        budget_seconds=given.budget,
        metric=given.metric,
        learners=tuple(given.learner),
        seed=given.seed,
    )


if __name__ == "__main__":
    arguments = scripts.parser("flows.training", train_model.__doc__)
    scripts.add_source(arguments, target_required=True)
    add_training(arguments)
    scripts.run(
        arguments,
        lambda given: train_model(
            prepare_dataset(given.source, scripts.dataset_name(given), given.target, given.project),
            training_request(given),
        ),
    )
