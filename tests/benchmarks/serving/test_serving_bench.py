from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.serving import wire
from tests.benchmarks.serving.figures import Bar, at_least, at_most, paired_ratio, percentile, table
from tests.benchmarks.serving.load import Spec, load
from tests.benchmarks.serving.log import logged_identities
from tests.benchmarks.serving.open_loop import Sent
from tests.benchmarks.serving.switches import Switch, judge
from tests.segments import packed, write_segment

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"prediction":1}'


@pytest.mark.parametrize(("share", "value"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([float(each) for each in range(100, 0, -1)], share) == value


def test_nothing_measured_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_round_is_compared_with_its_own() -> None:
    assert paired_ratio([1.0, 10.0, 2.0], [2.0, 20.0, 2.0]) == 0.5


def test_the_table_says_what_holds() -> None:
    bars = [
        at_most("a", 1.0, 1.0, "1"),
        at_least("b|c", 1.0, 2.0, "1\n2"),
        Bar("d", "skipped"),
    ]

    assert table(bars).splitlines() == [
        "| bar | measured | holds |",
        "| --- | --- | --- |",
        "| a | 1 | yes |",
        "| b\\|c | 1 2 | no |",
        "| d | skipped | - |",
    ]


@pytest.mark.parametrize("size", range(len(ANSWER)))
def test_half_an_answer_is_none(size: int) -> None:
    assert wire.parse(ANSWER[:size]) is None


def test_what_follows_an_answer_is_kept() -> None:
    answer = wire.parse(ANSWER + b"HTTP/1.1 ")

    assert answer == wire.Answer(200, b'{"prediction":1}', b"HTTP/1.1 ", closes=False)


@pytest.mark.parametrize(
    "received", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]
)
def test_what_cannot_be_measured_is_refused(received: bytes) -> None:
    with pytest.raises(wire.AnswerError):
        wire.parse(received)


@pytest.mark.parametrize("answer", [ANSWER.replace(b"200", b"503"), ANSWER.replace(b"pre", b"fic")])
def test_only_a_200_with_a_prediction_counts(answer: bytes) -> None:
    found = wire.parse(answer)

    assert found is not None
    with pytest.raises(wire.AnswerError):
        found.require(b'"prediction"')


def test_a_torn_record_is_no_prediction(tmp_path: Path) -> None:
    write_segment(tmp_path, "1", packed(id="a"), packed(id="b"), packed(id="c")[:-1])
    write_segment(tmp_path, "2", packed(id="d")).rename(tmp_path / ".2.new")

    assert logged_identities(tmp_path) == ["a", "b"]


def test_switches_are_held_against_the_time_before() -> None:
    sent = [Sent(float(at), 0.01, kept_alive=True, version=1) for at in range(100)]
    sent += [Sent(float(at), 0.05, kept_alive=True, version=2) for at in range(100, 110)]
    sent.append(Sent(103.0, 0.01, kept_alive=False, version=None, failure="TimeoutError: "))

    failed, slower = judge(sent, [Switch(2, 100.0, 105.0)])

    assert (failed.holds, failed.measured) == (False, "1 of 111 requests: TimeoutError: ")
    assert slower.holds is False
    assert slower.measured.startswith("5.0x")


@pytest.mark.parametrize("connections", [1, 3])
def test_a_load_counts_what_is_answered(tmp_path: Path, connections: int) -> None:
    (tmp_path / "body").write_bytes(b"{}")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for _ in range(connections):
            threading.Thread(target=_answer, args=(listening,), daemon=True).start()
        loaded = load(
            Spec(
                listening.getsockname()[1],
                "/",
                str(tmp_path / "body"),
                '"prediction"',
                connections=connections,
                seconds=0.2,
                warm_up=0.05,
                least=1,
            )
        )

    assert loaded.latencies
    assert all(each > 0 for each in loaded.latencies)


def _answer(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        while connection.recv(65536):
            connection.sendall(ANSWER[:20])
            connection.sendall(ANSWER[20:])
