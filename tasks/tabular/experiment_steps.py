"""The steps an experiment can be made of: our own, and those that installed packages publish."""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StringConstraints,
    field_validator,
)

from tasks.tabular.reading import ReadOptions
from tasks.tabular.spec import PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY_POINTS = "millrace.experiment_steps"
"""The group under which packages publish subclasses of `ExperimentStep`."""

Thing = Literal["data", "preparation", "model", "version"]
"""What steps hand on: a dataset version, a preparation, a trained model, a registered one."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$", max_length=100)]
"""Lower-case letters, digits and underscores, as catalogue and registry have it."""

_LOGGER = logging.getLogger(__name__)


class ExperimentStep(BaseModel):
    """A step of an experiment: what it needs from steps before it, gives, and its parameters.

    A step of your own is a subclass with a `name`, published under the entry point
    `millrace.experiment_steps`, that overrides `run`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    needs: ClassVar[tuple[Thing, ...]] = ("data",)
    gives: ClassVar[Thing | None] = None
    """What a pipeline has one of; None for steps that may stand anywhere after what they need."""
    before: ClassVar[tuple[Thing, ...]] = ()
    """What it is too late for once it is there."""

    def run(self, work: Any) -> Any:
        """Carry out the step on what the flow hands from step to step, and return that.

        The flow knows how to carry out our own steps.
        """
        raise NotImplementedError(self.name)


class LoadStep(ExperimentStep):
    """A step that brings data; the dataset gets a version in the catalogue."""

    needs: ClassVar[tuple[Thing, ...]] = ()
    gives: ClassVar[Thing | None] = "data"

    dataset: Name | None = Field(
        default=None, description="Name in the catalogue; the file's if empty"
    )
    options: ReadOptions | None = Field(
        default=None, description="What to believe about the file instead of finding it out"
    )

    @property
    def source(self) -> str:
        """Where the data come from, as ingestion reads it."""
        raise NotImplementedError(self.name)


class LoadFromKaggle(LoadStep):
    """Download a Kaggle dataset with the platform's token."""

    name: ClassVar[str] = "load_data_from_kaggle"

    kaggle_dataset_name: str = Field(
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*/[A-Za-z0-9_-][A-Za-z0-9_.-]*$",
        max_length=200,
        description="Owner and dataset as in the address on Kaggle: mlg-ulb/creditcardfraud",
    )
    training_file_name: str | None = Field(
        default=None,
        pattern=r"^[^/\\\x00-\x1f?#]+$",
        max_length=200,
        description="File of the dataset; all of it, which must be one table, if empty",
    )

    @field_validator("training_file_name")
    @classmethod
    def _names_a_file(cls, file: str | None) -> str | None:
        if file is not None and not file.strip(". "):
            raise ValueError("it names no file")
        return file

    @property
    def source(self) -> str:
        """The dataset's address."""
        file = f"/{self.training_file_name}" if self.training_file_name else ""
        return f"kaggle://{self.kaggle_dataset_name}{file}"


class LoadFromFile(LoadStep):
    """Read a file or archive on the worker's machine."""

    name: ClassVar[str] = "load_data_from_file"

    path: str = Field(
        min_length=1, max_length=4_000, description="On the worker's machine: /app/data/fraud.zip"
    )

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        if "://" in path:
            raise ValueError("it is an address; use load_data_from_url")
        if "\0" in path:
            raise ValueError("it holds a NUL character")
        return path

    @property
    def source(self) -> str:
        """The path."""
        return self.path


class LoadFromUrl(LoadStep):
    """Read from an address: the web, an object store, a database, an example."""

    name: ClassVar[str] = "load_data_from_url"

    url: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9+_.-]*://[^\s\x00-\x1f]+$",
        max_length=4_000,
        description="https://…, s3://bucket/key, sql://name, example://iris, upload://id/name",
    )
    query: str | None = Field(
        default=None, min_length=1, description="SQL, where the address is a database"
    )

    @field_validator("url")
    @classmethod
    def _is_elsewhere(cls, url: str) -> str:
        if url.lower().startswith("file:"):
            raise ValueError("it is a file of the worker; use load_data_from_file")
        return url

    @property
    def source(self) -> str:
        """The address."""
        return self.url


class LoadFromDataset(ExperimentStep):
    """Take a version that is in the catalogue already."""

    name: ClassVar[str] = "load_data_from_dataset"
    needs: ClassVar[tuple[Thing, ...]] = ()
    gives: ClassVar[Thing | None] = "data"

    dataset: Name = Field(description="Name in the catalogue")
    version: int | None = Field(default=None, ge=1, description="The newest if empty")
    project: Name = Field(default="default", description="Project of the dataset")


class PrepareData(ExperimentStep):
    """Say how raw columns become features, in the platform's own steps."""

    name: ClassVar[str] = "prepare_data"
    gives: ClassVar[Thing | None] = "preparation"
    before: ClassVar[tuple[Thing, ...]] = ("model",)

    preparation: PipelineSpec = Field(description="Steps and what becomes of other columns")


class TrainModel(ExperimentStep):
    """Train and compare models; the parameters are PyCaret's, see `pycaret.translate`."""

    name: ClassVar[str] = "train_model"
    gives: ClassVar[Thing | None] = "model"

    feature_engineering_params: dict[str, JsonValue] = Field(
        default={}, description="Parameters of PyCaret's `setup`"
    )
    modeling_params: dict[str, JsonValue] = Field(
        default={},
        description="estimator_list, fold, n_select, tune, ensemble, and PyCaret's "
        "`compare_models`",
    )
    finalize: StrictBool = Field(
        default=False, description="Fit the chosen model again on all rows when it is judged"
    )


class RegisterModel(ExperimentStep):
    """Enter the best model by the main metric in the registry."""

    name: ClassVar[str] = "register_model"
    needs: ClassVar[tuple[Thing, ...]] = ("model",)
    gives: ClassVar[Thing | None] = "version"


_OWN: tuple[type[ExperimentStep], ...] = (
    LoadFromKaggle,
    LoadFromFile,
    LoadFromUrl,
    LoadFromDataset,
    PrepareData,
    TrainModel,
    RegisterModel,
)


@cache
def steps() -> Mapping[str, type[ExperimentStep]]:
    """Return the steps by name; a package whose step cannot be loaded is named in the log."""
    found = {each.name: each for each in _OWN}
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda each: each.name):
        step = _loaded(entry)
        if step is None:
            continue
        if step.name in found:
            _LOGGER.warning("the step %r of %s is left out: the name is taken", step.name, entry)
            continue
        found[step.name] = step
    return found


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of every step's parameters, by name."""
    return {name: step.model_json_schema() for name, step in steps().items()}


def _loaded(entry: EntryPoint) -> type[ExperimentStep] | None:
    try:
        step = entry.load()
        if not (isinstance(step, type) and issubclass(step, ExperimentStep)):
            raise TypeError(f"{step!r} is no ExperimentStep")  # noqa: TRY301 - told like any fault
        if not isinstance(step.name, str) or not step.name:
            raise TypeError("its name is no text")  # noqa: TRY301 - as above
        step.model_json_schema()
    except Exception as fault:  # noqa: BLE001 - foreign code may raise anything while it loads
        _LOGGER.warning("the step %s cannot be loaded: %s", entry, fault)
        return None
    return step
