"""Registry stage: a trained model becomes a version, if it is what it says."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from infra.errors import ReproductionError
from infra.refs import ModelRef
from infra.settings import get_settings
from infra.tracking import PLAN_FILE, Tracking
from tasks.retries import if_transient
from tasks.tabular.compiled import plan_difference
from tasks.tabular.evidence import TOLERANCE, Evidence, largest_difference


@task(
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=if_transient,
)
def register_model(run_id: str, model_uri: str, project: str, name: str) -> ModelRef:
    """Make the model that a run logged the next version of `project`'s model `name`.

    The stored model and its plan are loaded back first and must repeat the recorded scores.
    Registering the same run again gives the version it has.

    Raises
    ------
    ReproductionError
        If the loaded model answers anything else than it did when it was trained.
    """
    tracking = Tracking(get_settings().tracking)
    content = tracking.evidence(run_id)
    evidence = Evidence.from_json(content)
    difference = largest_difference(tracking.load_model(model_uri), evidence)
    with TemporaryDirectory() as folder:
        plan = tracking.plan(run_id, Path(folder))
        if plan is not None and (plan / PLAN_FILE).is_file():  # what will be served
            difference = max(difference, plan_difference((plan / PLAN_FILE).read_bytes(), evidence))
    if not difference <= TOLERANCE:
        raise ReproductionError(model_uri, difference, TOLERANCE)
    registered_name = ModelRef(project=project, name=name, version=1).registered_name
    model = tracking.register(run_id, model_uri, registered_name, tracking.lineage(run_id))
    get_run_logger().info("registered %s, scores reproduced to %.0e", model, TOLERANCE)
    return model
