"""Workers of a ready program that begin where the imports end, as the program itself does.

The program asks for them as always. What answers is a process that was forked from the program before it began: it
forks each worker in turn, which becomes a child of the program, and has what that would give to it: descriptors at
their numbers, the output, environment and limits. Nothing else of the program is there. A program with a `prefix`
(`tests.support.running.Serving`), one of systemd and one in a container start their workers themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from proxy.app.workers import supervisor

_ADOPTING = 36
"""PR_SET_CHILD_SUBREAPER: whoever of its descendants loses its parent becomes its child."""
_MOST_DESCRIPTORS = 64
_begin_process = asyncio.create_subprocess_exec


class ReadyWorker:
    """A forked worker, with what its supervisor uses of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._file = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._file, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)
        _, status = os.waitpid(self.pid, 0)
        self._code.set_result(os.waitstatus_to_exitcode(status))

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    def send_signal(self, number: int) -> None:
        if self._code.done():
            raise ProcessLookupError
        os.kill(self.pid, number)


def prepare() -> None:
    """From now on workers begin so. Called in a program that has not begun yet."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ctypes.CDLL(None).prctl(_ADOPTING, 1, 0, 0, 0)
    if os.fork() == 0:
        ours.close()
        _fork_workers(theirs)
    theirs.close()

    async def begin(program: str, *words: str, **given: Any) -> Any:
        if words[:2] != ("-P", "-c") or words[2] != supervisor._CODE:
            return await _begin_process(program, *words, **given)
        limits = [list(resource.getrlimit(which)) for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)]
        wanted = {"arguments": words[3:], "descriptors": given["pass_fds"], "limits": limits, "folder": str(Path.cwd())}
        socket.send_fds(ours, [json.dumps(wanted).encode()], [given["stdout"], *given["pass_fds"]])
        return ReadyWorker(int(ours.recv(16)))

    asyncio.create_subprocess_exec = begin  # type: ignore[assignment]  # it takes what the supervisor gives


def _fork_workers(program: socket.socket) -> NoReturn:
    """Fork what is asked for until the program has ended."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(program, 64 * 1024, _MOST_DESCRIPTORS)
        if not message:
            os._exit(0)
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:  # it ends, so that the program becomes the parent of what it forks
            worker = os.fork()
            if worker == 0:
                _become_a_worker(json.loads(message), descriptors)
            os.write(writing, str(worker).encode())
            os._exit(0)
        os.waitpid(between, 0)
        program.send(os.read(reading, 16))
        for descriptor in (reading, writing, *descriptors):
            os.close(descriptor)


def _become_a_worker(wanted: dict[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Run the worker as the program's command does."""
    places = (1, *wanted["descriptors"])
    apart = [fcntl.fcntl(each, fcntl.F_DUPFD, max(places) + 1) for each in descriptors]
    for each, place in zip(apart, places, strict=True):
        os.dup2(each, place)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - these are numbers
        if int(name) not in (0, 2, *places):
            with contextlib.suppress(OSError):  # the folder that was listed
                os.close(int(name))
    for which, limit in zip((resource.RLIMIT_NOFILE, resource.RLIMIT_CORE), wanted["limits"], strict=True):
        resource.setrlimit(which, tuple(limit))
    os.chdir(wanted["folder"])
    sys.argv = ["-c", *wanted["arguments"]]
    code = 0
    try:
        exec(supervisor._CODE, {"__name__": "__main__"})
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter says it at the end of a program
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
