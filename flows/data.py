"""Data from anywhere becomes a trusted, described version of a dataset."""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from flows import scripts
from infra.refs import DEFAULT_PROJECT, DatasetRef, Name, normalise_name
from infra.sources import file_name
from tasks.catalogue import publish_card
from tasks.ingestion import Description, ingest_dataset
from tasks.masking import find_personal_data, mask_dataset
from tasks.profiling import profile_dataset
from tasks.tabular.personal import Policy
from tasks.tabular.reading import ReadOptions
from tasks.validation import validate_dataset


@flow
def prepare_dataset(
    source: Annotated[
        str,
        Field(
            title="Source",
            description="Path on the worker's machine, https://, s3://bucket/key, sql://name, "
            "kaggle://owner/dataset/file, or example://iris",
        ),
    ],
    name: Annotated[
        Name | None, Field(title="Dataset", description="The file's name if empty")
    ] = None,
    target: Annotated[
        str | None, Field(title="Target", description="Column to predict, checked early")
    ] = None,
    project: Annotated[Name, Field(title="Project")] = DEFAULT_PROJECT,
    *,
    query: Annotated[
        str | None, Field(title="Query", description="SQL, where the source is a database")
    ] = None,
    options: Annotated[
        ReadOptions | None,
        Field(title="Reading", description="What the file does not tell by itself"),
    ] = None,
    description: Annotated[Description | None, Field(title="About the dataset")] = None,
    personal_data: Annotated[
        Literal["report", "mask"],
        Field(title="Personal data", description="Report it, or mask it in a version of its own"),
    ] = "report",
    policies: Annotated[
        dict[str, Policy] | None,
        Field(title="Masking", description="Policy by column; the kind's usual where none is said"),
    ] = None,
    suite: Annotated[
        Name | None,
        Field(title="Suite", description="Of another dataset, which this is a batch of"),
    ] = None,
    absent: Annotated[
        tuple[str, ...],
        Field(title="Absent", description="Columns a batch need not have, such as the target"),
    ] = (),
) -> DatasetRef:
    """Read data into the catalogue, find personal data, hold it to its suite and describe it.

    The same bytes give the same version. A version that fails the gate stays in the catalogue
    as rejected and cannot be trained on. With masking, the version without personal data is
    the one that is validated and returned.
    """
    dataset = ingest_dataset(
        source,
        project,
        name or normalise_name(file_name(source)),
        target,
        query=query,
        options=options,
        description=description,
    )
    found = find_personal_data(dataset)
    if personal_data == "mask" and (found.unmasked or policies):
        dataset = mask_dataset(dataset, found, policies or {})
    validate_dataset(dataset, suite=suite, absent=absent)
    profile_dataset(dataset, target)
    publish_card(dataset)
    return dataset


if __name__ == "__main__":
    arguments = scripts.parser("flows.data", prepare_dataset.__doc__)
    scripts.add_source(arguments, target_required=False)
    arguments.add_argument("--query", help="SQL, where the source is a database")
    arguments.add_argument("--mask", action="store_true", help="mask personal data")
    scripts.run(
        arguments,
        lambda given: prepare_dataset(
            given.source,
            scripts.dataset_name(given),
            given.target,
            given.project,
            query=given.query,
            personal_data="mask" if given.mask else "report",
        ),
    )
