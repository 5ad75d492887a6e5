"""One run of a command that prints a secret: what it printed, or why that cannot be used. Blocks; for any thread.

The command is the leader of a session of its own. Whatever becomes of it, its whole process group is killed at the end,
before the leader is reaped: until then no other group can have the number.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import time
from dataclasses import field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from proxy.config.model.key_names import shown_name
from proxy.secret import Secret
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping

    from proxy.config.model.secret_command import SecretCommand

COMMAND_SECONDS: Final = 10.0
OUTPUT_BYTES: Final = 65_536
STDERR_CHARACTERS: Final = 1000
"""How much is shown of the end of what a command wrote to its standard error."""
_LOOK: Final = 0.05
"""Seconds between two looks at whether to stop, or whether the command ended."""
_KILL_SECONDS: Final = 1.0
_OWN: Final = ("ADS_PROXY_", "AMAZON_ADS_")
"""Variables of the proxy's own begin so; they can hold its secrets."""


@dataclass(frozen=True, slots=True)
class CommandRun:
    """What came of one run: the output, or the problem. Not yet without secrets: `problem` does not have what the
    command wrote to its standard error, `stderr` has the end of it."""

    output: Secret | None = None
    problem: str = ""
    stderr: str = field(default="", repr=False)
    printed: Secret = field(default=Secret(""), repr=False)
    seconds: float = 0.0
    stopped: bool = False
    """Whether the program is to end: then nothing is known of the command."""


class _Ending(Enum):
    """How the watch over a command ended."""

    ENDED = auto()
    LATE = auto()
    LONG = auto()
    STOPPED = auto()
    UNKNOWN = auto()
    """The system reaped it: SIGCHLD is ignored, so the exit code is unknown."""


def command_environment(environ: Mapping[str, str], secret_names: Iterable[str]) -> dict[str, str]:
    """The proxy's environment without its own variables, and without those that `{env: NAME}` names. Pure."""
    without = frozenset(secret_names)
    return {name: value for name, value in environ.items() if not name.startswith(_OWN) and name not in without}


def shown_command(command: SecretCommand) -> str:
    """The command by its first word, if that looks like a program's name; a secret there is not shown."""
    program = command.arguments[0]
    fits = all(shown_name(part.strip(".")) == part.strip(".") for part in program.split("/") if part.strip("."))
    return f"the command {program}" if fits else "the command"


def run_command(
    command: SecretCommand, environ: Mapping[str, str], stop: threading.Event, seconds: float = COMMAND_SECONDS
) -> CommandRun:
    """Run a command to its end, for so many seconds at most, or until the program is to stop."""
    began = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command, without a shell
            command.arguments,
            cwd=command.directory,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return CommandRun(problem=f"{shown_command(command)} {_why_not_begun(error)}")
    watched = _Watched(process, began + seconds, stop)
    try:
        ending = watched.watch()
    finally:
        _end(process)
    problem = _problem(ending, process.returncode, watched, seconds)
    text = watched.output.decode("utf-8", "replace")
    return CommandRun(
        output=None if problem else Secret(_without_newline(text)),
        problem=f"{shown_command(command)} {problem}" if problem else "",
        stderr=_end_of(bytes(watched.errors), cut=watched.errors_cut),
        printed=Secret(text),
        seconds=time.monotonic() - began,
        stopped=ending is _Ending.STOPPED,
    )


