"""Who sent a webhook delivery: HMAC-SHA256 as MLflow and Standard Webhooks sign."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from infra.gateway.errors import SignatureError

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNATURE = "x-mlflow-signature"
DELIVERY = "x-mlflow-delivery-id"
TIMESTAMP = "x-mlflow-timestamp"


def sign(secret: str, delivery: str, timestamp: str, body: bytes) -> str:
    """Return `v1,<base64 of HMAC-SHA256 over "delivery.timestamp.body">`."""
    message = f"{delivery}.{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), message, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def verify(
    headers: Mapping[str, str], body: bytes, *, secret: str, now: float, window_seconds: float
) -> str:
    """Return the delivery's id if its signature is right and fresh.

    Parameters
    ----------
    now : float
        Seconds since 1970.
    window_seconds : float
        How far the signed time may lie from `now`, either way.

    Raises
    ------
    SignatureError
        If a header is missing, the time is outside the window or the signature is wrong.
    """
    missing = [name for name in (SIGNATURE, DELIVERY, TIMESTAMP) if not headers.get(name)]
    if missing:
        raise SignatureError(f"it lacks {', '.join(missing)}; give the webhook its secret")
    delivery, timestamp = headers[DELIVERY], headers[TIMESTAMP]
    expected = sign(secret, delivery, timestamp, body)
    if not hmac.compare_digest(expected.encode(), headers[SIGNATURE].encode()):
        raise SignatureError("its signature does not match the webhook's secret")
    age = abs(now - float(timestamp)) if timestamp.isdecimal() else float("inf")
    if age > window_seconds:
        raise SignatureError(f"it was signed more than {window_seconds:.0f} s from now")
    return delivery
