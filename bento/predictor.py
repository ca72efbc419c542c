"""The model of this Bento, as scores of typed rows: its plan, or the fitted pipeline itself."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rows import Column, Reader, columns_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rows import Batch

HERE = Path(__file__).parent

INTERFACE = 1
"""Of the plans this server knows, see `tasks.tabular.plans.plan`."""


class Scores(Protocol):
    """Whatever scores a batch."""

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        """Return shape (n_rows, n_classes), or (n_rows,) in regression."""


class InterfaceError(RuntimeError):
    """The plan was made for another server than this."""


class Fitted:
    """The fitted pipeline on frames: for models that have no proven plan."""

    def __init__(self, model: Any, columns: tuple[Column, ...], *, classifies: bool) -> None:
        import pandas as pd  # noqa: PLC0415 - only such models need it

        self._frames = pd
        self._columns = columns
        self._predict = model.predict_proba if classifies else model.predict

    def scores(self, batch: Batch) -> NDArray[np.float64]:
        """Put the columns into a frame and ask the pipeline."""
        import numpy as np  # noqa: PLC0415 - there already

        return np.asarray(self._predict(self._frame(batch)), dtype=float)

    def _frame(self, batch: Batch) -> Any:
        numbers, texts, instants = iter(batch.numbers.T), iter(batch.texts), iter(batch.instants)
        series = self._frames.Series
        made = {}
        for column in self._columns:
            if column.kind in ("numeric", "boolean"):
                made[column.name] = series(next(numbers), dtype="float64")
            elif column.kind == "datetime":
                made[column.name] = series(next(instants), dtype="datetime64[us, UTC]")
            else:
                made[column.name] = series(next(texts), dtype=object)
        return self._frames.DataFrame(made)


def read_manifest() -> dict[str, Any]:
    """Return what this Bento was built for: the model's name, contract and sample."""
    manifest: dict[str, Any] = json.loads((HERE / "manifest.json").read_text())
    return manifest


def load_scores(manifest: dict[str, Any], *, threads: int = 1) -> Scores:
    """Load the plan or the pipeline, whichever was proven for this version.

    Raises
    ------
    InterfaceError
        If the plan is not of this server's interface.
    """
    sys.path.insert(0, str(HERE / "model" / "code"))  # the library the model was made with
    if manifest["serves"] == "plan":
        plan = pickle.loads((HERE / "plan.pickle").read_bytes())  # noqa: S301 - our own build
        if plan.interface != INTERFACE:
            raise InterfaceError(f"plan {plan.interface}, server {INTERFACE}: build it again")
        plan.open(threads)
        return plan  # type: ignore[no-any-return]  # the plan's module is the model's
    import cloudpickle  # noqa: PLC0415 - only such models need it

    with (HERE / "model" / "model.pkl").open("rb") as stream:
        model = cloudpickle.load(stream)
    return Fitted(
        model, columns_of(manifest["schema"]), classifies=bool(manifest["problem"]["classes"])
    )


def reader_of(manifest: dict[str, Any]) -> Reader:
    """Return what reads requests for the model."""
    return Reader(columns_of(manifest["schema"]))
