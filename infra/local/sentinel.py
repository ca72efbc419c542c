"""Watch the supervisor, which watches everything else."""

from __future__ import annotations

import time

from infra.local.stack import SUPERVISOR, Stack
from infra.processes import Records
from infra.settings import Settings

_POLL_SECONDS = 1.0


def main() -> None:
    """Wait until the supervisor is killed, bring it back, and end: it starts a new sentinel.

    The programs have lived on; the launchers that the new supervisor starts stand in for them.
    """
    stack = Stack(Settings())
    records = Records(stack.layout.records)
    while (record := records.get(SUPERVISOR)) is not None and record.process() is not None:
        time.sleep(_POLL_SECONDS)
    stack.spawn()
    while not stack.supervisor.is_running():
        time.sleep(_POLL_SECONDS)
    stack.start_workers()


if __name__ == "__main__":
    main()
