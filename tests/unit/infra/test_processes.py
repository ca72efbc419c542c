from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from infra.launcher import MARK
from infra.ports import LOOPBACK, find_free, holder, is_free
from infra.processes import Records, marked, stop_tree
from infra.provenance import ROOT
from infra.supervision import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
TREE = [sys.executable, "-c", f"import subprocess; subprocess.run({SLEEP!r})"]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_recorded_process_is_found_until_it_ends(tmp_path: Path, started) -> None:
    records = Records(tmp_path)
    started.append(subprocess.Popen(SLEEP))
    records.add("sleeper", started[0].pid)

    assert [each.name for each in Records(tmp_path).alive()] == ["sleeper"]
    started[0].kill()
    started[0].wait()
    assert Records(tmp_path).alive() == []
    assert records.get("sleeper").process() is None


def test_another_process_with_the_same_pid_is_not_taken_for_it(tmp_path: Path) -> None:
    record = Records(tmp_path).add("me", os.getpid())

    assert record.process() is not None
    assert type(record)(record.name, record.pid, record.started - 60).process() is None


def test_a_damaged_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text('{"name": "bro')

    assert Records(tmp_path).get("broken") is None
    assert Records(tmp_path).alive() == []


def test_a_tree_is_stopped_with_its_leaves(started) -> None:
    started.append(subprocess.Popen(TREE))
    root = psutil.Process(started[0].pid)
    wait_until(root.children)
    leaf = root.children()[0]

    stop_tree(root, grace_seconds=1.0)

    assert not leaf.is_running() or leaf.status() == psutil.STATUS_ZOMBIE


def test_marked_processes_are_found_by_their_environment(started) -> None:
    started.append(subprocess.Popen(SLEEP, env={**os.environ, "MILLRACE_TEST_MARK": "a"}))

    wait_until(lambda: marked("MILLRACE_TEST_MARK", "a".__eq__))
    assert marked("MILLRACE_TEST_MARK", "b".__eq__) == []


def launch(folder: Path, *options: str, command: list[str] = SLEEP) -> subprocess.Popen[bytes]:
    launcher = [sys.executable, "-m", "infra.launcher", "--records", str(folder), "--name", "it"]
    environment = {**os.environ, "MILLRACE_SECRET": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    return subprocess.Popen(
        [*launcher, *options, "--", *command], cwd=ROOT, env=environment, start_new_session=True
    )


def became_its_program(process: psutil.Process) -> bool:
    return "infra.launcher" not in process.cmdline()


def test_the_launcher_becomes_its_program_and_records_it(tmp_path: Path, started) -> None:
    started.append(launch(tmp_path))

    wait_until(lambda: Records(tmp_path).alive())
    assert Records(tmp_path).get("it").pid == started[0].pid
    wait_until(lambda: became_its_program(psutil.Process(started[0].pid)))


def test_a_bare_program_gets_no_secrets(tmp_path: Path, started) -> None:
    started.append(launch(tmp_path, "--bare"))
    program = psutil.Process(started[0].pid)
    wait_until(lambda: became_its_program(program))

    names = program.environ().keys()

    assert not {name for name in names if name.startswith(("MILLRACE_", "AWS_"))} - {MARK}


def test_a_second_launcher_stands_in_for_a_program_that_lives(tmp_path: Path, started) -> None:
    started.append(launch(tmp_path))
    wait_until(lambda: Records(tmp_path).alive())
    started.append(launch(tmp_path))
    time.sleep(1.0)
    first, second = started

    assert (first.poll(), second.poll()) == (None, None)
    assert Records(tmp_path).get("it").pid == first.pid
    second.terminate()
    wait_until(lambda: first.poll() is not None and second.poll() is not None)


def test_a_program_alone_ends_what_its_predecessor_left(tmp_path: Path, started) -> None:
    started.append(launch(tmp_path, command=TREE))
    root = psutil.Process(started[0].pid)
    wait_until(lambda: became_its_program(root) and root.children())
    orphan = root.children()[0]
    started[0].kill()
    started[0].wait()
    assert orphan.is_running()

    started.append(launch(tmp_path, "--alone"))

    wait_until(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)


def test_a_section_survives_percent_signs(tmp_path: Path) -> None:
    section = Program("p", ("run", "--format=%d"), tmp_path / "100%.log", tmp_path).section()

    assert "--format=%%d" in section
    assert "100%%.log" in section


def test_a_port_in_use_is_not_free_and_its_holder_is_named() -> None:
    with socket.socket() as server:
        server.bind((LOOPBACK, find_free(20000, 20999)))
        server.listen()
        port = server.getsockname()[1]

        assert not is_free(port)
        assert f"process {os.getpid()}" in holder(port)
    assert is_free(port)
