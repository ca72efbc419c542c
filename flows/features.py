"""A trusted dataset version becomes features, or more rows of its rare classes."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment

from flows import scripts
from flows.data import prepare_dataset
from infra.errors import RunFailedError
from infra.refs import DatasetRef, NameOrNone
from tasks.augmentation import GpuPolicy, augment_rows, find_gpu
from tasks.catalogue import publish_card
from tasks.preprocessing import derive_features, preview_features
from tasks.profiling import profile_dataset
from tasks.tabular.resampling import Balancing
from tasks.tabular.spec import PipelineSpec

ON_GPU = "augment-dataset/on-gpu"
"""The deployment that trains generators where there is a GPU."""


@flow
def prepare_features(
    dataset: DatasetRef,
    target: str = "",
    spec: PipelineSpec | None = None,
    *,
    name: NameOrNone = "",
    balancing: Balancing | None = None,
    gpu: GpuPolicy = "prefer",
    gpu_wait_seconds: float = 3600.0,
    preview: bool = False,
    seed: int = 0,
    allow_personal_data: bool = False,
) -> DatasetRef | None:
    """Write a dataset's features out as a version of their own, or show the first hundred rows.

    Whatever the steps learn is learned from the training part; the version says of every row
    which part it is in, and training on it keeps to that. To train on raw data, give the
    specification to `train_model` instead: the model then carries its preparation.

    Args:
        dataset: A version that passed its validation.
        target: Column to predict; steps that look at it need it, and it is kept.
        spec: Steps in order; the usual ones if empty.
        name: Of the derived dataset; the dataset's with `_features` if empty.
        balancing: Rows of rare classes to add first; needs a target.
        gpu: Where the autoencoder is trained, if it is asked for: on the pool `gpu` if it is
            served (prefer), there or nowhere (require), or on this pool (never).
        gpu_wait_seconds: How long `require` waits for a worker.
        preview: Only show what comes out; nothing is kept.
        seed: Same seed, data and specification give the same version.
        allow_personal_data: Derive also from columns with personal data that is not masked.
    """
    if preview:
        preview_features(dataset, target, spec, seed=seed)
        return None
    if balancing is not None and balancing.method != "none":
        dataset = augment_dataset.fn(
            dataset,
            target,
            balancing,
            gpu=gpu,
            gpu_wait_seconds=gpu_wait_seconds,
            seed=seed,
            allow_personal_data=allow_personal_data,
        )
    derived = derive_features(
        dataset,
        target,
        spec,
        name=name or None,
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
    gpu: GpuPolicy = "prefer",
    gpu_wait_seconds: float = 3600.0,
    seed: int = 0,
    allow_personal_data: bool = False,
) -> DatasetRef:
    """Add rows of rare classes to a dataset, made from its training rows, as another version.

    Args:
        dataset: A version that passed its validation.
        target: Column whose classes are balanced.
        balancing: How, and how far.
        name: Of the derived dataset; the dataset's with `_augmented` if empty.
        gpu: Where the autoencoder is trained, if it is asked for: on the pool `gpu` if it is
            served (prefer), there or nowhere (require), or on this pool (never).
        gpu_wait_seconds: How long `require` waits for a worker.
        seed: Same seed, data and balancing give the same version.
        allow_personal_data: Learn also from columns with personal data that is not masked.
    """
    if balancing.method == "vae" and find_gpu(ON_GPU, gpu, gpu_wait_seconds):
        _run_on_gpu(dataset, target, balancing, name, seed, allow_personal_data=allow_personal_data)
    augmented = augment_rows(  # what the GPU has made is found, not made again
        dataset,
        target,
        balancing,
        name=name or None,
        seed=seed,
        allow_personal_data=allow_personal_data,
    )
    profile_dataset(augmented, target)
    publish_card(augmented)
    return augmented


def _run_on_gpu(
    dataset: DatasetRef,
    target: str,
    balancing: Balancing,
    name: str,
    seed: int,
    *,
    allow_personal_data: bool,
) -> None:
    """Have the deployment on the GPU pool make the version, and wait for it."""
    run: FlowRun = run_deployment(  # type: ignore[assignment]  # no coroutine in a sync flow
        ON_GPU,
        parameters={
            "dataset": dataset.model_dump(),
            "target": target,
            "balancing": balancing.model_dump(),
            "name": name,
            "gpu": "never",  # it is there
            "seed": seed,
            "allow_personal_data": allow_personal_data,
        },
        poll_interval=1,
    )
    state = run.state
    if state is None or not state.is_completed():
        raise RunFailedError(ON_GPU, run.name, (state and state.message) or "no state")


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
