from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from sqlalchemy import make_url

from infra.ini import read_ini
from infra.settings import LocalStorage, S3Storage, Settings

if TYPE_CHECKING:
    from pathlib import Path


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


SOURCE = """
[postgresql-local]
host = localhost
database = pace
user = pace_user
password = your_p@ssword

[dataset]
bucketname = your-s3-bucket
foldername = paceml
"""


@pytest.fixture
def ini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.ini"
    path.write_text(SOURCE)
    monkeypatch.setenv("MILLRACE_CONFIG", str(path))
    monkeypatch.delenv("MILLRACE_DATABASE__URL")
    return path


def test_an_ini_file_of_before_is_read_unchanged(ini: Path) -> None:
    settings = Settings()

    assert make_url(settings.database.url).password == "your_p@ssword"
    assert settings.database.url.endswith("@localhost:5432/pace")
    assert settings.storage == S3Storage(bucket="your-s3-bucket", prefix="paceml")


def test_the_environment_is_believed_before_the_file(
    ini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE__KIND", "local")
    monkeypatch.setenv("MILLRACE_DATABASE__URL", "sqlite:///x.db")

    assert Settings().storage == LocalStorage()
    assert Settings().database.url == "sqlite:///x.db"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[dataset]\nbucketnam = x", "'bucketnam' in \\[dataset\\] .* did you mean bucketname"),
        ("[datasets]\nbucketname = x", "section \\[datasets\\] .* did you mean dataset"),
    ],
)
def test_what_the_file_says_in_vain_is_warned_about(ini: Path, line: str, says: str) -> None:
    ini.write_text(line)

    with pytest.warns(UserWarning, match=says):
        read_ini(str(ini))


@pytest.mark.parametrize("content", ["no section", "[a]\nx\n", None])
def test_a_file_that_cannot_be_read_is_refused(ini: Path, content: str | None) -> None:
    ini.write_text(content) if content else ini.unlink()

    with pytest.raises(ValueError, match="MILLRACE_CONFIG"):
        read_ini(str(ini))
