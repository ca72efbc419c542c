"""Registry, routes and servers agree again, whatever events were lost."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import State, flow

from flows import scripts
from flows.release import release_model
from infra.errors import ReleaseFailedError
from infra.refs import ModelRef
from infra.tracking import BESIDE, PRODUCTION
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
    states: dict[ModelRef, State] = {}
    failing: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    for alias in aliases:
        divergence = find_divergence(alias)
        states |= {
            model: release_model(model, alias, return_state=True) for model in divergence.to_release
        }
        failing += divergence.failing
        strays = divergence.strays
    if strays:
        stop_strays(strays)
    failed = {model: state for model, state in states.items() if not state.is_completed()}
    if failed:
        names = ", ".join(map(str, failed))
        raise ReleaseFailedError(names, "; ".join(str(s.message) for s in failed.values()))
    return ReconciliationReport(tuple(states), failing, strays)


if __name__ == "__main__":
    scripts.run(
        scripts.parser("flows.reconciliation", reconcile.__doc__), lambda _given: reconcile()
    )
