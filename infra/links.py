"""What leads from one thing to another: addresses of pages, and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from infra.refs import DatasetRef
    from infra.settings import GatewaySettings

Page = Literal["profile", "validation"]

FLOW_RUN_TAG = "millrace.flow_run"
"""Tag of a training's MLflow run: the Prefect run it is of."""


def experiment_of(dataset: DatasetRef, wanted: str = "") -> str:
    """Return the MLflow experiment of a dataset's trainings, unless another is wanted."""
    return wanted or f"{dataset.project}/{dataset.name}"


def dataset_page(gateway: GatewaySettings, dataset: DatasetRef, page: Page) -> str | None:
    """Return the address of a page about a version; None where no gateway runs."""
    if gateway.url is None:
        return None
    base = gateway.url.rstrip("/")
    return f"{base}/datasets/{dataset.project}/{dataset.name}/versions/{dataset.version}/{page}"


def page_key(dataset: DatasetRef, page: Page) -> str:
    """Return where in the store a page about a version lies, as HTML."""
    return f"{page}s/{dataset.project}/{dataset.name}/{dataset.version}.html"
