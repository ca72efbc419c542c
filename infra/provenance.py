"""Which code and which libraries made a model."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository: where flows, the lock file and the Bento's template lie."""

LOCK = ROOT / "requirements.lock"


@cache
def git_commit() -> str:
    """Return the commit of the code, marked `+changes` if files differ; `unknown` without git."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return f"{commit}+changes" if _git("status", "--porcelain", "-uno") else commit


@cache
def lock_hash() -> str:
    """Return the SHA-256 of the lock file: equal hashes, equal libraries."""
    return hashlib.sha256(LOCK.read_bytes()).hexdigest() if LOCK.is_file() else "unknown"


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(ROOT), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
