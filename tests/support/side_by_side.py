"""Tests in several processes: `pytest -p tests.support.side_by_side --processes 6`.

One process collects the tests and is then forked, so that the collection, which takes seconds, is paid once. Each of
the others takes one file after another from a pipe, and tells this one what came of its tests.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import json
import os
import selectors
import signal
import struct
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

_END_WITH_PARENT = 1
_write = os.write  # a test may have os.write fail while it is told what became of it
_NUMBER = struct.Struct("H")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--processes", type=int, default=1, help="run this many files at a time")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run all tests in other processes. With one process, or where the collection failed, it is pytest's affair."""
    processes = session.config.getoption("processes")
    if processes < 2 or session.testsfailed or session.config.option.collectonly:
        return None
    files = [[*items] for _, items in itertools.groupby(session.items, lambda item: item.path)]
    numbers = _numbers(len(files))
    base = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # pytest's own plugin has it
    workers = [Worker(session, files, numbers, base / str(number)) for number in range(min(processes, len(files)))]
    os.close(numbers)
    try:
        _hear(session, workers)
    finally:
        for worker in workers:
            worker.end()
    return True


def _numbers(count: int) -> int:
    """A pipe that holds these many numbers and ends behind them. Whoever reads takes the next one."""
    reading, writing = os.pipe()
    os.write(writing, b"".join(map(_NUMBER.pack, range(count))))
    os.close(writing)
    return reading


def _hear(session: pytest.Session, workers: Iterable[Worker]) -> None:
    """Report what the workers tell, until all have ended."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.told, selectors.EVENT_READ, worker)
        while selector.get_map():
            for key, _ in selector.select():
                if not key.data.report_news():
                    selector.unregister(key.fileobj)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)


class Worker:
    """A process that runs tests, as the first one sees it."""

    def __init__(
        self, session: pytest.Session, files: Sequence[Sequence[pytest.Item]], numbers: int, base: Path
    ) -> None:
        self._session = session
        self.told, telling = os.pipe()
        self._unread = b""
        self._last: tuple[str, Any] = "before its first test", None
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            _become_a_worker(session, files, numbers, telling, base)
        os.close(telling)

    def report_news(self) -> bool:
        """Report what the worker has told since; False at its end, which is a failure unless no test was left."""
        data = os.read(self.told, 1 << 20)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._report(json.loads(line))
        if not data and (code := self._wait()):
            words = f"The process of this test ended with {code}, and runs no further test."
            self._log(pytest.TestReport(*self._last, {}, "failed", words, "call"))
        return bool(data)

    def _report(self, said: dict[str, Any]) -> None:
        if "begins" in said:
            self._last = said["begins"], said["location"]
        elif "ends" in said:
            self._session.config.hook.pytest_runtest_logfinish(nodeid=said["ends"], location=said["location"])
        else:
            config = self._session.config
            report = config.hook.pytest_report_from_serializable(config=config, data=said["report"])
            if isinstance(report.longrepr, list):  # of a skipped test; JSON has no tuples, and pytest wants one
                report.longrepr = tuple(report.longrepr)
            self._log(report)

    def _log(self, report: pytest.TestReport) -> None:
        self._session.config.hook.pytest_runtest_logreport(report=report)

    def end(self) -> None:
        """End the process, if it has not ended by itself, and wait for that."""
        os.close(self.told)
        if self._pid:
            os.kill(self._pid, signal.SIGTERM)
            self._wait()

    def _wait(self) -> int:
        """The exit code of the process."""
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)


class Teller:
    """The plugin of a worker that tells what becomes of each test."""

    def __init__(self, config: pytest.Config, telling: int) -> None:
        self._config, self._telling = config, telling

    def _tell(self, **said: Any) -> None:
        data = json.dumps(said, default=str).encode() + b"\n"
        while data:
            data = data[_write(self._telling, data) :]

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._tell(begins=nodeid, location=location)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._tell(report=data)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self._tell(ends=nodeid, location=location)


def _become_a_worker(
    session: pytest.Session, files: Sequence[Sequence[pytest.Item]], numbers: int, telling: int, base: Path
) -> NoReturn:
    """Run files until there is no other one, and end."""
    code = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
        _separate(session.config, base)
        session.config.pluginmanager.register(Teller(session.config, telling))
        _run_files(session, files, numbers)
        atexit._run_exitfuncs()
        code = 0
    except BaseException:  # noqa: BLE001 - nothing of pytest is to go on here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _separate(config: pytest.Config, base: Path) -> None:
    """Share with other processes neither the terminal, nor the files of captured output, nor a folder."""
    plugins: Any = config.pluginmanager
    plugins.unregister(plugins.getplugin("terminalreporter"))
    capture = plugins.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    capture.suspend_global_capture(in_=True)
    base.mkdir()
    config._tmp_path_factory._basetemp = base  # type: ignore[attr-defined]  # as above


def _run_files(session: pytest.Session, files: Sequence[Sequence[pytest.Item]], numbers: int) -> None:
    number = os.read(numbers, _NUMBER.size)
    while number:
        *items, last = files[_NUMBER.unpack(number)[0]]
        for item, following in itertools.pairwise((*items, last)):
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        # What holds for the whole session is kept for the next file, which is taken before this one's last test.
        number = os.read(numbers, _NUMBER.size)
        following = files[_NUMBER.unpack(number)[0]][0] if number else None
        session.config.hook.pytest_runtest_protocol(item=last, nextitem=following)
