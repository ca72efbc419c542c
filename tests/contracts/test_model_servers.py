from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from infra.ports import find_free
from infra.processes import Records
from infra.provenance import ROOT
from infra.serving.detached import DetachedServers
from infra.serving.supervised import SupervisedServers
from infra.supervision import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.serving.protocol import ModelServers


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=1.0).is_success
    except httpx.TransportError:
        return False


def wait_until(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


class ModelServersContract:
    """Subclass, override `servers`, and every promise below is tested with a small HTTP server."""

    @pytest.fixture
    def servers(self) -> Iterator[ModelServers]:
        raise NotImplementedError

    @pytest.fixture
    def port(self) -> int:
        return find_free(23000, 23900)

    @pytest.fixture
    def command(self, port: int, tmp_path: Path) -> list[str]:
        return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]

    def test_a_started_server_answers_until_it_is_stopped(
        self, servers: ModelServers, command: list[str], port: int
    ) -> None:
        log = servers.start("one", command)
        wait_until(lambda: answers(port))

        assert servers.is_running("one")
        assert servers.programs() == ["one"]
        assert log.is_file()
        servers.stop("one")
        assert not answers(port)
        assert not servers.is_running("one")
        assert servers.programs() == []

    def test_stopping_what_is_gone_is_done_already(self, servers: ModelServers) -> None:
        servers.stop("never-started")

    def test_servers_do_not_disturb_each_other(
        self, servers: ModelServers, command: list[str], port: int
    ) -> None:
        other = find_free(24000, 24900)
        servers.start("one", command)
        servers.start("two", [*command[:3], str(other), *command[4:]])
        wait_until(lambda: answers(port) and answers(other))

        servers.stop("one")

        assert not answers(port)
        assert answers(other)
        servers.stop("two")

    def test_a_server_that_cannot_start_is_not_up(self, servers: ModelServers, port: int) -> None:
        servers.start("broken", [sys.executable, "-c", "raise SystemExit('no model')"])
        time.sleep(1.0)

        assert not answers(port)
        servers.stop("broken")
        assert servers.programs() == []


class TestDetachedServers(ModelServersContract):
    @pytest.fixture
    def servers(self, tmp_path: Path) -> Iterator[ModelServers]:
        adapter = DetachedServers(tmp_path)
        yield adapter
        for program in adapter.programs():
            adapter.stop(program)


class TestSupervisedServers(ModelServersContract):
    @pytest.fixture
    def servers(self, tmp_path: Path) -> Iterator[ModelServers]:
        home, socket = tmp_path / "serving", tmp_path / "s.sock"
        configuration = tmp_path / "supervisord.conf"
        configuration.write_text(
            f"[unix_http_server]\nfile = {socket}\n"
            f"[supervisord]\nlogfile = {tmp_path}/d.log\npidfile = {tmp_path}/d.pid\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[include]\nfiles = {home}/programs/*.conf\n"
        )
        daemon = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(configuration)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(Supervisor(socket).is_running)
        yield SupervisedServers(home, socket)
        daemon.terminate()
        daemon.wait(20)

    def test_a_killed_server_comes_back(
        self, servers: ModelServers, command: list[str], port: int, tmp_path: Path
    ) -> None:
        servers.start("one", command)
        wait_until(lambda: answers(port))
        before = Records(tmp_path / "serving" / "processes").get("one").pid

        psutil.Process(before).kill()

        wait_until(lambda: not psutil.pid_exists(before) and answers(port))
        servers.stop("one")

    def test_one_that_was_stopped_and_not_forgotten_is_still_there_to_be_stopped(
        self, servers: ModelServers, command: list[str], port: int, tmp_path: Path
    ) -> None:
        servers.start("model-one", command)
        wait_until(lambda: answers(port))
        (tmp_path / "serving" / "programs" / "model-one.conf").unlink()
        Supervisor(tmp_path / "s.sock").stop("model-one")  # here whoever stops it dies

        assert servers.programs() == ["model-one"]
        servers.stop("model-one")
        assert servers.programs() == []
