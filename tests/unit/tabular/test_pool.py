"""The pool survives whatever its jobs do, and leaves nothing behind whatever its owner does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import psutil
import pytest

from tasks.tabular.pool import Limits, Outcome, Pool, opened, spare_memory
from tasks.tabular.search_errors import PoolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[3]
MIB = 2**20


@dataclass(frozen=True)
class Call:
    """A job that calls a function; `learner` is what a real job has, too."""

    function: Callable[[], Any]
    learner: str = "any"

    def run(self, bench: Any) -> Any:
        return self.function()


@dataclass(frozen=True)
class CallWithBench:
    """A job that gives a function what lies on the bench."""

    function: Callable[[Any], Any]
    learner: str = "any"

    def run(self, bench: Any) -> Any:
        return self.function(bench.payload)


class OddError(Exception):
    """No learner is known to raise it."""


class Unreadable:
    """Can be written and not be read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("no number",)


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Pool]]:
    """The pools there were, the last one alive."""
    pools = [Pool(2, tmp_path_factory.mktemp("pool"))]
    yield pools
    for each in pools:
        each.close()


@pytest.fixture
def pool(_kept: list[Pool], tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """One for all tests that should leave it alive; a new one after a test that did not."""
    last = _kept[-1]
    try:
        last.submit(Call(lambda: "here"), Limits())
        _outcomes(last, 1)
    except (PoolError, TimeoutError):
        last.close()
        _kept.append(Pool(2, tmp_path_factory.mktemp("pool")))
    return _kept[-1]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Pool]:
    """A pool that a test may break."""
    with Pool(2, tmp_path) as pool:
        yield pool


def _outcomes(pool: Pool, count: int, seconds: float = 30.0) -> dict[int, Outcome]:
    until = time.monotonic() + seconds
    found: dict[int, Outcome] = {}
    while len(found) < count:
        if time.monotonic() > until:
            raise TimeoutError(f"{len(found)} of {count} outcomes after {seconds} s")
        for outcome in pool.wait(0.2):
            assert outcome.number not in found
            found[outcome.number] = outcome
    return found


def _run(pool: Pool, function: Callable[[], Any], **limits: Any) -> Outcome:
    number = pool.submit(Call(function), Limits(**limits))
    return _outcomes(pool, 1)[number]


