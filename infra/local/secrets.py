"""Secrets of the embedded stack: made on first start, kept for its life."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the stack's processes share and nobody else knows.

    MLflow encrypts webhook secrets with `encryption_key`: with another key after a restart it
    would silently deliver nothing.
    """

    gateway_token: str
    webhook_secret: str
    encryption_key: str


def ensure_secrets(path: Path) -> Secrets:
    """Read the secrets at `path`, or make them; only the owner may read the file."""
    try:
        return Secrets(**json.loads(path.read_text()))
    except FileNotFoundError:
        made = Secrets(
            gateway_token=secrets.token_urlsafe(32),
            webhook_secret=secrets.token_urlsafe(32),
            encryption_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        )
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(json.dumps(asdict(made)))
    draft.replace(path)
    return made
