"""Aliases of the registry that release: whoever sets one changes what is served."""

from __future__ import annotations

from typing import Final, Literal, get_args

Alias = Literal["production", "canary", "shadow", "staging", "dev"]
"""Places a version can be released to, see `infra.database.routes.Role` for those beside."""

PRODUCTION: Final = "production"
"""The place of the live version."""

BESIDE: tuple[str, ...] = tuple(each for each in get_args(Alias) if each != PRODUCTION)
"""The places beside the live version."""
