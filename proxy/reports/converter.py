"""Runs `conversion` in processes of their own, a few at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import proxy
from proxy.errors import AdsProxyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    """`begin` is called in each new process before it starts."""

    def __init__(self, begin: Callable[[], None] | None = None) -> None:
        self._begin = begin
        self._slots = asyncio.Semaphore(AT_ONCE)
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
        root = str(Path(proxy.__file__).parents[1])
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", _CODE, root),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=_ENVIRONMENT,
                preexec_fn=self._begin,
            )
        except OSError as error:
            raise ConversionFailed(f"The process that converts rows does not start: {error.strerror}.") from None
        try:
            output, errors = await process.communicate(task)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
        try:
            told: dict[str, Any] = json.loads(output)
        except ValueError:
            last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
            words = f"The process that converts rows ended with {process.returncode}: {last[:200]}"
            raise ConversionFailed(words) from None
        return told
