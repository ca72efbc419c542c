"""Where model servers run: the one place that chooses between the adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.serving.protocol import ModelServers
    from infra.settings import ServingSettings


def open_servers(settings: ServingSettings) -> ModelServers:
    """Return the stack's supervised servers, or detached ones where there is no stack."""
    if settings.supervisor is not None:
        from infra.serving.supervised import SupervisedServers  # noqa: PLC0415 - one adapter is used

        return SupervisedServers(settings.home, settings.supervisor)
    from infra.serving.detached import DetachedServers  # noqa: PLC0415 - as above

    return DetachedServers(settings.home)
