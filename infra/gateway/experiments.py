"""MLflow as the gateway needs it: what trainings came to, over HTTP and without its library."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from infra.errors import ServiceUnavailableError
from infra.links import FLOW_RUN_TAG

if TYPE_CHECKING:
    from uuid import UUID

    from infra.settings import TrackingSettings

_API = "/api/2.0/mlflow"
_BOARD = "leaderboard.json"
_MOST = 1_000
"""Candidates of an unfinished training that are looked at, best first."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training's run in MLflow."""

    run_id: str
    experiment_id: str
    metrics: dict[str, float]
    params: dict[str, str]

    @classmethod
    def read(cls, run: dict[str, Any]) -> Training:
        """Read what MLflow answers."""
        info, data = run["info"], run["data"]
        metrics = {each["key"]: float(each["value"]) for each in data.get("metrics", [])}
        params = {each["key"]: each["value"] for each in data.get("params", [])}
        return cls(info["run_id"], info["experiment_id"], metrics, params)


class Experiments:
    """MLflow's API; every call may raise `ServiceUnavailableError`."""

    def __init__(self, settings: TrackingSettings, client: httpx.AsyncClient) -> None:
        self._url = settings.url
        self._client = client

    async def find(self, flow_run: UUID, experiment: str) -> Training | None:
        """Return the newest run that a Prefect run made in an experiment; None before it did."""
        found = await self._ask(
            "GET", f"{_API}/experiments/get-by-name", params={"experiment_name": experiment}
        )
        if found is None:
            return None
        runs = await self._runs(
            found["experiment"]["experiment_id"], FLOW_RUN_TAG, str(flow_run), 1
        )
        return Training.read(runs[0]) if runs else None

    async def version(self, training: Training, registered_name: str) -> int | None:
        """Return the version a training became; None before it did, and if it never does.

        Copies of the version are later ones of the same run, or of other models.
        """
        query = {"filter": f"run_id = '{training.run_id}' and name = '{registered_name}'"}
        found = await self._ask("GET", f"{_API}/model-versions/search", params=query)
        versions = (found or {}).get("model_versions", [])
        return min((int(each["version"]) for each in versions), default=None)

    async def board(self, training: Training) -> list[dict[str, Any]] | None:
        """Return the leaderboard of a training that has ended its search, or None."""
        listed = await self._ask(
            "GET", f"{_API}/artifacts/list", params={"run_id": training.run_id}
        )
        if _BOARD not in {each["path"] for each in (listed or {}).get("files", [])}:
            return None
        place = {"run_uuid": training.run_id, "path": _BOARD}
        lines: list[dict[str, Any]] | None = await self._ask("GET", "/get-artifact", params=place)
        return lines

    async def candidates(self, training: Training) -> list[dict[str, Any]]:
        """Return what was tried so far, best first; those that failed come last."""
        metric = training.params.get("metric", "")
        order = [f"metrics.`{metric}` DESC"] if metric else []
        runs = await self._runs(
            training.experiment_id, "mlflow.parentRunId", training.run_id, _MOST, order
        )
        return [_line(each, metric, place) for place, each in enumerate(runs, 1)]

    async def _runs(
        self, experiment: str, tag: str, value: str, most: int, order: list[str] | None = None
    ) -> list[dict[str, Any]]:
        body = {
            "experiment_ids": [experiment],
            "filter": f"tags.`{tag}` = '{value}'",
            "max_results": most,
            "order_by": order or ["attributes.start_time DESC"],
        }
        found = await self._ask("POST", f"{_API}/runs/search", json=body)
        runs: list[dict[str, Any]] = (found or {}).get("runs", [])
        return runs

    async def _ask(self, method: str, path: str, **given: Any) -> Any:
        """Return MLflow's answer; None for what it does not know."""
        if not self._url.startswith("http"):
            raise ServiceUnavailableError("MLflow", f"{self._url} is no server")
        try:
            response = await self._client.request(method, f"{self._url}{path}", **given)
            if response.status_code == HTTPStatus.NOT_FOUND:
                return None
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise ServiceUnavailableError("MLflow", str(error) or type(error).__name__) from error
        return response.json()


def _line(run: dict[str, Any], metric: str, place: int) -> dict[str, Any]:
    """Word a candidate as the leaderboard words it, as far as it is known yet."""
    read = Training.read(run)
    tags = {each["key"]: each["value"] for each in run["data"].get("tags", [])}
    return {
        "rank": place,
        "learner": read.params.get("learner", ""),
        "score": read.metrics.get(metric),
        "fit_seconds": read.metrics.get("fit_seconds"),
        "predict_seconds": read.metrics.get("predict_seconds"),
        "params": {key: value for key, value in read.params.items() if key != "learner"},
        "error": tags.get("millrace.error", ""),
    }
