"""A file becomes a trusted, described version of a dataset."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated

from prefect import flow
from pydantic import Field

from flows import scripts
from infra.refs import DEFAULT_PROJECT, DatasetRef, Name, normalise_name
from tasks.ingestion import ingest_dataset
from tasks.profiling import profile_dataset
from tasks.validation import validate_dataset


@flow
def prepare_dataset(
    source: Annotated[
        str,
        Field(title="Source", description="Path of a CSV or Parquet file on the worker's machine"),
    ],
    name: Annotated[
        Name | None, Field(title="Dataset", description="The file's name if empty")
    ] = None,
    target: Annotated[
        str | None, Field(title="Target", description="Column to predict, checked early")
    ] = None,
    project: Annotated[Name, Field(title="Project")] = DEFAULT_PROJECT,
) -> DatasetRef:
    """Read a file into the catalogue, hold it to its dataset's suite and describe it.

    The same bytes give the same version. A version that fails the gate stays in the catalogue
    as rejected and cannot be trained on.
    """
    dataset = ingest_dataset(source, project, name or normalise_name(PurePath(source).name), target)
    validate_dataset(dataset)
    profile_dataset(dataset)
    return dataset


if __name__ == "__main__":
    arguments = scripts.parser("flows.data", prepare_dataset.__doc__)
    scripts.add_source(arguments, target_required=False)
    scripts.run(
        arguments,
        lambda given: prepare_dataset(
            given.source, scripts.dataset_name(given), given.target, given.project
        ),
    )
