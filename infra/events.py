"""Names of the events that chain the flows, and of the things they are about."""

from __future__ import annotations

ALIAS_SET = "millrace.alias.set"
"""Somebody pointed an alias to a model version; payload: `model` (a ModelRef) and `alias`."""

GATEWAY_STARTED = "millrace.gateway.started"
"""The gateway is back: webhooks may have been missed while it was away."""

ALIAS_LABEL = "millrace.alias"


def model_resource(registered_name: str) -> str:
    """Return the resource id of a model."""
    return f"millrace.model.{registered_name}"


GATEWAY_RESOURCE = "millrace.gateway"
