"""Optuna's studies in a database: several searches share one, and `optuna-dashboard` shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import optuna
from sqlalchemy.exc import SQLAlchemyError

from infra.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from infra.settings import SearchSettings


def open_study(settings: SearchSettings, name: str) -> optuna.Study | None:
    """Open the study called `name`, or make it; None where no database is set.

    Raises
    ------
    ServiceUnavailableError
        If the database does not answer.
    """
    if settings.storage is None:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            storage=settings.storage, study_name=name, direction="maximize", load_if_exists=True
        )
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise ServiceUnavailableError("Optuna's database", str(error).splitlines()[0]) from error
