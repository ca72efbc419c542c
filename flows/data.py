"""Data from anywhere becomes a trusted, described version of a dataset."""

from __future__ import annotations

from typing import Literal

from prefect import flow

from flows import scripts
from infra.refs import DEFAULT_PROJECT, DatasetRef, Name, NameOrNone, normalise_name
from infra.sources import file_name
from tasks.catalogue import publish_card
from tasks.ingestion import Description, ingest_dataset
from tasks.masking import find_personal_data, mask_dataset
from tasks.profiling import profile_dataset
from tasks.tabular.personal import Policy
from tasks.tabular.problem import Said
from tasks.tabular.reading import ReadOptions
from tasks.validation import validate_dataset


@flow
def prepare_dataset(
    source: str,
    name: NameOrNone = "",
    target: str = "",
    project: Name = DEFAULT_PROJECT,
    *,
    problem: Said = "auto",
    query: str = "",
    options: ReadOptions | None = None,
    description: Description | None = None,
    personal_data: Literal["report", "mask"] = "report",
    policies: dict[str, Policy] | None = None,
    suite: NameOrNone = "",
    absent: tuple[str, ...] = (),
) -> DatasetRef:
    """Read data into the catalogue, find personal data, hold it to its suite and describe it.

    The same bytes give the same version. A version that fails the gate stays in the catalogue
    as rejected and cannot be trained on. With masking, the version without personal data is
    the one that is validated and returned.

    Args:
        source: Path on the worker's machine, https://…, s3://bucket/key, sql://name,
            kaggle://owner/dataset/file or example://iris.
        name: Of the dataset, in lower case, digits and underscores; the file's if empty.
        target: Column to predict, checked early; optional.
        project: Datasets and models of a project are kept apart from others.
        problem: What the target holds, where its values do not show it.
        query: SQL, where the source is a database.
        options: What the file does not tell by itself: delimiter, encoding, sheet, types.
        description: Owner, description and tags.
        personal_data: Report it, or mask it in a version of its own.
        policies: How columns are masked: drop, redact, hash, token or generalise by column
            name; where none is said, the kind's usual.
        suite: Dataset whose expectations count, if this is a batch of it.
        absent: Columns such a batch need not have, for example the target.
    """
    dataset = ingest_dataset(
        source,
        project,
        name or normalise_name(file_name(source)),
        target or None,
        said=problem,
        query=query or None,
        options=options,
        description=description,
    )
    found = find_personal_data(dataset)
    if personal_data == "mask" and (found.unmasked or policies):
        dataset = mask_dataset(dataset, found, policies or {})
    return vouch(dataset, target, suite=suite, absent=absent)


def vouch(
    dataset: DatasetRef, target: str = "", *, suite: str = "", absent: tuple[str, ...] = ()
) -> DatasetRef:
    """Hold a version to its suite and describe it: the tasks after which it can be trusted."""
    validate_dataset(dataset, suite=suite or None, absent=absent)
    profile_dataset(dataset, target or None)
    publish_card(dataset)
    return dataset


if __name__ == "__main__":
    arguments = scripts.parser("flows.data", prepare_dataset.__doc__)
    scripts.add_source(arguments, target_required=False)
    arguments.add_argument("--query", default="", help="SQL, where the source is a database")
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
