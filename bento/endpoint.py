"""The endpoints of a model server, as one small ASGI application without a framework.

It stands in front of BentoML's middleware, which takes longer than most predictions do; what it
does not know is BentoML's.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import msgspec
from journal import Journal
from metrics import ServerMetrics
from openapi import ASSETS, PAGE, asset, document
from predictor import load_scores, read_manifest, reader_of
from rows import RowsError
from segment import Record
from tables import ARROW, CSV, JSON, UnsupportedTypeError, columns_json, read_table
from wording import Wording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    import numpy as np
    from numpy.typing import NDArray
    from predictor import Scores
    from rows import Batch

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

TEXT = "text/plain; charset=utf-8"
INLINE_BYTES = 20_000
"""JSON up to this size is answered at once; what else comes in a thread, beside other requests."""

_COLLECTED_AFTER = 20_000
"""New objects, as rows are, without a collection: what requests leave behind are no cycles."""

_CALLER = b"x-caller"
_LONGEST_CALLER = 200
_DISCONNECTED = "http.disconnect"


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """A request that is not answered: status, the error's name, words, and the places at fault."""

    def __init__(
        self, status: int, name: str, detail: str, faults: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(status, name, detail)
        self.status, self.name, self.detail, self.faults = status, name, detail, faults


@cache
def make_endpoint() -> Endpoint:
    """Return this process's endpoint, as the environment says: `PREDICTION_LOG`, `…_THREADS`."""
    manifest, log = read_manifest(), os.environ.get("PREDICTION_LOG")
    return Endpoint(
        manifest,
        journal=Journal(Path(log) / manifest["model"]) if log else None,
        threads=int(os.environ.get("PREDICTION_THREADS", "1")),
    )


@dataclass(frozen=True, slots=True)
class Question:
    """A request's head: media types of body and answer, who asks, and when it came."""

    media_type: str
    accepts: str
    caller: str
    started: float


class Endpoint:
    """Predictions, health, metrics and documentation of one model version.

    Parameters
    ----------
    manifest : dict
        What the Bento was built for.
    journal : Journal, optional
        Takes a record per answered request; without one nothing is logged.
    body_limit : int
        Bytes of a request at most.
    seconds : float
        A body that has not arrived, or rows that are not scored, after this long are given up.
    threads : int
        Used for large requests.
    """

    def __init__(
        self,
        manifest: dict[str, Any],
        *,
        journal: Journal | None = None,
        body_limit: int = 16_000_000,
        seconds: float = 30.0,
        threads: int = 1,
    ) -> None:
        self._manifest = manifest
        self._journal = journal
        self._limit, self._seconds, self._threads = body_limit, seconds, threads
        self._model, self._version = manifest["model"], int(manifest["version"])
        self._reader = reader_of(manifest)
        self._wording = Wording(manifest)
        self._scores: Scores | None = None
        self._metrics = ServerMetrics(self._model, self._version)
        self._pool = ThreadPoolExecutor(max(2, threads), thread_name_prefix="rows")
        described = document(manifest, self._reader.columns)
        title = f"{self._model} v{self._version}"
        self._pages: dict[str, tuple[str, bytes]] = {
            "/openapi.json": (JSON, _encode(described)),
            "/docs": ("text/html; charset=utf-8", PAGE.format(title=title).encode()),
        }

    def load(self) -> None:
        """Load the model and answer a first request: only then it is ready."""
        scores = load_scores(self._manifest, threads=self._threads)
        rows = self._reader.read_named(self._manifest["sample"][:2])
        for _ in range(3):  # lazy imports, caches, the native libraries' first allocations
            self._wording.predictions(scores.scores(rows))
        for name in ASSETS:
            kind = "text/css" if name.endswith("css") else "text/javascript"
            self._pages[f"/docs/{name}"] = (kind, asset(name))
        gc.collect()
        gc.freeze()  # what is here stays: collections need not look at it again
        gc.set_threshold(_COLLECTED_AFTER)
        self._scores = scores

    def close(self) -> None:
        """Let the log go."""
        if self._journal is not None:
            self._journal.close()

    def knows(self, path: str) -> bool:
        """Whether a path is one of these endpoints."""
        return path == "/predict" or path in _PLAIN or path in self._pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        path = scope["path"]
        if path != "/predict":
            await self._answer_plain(path, scope["method"], send)
            return
        if scope["method"] != "POST":
            await _send(send, 405, JSON, _words("MethodNotAllowed", "send POST"), b"POST")
            return
        asked = _question(scope)
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._body(receive)
            if asked.media_type == JSON and len(body) <= INLINE_BYTES:
                content, rows = self._predict(body, asked)
                await _others()
                if self._journal is not None:
                    self._journal.write()
            else:
                content, rows = await self._beside(body, asked)
        except ConnectionError:  # the client has gone
            return
        except Refusal as refusal:
            self._metrics.refused(refusal.status, time.perf_counter() - asked.started)
            await _send(send, refusal.status, JSON, _worded(refusal))
            return
        except TimeoutError:
            self._metrics.refused(503, time.perf_counter() - asked.started)
            detail = f"not done after {self._seconds:.0f} s; send fewer rows"
            await _send(send, 503, JSON, _words("TimeLimit", detail))
            return
        self._metrics.answered(rows, time.perf_counter() - asked.started)
        await _send(send, 200, asked.accepts, content)

    async def _body(self, receive: Receive) -> bytes:
        """Return the whole body, or raise `Refusal` when it gets too large."""
        message = await receive()
        if message["type"] == _DISCONNECTED:
            raise ConnectionError
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            self._require_size(len(body))
            return body
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == _DISCONNECTED:
                raise ConnectionError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._require_size(size)
        return b"".join(parts)

    def _require_size(self, size: int) -> None:
        if size > self._limit:
            detail = f"the body is larger than {self._limit:,} bytes; send fewer rows per request"
            raise Refusal(413, "PayloadTooLarge", detail)

    async def _beside(self, body: bytes, asked: Question) -> tuple[bytes, int]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._seconds):
            return await loop.run_in_executor(self._pool, self._predict_beside, body, asked)

    def _predict_beside(self, body: bytes, asked: Question) -> tuple[bytes, int]:
        """Answer in a thread, which writes the log too: a large record takes milliseconds."""
        answered = self._predict(body, asked)
        if self._journal is not None:
            self._journal.write()
        return answered

    def _predict(self, body: bytes, asked: Question) -> tuple[bytes, int]:
        """Read, score, word and note; return the answer, for after the log, and its rows."""
        if (scorer := self._scores) is None:
            raise Refusal(503, "NotReady", "the model is being loaded; try again in a second")
        if self._journal is not None and self._journal.full:
            detail = "the prediction log takes no more, and nothing is answered unlogged"
            raise Refusal(503, "PredictionLogFull", detail)
        try:
            batch, scores = self._scored(scorer, body, asked.media_type)
            predictions = self._wording.predictions(scores)
        except RowsError as error:
            raise Refusal(422, "RowsError", str(error), error.faults) from None
        except UnsupportedTypeError as error:
            raise Refusal(415, "UnsupportedMediaType", str(error)) from None
        identity = token_hex(16)
        answer = self._wording.answer(
            predictions, self._reader.gaps(batch), identity, single=batch.single
        )
        if self._journal is not None:
            request = body
            if asked.media_type != JSON:
                request = columns_json(self._reader.columns, batch)
            took = time.perf_counter() - asked.started
            self._journal.taken.append(
                Record(
                    identity,
                    time.time(),
                    self._version,
                    asked.caller,
                    took,
                    batch.size,
                    request,
                    answer,
                )
            )
        if asked.accepts != JSON:
            answer = self._wording.table(scores, asked.accepts)
        return answer, batch.size

    def _scored(
        self, scorer: Scores, body: bytes, media_type: str
    ) -> tuple[Batch, NDArray[np.float64]]:
        try:
            batch = self._read(body, media_type)
            return batch, scorer.scores(batch)
        except (RowsError, UnsupportedTypeError):
            raise
        except (ValueError, ArithmeticError) as error:  # rows beyond what the model bears
            reason = " ".join(str(error).split())[:300]
            raise Refusal(
                422, "RowsError", f"the model does not bear these rows: {reason}"
            ) from None

    def _read(self, body: bytes, media_type: str) -> Batch:
        if media_type == JSON:
            return self._reader.read(body)
        return self._reader.read_table(*read_table(body, media_type, self._reader.most_rows))

    async def _answer_plain(self, path: str, method: str, send: Send) -> None:
        if method not in ("GET", "HEAD"):
            await _send(send, 405, JSON, _words("MethodNotAllowed", "send GET"), b"GET, HEAD")
            return
        if not self.knows(path):
            await _send(send, 404, JSON, _words("NotFound", "see /docs for what there is"))
        elif path in self._pages:
            kind, content = self._pages[path]
            await _send(send, 200, kind, content)
        elif path == "/metrics":
            await _send(send, 200, TEXT, self._metrics.exposed(self._journal))
        elif path in _READY and self._scores is None:
            await _send(send, 503, TEXT, b"loading")
        else:
            await _send(send, 200, TEXT, b"live" if path == "/health/live" else b"ready")