class _Watched:
    """A running command, and what it wrote so far: all of its output up to the limit, the end of its errors."""

    def __init__(self, process: subprocess.Popen[bytes], until: float, stop: threading.Event) -> None:
        self._process, self._until, self._stop = process, until, stop
        self.output, self.errors = bytearray(), bytearray()
        self.errors_cut = False

    def watch(self) -> _Ending:
        """Read both streams to their ends, and wait for the end of the process. It is not reaped."""
        with selectors.DefaultSelector() as selector:
            for stream in filter(None, (self._process.stdout, self._process.stderr)):
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                if (ending := self._over()) is not None:
                    return ending
                for key, _ in selector.select(_LOOK):
                    if not self._take(key.fileobj, os.read(key.fd, OUTPUT_BYTES)):
                        selector.unregister(key.fileobj)
                if len(self.output) > OUTPUT_BYTES:
                    return _Ending.LONG
        try:
            while not _has_ended(self._process):
                if (ending := self._over()) is not None:
                    return ending
                self._stop.wait(_LOOK / 5)
        except ChildProcessError:
            return _Ending.UNKNOWN
        return _Ending.ENDED

    def _over(self) -> _Ending | None:
        if self._stop.is_set():
            return _Ending.STOPPED
        return _Ending.LATE if time.monotonic() >= self._until else None

    def _take(self, stream: Any, piece: bytes) -> bool:
        if stream is self._process.stdout:
            self.output += piece
            return bool(piece)
        self.errors += piece
        if len(self.errors) > OUTPUT_BYTES:
            self.errors_cut = True
            del self.errors[:-OUTPUT_BYTES]
        return bool(piece)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process ended. It is not reaped where the system can tell without. Raises `ChildProcessError` if the
    system reaped it."""
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill all that is left of the process group, and reap it: orphans become this process's children where it is the
    first one of a container. Another user's process (sudo) cannot be killed; the wait for it ends, too."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_SECONDS)
    until = time.monotonic() + _KILL_SECONDS
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-process.pid, os.WNOHANG)[0] or time.monotonic() < until:
            time.sleep(_LOOK / 50)


# --- What a run means -----------------------------------------------------------------------------------------


def _why_not_begun(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT:
        return "was not found; write the whole path of the program, and look at the first line of a script"
    if number in (errno.EACCES, errno.EPERM):
        return "cannot be run: permission denied; let this user execute it"
    if number == errno.ENOEXEC:
        return "cannot be run: it is no program; begin a script with a line such as #!/bin/sh"
    return f"cannot be run: {getattr(error, 'strerror', None) or type(error).__name__}"


def _problem(ending: _Ending, code: int | None, watched: _Watched, seconds: float) -> str:
    """What is wrong with a run, as the rest of a sentence; empty where nothing is."""
    if ending is _Ending.STOPPED:
        return "was killed, as the program stops"
    if ending is _Ending.LATE and code == 0:
        return f"left a program behind that held its output open for {seconds:g} s, and was killed; redirect its output"
    advice = (
        "" if watched.errors.strip() else "; it wrote nothing to its standard error; run it as this user to see why"
    )
    if ending is _Ending.LATE:
        return f"did not end within {seconds:g} s, and was killed with all that it began{advice}"
    if ending is _Ending.LONG:
        return f"printed more than {OUTPUT_BYTES // 1024} KiB, and was killed; it must print the secret alone"
    if ending is _Ending.UNKNOWN:
        return "ended with an unknown exit code; start the proxy so that SIGCHLD is not ignored"
    if code:
        how = f"ended by signal {-code} ({_signal_name(-code)})" if code < 0 else f"ended with exit code {code}"
        return f"{how}{advice}"
    try:
        text = watched.output.decode("utf-8")
    except UnicodeDecodeError:
        return "printed what is no UTF-8 text; it must print the secret as text"
    return "" if text.strip() else "printed nothing; it must print the secret to its standard output"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _without_newline(text: str) -> str:
    """The text without one newline at its end."""
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def _end_of(errors: bytes, *, cut: bool) -> str:
    """What a command wrote to its standard error, in one line of printable characters. Where its beginning is missing,
    it begins with a whole word: what a cut left of a secret is not known as one."""
    words = errors.decode("utf-8", "replace").split()
    text = " ".join(words[1:] if cut else words)
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def shortened(stderr: str) -> str:
    """The end of a cleaned text, as much as is shown of it. Pure."""
    return stderr if len(stderr) <= STDERR_CHARACTERS else f"...{stderr[-STDERR_CHARACTERS:]}"