def _started(folder: Path, name: str = "pid", seconds: float = 60.0) -> psutil.Process:
    """Wait for a process to have written its id."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(OSError, ValueError, psutil.Error):
            return psutil.Process(int((folder / name).read_text()))
        time.sleep(0.05)
    raise TimeoutError(f"{name} was not written")


def _gone(processes: list[psutil.Process], seconds: float = 5.0) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return all(each.status() == psutil.STATUS_ZOMBIE for each in alive if each.is_running())


def _server(pool: Pool) -> psutil.Process:
    """Wait for the server to have said who it is; nothing else may be on its way."""
    until = time.monotonic() + 30
    while not pool.server and time.monotonic() < until:
        assert pool.wait(0.1) == []
    return psutil.Process(pool.server)


def _sleeps(folder: Path, name: str = "pid") -> Callable[[], None]:
    def sleep() -> None:
        (folder / f"{name}.part").write_text(str(os.getpid()))
        (folder / f"{name}.part").rename(folder / name)
        time.sleep(120)

    return sleep


def _raise(error: BaseException) -> NoReturn:
    raise error


def test_a_value_comes_back(pool: Pool) -> None:
    outcome = _run(pool, lambda: {"a": [1, None]})

    assert (outcome.ending, outcome.value, outcome.error) == ("done", {"a": [1, None]}, "")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        pytest.param(lambda: _raise(ValueError("no")), "ValueError: no", id="raises"),
        pytest.param(lambda: _raise(OSError(28, "no space left")), "no space left", id="disk full"),
        pytest.param(lambda: _raise(EOFError("at the end")), "at the end", id="EOFError"),
        pytest.param(lambda: _raise(OddError("odd")), "odd", id="raises what no learner does"),
        pytest.param(lambda: _raise(StopIteration("stop")), "stop", id="StopIteration"),
        pytest.param(lambda: _raise(KeyboardInterrupt()), "", id="KeyboardInterrupt"),
        pytest.param(lambda: sys.exit(3), "", id="exits politely"),
        pytest.param(lambda: os._exit(3), "ended with 3", id="exits at once"),
        pytest.param(lambda: os._exit(0), "", id="exits at once and happily"),
        pytest.param(os.abort, "SIGABRT", id="aborts"),
        pytest.param(lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL", id="is killed"),
        pytest.param(lambda: lambda: None, "", id="result cannot be written"),
        pytest.param(lambda: _deep(10**6), "RecursionError", id="calls itself for ever"),
    ],
)
def test_a_job_that_goes_wrong_costs_itself_and_no_other(
    function: Callable[[], Any], said: str, pool: Pool
) -> None:
    beside = pool.submit(Call(lambda: time.sleep(0.8) or "unharmed"), Limits())
    wrong = pool.submit(Call(function), Limits(20))

    found = _outcomes(pool, 2)

    assert found[wrong].ending in ("failed", "crashed")
    assert said in found[wrong].error
    assert found[wrong].error
    assert (found[beside].ending, found[beside].value) == ("done", "unharmed")
    assert pool.free == 2


def _deep(depth: int) -> int:
    return 1 + _deep(depth - 1) if depth else 0


def test_a_result_that_cannot_be_read_costs_the_job_alone(pool: Pool) -> None:
    number = pool.submit(Call(Unreadable), Limits(20))

    found = _outcomes(pool, 1)[number]

    assert found.ending in ("failed", "crashed")
    assert _run(pool, lambda: 1).value == 1


def test_a_job_that_cannot_be_read_costs_itself_alone(pool: Pool) -> None:
    number = pool.submit(Unreadable(), Limits(20))  # type: ignore[arg-type]

    found = _outcomes(pool, 1)[number]

    assert found.ending in ("failed", "crashed")


def _deaf() -> None:
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    while True:
        pass


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda: time.sleep(60), id="sleeps"),
        pytest.param(_deaf, id="works and is deaf"),
        pytest.param(lambda: os.kill(os.getpid(), signal.SIGSTOP), id="stands still"),
    ],
)
def test_a_job_that_hangs_is_ended(function: Callable[[], Any], pool: Pool) -> None:
    started = time.monotonic()

    outcome = _run(pool, function, seconds=0.5)

    assert outcome.ending == "too long"
    assert "it took longer than" in outcome.error
    assert time.monotonic() - started < 5


def test_a_job_that_closes_what_it_inherits_is_ended_too(own: Pool) -> None:
    """A library that makes itself a daemon does so; the server may not wait for its end."""

    def closes() -> None:
        os.closerange(3, 256)
        time.sleep(60)

    assert _run(own, lambda: 1).value == 1
    number = own.submit(Call(closes), Limits(1.0))

    assert _outcomes(own, 1, 10)[number].ending in ("too long", "crashed")


def test_a_job_that_prints_megabytes_is_not_held_up(pool: Pool) -> None:
    def prints() -> int:
        for stream in (sys.stdout, sys.stderr):
            for _ in range(64):
                stream.write("x" * 2**15 + "\n")
            stream.flush()
        return 4

    assert _run(pool, prints).value == 4


def test_two_huge_results_arrive_whole(pool: Pool) -> None:
    size = 2**23  # 64 MiB each, far more than a socket holds
    values = (1.0, 2.0)
    numbers = [pool.submit(Call(partial(np.full, size, each)), Limits()) for each in values]

    found = _outcomes(pool, 2)

    for number, value in zip(numbers, values, strict=True):
        assert found[number].value.shape == (size,)
        assert (found[number].value == value).all()


def test_jobs_can_be_submitted_while_results_arrive(pool: Pool) -> None:
    numbers = [pool.submit(Call(lambda: np.ones(2**21)), Limits()) for _ in range(8)]

    found = _outcomes(pool, 8)

    assert {number: found[number].ending for number in numbers} == dict.fromkeys(numbers, "done")


def test_two_jobs_run_at_once(pool: Pool) -> None:
    def times() -> tuple[float, float]:
        begun = time.monotonic()
        time.sleep(0.8)
        return begun, time.monotonic()

    for _ in range(2):
        pool.submit(Call(times), Limits())
    assert pool.free == 0
    one, other = (each.value for each in _outcomes(pool, 2).values())

    assert max(one[0], other[0]) < min(one[1], other[1])


def test_jobs_do_not_see_each_other(pool: Pool) -> None:
    def marks() -> int:
        os.environ["MARK"] = os.environ.get("MARK", "") + "x"
        return len(os.environ["MARK"])

    assert [_run(pool, marks).value for _ in range(3)] == [1, 1, 1]


def test_nothing_is_heard_of_a_cancelled_job(pool: Pool, tmp_path: Path) -> None:
    number = pool.submit(Call(_sleeps(tmp_path)), Limits())
    child = _started(tmp_path)

    pool.cancel(number)
    pool.cancel(number)  # again changes nothing
    pool.cancel(10**6)

    assert pool.free == 2
    assert _gone([child])
    assert pool.wait(0.3) == []
    assert _run(pool, lambda: "next").value == "next"


def test_a_result_that_crosses_a_cancellation_is_dropped(pool: Pool) -> None:
    numbers = [pool.submit(Call(lambda: 1), Limits()) for _ in range(2)]
    time.sleep(0.5)  # both have ended, neither was taken

    pool.cancel(numbers[0])

    assert set(_outcomes(pool, 1)) == {numbers[1]}


@pytest.mark.parametrize("how", ["cancel", "limit", "close"])
def test_what_a_job_has_started_goes_with_it(
    how: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def starts() -> None:
        helper = subprocess.Popen(["sleep", "60"])
        (tmp_path / "part").write_text(str(helper.pid))
        (tmp_path / "part").rename(tmp_path / "pid")
        time.sleep(60)

    pool: Pool = request.getfixturevalue("own" if how == "close" else "pool")
    number = pool.submit(Call(starts), Limits(1.0 if how == "limit" else 0.0))
    helper = _started(tmp_path)
    try:
        if how == "cancel":
            pool.cancel(number)
        elif how == "close":
            pool.close()
        else:
            _outcomes(pool, 1)

        assert _gone([helper], 2)
    finally:
        with suppress(psutil.Error):
            helper.kill()


def test_many_quick_jobs_leave_nothing_open(pool: Pool) -> None:
    server = _server(pool)
    before = server.num_fds()
    waiting, found = 200, 0
    while waiting or pool.running:
        while waiting and pool.free:
            pool.submit(Call(lambda: None), Limits(30))
            waiting -= 1
        found += len(pool.wait(5))

    assert found == 200
    assert server.num_fds() <= before
    assert not server.children()


def test_a_killed_server_is_an_error_and_its_jobs_are_gone(own: Pool, tmp_path: Path) -> None:
    own.submit(Call(_sleeps(tmp_path)), Limits())
    child = _started(tmp_path)

    _server(own).kill()

    assert _gone([child])
    for use in ("wait", "submit", "give"):
        with pytest.raises(PoolError, match="the processes that fit models are gone"):
            _use(own, use)
    own.close()


def _use(pool: Pool, how: str) -> None:
    for _ in range(50):  # a first message may still find room in the line
        if how == "wait":
            pool.wait(0.5)
        elif how == "submit":
            pool.submit(Call(lambda: 1), Limits())
        else:
            pool.give(SimpleNamespace(payload=0, learners={}))  # type: ignore[arg-type]
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_jobs_end_with_whoever_asked_for_them(how: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(
        textwrap.dedent(f"""
        from pathlib import Path
        from tasks.tabular.pool import Limits, opened
        from tests.unit.tabular.test_pool import Call, _sleeps
        with opened(2) as pool:
            for name in ("one", "two"):
                pool.submit(Call(_sleeps(Path({str(tmp_path)!r}), name)), Limits())
            pool.wait(300)
        """)
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    owner = subprocess.Popen(
        [sys.executable, str(script)], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL
    )
    family = [_started(tmp_path, name) for name in ("one", "two")]
    family += psutil.Process(owner.pid).children(recursive=True)

    owner.send_signal(how)
    owner.wait(15)

    assert _gone(family)


def test_closing_twice_changes_nothing(own: Pool) -> None:
    own.close()
    own.close()

    with pytest.raises(PoolError):
        own.submit(Call(lambda: 1), Limits())
    with pytest.raises(PoolError):
        own.wait(0.1)


def test_closing_a_pool_that_is_only_starting_leaves_nothing(tmp_path: Path) -> None:
    with Pool(1, tmp_path) as first:  # the template, if there was none
        _run(first, lambda: 1)
    before = set(psutil.Process().children(recursive=True))
    started = time.monotonic()

    with Pool(1, tmp_path):
        pass
    with Pool(1, tmp_path) as pool:
        pool.submit(Call(lambda: time.sleep(60)), Limits())

    assert time.monotonic() - started < 5
    assert _gone(list(set(psutil.Process().children(recursive=True)) - before))


def test_pools_survive_the_process_they_were_forked_from(own: Pool, tmp_path: Path) -> None:
    assert _run(own, lambda: 1).value == 1
    server = _server(own)
    for parent in server.parents():
        if "tasks.tabular.pool_server" in parent.cmdline():
            parent.kill()
            parent.wait(5)

    assert _run(own, lambda: 2).value == 2
    with Pool(1, tmp_path) as other:
        assert _run(other, lambda: 3).value == 3
    closing = threading.Thread(target=own.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


def test_a_forked_process_has_pools_of_its_own(tmp_path: Path) -> None:
    """Nothing of the parent's is used by a child, and nothing of it ends with the child."""
    script = tmp_path / "forking.py"
    script.write_text(
        textwrap.dedent("""
        import os
        from tasks.tabular.pool import Limits, opened
        from tests.unit.tabular.test_pool import Call, _run
        def one(number):
            with opened(1) as pool:
                return _run(pool, lambda: number).value
        with opened(1) as pool:
            assert _run(pool, lambda: 1).value == 1
            if (child := os.fork()) == 0:
                os._exit(0 if one(2) == 2 else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert _run(pool, lambda: 3).value == 3
        print(one(4))
        """)
    )
    run = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (run.returncode, run.stdout) == (0, "4\n"), run.stderr[-800:]


