"""Catalogue stage: what people see of a dataset version."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.links import dataset_page
from infra.refs import DatasetRef
from infra.settings import get_settings
from tasks.retries import if_transient
from tasks.tabular.reports import cell


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def find_dataset(project: str, name: str, version: int | None = None) -> DatasetRef:
    """Return a version that is in the catalogue, the newest if none is named.

    Raises
    ------
    DatasetNotFoundError
        If there is none; the nearest names are suggested.
    """
    catalogue = Catalogue(open_database(get_settings().database))
    if version is None:
        return catalogue.latest(project, name).ref
    return catalogue.get(DatasetRef(project=project, name=name, version=version)).ref


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def publish_card(dataset: DatasetRef) -> str:
    """Show on the run what a version is, where it came from and what was found; return it.

    Raises
    ------
    DatasetNotFoundError
        If the catalogue has no such version.
    """
    settings = get_settings()
    catalogue = Catalogue(open_database(settings.database))
    version = catalogue.get(dataset)
    entry, statistics = version.entry, version.statistics or {}
    made_from = ", ".join(map(str, catalogue.lineage(dataset, "ancestors"))) or "nothing else"
    personal = (version.findings or {}).get("findings", ())
    facts = {
        "source": entry.source,
        "made from": made_from,
        "rows": "not counted" if entry.rows is None else f"{entry.rows:,}",
        "columns": str(len(entry.schema["columns"])),
        "duplicates": str(statistics.get("duplicates", "not counted")),
        "owner": entry.owner or "nobody yet",
        "tags": ", ".join(f"{key}={value}" for key, value in entry.tags.items()) or "none",
        "state": version.state,
        "personal data": ", ".join(f"{each['column']} ({each['kind']})" for each in personal)
        or ("not looked for" if version.findings is None else "none found"),
        "SHA-256 of the original": entry.source_digest,
    }
    links = {
        "Profile": dataset_page(settings.gateway, dataset, "profile"),
        "Data Docs": dataset_page(settings.gateway, dataset, "validation"),
    }
    card = "\n".join(
        [
            f"# {dataset}",
            cell(entry.description),
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {cell(value)} |" for name, value in facts.items()),
            "",
            "| column | kind | type | nullable |",
            "|---|---|---|---|",
            *(
                f"| {cell(each['name'])} | {each['kind']} | {each.get('type', '')} "
                f"| {'yes' if each['nullable'] else 'no'} |"
                for each in entry.schema["columns"]
            ),
            "",
            *(f"[{name}]({link})" for name, link in links.items() if link),
        ]
    )
    key = f"card-{dataset.project}-{dataset.name}".replace("_", "-")
    create_markdown_artifact(card, key=key, description=f"Dataset card of {dataset}")
    return card
