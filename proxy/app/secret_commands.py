"""Runs the commands that print secrets while the program serves: after each reload, at their intervals, and again after
failures.

Each run has a thread of its own pool, so a command that hangs keeps nothing waiting: no request, no reload, no other
command. What a command printed last stays in force until it prints something else.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from proxy.config import CommandRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from proxy.config import CommandOutputs, SecretCommand

AT_ONCE: Final = 8
"""Commands that run at the same time."""


class CommandRefresher:
    """`changed` is called when an output is another one than before, `ended` after each run."""

    def __init__(self, outputs: CommandOutputs, changed: Callable[[], None], ended: Callable[[], None]) -> None:
        self._outputs, self._changed, self._ended = outputs, changed, ended
        self._pool: ThreadPoolExecutor | None = None
        self._running: dict[SecretCommand, asyncio.Task[None]] = {}
        self._again: set[SecretCommand] = set()
        self._look = asyncio.Event()

    def __repr__(self) -> str:
        return f"<CommandRefresher of {self._outputs!r}, {len(self._running)} running>"

    async def run(self) -> None:
        """Run commands when they are due, until cancelled; then those that run are killed."""
        try:
            while True:
                self._look.clear()
                soonest = self._begin_due()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(soonest):
                        await self._look.wait()
        finally:
            self._outputs.stop()
            for task in self._running.values():
                task.cancel()
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    def look_again(self) -> None:
        """The commands may be others now."""
        self._look.set()

    def run_all(self, since: float) -> None:
        """Run every command that has not ended since this moment. One that runs already, once more afterwards: it may
        have looked too early."""
        for command in self._outputs.commands():
            if command in self._running:
                self._again.add(command)
            elif not self._outputs.ran_after(command, since):
                self._begin(command)

    def _begin_due(self) -> float | None:
        """Begin what is due; the seconds until something else is, None for nothing."""
        waits = []
        for command in self._outputs.commands():
            wait = self._outputs.due_in(command)
            if wait is None or command in self._running:
                continue
            if wait <= 0:
                self._begin(command)
            else:
                waits.append(wait)
        return min(waits, default=None)

    def _begin(self, command: SecretCommand) -> None:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # not above: few configurations have commands

            self._pool = ThreadPoolExecutor(AT_ONCE, "secret-command")
        self._running[command] = asyncio.get_running_loop().create_task(self._attend(command))

    async def _attend(self, command: SecretCommand) -> None:
        try:
            try:
                run = await asyncio.get_running_loop().run_in_executor(self._pool, self._outputs.run, command)
            except Exception as error:  # noqa: BLE001 - no thread, no memory: it is tried again as after any failure
                run = CommandRun(problem=f"a command could not be run: {type(error).__name__}")
            if command in self._outputs.commands() and self._outputs.record(command, run):
                self._changed()
            self._ended()
        finally:
            del self._running[command]
            self._look.set()
            if command in self._again:
                self._again.discard(command)
                self._begin(command)
