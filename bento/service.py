"""Serve one registered tabular model. Nothing of the platform is imported: a Bento ships alone.

Beside this file lie, in the Bento: `model/`, the MLflow model with its own code, and
`manifest.json`, which names the model and holds its contract.
"""

from __future__ import annotations

import json
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import bentoml
import cloudpickle
import numpy as np
from bentoml.exceptions import BentoMLException
from payloads import JsonValue, Prediction, PredictionResponse, RowError, decide, read_rows
from pydantic import Field

HERE = Path(__file__).parent
MANIFEST: dict[str, Any] = json.loads((HERE / "manifest.json").read_text())
EXAMPLE: list[dict[str, JsonValue]] = MANIFEST["sample"][:2]


class UnprocessableRowError(BentoMLException):
    """A row cannot be scored: the client's mistake, told as such."""

    error_code = HTTPStatus.UNPROCESSABLE_ENTITY


@bentoml.service(name="tabular", traffic={"timeout": 30})  # seconds
class TabularModel:
    """Score rows with the model this Bento was built for.

    The model is the whole fitted pipeline, raw columns in, scores out: this service never
    repeats a preprocessing step.
    """

    def __init__(self) -> None:
        sys.path.insert(0, str(HERE / "model" / "code"))
        with (HERE / "model" / "model.pkl").open("rb") as stream:
            self._model = cloudpickle.load(stream)
        self._columns = MANIFEST["schema"]["columns"]
        self._classes = MANIFEST["problem"]["classes"]
        self._threshold = float(MANIFEST.get("threshold", 0.5))
        self.predict(rows=EXAMPLE)  # warm: the first caller does not wait for lazy imports

    @bentoml.api(route="/predict")
    def predict(
        self,
        rows: Annotated[
            list[dict[str, JsonValue]],
            Field(description="Column names to values, one object per row", examples=[EXAMPLE]),
        ],
    ) -> PredictionResponse:
        """Predict the target of every row."""
        try:
            frame = read_rows(rows, self._columns)
        except RowError as error:
            raise UnprocessableRowError(str(error)) from error
        return PredictionResponse(
            model=MANIFEST["model"],
            version=MANIFEST["version"],
            prediction_id=uuid4().hex,
            predictions=self._predictions(frame),
        )

    def _predictions(self, frame: Any) -> list[Prediction]:
        if not self._classes:
            return [Prediction(prediction=float(value)) for value in self._model.predict(frame)]
        scores = np.asarray(self._model.predict_proba(frame), dtype=float)
        names = [str(label) for label in self._classes]
        return [
            Prediction(
                prediction=self._classes[decide(row, self._threshold)],
                probabilities=dict(zip(names, row.tolist(), strict=True)),
            )
            for row in scores
        ]
