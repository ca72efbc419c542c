"""Batches: messages of many rows each that are answered later, message by message.

A batch lies in the store from the moment it is taken: its messages in one object, every answer
in one of its own as soon as it is there. Whoever answers them may be killed and begin again; what
is answered stays answered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from infra.errors import ArtifactNotFoundError
from infra.predictions.errors import BatchNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.storage.protocol import ArtifactStore


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How many messages a batch has, and how many are answered."""

    messages: int
    answered: int

    @property
    def done(self) -> bool:
        """Whether every message is answered."""
        return self.answered == self.messages


class Batches:
    """The batches of one model in the artifact store."""

    def __init__(self, store: ArtifactStore, model: str) -> None:
        self._store = store
        self._model = model

    def take(self, messages: Sequence[dict[str, Any]]) -> str:
        """Keep messages and return the name of their batch."""
        batch = uuid4().hex
        self._store.write(self._key(batch, "messages.json"), json.dumps(list(messages)).encode())
        return batch

    def messages(self, batch: str) -> list[dict[str, Any]]:
        """Return a batch's messages, or raise `BatchNotFoundError`."""
        try:
            content = self._store.read(self._key(batch, "messages.json"))
        except ArtifactNotFoundError:
            raise BatchNotFoundError(batch, self._model) from None
        messages: list[dict[str, Any]] = json.loads(content)
        return messages

    def answered(self, batch: str) -> set[int]:
        """Return the places of the messages that are answered."""
        folder = self._key(batch, "answers/")
        return {
            int(key.removeprefix(folder).removesuffix(".json")) for key in self._store.keys(folder)
        }

    def answer(self, batch: str, place: int, status: int, content: Any) -> None:
        """Keep the answer to a message: the model server's status and body."""
        body = json.dumps({"message": place, "status": status, "answer": content})
        self._store.write(self._key(batch, f"answers/{place:06d}.json"), body.encode())

    def answers(self, batch: str) -> Iterator[bytes]:
        """Yield the answers so far, a JSON line each, in the messages' order."""
        for place in sorted(self.answered(batch)):
            yield self._store.read(self._key(batch, f"answers/{place:06d}.json")) + b"\n"

    def progress(self, batch: str) -> BatchProgress:
        """Return how far a batch is, or raise `BatchNotFoundError`."""
        return BatchProgress(len(self.messages(batch)), len(self.answered(batch)))

    def _key(self, batch: str, name: str) -> str:
        return f"batches/{self._model}/{batch}/{name}"
