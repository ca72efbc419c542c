"""Errors of the prediction archive.

* PlatformError
  + PredictionNotFoundError
  + BatchNotFoundError
"""

from __future__ import annotations

from http import HTTPStatus

from infra.errors import PlatformError


class PredictionNotFoundError(PlatformError):
    """Neither the archive nor a model server's segments hold the prediction."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, prediction: str, model: str) -> None:
        super().__init__(prediction, model)
        self.prediction = prediction
        self.model = model

    def __str__(self) -> str:
        return (
            f"no prediction {self.prediction!r} of {self.model} is logged; its id is the "
            "`prediction_id` of the answer"
        )


class BatchNotFoundError(PlatformError):
    """No batch of the name was taken for the model."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, batch: str, model: str) -> None:
        super().__init__(batch, model)
        self.batch = batch
        self.model = model

    def __str__(self) -> str:
        return f"there is no batch {self.batch!r} of {self.model}; POST its messages first"
