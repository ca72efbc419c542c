"""Settings as an INI file, with the sections that data platforms before this one used."""

from __future__ import annotations

import warnings
from configparser import ConfigParser
from configparser import Error as IniError
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import quote

_KEYS = {
    "dataset": ("bucketname", "foldername"),
    "mlflow": ("tracking_uri",),
}
_DATABASE_KEYS = ("host", "port", "database", "user", "password")


def read_ini(path: str | None) -> dict[str, Any]:
    """Return the settings of the file at `path`; none where no file is named.

    `[postgresql-…]` is the platform's database, `[dataset]` the bucket and the folder in it,
    `[mlflow]` the tracking server. A key or section that is not known is warned about, with
    the nearest that is.

    Raises
    ------
    ValueError
        If the file cannot be read, naming the line where there is one.
    """
    if not path:
        return {}
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError, IniError) as error:
        raise ValueError(f"MILLRACE_CONFIG: {' '.join(str(error).split())}") from error
    settings: dict[str, Any] = {}
    for section in parser.sections():
        values = dict(parser[section])
        if section.startswith("postgresql"):
            _warn(section, values, _DATABASE_KEYS)
            settings["database"] = {"url": _database_url(values)}
        elif section == "dataset":
            _warn(section, values, _KEYS[section])
            settings["storage"] = {
                "kind": "s3",
                "bucket": values.get("bucketname", ""),
                "prefix": values.get("foldername", ""),
            }
        elif section == "mlflow":
            _warn(section, values, _KEYS[section])
            settings["tracking"] = {"url": values.get("tracking_uri", "")}
        else:
            _suggest(f"section [{section}]", section, ("postgresql-local", *_KEYS))
    return settings


def _database_url(values: dict[str, str]) -> str:
    user, password = (quote(values.get(key, ""), safe="") for key in ("user", "password"))
    host = f"{values.get('host', 'localhost')}:{values.get('port', '5432')}"
    return f"postgresql+psycopg2://{user}:{password}@{host}/{values.get('database', '')}"


def _warn(section: str, values: dict[str, str], known: tuple[str, ...]) -> None:
    for key in values:
        if key not in known:
            _suggest(f"{key!r} in [{section}]", key, known)


def _suggest(what: str, name: str, known: tuple[str, ...]) -> None:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    warnings.warn(f"MILLRACE_CONFIG: {what} is not known; {hint}", UserWarning, stacklevel=2)
