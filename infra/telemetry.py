"""Usage reports to the makers of our libraries: off, unless the user's environment says on.

Imported first by `infra.settings`, since these libraries look at the environment when they
are imported.
"""

from __future__ import annotations

import os

OFF = {
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # not telemetry, but as unasked for: progress bars in logs
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

for _name, _value in OFF.items():
    os.environ.setdefault(_name, _value)
