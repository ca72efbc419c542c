"""Unpack gzip files and zip archives, and refuse those that would do harm."""

from __future__ import annotations

import gzip
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from tasks.tabular.errors import ArchiveError, MalformedTableError

_CHUNK = 2**20
_HARMLESS = 100 * 2**20
"""Bytes that are unpacked without asking how well they were packed."""

_RATIO = 200
"""Bytes out per byte in beyond which a larger file is a bomb; tables pack 2 to 50 times."""


def unpack(path: Path, source: str, scratch: Path, *, member: str | None, limit: int) -> Path:
    """Return the file inside the archive at `path`, unpacked into the folder `scratch`.

    Parameters
    ----------
    member : str, optional
        Name of the file in a zip archive that holds several.
    limit : int
        Bytes that an unpacked file may have.

    Raises
    ------
    ArchiveError
        If the archive holds no table or several, hides its content, names places outside
        itself, or unpacks to more than it may.
    MalformedTableError
        If it is damaged.
    """
    if path.suffix.lower() == ".gz":
        return _gzip(path, source, scratch, limit)
    return _zip(path, source, scratch, member, limit)


def _gzip(path: Path, source: str, scratch: Path, limit: int) -> Path:
    target = scratch / path.stem
    try:
        with gzip.open(path) as packed:
            _copy(packed, target, source, path.stat().st_size, limit)
    except (OSError, EOFError, zlib.error) as error:
        raise MalformedTableError(source, f"gzip: {error}") from error
    return target


def _zip(path: Path, source: str, scratch: Path, member: str | None, limit: int) -> Path:
    try:
        with zipfile.ZipFile(path) as archive:
            entry = _entry(archive, source, member)
            target = scratch / PurePosixPath(entry.filename).name
            with archive.open(entry) as packed:
                _copy(packed, target, source, entry.compress_size, limit)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise MalformedTableError(source, f"zip: {error}") from error
    return target


def _entry(archive: zipfile.ZipFile, source: str, member: str | None) -> zipfile.ZipInfo:
    """Return the one table of the archive; every name in it must be harmless."""
    files = [each for each in archive.infolist() if not each.is_dir()]
    for each in files:
        name = PurePosixPath(each.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise ArchiveError(source, f"{each.filename!r} names a place outside the archive")
        if stat.S_ISLNK(each.external_attr >> 16):
            raise ArchiveError(source, f"{each.filename!r} is a link")
    shown = [each for each in files if not _is_hidden(each.filename)]
    if member is not None:
        shown = [each for each in shown if member in {each.filename, Path(each.filename).name}]
    if len(shown) != 1:
        names = ", ".join(sorted(each.filename for each in files)[:20]) or "nothing"
        wanted = f"no file {member!r}" if member else f"{len(shown)} files where one is expected"
        raise ArchiveError(source, f"it holds {wanted} ({names}); name the one to read as `member`")
    if shown[0].flag_bits & 1:
        raise ArchiveError(source, "it is encrypted; unpack it and give the file inside")
    return shown[0]


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith(".")


def _copy(
    packed: IO[bytes] | gzip.GzipFile, target: Path, source: str, size: int, limit: int
) -> None:
    written = 0
    with target.open("wb") as file:
        while chunk := packed.read(_CHUNK):
            written += len(chunk)
            if written > limit or (written > _HARMLESS and written > _RATIO * size):
                raise ArchiveError(
                    source,
                    f"it unpacks to more than {written // 2**20} MiB from {size:,} bytes; "
                    "unpack it yourself if that is meant",
                )
            file.write(chunk)
