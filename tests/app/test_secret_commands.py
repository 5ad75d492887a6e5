"""When a running program runs its commands, and what becomes of their outputs. Nothing here is a process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.app.secret_commands import CommandRefresher
from proxy.config import CommandOutputs, CommandRun, ReadingMemory, SecretCommand, load
from proxy.secret import Secret
from tests.support.patience import PATIENCE, settled


class Program:
    """A configuration with the command `one`, whose runs end when a test lets them."""

    def __init__(self, folder: Path, every: str = "") -> None:
        self.began: list[str] = []
        self.changes = self.ends = 0
        self.may_end = threading.Event()
        self.prints, self.now, self.breaks = "first", 1000.0, False
        self.may_end.set()
        self.outputs = CommandOutputs(self._run, lambda: self.now)
        path = folder / "proxy.yaml"
        secret = f"{{command: [one]{every}}}"
        path.write_text(f"accounts: {{acme: {{client_id: x, client_secret: {secret}}}}}")
        load(path, {}, memory=ReadingMemory(commands=self.outputs))
        self.refresher = CommandRefresher(self.outputs, self._change, self._end)

    def _run(self, command: SecretCommand, environ: Mapping[str, str], stop: threading.Event) -> CommandRun:
        self.began.append(command.arguments[0])
        if self.breaks:
            raise MemoryError
        assert self.may_end.wait(PATIENCE)
        return CommandRun(Secret(self.prints), stopped=stop.is_set())

    def _change(self) -> None:
        self.changes += 1

    def _end(self) -> None:
        self.ends += 1


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    found = Program(tmp_path)
    yield found
    found.may_end.set()


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_after_a_reload_each_command_runs(program: Program) -> None:
    """Unless it ran during the reload, because it was new. Only another output is put in force."""
    task = asyncio.create_task(program.refresher.run())
    program.refresher.run_all(since=999.0)
    await asyncio.sleep(0)
    assert program.began == ["one"]
    program.refresher.run_all(since=1000.0)
    await settled(lambda: program.ends == 1)
    assert program.changes == 0
    program.prints = "second"
    program.refresher.run_all(since=1000.0)
    await settled(lambda: program.ends == 2)
    assert program.changes == 1
    await ended(task)


async def test_a_command_that_runs_already_runs_once_more(program: Program) -> None:
    """However often that is asked for: what it is printing may be older than the reload."""
    task = asyncio.create_task(program.refresher.run())
    program.may_end.clear()
    for _ in range(3):
        program.refresher.run_all(since=1000.0)
    await settled(lambda: len(program.began) == 2)
    assert repr(program.refresher) == "<CommandRefresher of <CommandOutputs of 1 commands, 0 failing>, 1 running>"
    program.may_end.set()
    await settled(lambda: program.ends == 2)
    assert program.began == ["one"] * 3
    await ended(task)


async def test_a_command_runs_at_its_interval(tmp_path: Path) -> None:
    """By the clock, and again for what a failure to begin it left undone."""
    program = Program(tmp_path, ", every: 15m")
    task = asyncio.create_task(program.refresher.run())
    await asyncio.sleep(0)
    program.now = 1899.0
    program.refresher.look_again()
    await asyncio.sleep(0)
    assert program.began == ["one"]
    program.now, program.breaks = 1900.0, True
    program.refresher.look_again()
    await settled(lambda: program.ends == 1)
    assert "could not be run: MemoryError" in program.outputs.problems()[0]
    program.now, program.breaks = 1960.0, False
    program.refresher.look_again()
    await settled(lambda: program.ends == 2)
    assert program.outputs.problems() == ()
    await ended(task)


async def test_the_end_of_the_program_is_the_end_of_its_commands(program: Program) -> None:
    """Nothing is kept of one that was running."""
    task = asyncio.create_task(program.refresher.run())
    program.may_end.clear()
    program.prints = "second"
    program.refresher.run_all(since=1000.0)
    await settled(lambda: len(program.began) == 2)
    await ended(task)
    program.may_end.set()
    assert program.changes == 0
    (command,) = program.outputs.commands()
    assert program.outputs.output(command) == Secret("first")
