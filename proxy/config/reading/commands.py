"""What the commands of a configuration printed. It outlives single readings, as commands are slow: a reading takes what
is known, and asks for what is not, which then runs at once, all at the same time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from proxy.config.model.expected import Expected, WrongValue
from proxy.config.model.secret_command import CommandFailed, SecretCommand, more_often
from proxy.config.reading.command_run import CommandRun, command_environment, run_command, shortened, shown_command
from proxy.events import SecretCommandRan
from proxy.redaction import Redaction
from proxy.secret import Secret
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from proxy.config.model.section import Path as Place

AT_ONCE: Final = 8
"""Commands that run at the same time."""
RETRY_SECONDS: Final = 60.0
"""After a failure, a command runs again after so long, or its shorter interval."""
_LEAST_MASKED: Final = 8
_SECRET_WORDS: Final = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL")
"""Variables with such a word in their name, for commands alone, hold what must not be in a log."""


@dataclass(frozen=True, slots=True)
class CommandUse:
    """Where a command is named, how often it is to run, and what it had printed when that was read."""

    every: float | None = None
    keys: tuple[str, ...] = ()
    output: Secret | None = None


def joined(uses: Iterable[Mapping[SecretCommand, CommandUse]]) -> dict[SecretCommand, CommandUse]:
    """The uses of several files as one. Pure."""
    found: dict[SecretCommand, CommandUse] = {}
    for each in uses:
        for command, use in each.items():
            other = found.get(command, use)
            keys = tuple(dict.fromkeys((*other.keys, *use.keys)))
            found[command] = CommandUse(more_often(other.every, use.every), keys, use.output)
    return found


@dataclass(frozen=True, slots=True)
class _State:
    """The last output of a command, None for none, and what was wrong with the last run."""

    output: Secret | None
    problem: str
    ran_at: float


class CommandOutputs:
    """`run` runs a command; `clock` is monotonic."""

    def __init__(
        self,
        run: Callable[[SecretCommand, Mapping[str, str], threading.Event], CommandRun] = run_command,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._clock = run, clock
        self._states: dict[SecretCommand, _State] = {}
        self._wanted: dict[SecretCommand, None] = {}
        self._uses: Mapping[SecretCommand, CommandUse] = {}
        self._events: list[tuple[SecretCommand, SecretCommandRan]] = []
        self._environ: Mapping[str, str] = {}
        self._secret_names: set[str] = set()
        self._secrets: set[Secret] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def __repr__(self) -> str:
        with self._lock:
            failing = [bool(state.problem) for state in self._states.values()]
        return f"<CommandOutputs of {len(failing)} commands, {sum(failing)} failing>"

    # --- for a reading

    def ask(self, command: SecretCommand) -> str:
        """What a command printed last. Raises `WrongValue` where that is nothing, and also before its first run, which
        is asked for."""
        with self._lock:
            state = self._states.get(command)
            if state is None:
                self._wanted[command] = None
                raise WrongValue(Expected.COMMAND_PENDING)
        if state.output is None:
            raise CommandFailed(state.problem)
        return state.output.reveal()

    def output(self, command: SecretCommand) -> Secret | None:
        """What a command printed last, None for nothing."""
        state = self._states.get(command)
        return state.output if state is not None else None

    def begin(self, environ: Mapping[str, str]) -> None:
        """A reading begins, with this environment."""
        self._environ = environ

    def know(self, secret: Secret) -> None:
        """A reading found a secret, which may be in what commands write to their standard error."""
        with self._lock:
            self._secrets.add(secret)

    def know_variable(self, name: str) -> None:
        """A variable holds a value of the configuration: commands do not get it."""
        with self._lock:
            self._secret_names.add(name)

    def run_wanted(self) -> bool:
        """Run what a reading has asked for and did not get, all at the same time; False where there is nothing."""
        with self._lock:
            wanted, self._wanted = [*self._wanted], {}
        if not wanted or self._stop.is_set():
            return False
        from concurrent.futures import ThreadPoolExecutor  # not above: few configurations have commands

        with _ended_by_signals(self._stop), ThreadPoolExecutor(min(AT_ONCE, len(wanted))) as pool:
            try:
                for command, run in zip(wanted, pool.map(self.run, wanted), strict=True):
                    self.record(command, run)
            except BaseException:
                self.stop()
                raise
        return True

    def end(self, asked: Mapping[SecretCommand, CommandUse], *, complete: bool) -> None:
        """A reading ended. Unless it is `complete`, what was in force stays so; other commands are forgotten."""
        with self._lock:
            self._uses = dict(asked) if complete else {**self._uses, **asked}
            self._states = {command: state for command, state in self._states.items() if command in self._uses}

    def forget_failures(self) -> None:
        """The next reading runs the commands again that never printed anything of use."""
        with self._lock:
            self._states = {command: state for command, state in self._states.items() if state.output is not None}

    # --- for a running program

    def run(self, command: SecretCommand) -> CommandRun:
        """Run a command; nothing is recorded of it."""
        with self._lock:
            environ = command_environment(self._environ, self._secret_names)
        return self._run(command, environ, self._stop)

    def record(self, command: SecretCommand, run: CommandRun) -> bool:
        """Keep what came of a run; whether the command's output is another one now."""
        if run.stopped:
            return False
        stderr = shortened(self._cleaned(run)) if run.stderr else ""
        problem = f'{run.problem}; it wrote: "{stderr}"' if run.problem and stderr else run.problem
        with self._lock:
            before = self._states.get(command)
            kept = before.output if before is not None else None
            output = run.output if run.output is not None else kept
            self._states[command] = _State(output, problem, self._clock())
            use = self._uses.get(command, CommandUse())
            recovered = before is not None and bool(before.problem) and not problem
            program = shown_command(command).removeprefix("the command").strip()
            event = SecretCommandRan(program, use.keys, run.problem, stderr, run.seconds, recovered)
            self._events.append((command, event))
        return output != kept

    def events(self) -> Iterator[SecretCommandRan]:
        """Tell each run once."""
        with self._lock:
            told, self._events = self._events, []
        for command, event in told:
            use = self._uses.get(command)
            yield event if use is None else replace(event, keys=use.keys)

    def problems(self) -> tuple[str, ...]:
        """A sentence for each command that failed, and whose former output stays in force."""
        return tuple(
            f"{', '.join(use.keys)}: {state.problem}; the last value stays in use"
            for command, use in self._uses.items()
            if (state := self._states.get(command)) is not None and state.problem and state.output is not None
        )

    def commands(self) -> tuple[SecretCommand, ...]:
        """All that the last reading named."""
        return tuple(self._uses)

    def ran_after(self, command: SecretCommand, moment: float) -> bool:
        """Whether a run ended after a moment of the clock."""
        state = self._states.get(command)
        return state is not None and state.ran_at > moment

    def due_in(self, command: SecretCommand) -> float | None:
        """Seconds until a command is to run again, None for not by itself."""
        state, use = self._states.get(command), self._uses.get(command)
        if state is None or use is None:
            return None
        after = more_often(use.every, RETRY_SECONDS) if state.problem else use.every
        return None if after is None else state.ran_at + after - self._clock()

    def stop(self) -> None:
        """Kill the commands that run; those that are asked for later do not begin to matter."""
        self._stop.set()

    def _cleaned(self, run: CommandRun) -> str:
        """What a command wrote to its standard error, without any secret that is known here."""
        redaction = Redaction()
        with self._lock:
            redaction.know(self._secrets)
            redaction.know(state.output for state in self._states.values() if state.output is not None)
        redaction.know(Secret(word) for word in run.printed.reveal().split() if len(word) >= _LEAST_MASKED)
        redaction.know(
            Secret(value)
            for name, value in self._environ.items()
            if len(value) >= _LEAST_MASKED and any(word in name.upper() for word in _SECRET_WORDS)
        )
        return redaction.clean(run.stderr)


@contextlib.contextmanager
def _ended_by_signals(stop: threading.Event) -> Iterator[None]:
    """Let signals that end the program end its commands first. Only the main thread may: before it serves, a signal has
    its usual effect, and would leave commands behind."""
    caught: list[int] = []

    def note(number: int, _: Any) -> None:
        caught.append(number)
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    for each in usual:
        signal.signal(each, note)
    try:
        yield
    finally:
        for each in usual:
            signal.signal(each, signal.SIG_DFL)
        for number in caught:
            os.kill(os.getpid(), number)


def find_commands(values: Any, directory: Path, place: Place = ()) -> Iterator[tuple[SecretCommand, Place]]:
    """Each value that looks like a command, and where it is, in what was read from a file."""
    if isinstance(values, dict):
        arguments = values.get("command")
        if isinstance(arguments, list | tuple) and all(isinstance(each, str) for each in arguments):
            yield SecretCommand(tuple(arguments), directory), place
        for key, value in values.items():
            yield from find_commands(value, directory, (*place, key))
    elif isinstance(values, list | tuple):
        for position, value in enumerate(values):
            yield from find_commands(value, directory, (*place, position))
