"""Scores in words: what a request is answered, as JSON, CSV or Arrow."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from rows import RowsError
from tables import CSV, write_arrow, write_csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_encode = msgspec.json.Encoder().encode


class Wording:
    """The words of one model version's answers, as its manifest has them."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self._classes = manifest["problem"]["classes"]
        names = [_encode(str(label)).decode() for label in self._classes]
        self._between = [f",{name}:" for name in names]
        self._heads = [
            f'{{"prediction":{_encode(label).decode()},"probabilities":{{{names[0]}:'
            for label in self._classes
        ]
        self._threshold = float(manifest.get("threshold", 0.5))
        model, version = manifest["model"], int(manifest["version"])
        self._head = f'"model":{_encode(model).decode()},"version":{version}'
        title = manifest.get("title", model)
        self._single = f'"model":{_encode(title).decode()},"version":{version}'

    def predictions(self, scores: NDArray[np.float64]) -> list[str]:
        """Word a prediction per row in JSON.

        All numbers are worded at once: of a thousand rows that is most of the work.

        Raises
        ------
        RowsError
            If a score is no number.
        """
        _require_finite(scores)
        numbers = _encode(scores.ravel().tolist())[1:-1].decode().split(",")
        if not self._classes:
            return [f'{{"prediction":{each},"probabilities":null}}' for each in numbers]
        heads, between = self._heads, self._between
        labels = self._labels(scores)
        if len(heads) == 2:  # noqa: PLR2004 - most models
            pairs = zip(labels, numbers[::2], numbers[1::2], strict=True)
            return [f"{heads[at]}{one}{between[1]}{other}}}}}" for at, one, other in pairs]
        width = len(heads)
        rows = (numbers[start : start + width] for start in range(0, len(numbers), width))
        return [
            heads[at] + row[0] + "".join(map(add, between[1:], row[1:])) + "}}"
            for at, row in zip(labels, rows, strict=True)
        ]

    def answer(
        self, predictions: Sequence[str], gaps: Sequence[str], identity: str, *, single: bool
    ) -> bytes:
        """Return the JSON of all predictions; of a single row, a flat one."""
        warnings = ""
        if gaps:
            words = [f"{name}: missing, and answered as such" for name in gaps]
            warnings = f',"warnings":{_encode(words).decode()}'
        noted = f'"prediction_id":"{identity}"{warnings}'
        if single:
            return f"{{{self._single},{noted},{predictions[0][1:]}".encode()
        content = ",".join(predictions)
        return f'{{{self._head},{noted},"predictions":[{content}]}}'.encode()

    def table(self, scores: NDArray[np.float64], accepts: str) -> bytes:
        """Return the predictions as a table of the media type."""
        names = ["prediction", *(f"probability_{label}" for label in self._classes)]
        rows = [[value] for value in scores.tolist()]
        if self._classes:
            labels = [self._classes[at] for at in self._labels(scores)]
            rows = [[label, *row] for label, row in zip(labels, scores.tolist(), strict=True)]
        return (write_csv if accepts == CSV else write_arrow)(names, rows)

    def _labels(self, scores: NDArray[np.float64]) -> list[int]:
        """Return the place of every row's class: of two by the threshold, at a half the greater."""
        if len(self._classes) == 2 and self._threshold != 0.5:  # noqa: PLR2004 - see above
            second: list[int] = (scores[:, 1] >= self._threshold).astype(int).tolist()
            return second
        greatest: list[int] = scores.argmax(axis=1).tolist()
        return greatest


def _require_finite(scores: NDArray[np.float64]) -> None:
    finite = np.isfinite(scores)
    if not finite.all():
        row = int(np.flatnonzero(~finite.reshape(len(scores), -1).all(axis=1))[0])
        raise RowsError([(f"rows[{row}]", "the model has no answer; look for huge numbers")])
