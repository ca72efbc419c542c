"""A trusted dataset version becomes features, or more rows of its rare classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import Field

from flows import scripts
from flows.data import prepare_dataset
from infra.refs import DatasetRef, NameOrNone, Seed
from tasks.augmentation import (
    GpuPolicy,
    augment_rows,
    find_augmented,
    find_gpu,
    run_elsewhere,
)
from tasks.catalogue import publish_card
from tasks.preprocessing import derive_features, preview_features
from tasks.profiling import profile_dataset
from tasks.tabular.resampling import Balancing
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.splitting import SplitPolicy

WaitSeconds = Annotated[float, Field(ge=0, le=86_400)]

ON_GPU = "augment-dataset/on-gpu"
"""The deployment that trains generators where there is a GPU."""


@flow
def prepare_features(
    dataset: DatasetRef,
    target: str = "",
    spec: PipelineSpec | None = None,
    *,
    name: NameOrNone = "",
    split: SplitPolicy | None = None,
    balancing: Balancing | None = None,
    gpu: GpuPolicy = "prefer",
    gpu_wait_seconds: WaitSeconds = 3600.0,
    preview: bool = False,
    seed: Seed = 0,
    allow_personal_data: bool = False,
) -> DatasetRef | None:
    """Write a dataset's features out as a version of their own, or show the first hundred rows.

    Whatever the steps learn is learned from the training part; the version says of every row
    which part it is in, and training on it keeps to that. A model trained on it takes features:
    to serve raw rows, give the specification to `train_model` instead.

    Args:
        dataset: A version that passed its validation.
        target: Column to predict; steps that look at it need it, and it is kept.
        spec: Steps in order; the usual ones if empty.
        name: Of the derived dataset; that of what it is made from with `_features` if empty.
        split: How rows are dealt out to training, validation and holdout; at random if empty.
        balancing: Rows of rare classes to add first; needs a target.
        gpu: Where the autoencoder is trained, if it is asked for: on the pool `gpu` if it is
            served (prefer), there or nowhere (require), or on this pool (never).
        gpu_wait_seconds: How long a worker on the pool is waited for.
        preview: Only show what comes out; nothing is kept.
        seed: Same seed, data and specification give the same version.
        allow_personal_data: Derive also from columns with personal data that is not masked.
    """
    if preview:
        preview_features(dataset, target, spec, seed=seed, allow_personal_data=allow_personal_data)
        return None
    if balancing is not None and balancing.method != "none":
        dataset = augment_dataset.fn(
            dataset,
            target,
            balancing,
            split=split,
            gpu=gpu,
            gpu_wait_seconds=gpu_wait_seconds,
            seed=seed,
            allow_personal_data=allow_personal_data,
        )
        split = None  # its rows are dealt out already
    derived = derive_features(
        dataset,
        target,
        spec,
        name=name or None,
        split=split,
        seed=seed,
        allow_personal_data=allow_personal_data,
    )
    profile_dataset(derived, target or None)
    publish_card(derived)
    return derived


@flow
def augment_dataset(
    dataset: DatasetRef,
    target: str,
    balancing: Balancing,
    *,
    name: NameOrNone = "",
    split: SplitPolicy | None = None,
    gpu: GpuPolicy = "prefer",
    gpu_wait_seconds: WaitSeconds = 3600.0,
    seed: Seed = 0,
    allow_personal_data: bool = False,
) -> DatasetRef:
    """Add rows of rare classes to a dataset, made from its training rows, as another version.

    Args:
        dataset: A version that passed its validation.
        target: Column whose classes are balanced.
        balancing: How, and how far.
        name: Of the derived dataset; the dataset's with `_augmented` if empty.
        split: How rows are dealt out to training, validation and holdout; at random if empty.
        gpu: Where the autoencoder is trained, if it is asked for: on the pool `gpu` if it is
            served (prefer), there or nowhere (require), or on this pool (never).
        gpu_wait_seconds: How long a worker on the pool is waited for.
        seed: Same seed, data and balancing give the same version.
        allow_personal_data: Learn also from columns with personal data that is not masked.
    """
    policy = split or SplitPolicy()

    def made_before() -> DatasetRef | None:
        return find_augmented(
            dataset, target, balancing, name=name or None, seed=seed, split=policy
        )

    known = made_before()
    if known is not None:
        return known
    if balancing.method == "vae" and find_gpu(ON_GPU, gpu, gpu_wait_seconds):
        parameters = {
            "dataset": dataset.model_dump(),
            "target": target,
            "balancing": balancing.model_dump(),
            "name": name,
            "split": policy.model_dump(),
            "gpu": "never",  # it is there
            "seed": seed,
            "allow_personal_data": allow_personal_data,
        }
        run_elsewhere(ON_GPU, parameters, gpu, gpu_wait_seconds)
        known = made_before()
        if known is not None:
            return known
    augmented = augment_rows(
        dataset,
        target,
        balancing,
        name=name or None,
        split=policy,
        seed=seed,
        allow_personal_data=allow_personal_data,
    )
    profile_dataset(augmented, target)
    publish_card(augmented)
    return augmented


if __name__ == "__main__":
    arguments = scripts.parser("flows.features", prepare_features.__doc__)
    scripts.add_source(arguments, target_required=False)
    arguments.add_argument("--spec", type=Path, help="YAML or JSON; the usual steps if left out")
    arguments.add_argument("--preview", action="store_true", help="only show what comes out")
    arguments.add_argument("--seed", type=int, default=0)
    scripts.run(
        arguments,
        lambda given: prepare_features(
            prepare_dataset(given.source, scripts.dataset_name(given), given.target, given.project),
            given.target,
            PipelineSpec.read(given.spec.read_text()) if given.spec else None,
            preview=given.preview,
            seed=given.seed,
        ),
    )
