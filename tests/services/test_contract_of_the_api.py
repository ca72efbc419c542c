"""What a model server documents is what it does: requests made up from its own description.

Schemathesis' own plugin does not know this pytest, so its cases are drawn by Hypothesis here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.services.served_models import Served, running

schemathesis = pytest.importorskip(
    "schemathesis", reason="schemathesis (4.32.5 changes no locked version) is not installed"
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ONCE = hypothesis.settings(
    max_examples=80,
    database=None,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
TOLERATED = "positive_data_acceptance"
"""A text may be sent for a number, so a description cannot say which of them are numbers."""


@pytest.fixture(scope="module")
def described(served: dict[str, Served], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The description of a server that runs."""
    with running(served["crops"].source, tmp_path_factory.mktemp("described")) as server:
        server.wait("/health/ready")
        schemathesis.checks.load_all_checks()
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def statuses(operation: Any, mode: Any) -> set[int]:
    """Send what the description allows, or forbids; every answer must be as described."""
    tolerated = schemathesis.checks.CHECKS.get_one(TOLERATED)
    found = set()

    @ONCE
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        answer = case.call()
        case.validate_response(answer, excluded_checks=[tolerated])
        found.add(answer.status_code)

    send()
    return found


def test_a_documented_request_is_answered_as_documented(described: Any) -> None:
    found = statuses(described["/predict"]["POST"], schemathesis.GenerationMode.POSITIVE)

    assert found == {200, 422}


def test_a_request_against_the_documentation_is_refused(described: Any) -> None:
    found = statuses(described["/predict"]["POST"], schemathesis.GenerationMode.NEGATIVE)

    assert found <= {415, 422}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_the_other_paths_answer_as_documented(described: Any, path: str) -> None:
    assert statuses(described[path]["GET"], schemathesis.GenerationMode.POSITIVE) == {200}
