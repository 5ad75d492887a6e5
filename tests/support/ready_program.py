"""The program as processes that begin where the imports end: each is forked from one that has loaded the program.

What a test sees is a process, with its own arguments, environment, folder, streams and exit code: `ready(...)` is a
command that replaces `python -m proxy ...`, for tests of what a command says and does, to which signals do not get
through; `run_ready(...)` runs such a command to its end; `ReadyChild` is a server that replaces a child of one's own.
The interpreter's start is missing: tests of the start, or of the imports, start `python -m proxy` itself.

A script of another interpreter, which has imported the packages that it needs, begins in the same way: `Interpreter`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from tests.support.patience import PATIENCE

ROOT = Path(__file__).resolve().parent.parent.parent
LONGEST = 64 * 1024
"""Bytes of arguments and environment together."""


@dataclass(frozen=True)
class Interpreter:
    """A Python, and the modules that its processes have imported: those of the program if there are none."""

    path: str = sys.executable
    modules: tuple[str, ...] = ()


OURS = Interpreter()


def ready(*arguments: str) -> list[str]:
    """What to execute for `python -m proxy` with these arguments."""
    client = ROOT / "tests" / "support" / "ready_client.py"
    return [sys.executable, "-I", "-S", str(client), _place(OURS), *arguments]


def run(folder: Path, command: list[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A command to its end, in an environment that holds nothing of this machine's."""
    needed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    return subprocess.run(
        command, cwd=folder, env={**needed, **environ}, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def run_ready(folder: Path, arguments: Iterable[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `run(folder, ready(*arguments), environ)` without the process that replaces Python."""
    needed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    given = [*arguments]
    wanted = {"arguments": given, "environ": {**needed, **environ}, "folder": str(folder)}
    with Path(os.devnull).open("rb") as nothing, TemporaryFile() as printed, TemporaryFile() as said:
        with _begin(wanted, nothing, printed, said) as server:
            server.settimeout(PATIENCE)
            server.recv(16)  # the process's id
            code = int(server.recv(16))
        texts = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (printed, said)]
    return subprocess.CompletedProcess(given, code, *texts)


def _begin(wanted: Mapping[str, Any], *streams: IO[Any], of: Interpreter = OURS) -> socket.socket:
    """The connection to the ready program that forks what is wanted; it tells its id, and later its exit code."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.connect(_place(of))
    socket.send_fds(server, [json.dumps(wanted).encode()], [stream.fileno() for stream in streams])
    return server


class ReadyChild:
    """A module of ours, or a script of an interpreter, that runs as a program, and says everything on one pipe; as
    `subprocess.Popen` has a child."""

    def __init__(
        self,
        module: str,
        arguments: list[str],
        environ: Mapping[str, str],
        open_files: int | None = None,
        interpreter: Interpreter = OURS,
    ) -> None:
        readable, writable = os.pipe()
        self.stdout = os.fdopen(readable, encoding="utf-8")
        wanted: dict[str, Any] = {"module": module, "arguments": arguments, "environ": dict(environ)}
        wanted |= {"folder": str(ROOT), "open_files": open_files}
        with Path(os.devnull).open("rb") as nothing, os.fdopen(writable, "wb") as output:
            self._parent = _begin(wanted, nothing, output, output, of=interpreter)
        self.pid = int(self._parent.recv(16))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code; as in `subprocess`, it is negative if a signal ended the process. Raises
        `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._parent], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = int(self._parent.recv(16))
            self._parent.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and we have not heard of it yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@functools.cache
def _place(interpreter: Interpreter) -> str:
    """The address of this process's ready program of an interpreter. The first call starts it; it ends with us."""
    folder = tempfile.mkdtemp(prefix="ready-")
    place = f"{folder}/socket"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [interpreter.path, "-u", "-P", __file__, place, *interpreter.modules],
        env=environ,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    asked, told = server.stdin, server.stdout
    assert asked is not None
    assert told is not None
    assert told.readline() == b"ready\n"

    owner = os.getpid()

    def end() -> None:
        if os.getpid() != owner:
            return  # forked from the process that started it
        asked.close()  # which ends it
        server.wait()
        told.close()
        shutil.rmtree(folder)

    atexit.register(end)
    return place


def load_all(modules: list[str]) -> None:
    """Import these modules, or all modules of the program."""
    if not modules:
        package = importlib.import_module("proxy")
        found = [module.name for module in pkgutil.walk_packages(package.__path__, "proxy.")]
        modules = [*(name for name in found if not name.endswith("__main__")), "uvloop"]
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def serve(place: str) -> socket.socket | None:
    """Fork for each who comes: None where our standard input ended, else, in the forked process, who came."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(place)
        listener.listen(16)
        print("ready", flush=True)
        while True:
            heard, _, _ = select.select([0, listener.fileno()], [], [])
            if listener.fileno() not in heard:
                return None
            client, _ = listener.accept()
            if os.fork() == 0:
                return client
            client.close()


def become_the_program(client: socket.socket) -> str:
    """The module to run. Returns in a process that is as it would be at the start; the one that watches over it does
    not return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which tests under nohup ignore
    message, streams, _, _ = socket.recv_fds(client, LONGEST, 3)
    program = os.fork()
    if program:
        for stream in streams:
            os.close(stream)
        _watch(client, program)
    client.close()
    wanted: dict[str, Any] = json.loads(message)
    if wanted.get("open_files"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted["open_files"], wanted["open_files"]))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environ"])
    sys.argv[1:] = wanted["arguments"]
    return str(wanted.get("module", "proxy"))


def _watch(client: socket.socket, program: int) -> None:
    """Tell the client how the program ended; where the client has gone, the program has to."""
    ended = os.pidfd_open(program)
    client.send(str(program).encode())
    heard, _, _ = select.select([ended, client.fileno()], [], [])
    if ended not in heard:
        os.kill(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    if ended in heard:
        client.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


class Ending:
    """The end of a forked process: as the interpreter's, but for the modules, which are not taken apart.

    That would copy all memory that the process shares with the ready program, and takes longer than most commands.
    """

    def __init__(self) -> None:
        self._code: int | None = None
        atexit.register(self._leave)  # made before anything else registers, so that it comes last

    def run(self, module: str) -> None:
        """Run a module, or a script, as the program. An end other than by an exit code is left to the interpreter."""
        try:
            if module.endswith(".py"):
                sys.path[:] = [str(Path(module).parent), *(path for path in sys.path if path != str(ROOT))]
                runpy.run_path(module, run_name="__main__")
            else:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            self._code = 0
        except SystemExit as ended:
            self._code = 0 if ended.code is None else ended.code if isinstance(ended.code, int) else None
            raise

    def _leave(self) -> None:
        if self._code is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._code & 0xFF)


if __name__ == "__main__":
    ending = Ending()
    load_all(sys.argv[2:])
    came = serve(sys.argv[1])
    if came is not None:
        ending.run(become_the_program(came))
