"""Kaggle datasets, with the user's own token."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import SourceError
from infra.sources import safe_name
from infra.sources.web import download

if TYPE_CHECKING:
    from infra.settings import SourceSettings


def download_dataset(source: str, folder: Path, settings: SourceSettings) -> Path:
    """Download `kaggle://owner/dataset[/file]`: one file, or the archive of all of them.

    Raises
    ------
    SourceError
        If there is no token, no such dataset, or the token may not read it.
    SourceOfflineError, ServiceUnavailableError
        If Kaggle does not answer.
    """
    owner, _, rest = source.removeprefix("kaggle://").partition("/")
    dataset, _, file = rest.partition("/")
    if not owner or not dataset:
        raise SourceError(source, "write kaggle://owner/dataset or kaggle://owner/dataset/file")
    url = f"{settings.kaggle_url.rstrip('/')}/datasets/download/{owner}/{dataset}"
    found = download(f"{url}/{file}" if file else url, folder, settings, _token(source, settings))
    with found.open("rb") as content:
        packed = content.read(4) == b"PK\x03\x04"
    wanted = safe_name(file or dataset)
    if packed and not wanted.endswith((".zip", ".xlsx", ".xlsm")):
        wanted += ".zip"  # Kaggle packs what is large
    return found.rename(folder / wanted)


def _token(source: str, settings: SourceSettings) -> tuple[str, str]:
    """Return user and key: of the settings, of Kaggle's variables, or of Kaggle's own file."""
    if settings.kaggle_username and settings.kaggle_key:
        return settings.kaggle_username, settings.kaggle_key.get_secret_value()
    if "KAGGLE_USERNAME" in os.environ and "KAGGLE_KEY" in os.environ:
        return os.environ["KAGGLE_USERNAME"], os.environ["KAGGLE_KEY"]
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR", Path.home() / ".kaggle"))
    try:
        content = json.loads((folder / "kaggle.json").read_text())
        return content["username"], content["key"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            source, "no token: set KAGGLE_USERNAME and KAGGLE_KEY, or save kaggle.json"
        ) from error
