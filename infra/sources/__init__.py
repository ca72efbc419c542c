"""Where data comes from: the one place that chooses between the kinds of source."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from infra.errors import SourceError

if TYPE_CHECKING:
    from infra.settings import Settings

SCHEMES = ("file", "s3", "https", "http", "kaggle", "example", "upload", "sql")
_SCHEME = re.compile(r"([a-z][a-z0-9+_.-]*)://", re.IGNORECASE)
_SECRETS = ("password", "passwd", "pwd", "token", "secret", "key", "signature", "sig")


def fetch(source: str, folder: Path, settings: Settings, query: str | None = None) -> Path:
    """Return a local file with the data of `source`; what is not local comes into `folder`.

    A path or `file:` names a file on this machine, `s3://bucket/key` an object,
    `https://…` a download, `kaggle://owner/dataset[/file]` a Kaggle dataset,
    `example://iris` a data set that scikit-learn brings, `upload://id/name` a file the
    gateway took, `sql://name` a database of the settings, and any other URL a database of
    which `query` is asked.

    Raises
    ------
    SourceError
        If the source cannot be what it says, or may not be fetched.
    SourceOfflineError
        If it is on the internet and that is not there.
    ServiceUnavailableError
        If it does not answer now.
    """
    source = source.strip()
    scheme = _scheme(source)
    if query is not None or scheme == "sql" or (scheme and scheme not in SCHEMES):
        from infra.sources.sql import run_query  # noqa: PLC0415 - each kind only where used

        return run_query(source, query, folder, settings.sources)
    if scheme in {"", "file"}:
        return Path(source.removeprefix("file://"))
    if scheme in {"https", "http"}:
        from infra.sources.web import download  # noqa: PLC0415 - as above

        return download(source, folder, settings.sources)
    if scheme == "kaggle":
        from infra.sources.kaggle import download_dataset  # noqa: PLC0415 - as above

        return download_dataset(source, folder, settings.sources)
    if scheme == "example":
        from infra.sources.examples import write_example  # noqa: PLC0415 - as above

        return write_example(source, folder)
    from infra.sources.objects import fetch_object  # noqa: PLC0415 - as above

    return fetch_object(source, folder, settings)


def file_name(source: str) -> str:
    """Return what a source's file is called, which is what its dataset is called by default.

    Examples
    --------
    >>> file_name("s3://bucket/2024/My Sales.csv")
    'My Sales.csv'
    >>> file_name("sql://warehouse")
    'warehouse'
    """
    if not _scheme(source):
        return Path(source).name
    _, _, rest = source.partition("://")
    where, _, path = rest.partition("?")[0].partition("/")
    return Path(path).name or where.rpartition("@")[2]


def safe_name(name: str) -> str:
    """Return a file name that is one: no folder, no control character, not too long.

    Examples
    --------
    >>> safe_name("../../etc/passwd"), safe_name(".."), safe_name("a b.csv")
    ('passwd', 'download', 'a b.csv')
    """
    plain = re.sub(r"[\x00-\x1f\x7f:*?\"<>|]", "_", Path(name.replace("\\", "/")).name)
    return plain[-150:] if plain.strip(". ") else "download"


def shown(source: str) -> str:
    """Return the source without what nobody should read: passwords and signed parameters.

    Examples
    --------
    >>> shown("postgresql://me:secret@db/sales")
    'postgresql://me@db/sales'
    >>> shown("https://token@host/a.csv?signature=x")
    'https://host/a.csv'
    """
    source = source.strip()
    scheme = _scheme(source)
    if not scheme:
        return source
    before, _, rest = source.partition("://")
    # up to the last @: a password may hold any sign, quoted or not
    user, at, where = rest.partition("?")[0].rpartition("@")
    named = "" if scheme in {"https", "http"} else user.partition(":")[0] + at
    return f"{before}://{named}{where.partition('#')[0] if scheme != 's3' else where}"


def check(source: str) -> None:
    """Refuse a source that carries a password: runs keep their parameters in plain text."""
    source = source.strip()
    if not _scheme(source):
        return
    _, _, rest = source.partition("://")
    address, _, parameters = rest.partition("?")
    user = address.rpartition("@")[0]
    is_web = _scheme(source) in {"https", "http"}
    secret = {key for key, _ in parse_qsl(parameters)} & set(_SECRETS) and not is_web
    if user.partition(":")[2] or (user and is_web) or secret:
        raise SourceError(
            shown(source),
            "it carries a password, which the run would show; keep the URL in "
            "MILLRACE_SOURCES__DATABASES__<NAME> and name it as sql://<name>",
        )


def _scheme(source: str) -> str:
    """Return the scheme of a URL, or nothing for a path."""
    found = _SCHEME.match(source)
    return found[1].lower() if found else ""
