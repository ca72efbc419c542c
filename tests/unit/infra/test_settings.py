from __future__ import annotations

import pytest
from pydantic import ValidationError

from infra.settings import LocalStorage, S3Storage, Settings


@pytest.fixture(autouse=True)
def _no_environment(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE__KIND", "STORAGE__ROOT"):
        monkeypatch.delenv(f"MILLRACE_{name}")


def test_without_variables_the_platform_works_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()

    assert isinstance(settings.storage, LocalStorage)
    assert settings.storage.root.is_absolute()
    assert settings.gateway.url is None


def test_variables_reach_into_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE__KIND", "s3")
    monkeypatch.setenv("MILLRACE_STORAGE__BUCKET", "models")

    assert Settings().storage == S3Storage(bucket="models")


@pytest.mark.parametrize(
    ("name", "value"),
    [("STACK__PREFECT_PORT", "80"), ("STORAGE__KIND", "ftp"), ("STACK__COLOUR", "red")],
)
def test_a_wrong_value_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MILLRACE_{name}", value)

    with pytest.raises(ValidationError):
        Settings()


def test_production_does_not_run_on_default_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_ENVIRONMENT", "production")

    with pytest.raises(ValidationError, match="MILLRACE_GATEWAY__TOKEN"):
        Settings()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_GATEWAY__TOKEN", "hunter2")

    assert "hunter2" not in repr(Settings())
