"""A real S3 server: Ceph's gateway from Debian's packages, where they are installed."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from pydantic import SecretStr

from infra.ports import find_free
from infra.provenance import ROOT
from infra.settings import S3Storage

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = ROOT / "infra" / "local" / "s3.sh"


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if any(shutil.which(each) is None for each in ("radosgw", "ceph-mon", "ceph-osd")):
        pytest.skip("no S3 server: install Debian's radosgw, ceph-mon and ceph-osd")
    folder = tmp_path_factory.mktemp("s3")
    port = find_free(22000, 22900)
    subprocess.run([SCRIPT, "start", folder, str(port)], check=True, capture_output=True)
    yield f"127.0.0.1:{port}"
    subprocess.run([SCRIPT, "stop", folder], check=True)


@pytest.fixture
def s3(s3_endpoint: str) -> S3Storage:
    return S3Storage(
        bucket=f"test-{uuid4().hex[:12]}",
        endpoint=s3_endpoint,
        secure=False,
        access_key=SecretStr("millrace"),
        secret_key=SecretStr("millrace-secret"),
    )
