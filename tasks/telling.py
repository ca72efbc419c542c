"""What is told of a search while it runs and when it is done: runs, plots, tables, log lines."""

from __future__ import annotations

import base64
import json
import time
from functools import partial

import numpy as np
import pandas as pd
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from infra.background import Background
from infra.database.catalogue import DatasetVersion
from infra.errors import ServiceUnavailableError
from infra.refs import DatasetRef
from infra.tracking import Tracking
from tasks.tabular import balancing, leaderboard, search
from tasks.tabular.canvas import Plot
from tasks.tabular.compiled import Compilation
from tasks.tabular.packing import pinned
from tasks.tabular.plans.plan import dump_plan
from tasks.tabular.task import Candidate, Task

SERVING_TAG = "millrace.serving"
"""Says on a run and its versions whether a compiled plan serves, or why not."""


def tell_data(
    tracking: Tracking,
    run_id: str,
    version: DatasetVersion,
    task_: Task,
    *,
    rows: int,
    parts: pd.Series,
) -> None:
    """Note what the run was given and how it goes about it."""
    tracking.log_dataset(
        run_id,
        name=str(version.ref),
        digest=version.source_digest,
        source={"dataset": version.ref.model_dump(), "frame": version.frame_digest},
        schema=task_.schema.to_json()["columns"],
        profile={
            "rows": rows,
            "parts": {str(k): int(v) for k, v in parts.value_counts().items()},
            "row_ids": "evidence/split.parquet",
        },
    )
    tracking.log_params(
        run_id,
        {
            "target": task_.problem.target,
            "problem": task_.problem.kind,
            "metric": task_.metric.name,
            "folds": len(task_.folds),
            "training_rows": len(task_.y),
            "features": len(task_.schema.columns),
            "seed": task_.seed,
            "threads": task_.threads,
        },
    )


def tell_search(
    tracking: Tracking,
    run_id: str,
    found: search.SearchResult,
    board: leaderboard.Leaderboard,
    holdout: dict[str, float],
) -> None:
    """Log what the search came to, and every figure of the holdout."""
    tracking.log_metrics(
        run_id,
        {
            **{f"holdout_{name}": score for name, score in holdout.items()},
            "validation_score": found.score,
            "search_seconds": found.seconds,
            "row_milliseconds": 1000 * found.row_seconds,
        },
    )
    tracking.log_table(run_id, board.to_json(), "leaderboard.json")
    mixes = [{"name": e.name, "score": e.score, "weights": e.weights} for e in found.ensembles]
    tracking.log_table(run_id, mixes, "ensembles.json")
    if found.balancing is not None:
        tracking.log_text(run_id, json.dumps(found.balancing.to_json(), indent=1), "balancing.json")
        _tell_balancing(found.balancing)


def tell_plan(tracking: Tracking, run_id: str, compiled: Compilation) -> None:
    """Keep the plan that serves the model, or why the model is served as it is."""
    plan, proof = compiled.plan, compiled.proof
    tracking.log_plan(
        run_id,
        dump_plan(plan) if plan is not None else None,
        {
            "serving": str(compiled),
            "requirements": pinned(plan.needs) if plan is not None else [],
            "proof": proof.to_json() if proof is not None else None,
        },
    )
    tracking.tag_run(run_id, {SERVING_TAG: str(compiled)})
    get_run_logger().info("served %s", compiled)


def draw(tracking: Tracking, run_id: str, dataset: DatasetRef, plots: dict[str, Plot]) -> None:
    """Keep the plots with the run, and show them on the Prefect run."""
    for name, plot in plots.items():
        tracking.log_bytes(run_id, plot.png, f"plots/{name}.png")
        tracking.log_text(run_id, json.dumps(plot.data), f"plots/{name}.json")
    create_markdown_artifact(
        key=f"plots-{dataset.project}-{dataset.name}".replace("_", "-"),
        markdown="\n\n".join(f"![{name}]({_inline(plot)})" for name, plot in plots.items()),
        description=f"{dataset}: how the model does on the holdout, and how it was found",
    )


def _tell_balancing(report: balancing.BalancingReport) -> None:
    logger = get_run_logger()
    for trial in report.trials[1:]:
        gain, error = report.gain(trial)
        what = trial.error or f"{report.metric} {gain:+.5f} ± {error:.5f} over doing nothing"
        logger.info("rare classes, %s: %s", trial.balancing.method, what)
    logger.info("rare classes: %s is used", report.chosen.method)


def _inline(plot: Plot) -> str:
    """Return a picture as an address that holds it: a browser needs no way to MLflow."""
    return f"data:image/png;base64,{base64.b64encode(plot.png).decode()}"


class Teller:
    """Log every candidate as a nested run; tell of those that fail or are the best so far."""

    def __init__(
        self,
        tracking: Tracking,
        run_id: str,
        metric: str,
        started: float,
        background: Background,
    ) -> None:
        self._tracking = tracking
        self._run_id = run_id
        self._metric = metric
        self._started = started
        self._background = background
        self._best = -np.inf
        self._logger = get_run_logger()
        self.points: list[tuple[float, float | None, str]] = []

    def __call__(self, candidate: Candidate) -> None:
        """Take note of one candidate."""
        seconds = time.monotonic() - self._started
        score = candidate.score if candidate.fold_scores else None
        self.points.append((seconds, score, candidate.learner))
        self._background.call(partial(self._log, candidate))
        what = f"candidate {candidate.number}, {candidate.learner}"
        if candidate.error:
            self._logger.warning("[%3.0f s] %s failed: %s", seconds, what, candidate.error)
        elif candidate.score > self._best:
            self._best = candidate.score
            self._logger.info("[%3.0f s] %s: %s %.5f", seconds, what, self._metric, candidate.score)

    def _log(self, candidate: Candidate) -> None:
        try:
            self._log_run(candidate)
        except ServiceUnavailableError as error:  # the search is worth more than its record
            self._logger.warning("candidate %d is not logged: %s", candidate.number, error)

    def _log_run(self, candidate: Candidate) -> None:
        self._tracking.log_candidate(
            self._run_id,
            f"{candidate.number:03d} {candidate.learner}",
            params={"learner": candidate.learner, **candidate.params},
            metrics={
                **({self._metric: candidate.score} if candidate.fold_scores else {}),
                "fit_seconds": candidate.fit_seconds,
                "predict_seconds": candidate.predict_seconds,
            },
            steps={f"fold_{self._metric}": candidate.fold_scores},
            error=candidate.error,
        )


def show(dataset: DatasetRef, board: leaderboard.Leaderboard, holdout_score: float) -> None:
    """Show the leaderboard on the Prefect run."""
    create_table_artifact(
        key=f"leaderboard-{dataset.project}-{dataset.name}".replace("_", "-"),
        table=[
            {
                "rank": line.rank,
                "learner": line.learner,
                board.metric: line.score,
                "95 %": "" if line.low is None else f"{line.low:.5f} to {line.high:.5f}",
                "tied with the best": "yes" if line.tied else "",
                "weight": line.weight or "",
                "folds": line.folds,
                "fit (s)": line.fit_seconds,
                "predict (s)": line.predict_seconds,
                "row (ms)": round(1000 * line.row_seconds, 3),
                "size (kB)": line.size // 1000,
                "front": "yes" if line.front else "",
                "repeats": line.grade,
                "parameters": str(line.params) if line.params else "defaults",
                "error": line.error,
            }
            for line in board.lines
        ],
        description=f"{dataset}: validation {board.metric}; what is served has "
        f"{holdout_score:.5f} on the holdout",
    )
