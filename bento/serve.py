"""Run this Bento's service in one process, its endpoint in front: `python serve.py --port 3000`.

`bentoml serve` does the same with a supervisor, workers and middleware of BentoML's around it.
The socket is bound before anything heavy is imported, and `/health/live` answers at once;
`/health/ready` does when the model has.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

_YIELDING = 10
"""Niceness added to what makes this server ready: the one before it answers on the same cores."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--log", help="folder of the prediction log; without it nothing is logged")
    parser.add_argument("--threads", type=int, default=1, help="for requests of many rows")
    return parser.parse_args()


def _bound(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(2048)
    return listening


def _give_way() -> None:
    if sys.platform != "linux":  # where niceness is not a thread's own
        return
    thread = threading.get_native_id()
    with suppress(OSError):  # whoever forbids it has other means
        nice = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(19, nice + _YIELDING))


_PREPARING = ThreadPoolExecutor(1, "preparing", initializer=_give_way)


class Front:
    """The endpoint before BentoML's application, which gets the paths the endpoint lacks.

    BentoML takes a second and forty megabytes to import: that is done for the first request that
    is BentoML's, and never where there is none.
    """

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint
        self._behind: asyncio.Future[Any] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Route a request; the model loads beside the first of them."""
        if scope["type"] == "http" and self._endpoint.knows(scope["path"]):
            await self._endpoint(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            if self._behind is None:
                self._behind = asyncio.ensure_future(asyncio.to_thread(_bentoml_application))
            behind = await self._behind
            await behind(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        loading = asyncio.get_running_loop().run_in_executor(_PREPARING, self._endpoint.load)
        loading.add_done_callback(_end_if_failed)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._endpoint.close()
        await send({"type": "lifespan.shutdown.complete"})


def _bentoml_application() -> Any:
    from service import TabularModel  # noqa: PLC0415 - a second, see `Front`

    return TabularModel.to_asgi()


def _end_if_failed(loading: asyncio.Future[None]) -> None:
    """End a server whose model cannot be loaded, loudly: whoever watches it is told."""
    if not loading.cancelled() and loading.exception() is not None:
        import traceback  # noqa: PLC0415 - at the end of it all

        traceback.print_exception(loading.exception())
        sys.stdout.flush()
        os._exit(1)


def _libraries() -> tuple[Any, Any]:
    import endpoint  # noqa: PLC0415 - the socket comes first
    import uvicorn  # noqa: PLC0415 - as above

    return uvicorn, endpoint


def main() -> None:
    """Serve until told to stop."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again at its end
    listening = _bound(given.host, given.port)
    if given.log:
        os.environ["PREDICTION_LOG"] = given.log
    os.environ["PREDICTION_THREADS"] = str(given.threads)
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    for library in ("OPENBLAS", "OMP"):  # whoever is to use more is told so
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    sys.path.insert(0, str(HERE))
    uvicorn, endpoint = _PREPARING.submit(_libraries).result()
    config = uvicorn.Config(
        Front(endpoint.make_endpoint()),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
