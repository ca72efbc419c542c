"""What the runs say: scores, ranks and costs, as Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import studentized_range

OURS = "millrace"
RESAMPLES = 10_000
LEVEL = 0.05


def complete(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Keep the runs whose dataset and seed every system has; a failed run's score is NaN."""
    runs = pd.DataFrame(records)
    if runs.empty:
        return runs
    for column in ("fit_seconds", "predict_seconds", "single_row_ms", "reason"):
        if column not in runs:
            runs[column] = np.nan
    runs["score"] = pd.to_numeric(runs["score"])
    systems = runs["system"].nunique()
    held = runs.groupby(["dataset", "seed"])["system"].transform("nunique")
    return runs[held == systems]


def score_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean score by dataset and system; NaN where a run of any seed failed."""
    table = runs.pivot_table(
        index="dataset",
        columns="system",
        values="score",
        aggfunc=lambda scores: scores.mean(skipna=False),
        dropna=False,
    )
    return table.loc[runs["dataset"].unique()]


def ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """Rank by dataset, 1 for the best; ties share their mean, failures share the last."""
    return scores.rank(axis=1, ascending=False, na_option="bottom")


def intervals(ranked: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Bootstrap 95% interval of each system's mean rank over datasets."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(ranked), size=(RESAMPLES, len(ranked)))
    means = ranked.to_numpy()[drawn].mean(axis=1)
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2], axis=0)
    return pd.DataFrame({"low": low, "high": high}, index=ranked.columns)


def critical_difference(systems: int, datasets: int) -> float:
    """Difference of mean ranks that the Nemenyi test calls significant at 5%.

    Demsar (2006), "Statistical comparisons of classifiers over multiple data sets",
    Journal of Machine Learning Research 7, section 3.2.2.
    """
    quantile = studentized_range.ppf(1 - LEVEL, systems, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(systems * (systems + 1) / (6 * datasets)))


def normalised(scores: pd.DataFrame, ours: str = OURS) -> pd.DataFrame:
    """Score by dataset, 1 for the best of all and 0 for the worst peer or a failure.

    Ours is below 0 where it is worse than every peer.
    """
    peers = scores.drop(columns=ours, errors="ignore")
    worst, best = peers.min(axis=1), scores.max(axis=1)
    width = (best - worst).where(best > worst)
    shares = scores.sub(worst, axis=0).div(width, axis=0)
    # all peers alike: what equals the best has 1
    level = scores.ge(best, axis=0).astype(float)
    return shares.where(width.notna(), level, axis=0).where(scores.notna(), 0.0)


def beaten(scores: pd.DataFrame, ours: str = OURS) -> pd.DataFrame:
    """Datasets on which `ours` is better than, level with and worse than each other system."""
    ranked = ranks(scores)
    others = ranked.drop(columns=ours)
    against = others.sub(ranked[ours], axis=0)
    return pd.DataFrame(
        {
            "better": (against > 0).sum(),
            "level": (against == 0).sum(),
            "worse": (against < 0).sum(),
            "share": (against > 0).mean(),
        }
    )


def report(records: list[dict[str, Any]], ours: str = OURS) -> str:
    """Write the whole report; a sentence where there is nothing to compare."""
    runs = complete(records)
    if runs.empty:
        return "Nothing to compare: no dataset has a run of every system."
    scores = score_table(runs)
    ranked = ranks(scores)
    order = ranked.mean().sort_values().index
    left_out = sorted({r["dataset"] for r in records} - set(scores.index))
    lines = ["## Scores", "", "More is better; the mean over seeds.", ""]
    lines += _table(_with_metric(scores[order].map(_number), runs))
    if left_out:
        lines += ["", f"Left out, not run by every system: {', '.join(left_out)}."]
    lines += ["", "## Ranks", "", *_table(ranked[order].map(lambda rank: f"{rank:g}"))]
    lines += ["", "## Systems", "", *_table(_summary(runs, scores, ranked).loc[order]), ""]
    if len(order) > 1:
        difference = critical_difference(len(order), len(scores))
        lines.append(
            f"Mean ranks over {len(scores)} datasets differ at 5% where they are"
            f" {difference:.2f} apart (Nemenyi)."
        )
    if ours in scores and len(order) > 1:
        table = beaten(scores, ours).loc[[system for system in order if system != ours]]
        table["share"] = table["share"].map("{:.0%}".format)
        lines += ["", f"## {ours} against each", "", *_table(table)]
    lines += _failures(runs)
    return "\n".join(lines)


def _summary(runs: pd.DataFrame, scores: pd.DataFrame, ranked: pd.DataFrame) -> pd.DataFrame:
    """One row per system: rank, normalised score and what it costs."""
    interval = intervals(ranked)
    overrun = (runs["fit_seconds"] / runs["budget"]).groupby(runs["system"])
    grouped = runs.groupby("system")
    table = pd.DataFrame(
        {
            "mean rank": ranked.mean().map("{:.2f}".format),
            "95% interval": [
                f"{low:.2f} to {high:.2f}" for low, high in interval.itertuples(index=False)
            ],
            "normalised score": normalised(scores).mean().map("{:.3f}".format),
        },
        index=scores.columns,
    )
    table["fit / budget, mean"] = overrun.mean().map("{:.2f}".format)
    table["fit / budget, most"] = overrun.max().map("{:.2f}".format)
    table["one row, ms (median)"] = grouped["single_row_ms"].median().map("{:.1f}".format)
    table["peak memory, MB (most)"] = grouped["peak_mb"].max().map("{:.0f}".format)
    table["failed"] = grouped["score"].agg(lambda s: int(s.isna().sum()))
    return table


def _with_metric(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    metrics = runs.drop_duplicates("dataset").set_index("dataset")["metric"]
    table.insert(0, "metric", metrics)
    return table


def _failures(runs: pd.DataFrame) -> list[str]:
    failed = runs[runs["score"].isna()]
    if failed.empty:
        return []
    lines = ["", "## Failures", ""]
    for run in failed.itertuples():
        reason = str(run.reason).replace("\n", " ")
        lines.append(f"- {run.system} on {run.dataset}, seed {run.seed}: {reason}")
    return lines


def _number(score: float) -> str:
    if np.isnan(score):
        return "failed"
    return f"{score:.4f}" if abs(score) < 100 else f"{score:.1f}"


def _table(frame: pd.DataFrame) -> list[str]:
    head = ["", *map(str, frame.columns)]
    rows = [
        [str(name), *map(str, row)]
        for name, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)
    ]
    lines = ["| " + " | ".join(row) + " |" for row in [head, *rows]]
    return [lines[0], "|" + " --- |" * len(head), *lines[1:]]
