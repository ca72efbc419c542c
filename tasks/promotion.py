"""Promotion stage: a challenger takes the alias, or a reason says why not."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pandas as pd
from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from infra.database.catalogue import Catalogue
from infra.database.engine import open_database
from infra.database.ledger import Promotions
from infra.errors import ChampionChangedError
from infra.frames import read_frame
from infra.refs import DatasetRef, ModelRef
from infra.settings import Settings, get_settings
from infra.storage import open_store
from infra.tracking import Tracking
from tasks.retries import if_transient
from tasks.tabular import comparison
from tasks.tabular.comparison import ComparisonReport, PromotionPolicy
from tasks.tabular.evidence import Evidence
from tasks.tabular.learners import predict_scores
from tasks.tabular.metrics import METRICS


@dataclass(frozen=True, slots=True)
class PromotionReport:
    """The decision; `champion` is the version that held the alias before, if any."""

    model: ModelRef
    alias: str
    promoted: bool
    reason: str
    champion: int | None
    comparison: ComparisonReport | None


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def judge_challenger(model: ModelRef, alias: str, policy: PromotionPolicy) -> PromotionReport:
    """Compare a version with the one behind `alias` on holdout rows neither was trained on.

    Where there is no champion, a constant prediction stands in: a model that learned nothing
    is not promoted either.

    Raises
    ------
    ModelNotFoundError
        If the registry has no such version.
    EvidenceMissingError
        If the version was not registered by Millrace.
    IncomparableError
        If too few rows are unseen by both.
    """
    tracking = Tracking(get_settings().tracking)
    champion = tracking.version_of(model.registered_name, alias)
    if champion == model.version:
        return PromotionReport(
            model,
            alias,
            promoted=False,
            reason=f"it is {alias} already",
            champion=champion,
            comparison=None,
        )
    report = _compare(tracking, get_settings(), model, champion)
    passes = report.passes(policy)
    opponent = f"v{champion}" if champion is not None else "a constant prediction"
    reason = (
        f"{report.metric} {report.challenger:.5f} against {report.champion:.5f} of {opponent} "
        f"on {report.rows:,} unseen rows (gain {report.gain:+.5f}, 95 % interval "
        f"{report.gain_low:+.5f} to {report.gain_high:+.5f}; "
        f"asked: more than {policy.minimum_gain:+.5f})"
    )
    return PromotionReport(model, alias, passes, reason, champion, report)


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def record_decision(report: PromotionReport) -> None:
    """Enter the decision in the ledger and the registry, and set the alias if it is a yes.

    Raises
    ------
    ChampionChangedError
        If the alias moved since the comparison: the gain was over somebody else.
    """
    settings = get_settings()
    tracking = Tracking(settings.tracking)
    current = tracking.version_of(report.model.registered_name, report.alias)
    if report.promoted and current not in {report.champion, report.model.version}:
        raise ChampionChangedError(str(report.model), report.alias, report.champion, current)
    tracking.tag_version(report.model, {f"millrace.promotion.{report.alias}": report.reason[:4000]})
    if report.promoted:
        tracking.set_alias(report.model, report.alias)
    Promotions(open_database(settings.database)).record(
        report.model,
        report.alias,
        champion=report.champion,
        promoted=report.promoted,
        reason=report.reason,
        flow_run=flow_run.get_id(),
    )
    verdict = "promoted" if report.promoted else "not promoted"
    get_run_logger().info("%s %s to %s: %s", report.model, verdict, report.alias, report.reason)
    create_markdown_artifact(
        key=f"promotion-{report.model.project}-{report.model.name}".replace("_", "-"),
        markdown=f"**{report.model} {verdict}** to `{report.alias}`\n\n{report.reason}",
        description=str(asdict(report.comparison)) if report.comparison else None,
    )


def _compare(
    tracking: Tracking, settings: Settings, model: ModelRef, champion: int | None
) -> ComparisonReport:
    evidence, holdout, training = _rows(tracking, settings, model)
    problem = evidence.problem
    if champion is not None:
        rival = model.model_copy(update={"version": champion})
        other, _, learned = _rows(tracking, settings, rival)
        comparison.check_same(problem, other.problem)
        holdout = comparison.unseen_rows(holdout, learned, evidence.schema, other.schema, problem)
    y = problem.encode(holdout[problem.target])
    scores = predict_scores(tracking.load_model(tracking.uri(model)), holdout, problem)
    if champion is None:
        training_y = problem.encode(training[problem.target])
        against = comparison.constant_scores(training_y, len(y), len(problem.classes))
    else:
        against = predict_scores(tracking.load_model(tracking.uri(rival)), holdout, problem)
    return comparison.compare(
        METRICS[evidence.metric],
        y,
        scores,
        against,
        seed=evidence.seed,
        thresholds=(evidence.threshold, other.threshold if champion is not None else 0.5),
    )


def _rows(
    tracking: Tracking, settings: Settings, model: ModelRef
) -> tuple[Evidence, pd.DataFrame, pd.DataFrame]:
    """Return a version's evidence and the raw holdout and training rows of its split."""
    run_id = tracking.run_of(model)
    evidence = Evidence.from_json(tracking.evidence(run_id))
    version = Catalogue(open_database(settings.database)).get(DatasetRef(**evidence.dataset))
    frame = read_frame(open_store(settings.storage), version.frame_digest)
    part = tracking.split(run_id).set_index("row")["part"]
    return (
        evidence,
        frame.loc[part.index[part == "holdout"]],
        frame.loc[part.index[part == "training"]],
    )
