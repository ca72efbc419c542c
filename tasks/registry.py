"""Registry stage: a trained model becomes a version, if it is what it says."""

from __future__ import annotations

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from infra.errors import ReproductionError
from infra.refs import ModelRef
from infra.settings import get_settings
from infra.tracking import Tracking
from tasks.retries import if_transient
from tasks.tabular.evidence import TOLERANCE, Evidence, largest_difference


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def register_model(run_id: str, model_uri: str, project: str, name: str) -> ModelRef:
    """Make the model that a run logged the next version of `project`'s model `name`.

    The stored model is loaded back first and must repeat its recorded scores. Registering
    the same run again gives the version it has.

    Raises
    ------
    ReproductionError
        If the loaded model answers anything else than it did when it was trained.
    """
    tracking = Tracking(get_settings().tracking)
    content = tracking.evidence(run_id)
    difference = largest_difference(tracking.load_model(model_uri), Evidence.from_json(content))
    if not difference <= TOLERANCE:
        raise ReproductionError(model_uri, difference, TOLERANCE)
    registered_name = ModelRef(project=project, name=name, version=1).registered_name
    model = tracking.register(run_id, model_uri, registered_name, tracking.lineage(run_id))
    get_run_logger().info("registered %s, scores reproduced to %.0e", model, TOLERANCE)
    return model