def test_its_folder_goes_with_it_even_after_an_error() -> None:
    folders = []

    def fails() -> None:
        with opened(1) as pool:
            (pool.folder / "large").write_bytes(b"x")
            folders.append(pool.folder)
            raise OddError

    with pytest.raises(OddError):
        fails()
    assert not folders[0].exists()


@pytest.fixture
def bench(pool: Pool) -> Iterator[Callable[[Any], None]]:
    """Give the pool something to work on, and nothing again in the end."""

    def give(payload: Any, modules: tuple[str, ...] = ()) -> None:
        learners = {"any": SimpleNamespace(modules=modules)}
        pool.give(SimpleNamespace(payload=payload, learners=learners))  # type: ignore[arg-type]

    yield give
    with suppress(PoolError):
        pool.give(None)  # type: ignore[arg-type]


def test_memory_that_is_shared_with_the_server_does_not_count(
    pool: Pool, bench: Callable[[Any], None]
) -> None:
    bench(np.ones(300 * MIB // 8))

    def reads(shared: np.ndarray) -> float:
        total = float(shared.sum())
        time.sleep(0.8)
        return total

    def takes(shared: np.ndarray) -> float:
        copied = shared + 1
        time.sleep(5)
        return float(copied[0])

    reading = pool.submit(CallWithBench(reads), Limits(0, 150 * MIB))
    taking = pool.submit(CallWithBench(takes), Limits(0, 150 * MIB))
    found = _outcomes(pool, 2, 60)

    assert found[reading].ending == "done"
    assert found[taking].ending == "too large"
    assert "it needed more than 150 MiB" in found[taking].error


def test_memory_the_server_takes_later_is_no_credit_for_a_job(
    pool: Pool, bench: Callable[[Any], None], tmp_path: Path
) -> None:
    """Features of a large table are loaded while other jobs run."""

    def takes() -> None:
        (tmp_path / "ready").touch()
        while not (tmp_path / "go").exists():
            time.sleep(0.05)
        taken = np.ones(250 * MIB // 8)
        time.sleep(2)
        del taken

    server = _server(pool)
    number = pool.submit(Call(takes), Limits(0, 150 * MIB))
    until = time.monotonic() + 30
    while not (tmp_path / "ready").exists() and time.monotonic() < until:
        time.sleep(0.05)
    before = server.memory_info().rss
    bench(np.ones(400 * MIB // 8))
    while server.memory_info().rss < before + 300 * MIB and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    (tmp_path / "go").touch()

    assert _outcomes(pool, 1)[number].ending == "too large"


class Importable:
    """Whoever reads it can import from a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"import sys; sys.path.insert(0, {str(self.folder)!r})",)


@pytest.mark.parametrize("error", ["ImportError", "OSError", "RuntimeError"])
def test_a_learner_whose_package_does_not_load_costs_itself(
    error: str, pool: Pool, bench: Callable[..., None], tmp_path: Path
) -> None:
    """A missing shared library is an OSError."""
    name = f"breaks_by_{error.lower()}"
    (tmp_path / f"{name}.py").write_text(f"raise {error}('not found')")
    bench(Importable(tmp_path), modules=(name,))

    assert _run(pool, lambda: "alive").value == "alive"


def test_a_bench_that_cannot_be_read_is_an_error_and_no_wait(own: Pool) -> None:
    own.give(Unreadable())  # type: ignore[arg-type]
    own.submit(Call(lambda: 1), Limits())

    with pytest.raises(PoolError):
        _outcomes(own, 1)


@pytest.mark.parametrize(
    ("files", "spare"),
    [
        ({}, None),
        ({"memory.max": "max", "memory.current": "5", "memory.stat": ""}, None),
        (
            {"memory.max": "9000", "memory.current": "5000", "memory.stat": "inactive_file 700"},
            4700,
        ),
        (
            {
                "memory/memory.limit_in_bytes": "9000",
                "memory/memory.usage_in_bytes": "9500",
                "memory/memory.stat": "cache 3\ntotal_inactive_file 100\n",
            },
            0,
        ),
        ({"memory.max": "9000", "memory.current": "?", "memory.stat": ""}, None),
    ],
)
def test_a_container_s_limit_is_the_memory_there_is(
    files: dict[str, str], spare: int | None, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)

    found = spare_memory(tmp_path)

    assert found == spare if spare is not None else found > 10**8
