"""Compare AutoML systems on tables: `python -m tests.benchmarks.automl --help`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from tests.benchmarks.automl import data, harness
from tests.benchmarks.automl.environments import KEPT, SYSTEMS, UnavailableError, python_of
from tests.benchmarks.automl.report import report


def _say(words: object) -> None:
    print(words, flush=True)  # noqa: T201 - a command answers on standard output


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.automl", description=__doc__)
    parser.add_argument("--systems", type=_names, help=f"default: {','.join(SYSTEMS)}")
    parser.add_argument("--datasets", type=_names, default=list(data.DEFAULT))
    parser.add_argument("--budget", type=float, default=60.0, help="seconds to fit in")
    parser.add_argument("--seeds", type=_names, default=["0"])
    parser.add_argument("--again", action="store_true", help="repeat what is done")
    parser.add_argument("--report-only", action="store_true", help="run nothing")
    parser.add_argument("--results", type=Path, default=KEPT / "results.jsonl")
    asked = parser.parse_args()
    unknown = set(asked.systems or []) - set(SYSTEMS) | set(asked.datasets) - set(data.load_index())
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return asked


def _available(systems: list[str]) -> dict[str, Path]:
    """Interpreter of every system that can run here."""
    found = {}
    for system in systems:
        try:
            found[system] = python_of(system)
        except UnavailableError as error:
            _say(error)
    return found


def _run_all(asked: argparse.Namespace) -> None:
    """Run what is not done: all systems on a table before the next table."""
    harness.pin()
    pythons = _available(asked.systems or list(SYSTEMS))
    index = data.load_index()
    done = set()
    if not asked.again:
        done = {harness.key_of(record) for record in harness.read_results(asked.results)}
    for name in asked.datasets:
        dataset = index[name]
        for seed in map(int, asked.seeds):
            open_runs = [s for s in pythons if (s, name, asked.budget, seed) not in done]
            if not open_runs:
                continue
            parts = data.split(
                pd.read_csv(dataset.path),
                dataset.target,
                regression=dataset.task == "regression",
                seed=seed,
            )
            for system in open_runs:
                record = harness.run_system(
                    system, pythons[system], dataset, parts, budget=asked.budget, seed=seed
                )
                harness.append_result(asked.results, record)
                _say(_line(record))


def _line(record: dict[str, Any]) -> str:
    head = f"{record['dataset']:16} {record['system']:22} seed {record['seed']}"
    if record["status"] == "failed":
        return f"{head} failed: {record['reason']}"
    return (
        f"{head} {record['metric']} {record['score']:.5f} fit {record['fit_seconds']:.1f} s"
        f" row {record['single_row_ms']:.1f} ms peak {record['peak_mb']:.0f} MB"
        f" ({record['note']})"
    )


def main() -> None:
    """Run, then report."""
    asked = _arguments()
    if not asked.report_only:
        _run_all(asked)
    records = [
        record
        for record in harness.read_results(asked.results)
        if record["budget"] == asked.budget
        and record["dataset"] in asked.datasets
        and str(record["seed"]) in asked.seeds
        and (asked.systems is None or record["system"] in asked.systems)
    ]
    _say(report(records))


if __name__ == "__main__":
    main()
