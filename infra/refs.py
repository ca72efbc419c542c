"""Addresses of datasets and models: what travels between tasks instead of the things themselves."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from infra.errors import DatasetNameError, ModelNotFoundError

DEFAULT_PROJECT = "default"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$", max_length=100)]
"""Lower-case letters, digits and underscores: safe in keys, URLs and MLflow names."""

NameOrNone = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]*$", max_length=100)]
"""A name, or the empty text that a form gives for none."""


Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""Where random numbers begin."""


class DatasetRef(BaseModel, frozen=True):
    """One immutable version of a dataset in the catalogue."""

    project: Name = Field(default=DEFAULT_PROJECT, title="Project")
    name: Name = Field(title="Dataset", description="Name in the catalogue")
    version: int = Field(ge=1, title="Version", description="Version in the catalogue")

    def __str__(self) -> str:
        return f"{self.project}.{self.name} v{self.version}"


class ModelRef(BaseModel, frozen=True):
    """One immutable version of a model in the registry."""

    project: Name = Field(default=DEFAULT_PROJECT, title="Project")
    name: Name = Field(title="Model", description="Name in the registry, without the project")
    version: int = Field(ge=1, title="Version", description="Version in the registry")

    @property
    def registered_name(self) -> str:
        """Name of the MLflow registered model and of the route.

        The default project stays implicit, so the common case reads as the user wrote it.
        """
        return self.name if self.project == DEFAULT_PROJECT else f"{self.project}.{self.name}"

    @classmethod
    def from_registered(cls, registered_name: str, version: int) -> ModelRef:
        """Read an MLflow name back into a reference, or raise `ModelNotFoundError`."""
        match = re.fullmatch(r"(?:([a-z0-9_]{1,100})\.)?([a-z0-9_]{1,100})", registered_name)
        if match is None or match[1] == DEFAULT_PROJECT:  # which stays implicit
            raise ModelNotFoundError(f"model named by Millrace's rules as {registered_name!r}")
        return cls(project=match[1] or DEFAULT_PROJECT, name=match[2], version=version)

    def __str__(self) -> str:
        return f"{self.registered_name} v{self.version}"


def normalise_name(text: str) -> str:
    """Turn a file or display name into a catalogue name.

    Examples
    --------
    >>> normalise_name("My DataSet.csv")
    'my_dataset'
    >>> normalise_name("Umsätze 2024.csv.gz")
    'umsatze_2024'
    """
    stem = re.sub(
        r"(\.(csv|tsv|txt|parquet|pq|gz|zip|json|jsonl|xlsx|feather))+$", "", text.lower()
    )
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:100]
    if not name:
        raise DatasetNameError(text)
    return name
