from __future__ import annotations

import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature

from infra.gateway.errors import SignatureError
from infra.gateway.signatures import DELIVERY, SIGNATURE, TIMESTAMP, sign, verify

NOW = 1_800_000_000
BODY = b'{"entity": "model_version_alias"}'


def headers(**changed: str) -> dict[str, str]:
    given = {DELIVERY: "d1", TIMESTAMP: str(NOW), **changed}
    return {SIGNATURE: sign("secret", given[DELIVERY], given[TIMESTAMP], BODY), **given}


def check(given: dict[str, str], body: bytes = BODY) -> str:
    return verify(given, body, secret="secret", now=NOW, window_seconds=300)


def test_a_delivery_signed_by_mlflow_is_accepted() -> None:
    signature = _generate_hmac_signature("secret", "d1", str(NOW), BODY.decode())

    assert check({**headers(), SIGNATURE: signature}) == "d1"


@pytest.mark.parametrize("age", [-299, 0, 299])
def test_a_fresh_delivery_is_accepted(age: int) -> None:
    assert check(headers(**{TIMESTAMP: str(NOW - age)})) == "d1"


@pytest.mark.parametrize(
    ("given", "body", "says"),
    [
        pytest.param({}, BODY, "lacks", id="unsigned"),
        pytest.param({**headers(), SIGNATURE: ""}, BODY, "lacks", id="empty signature"),
        pytest.param({**headers(), SIGNATURE: "v1,AAAA"}, BODY, "not match", id="wrong"),
        pytest.param({**headers(), SIGNATURE: "v1,ÿ"}, BODY, "not match", id="no ASCII"),
        pytest.param(headers(), BODY + b" ", "not match", id="another body"),
        pytest.param({**headers(), DELIVERY: "d2"}, BODY, "not match", id="another id"),
        pytest.param(headers(**{TIMESTAMP: str(NOW - 301)}), BODY, "301|300 s", id="replayed"),
        pytest.param(headers(**{TIMESTAMP: str(NOW + 301)}), BODY, "300 s", id="from the future"),
        pytest.param(headers(**{TIMESTAMP: "soon"}), BODY, "300 s", id="no time"),
    ],
)
def test_a_doubtful_delivery_is_refused(given: dict[str, str], body: bytes, says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        check(given, body)
