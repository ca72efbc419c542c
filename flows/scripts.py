"""Run a flow as a plain script: arguments in, one sentence and exit code 1 for a known error."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from prefect.exceptions import ParameterTypeError
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from pydantic import ValidationError

from infra.errors import PlatformError
from infra.refs import DEFAULT_PROJECT, ModelRef, normalise_name
from infra.settings import get_settings
from infra.sources import file_name
from tasks.tabular.errors import TabularError

if TYPE_CHECKING:
    from collections.abc import Callable


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return the parser of `python -m <module>`."""
    summary = (description or "").strip().splitlines()[0]
    return argparse.ArgumentParser(prog=f"python -m {module}", description=summary)


def add_source(arguments: argparse.ArgumentParser, *, target_required: bool) -> None:
    """Add what names a dataset and the column to predict."""
    arguments.add_argument("source", help="file or URL, as prepare_dataset takes it")
    arguments.add_argument(
        "--target", required=target_required, default="", help="column to predict"
    )
    arguments.add_argument("--name", help="dataset and model name; the file's if left out")
    arguments.add_argument("--project", default=DEFAULT_PROJECT)


def add_model(arguments: argparse.ArgumentParser) -> None:
    """Add what names a model version."""
    arguments.add_argument("model", help="registered name, e.g. adult or telco.churn")
    arguments.add_argument("version", type=int, nargs="?", help="the newest if left out")


def dataset_name(given: argparse.Namespace) -> str:
    """Return the name asked for, or the file's."""
    return given.name or normalise_name(file_name(given.source))


def model_ref(given: argparse.Namespace) -> ModelRef:
    """Return the model version asked for."""
    from infra.tracking import Tracking  # noqa: PLC0415 - MLflow only where a model is named

    version = given.version
    if version is None:
        version = Tracking(get_settings().tracking).latest_version(given.model)
    return ModelRef.from_registered(given.model, version)


def run(arguments: argparse.ArgumentParser, call: Callable[[argparse.Namespace], object]) -> None:
    """Parse the command line, run the flow, print what it returned, and exit.

    Prefect starts a server of its own for the run when no API is configured; it writes to
    SQLite, which heartbeats beside the flow would lock.
    """
    given = arguments.parse_args()
    try:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            outcome = call(given)
    except (TabularError, PlatformError, ValidationError, ParameterTypeError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        sys.exit(1)
    sys.stdout.write(f"{outcome}\n")
