"""Registry, routes and servers agree again, whatever events were lost."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import flow

from flows import scripts
from flows.release import release_model
from infra.aliases import BESIDE, PRODUCTION
from infra.errors import ReleaseFailedError
from infra.refs import ModelRef
from tasks.reconciliation import find_divergence, stop_strays


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """What was brought about, and what holds the alias without being served."""

    released: tuple[ModelRef, ...]
    failing: tuple[str, ...]
    stopped: tuple[str, ...]


@flow
def reconcile(aliases: tuple[str, ...] = (PRODUCTION, *BESIDE)) -> ReconciliationReport:
    """Release every version that holds an alias and is not served; stop servers left over.

    Args:
        aliases: What makes versions ones to be served.

    Raises
    ------
    ReleaseFailedError
        If a release that was tried here failed; the others were tried all the same.
    """
    divergence = find_divergence(aliases)
    states = {
        model: release_model(model, alias, return_state=True)
        for model, alias in divergence.to_release
    }
    if divergence.strays:
        stop_strays(divergence.strays)
    failed = {model: state for model, state in states.items() if not state.is_completed()}
    if failed:
        names = ", ".join(map(str, failed))
        raise ReleaseFailedError(names, "; ".join(str(s.message) for s in failed.values()))
    return ReconciliationReport(tuple(states), divergence.failing, divergence.strays)


if __name__ == "__main__":
    scripts.run(
        scripts.parser("flows.reconciliation", reconcile.__doc__), lambda _given: reconcile()
    )
