"""How errors are answered: worded once, here, so that no route translates them by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from infra.errors import TransientError

if TYPE_CHECKING:
    from infra.errors import PlatformError

_RETRY_AFTER = {"retry-after": "2"}


def worded(error: PlatformError) -> tuple[int, bytes, dict[str, str]]:
    """Return status, JSON body and headers of an error."""
    content = json.dumps({"error": type(error).__name__, "detail": str(error)}).encode()
    headers = {"content-type": "application/json"}
    if isinstance(error, TransientError):
        headers |= _RETRY_AFTER
    return int(error.status), content, headers
