"""A model version takes an alias, if it is better than the one that holds it."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows import scripts
from infra.aliases import PRODUCTION
from infra.refs import ModelRef
from tasks.promotion import PromotionReport, judge_challenger, record_decision
from tasks.tabular.comparison import PromotionPolicy

DEFAULT_POLICY = PromotionPolicy()


@flow
def promote_model(
    model: ModelRef,
    alias: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")] = PRODUCTION,
    policy: PromotionPolicy = DEFAULT_POLICY,
) -> PromotionReport:
    """Compare a version with the champion on rows neither has seen; the better holds the alias.

    Setting the alias is all: whoever listens to the registry releases the version.

    Args:
        model: The challenger.
        alias: What the better one holds afterwards.
        policy: How much better the challenger must be.
    """
    report = judge_challenger(model, alias, policy)
    record_decision(report)
    return report


if __name__ == "__main__":
    arguments = scripts.parser("flows.promotion", promote_model.__doc__)
    scripts.add_model(arguments)
    arguments.add_argument("--minimum-gain", type=float, default=0.0)
    scripts.run(
        arguments,
        lambda given: promote_model(
            scripts.model_ref(given), policy=PromotionPolicy(given.minimum_gain)
        ),
    )
