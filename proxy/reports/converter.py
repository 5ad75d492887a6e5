"""Runs `conversion` in processes of their own, a few at a time."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import proxy
from proxy.errors import AdsProxyError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CODE: Final = "import sys; sys.path.append(sys.argv.pop(1)); from proxy.reports.conversion import main; main()"
"""Where the program lies is looked at last, and the directory that it was started in not at all."""
AT_ONCE: Final = 2
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
"""None of ours, which may hold secrets."""


class ConversionFailed(AdsProxyError):
    """No file was made. `damaged` tells that Amazon's file is to blame, and may be fetched again."""

    def __init__(self, words: str, *, damaged: bool = False) -> None:
        super().__init__(words)
        self.damaged = damaged


class Converter:
    """The event loop does not begin the processes: uvloop copies the page tables of the program for each, and serves no
    request meanwhile. That took 24 ms for a program of 100 MB, 76 ms for one of 700 MB."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._threads = ThreadPoolExecutor(AT_ONCE, "named-report-rows")
        self._running = 0

    def __repr__(self) -> str:
        return f"<Converter: {self._running} processes>"

    async def run(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        """What came of a task, see `conversion.run`. Raises `ConversionFailed`. A cancelled task ends its process."""
        async with self._slots:
            self._running += 1
            try:
                told = await self._run(json.dumps(task).encode())
            finally:
                self._running -= 1
        if "problem" in told:
            words = f"The rows were not kept: {told['words']}."
            raise ConversionFailed(words, damaged=told["problem"] == "damaged")
        return told

    async def _run(self, task: bytes) -> dict[str, Any]:
        try:
            process = _begin()
        except OSError as error:
            raise ConversionFailed(f"The process that converts rows does not start: {error.strerror}.") from None
        talking = asyncio.get_running_loop().run_in_executor(self._threads, process.communicate, task)
        try:
            output, errors = await asyncio.shield(talking)
        except asyncio.CancelledError:
            process.kill()
            await asyncio.gather(talking, return_exceptions=True)
            raise
        try:
            told: dict[str, Any] = json.loads(output)
        except ValueError:
            last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
            words = f"The process that converts rows ended with {process.returncode}: {last[:200]}"
            raise ConversionFailed(words) from None
        return told


def _begin() -> subprocess.Popen[bytes]:
    """A process that waits for its task. Raises `OSError`."""
    root, ours = str(Path(proxy.__file__).parents[1]), str(os.getpid())
    return subprocess.Popen(  # noqa: S603 - a fixed command
        (sys.executable, "-P", "-c", _CODE, root, ours),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
    )
