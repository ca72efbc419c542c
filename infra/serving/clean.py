"""A clean environment without installing one: only what a Bento requires can be imported.

The distributions that its pinned requirements name, and those these require in turn, are linked
into a folder; an isolated interpreter gets that folder and the standard library, nothing else.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import deque
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from infra.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SECONDS = 60.0
_PREDICT = """
import sys
sys.path[:0] = [{site!r}, {context!r}]
from predictor import load_scores, read_manifest, reader_of
import endpoint, service
manifest = read_manifest()
rows = reader_of(manifest).read_named(manifest["sample"][:2])
print(len(load_scores(manifest).scores(rows)))
"""


def require_clean(context: Path, requirements: Sequence[str], what: str) -> None:
    """Import a laid out Bento's service and predict its sample with its requirements alone.

    Raises
    ------
    BuildError
        If a requirement is missing, has another version here, or the prediction fails.
    """
    with TemporaryDirectory() as folder:
        site = Path(folder)
        _link(_closure(requirements, what), site)
        script = _PREDICT.format(site=str(site), context=str(context))
        # -S: the interpreter's own site-packages are not looked into either
        command = [sys.executable, "-I", "-S", "-c", script]
        try:
            done = subprocess.run(  # noqa: S603 - our own command
                command, capture_output=True, text=True, timeout=_SECONDS, check=False, cwd=context
            )
        except subprocess.TimeoutExpired as error:
            raise BuildError(what, f"no prediction after {_SECONDS:.0f} s on its own") from error
    if done.returncode:
        last = (done.stderr.strip() or "no output").splitlines()[-1]
        raise BuildError(what, f"it does not predict with its requirements alone: {last}")


def _closure(requirements: Iterable[str], what: str) -> list[Distribution]:
    """Return the distributions that requirements name, and those that these require in turn."""
    found: dict[str, Distribution] = {}
    open_ = deque((Requirement(line), "") for line in requirements)
    while open_:  # first in, first out: the pins are held before anything they require
        wanted, extra = open_.popleft()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        key = re.sub(r"[-_.]+", "-", wanted.name).lower()
        known = found.get(key)
        if known is None:
            try:
                known = distribution(wanted.name)
            except PackageNotFoundError:
                if wanted.marker is None:
                    raise BuildError(what, f"{wanted} is not installed here") from None
                continue
            if known.version not in wanted.specifier and str(wanted.specifier).startswith("=="):
                raise BuildError(what, f"{wanted} is required, {known.version} is installed")
            found[key] = known
            open_ += [(Requirement(line), "") for line in known.requires or ()]
        for name in wanted.extras:
            open_ += [(Requirement(line), name) for line in known.requires or ()]
    return list(found.values())


def _link(distributions: Iterable[Distribution], site: Path) -> None:
    """Link the top level of every distribution into `site`."""
    for each in distributions:
        tops = {file.parts[0] for file in each.files or () if file.parts[0] not in ("..", ".")}
        for top in tops:
            source, link = Path(str(each.locate_file(top))), site / top
            if source.exists() and not link.exists():
                link.symlink_to(source)
