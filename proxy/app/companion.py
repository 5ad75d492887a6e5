"""A command that runs with the program: started once an account can serve; its end is the program's end.

It gets every signal that the program gets, so that stopping the program stops the command.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

from proxy.app.process import begin_command, open_files_limits
from proxy.errors import StartupError
from proxy.events import NEEDS_OPERATOR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.app.program import Program
    from proxy.tokens.values import CredentialStatus

PASSED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
KILLED = 128
"""What a shell adds to the signal's number where a signal ended a command."""
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
_POLL_INTERVAL = 0.05


class NotReady(StartupError):
    """No account came to serve, so the command was not started."""


class CommandNotStarted(StartupError):
    """The system does not run it. The exit codes are a shell's."""

    def __init__(self, command: str, error: OSError) -> None:
        super().__init__(f"run: {command}: {error.strerror or error}")
        self.exit_code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE


class Companion:
    """`variables` makes the command's environment from the URL for clients. `ready_timeout` is in seconds."""

    def __init__(
        self, command: Sequence[str], variables: Callable[[str], Mapping[str, str]], ready_timeout: float
    ) -> None:
        self._command, self._variables, self._ready_timeout = command, variables, ready_timeout
        self._process: asyncio.subprocess.Process | None = None
        self._stopped_by = 0
        self._open_files = open_files_limits()

    def __repr__(self) -> str:
        return f"<Companion {self._command[0]}, {'started' if self._process else 'not started'}>"

    def install(self) -> None:
        """Listen to the signals that are passed on."""
        for number in PASSED:
            asyncio.get_running_loop().add_signal_handler(number, self._pass_on, number)

    async def run(self, program: Program) -> int:
        """The command's exit code as a shell gives it. Raises `NotReady` and `CommandNotStarted`."""
        if not await self._until_ready(program):
            return KILLED + self._stopped_by
        url = f"{'https' if program.config.tls else 'http'}://{program.listening.reachable}"
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=dict(self._variables(url)), preexec_fn=partial(begin_command, self._open_files)
            )
        except OSError as error:
            raise CommandNotStarted(self._command[0], error) from None
        if self._stopped_by:  # while the command was being started
            self._pass_on(self._stopped_by)
        code = await self._process.wait()
        return code if code >= 0 else KILLED - code

    async def _until_ready(self, program: Program) -> bool:
        """Whether an account can serve; not, where a signal came first. Raises `NotReady`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._ready_timeout
        while not self._stopped_by:
            if program.can_serve:
                return True
            statuses = program.tokens.statuses()
            if all(map(_is_hopeless, statuses)) or loop.time() >= end:
                raise NotReady("\n".join(map(_explain, statuses)))
            await asyncio.sleep(_POLL_INTERVAL)
        return False

    def _pass_on(self, number: int) -> None:
        if self._process is None:
            self._stopped_by = number
        elif self._process.returncode is None and not (number in _OF_TERMINALS and _holds_terminal()):
            self._process.send_signal(number)


_OF_TERMINALS = (signal.SIGINT, signal.SIGQUIT)


def _holds_terminal() -> bool:
    """Whether what is typed reaches us, and so the command as well: the terminal tells its whole foreground group."""
    try:
        return os.tcgetpgrp(sys.__stdin__.fileno() if sys.__stdin__ else -1) == os.getpgrp()
    except (OSError, ValueError):
        return False


def _is_hopeless(status: CredentialStatus) -> bool:
    """Whether only a person can help."""
    return status.state in NEEDS_OPERATOR or not status.has_refresh_token


def _explain(status: CredentialStatus) -> str:
    detail = status.last_failure.detail if status.last_failure else ""
    said = " ".join(part for part in (detail, status.advice) if part) or "no access token came in time."
    return f"run: {status.account} cannot serve ({status.state}): {said}"
