"""Run the gateway: `python -m infra.gateway`."""

from __future__ import annotations

import uvicorn

from infra.gateway.app import create_app
from infra.settings import get_settings

if __name__ == "__main__":
    settings = get_settings()
    uvicorn.run(
        create_app(settings),
        host="127.0.0.1",
        port=settings.stack.gateway_port,
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=5,
    )