@types.coroutine
def _others() -> Generator[None]:
    """Let the requests that came with this one be answered: then one write logs them all."""
    yield


_READY = frozenset({"/health/ready", "/readyz"})  # the latter is BentoML's, which knows no loading
_PLAIN = frozenset({"/health/live", "/metrics"}) | _READY
_encode = msgspec.json.Encoder().encode


def _question(scope: Scope) -> Question:
    media_type, accepts, caller = JSON, JSON, ""
    for name, value in scope["headers"]:
        if name == b"content-type":
            media_type = value.split(b";")[0].strip().decode("latin-1").lower()
        elif name == b"accept":
            accepts = _accepted(value)
        elif name == _CALLER:
            caller = value[:_LONGEST_CALLER].decode("latin-1")
    return Question(media_type, accepts, caller, time.perf_counter())


def _accepted(value: bytes) -> str:
    """Return the first media type of the header that is written here; JSON where none is."""
    for part in value.decode("latin-1").lower().split(","):
        wanted = part.split(";")[0].strip()
        if wanted in (JSON, CSV, ARROW):
            return wanted
    return JSON


def _words(name: str, detail: str) -> bytes:
    return _encode({"error": name, "detail": detail})


def _worded(refusal: Refusal) -> bytes:
    content: dict[str, Any] = {"error": refusal.name, "detail": refusal.detail}
    if refusal.faults:
        content["faults"] = [{"place": at, "fault": words} for at, words in refusal.faults]
    return _encode(content)


async def _send(send: Send, status: int, kind: str, content: bytes, allow: bytes = b"") -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(content)).encode())]
    if allow:
        headers.append((b"allow", allow))
    if status == 503:  # noqa: PLR2004 - unavailable
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
