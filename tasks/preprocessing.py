"""Preprocessing stage: a dataset version's features, to look at or as a version of their own."""

from __future__ import annotations

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from infra.database.catalogue import Catalogue, DatasetEntry
from infra.database.engine import open_database
from infra.errors import PersonalDataError
from infra.frames import keep_made, opened_frame, read_frame
from infra.refs import DatasetRef, Name
from infra.settings import get_settings
from infra.storage import open_store
from tasks.retries import if_transient
from tasks.tabular import derivation, problem
from tasks.tabular.diagram import PipelineDescription, describe
from tasks.tabular.evidence import json_rows
from tasks.tabular.pii import unmasked
from tasks.tabular.schema import Schema
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.splitting import SplitPolicy

SUFFIX = "_features"
"""What the name of a table of features ends in, where none is given."""

_SHOWN_COLUMNS = 30


@task(
    cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=if_transient
)
def preview_features(
    dataset: DatasetRef,
    target: str,
    spec: PipelineSpec | None,
    *,
    seed: int = 0,
    allow_personal_data: bool = False,
) -> derivation.Preview:
    """Show what a specification makes of the first hundred rows; nothing is kept.

    Raises
    ------
    DatasetNotFoundError
        If the catalogue has no such version.
    PersonalDataError
        If it holds unmasked personal data and that is not allowed.
    StepError
        If a step cannot be fitted.
    """
    settings = get_settings()
    version = Catalogue(open_database(settings.database)).get(dataset)
    if (found := unmasked(version.findings)) and not allow_personal_data:
        raise PersonalDataError(str(dataset), found)
    with opened_frame(open_store(settings.storage), version.frame_digest) as path:
        schema = Schema.from_json(version.schema)
        shown = derivation.preview(path, schema, spec, target, seed=seed)
    _show_steps(dataset, shown.steps, f"fitted on {shown.sampled:,} rows")
    create_table_artifact(
        key=f"features-{dataset.project}-{dataset.name}".replace("_", "-"),
        table=json_rows(shown.rows.iloc[:, :_SHOWN_COLUMNS]),
        description=f"{dataset}: {shown.rows.shape[1]} features of its first rows",
    )
    return shown


@task(
    cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=if_transient
)
def derive_features(
    dataset: DatasetRef,
    target: str,
    spec: PipelineSpec | None,
    *,
    name: Name | None = None,
    split: SplitPolicy | None = None,
    seed: int = 0,
    allow_personal_data: bool = False,
) -> DatasetRef:
    """Make a version of a dataset's features; what the steps learn is from its training rows.

    The same version, specification, target and seed give the version that is there.

    Raises
    ------
    DatasetRejectedError
        If the version has not passed validation.
    PersonalDataError
        If it holds unmasked personal data and that is not allowed.
    TabularError
        If the specification does not fit the data.
    """
    settings = get_settings()
    catalogue, store = Catalogue(open_database(settings.database)), open_store(settings.storage)
    version = catalogue.trusted(dataset)
    if (found := unmasked(version.findings)) and not allow_personal_data:
        raise PersonalDataError(str(dataset), found)
    spec = spec or PipelineSpec()
    split = split or SplitPolicy()
    recipe = {
        "kind": "features",
        "target": target,
        "seed": seed,
        "split": split.model_dump(),
        "spec": spec.to_json(),
    }
    name = name or f"{dataset.name}{SUFFIX}"
    known = catalogue.derived(dataset, name, recipe)
    if known is not None:
        get_run_logger().info("%s was made before", known.ref)
        return known.ref
    frame = read_frame(store, version.frame_digest)
    goal = problem.identify(frame, target) if target else None
    made = derivation.features_of(
        frame, Schema.from_json(version.schema), spec, goal, seed=seed, policy=split
    )
    notes = (f"features by {spec.digest[:12]}", f"{len(made.dropped)} rows left out")
    digest, schema = keep_made(store, "frames", lambda path: derivation.write(made, path))
    entry = DatasetEntry.derived(
        version,
        "features of",
        digest,
        schema.to_json(),
        rows=len(made.frame),
        notes=notes,
        recipe=recipe,
    )
    ref = catalogue.add_trusted(version, name, entry)
    if made.pipeline is not None:
        _show_steps(ref, describe(made.pipeline), f"{len(made.frame):,} rows of {dataset}")
    return ref


def _show_steps(dataset: DatasetRef, steps: PipelineDescription, said: str) -> None:
    create_table_artifact(
        key=f"steps-{dataset.project}-{dataset.name}".replace("_", "-"),
        table=[
            {
                "step": each.name,
                "by": f"{each.kind} {each.said}".strip(),
                "takes": len(each.takes),
                "leave": each.leaving,
                "learned": str(each.learned)[:300] if each.learned else "",
            }
            for each in steps.steps
        ],
        description=f"{dataset}, step by step, {said}",
    )
