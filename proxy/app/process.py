"""The process itself, as the operating system sees it: its signals, how many files it may open, and no core dumps.

Nothing here knows what the program does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from proxy.events import DefectMet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


resource: Any
try:
    import resource
except ImportError:  # Windows has none
    resource = None

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
RESERVED_FILES = 128
"""Open files that are no connections: libraries, listeners, state, log."""


class StopSignals:
    """SIGTERM and SIGINT: the first asks to stop, the second to stop at once, a third ends the process where it is."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.stop_at_once = asyncio.Event()

    def __repr__(self) -> str:
        return f"<StopSignals {self.stop.is_set() + self.stop_at_once.is_set()} came>"

    def install(self, reload: Callable[[], None] | None) -> None:
        """Listen to them. SIGHUP asks to reload; without `reload` it asks to stop, unless it is ignored (`nohup`)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.note)
        if reload is not None or signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, reload or self.note)

    async def stop_asked(self) -> int:
        """Wait for the first; the exit code of a program that was asked to stop."""
        await self.stop.wait()
        return 0

    def note(self) -> None:
        """One of them came."""
        if self.stop_at_once.is_set():
            exit_immediately()
        (self.stop_at_once if self.stop.is_set() else self.stop).set()


def exit_immediately() -> NoReturn:
    """End the process with exit code 1, without another step."""
    os._exit(1)


def end_with_parent() -> None:
    """Called in a child before it begins: where the system can, it ends even when this program is killed."""
    if sys.platform == "linux":
        import ctypes  # not where nothing is begun: it wants memory that a hardened service may not have

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def open_files_limits() -> tuple[int, int] | None:
    """The soft and the hard limit of open files; None where the system has none."""
    return resource.getrlimit(resource.RLIMIT_NOFILE) if resource is not None else None


def begin_command(open_files: tuple[int, int] | None) -> None:
    """Prepare a child for a foreign command: it ends with this program, and has the limit of open files that we were
    given."""
    end_with_parent()
    if open_files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, open_files)


def forbid_core_dumps() -> None:
    """A core dump would hold every secret. The filter also empties those that a program collects through a pipe."""
    if resource is not None:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/coredump_filter").write_text("0")


def hide_memory() -> None:
    """Let no other process of this user read the environment and the memory of this one, where the system can.

    A command that is started later is not affected: the setting ends with its `exec` (prctl(2), PR_SET_DUMPABLE).
    """
    if sys.platform == "linux":
        import ctypes  # as in `end_with_parent`

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def allow_open_files() -> int:
    """Raise the limit of open files as far as this user may; gives it. 0 where the system has none."""
    if resource is None:
        return 0
    soft: int
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return 0 if soft == resource.RLIM_INFINITY else soft


def connections_within(open_files: int) -> int:
    """How many connections of clients so many open files allow, each with another one to Amazon; 0: any number."""
    return max(1, (open_files - RESERVED_FILES) // 2) if open_files else 0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


@contextlib.contextmanager
def frequent_thread_switches() -> Iterator[None]:
    """Switch threads ten times as often as usual while a thread works for seconds, so that the event loop gets the
    interpreter. One thread at a time."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 10)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


# --- Uncaught exceptions, as events ------------------------------------------------------------


def defect_of(context: Mapping[str, Any]) -> DefectMet:
    """The event for an error that the event loop passes to its exception handler."""
    error = context.get("exception")
    trace = "".join(traceback.format_exception(error)) if error is not None else ""
    return DefectMet("event loop", f"{context.get('message', '')}\n{trace}")
