"""Serve one registered tabular model. Nothing of the platform is imported: a Bento ships alone.

Beside this file lie, in the Bento: `manifest.json`, which names the model and holds its contract,
`plan.pickle` or `model/` with the model, and `model/code`, the library it was made with.
"""

from __future__ import annotations

import bentoml
from endpoint import make_endpoint

ENDPOINT = make_endpoint()


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
