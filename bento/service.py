"""Serve one registered tabular model. Nothing of the platform is imported: a Bento ships alone.

Beside this file lie, in the Bento: `manifest.json`, which names the model and holds its contract,
`plan.pickle` or `model/` with the model, and `model/code`, the library it was made with.
"""

from __future__ import annotations

import os
from pathlib import Path

import bentoml
from endpoint import Endpoint
from journal import Journal
from predictor import read_manifest

MANIFEST = read_manifest()
_LOG = os.environ.get("PREDICTION_LOG")

ENDPOINT = Endpoint(
    MANIFEST,
    journal=Journal(Path(_LOG) / MANIFEST["model"]) if _LOG else None,
    threads=int(os.environ.get("PREDICTION_THREADS", "1")),
)


@bentoml.service(
    name="tabular",
    traffic={"timeout": 30},  # seconds
    metrics={"enabled": False},  # the endpoint counts for itself
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(ENDPOINT, path="/")
class TabularModel:
    """Score rows with the model this Bento was built for.

    The model is the whole fitted pipeline, raw columns in, scores out: this service never
    repeats a preprocessing step. `serve.py` puts the endpoint in front of this service;
    `bentoml serve` runs it inside.
    """

    def __init__(self) -> None:
        ENDPOINT.load()

    @bentoml.on_shutdown
    def close(self) -> None:
        """Let the prediction log go."""
        ENDPOINT.close()
