"""`demo`: Run the proxy with a simulator: no credentials needed.

Nothing goes to Amazon. The built-in simulator answers. There are two accounts, a limited key, a named report, an open
invitation and a week of audit.

Example: ads-proxy demo --listen 127.0.0.1:9090
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.app.process import end_with_parent
from proxy.commands.cli_options import AdminListenOption, EchoOption, ListenOption
from proxy.commands.demo_folder import ACCOUNTS, AGENT, REPORT, PreparedDemo, prepare
from proxy.commands.terminal import tell
from proxy.config import Address, Config, environment
from proxy.config.model.values import parse_address
from proxy.errors import ListenError, StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from proxy.app.program import Program

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a folder of a random name is made in it
LISTEN, ADMIN_LISTEN = "127.0.0.1:8080", "127.0.0.1:8081"
_SIMULATOR = (sys.executable, "-P", "-m", "proxy.simulator", "--base-port", "0")
_AMAZONS_TOOLS = ("--mcp-tools", "amazon")
_OWN = tuple(
    f"ADS_PROXY_{name}"
    for name in (
        *("CONFIG", "ACCOUNTS", "CLIENTS", "ROUTES", "REGIONS", "STATE", "AUDIT", "INVITES", "REPORTS", "NOTIFY"),
        "APPROVALS",
    )
)
"""Beginnings of variables that describe the real thing; a demo does not look at them."""

_OURS = ("ADS_PROXY_", "AMAZON_ADS_")


def demo(
    listen: ListenOption = None,
    admin_listen: AdminListenOption = None,
    echo: EchoOption = False,
) -> int:
    return run_demo(environment(), listen, admin_listen, echo=echo)


class SimulatorFailed(StartupError):
    """The simulator did not start."""


def run_demo(environ: Mapping[str, str], listen: str | None, admin_listen: str | None, *, echo: bool = False) -> int:
    """Serve until stopped. Every answer carries a header that says it is a demo."""
    variables = demo_environment(environ)
    variables["ADS_PROXY_LISTEN"] = listen or environ.get("ADS_PROXY_LISTEN") or LISTEN
    variables["ADS_PROXY_ADMIN_LISTEN"] = admin_listen or environ.get("ADS_PROXY_ADMIN_LISTEN") or ADMIN_LISTEN
    key = _add_admin_key(variables)
    with _folder() as folder, running_simulator(environ, *_AMAZONS_TOOLS, *(("--echo",) if echo else ())) as simulator:
        made = prepare(folder, simulator, variables, time.time())
        config = made.config
        for option, address in (("--listen", config.listen), ("--admin-listen", config.admin_listen)):
            _try_to_listen(option, address)

        def show(program: Program) -> None:
            addresses = {"listen": program.listening, "admin_listen": program.admin_listening}
            tell(banner(config.model_copy(update=addresses), made, key))

        from proxy.app.run import serve

        notes = ("This is a demo: the answers come from the built-in simulator, not from Amazon.",)
        return serve(lambda *_: config, lambda _: notes, announce=show, demo=True)


@contextmanager
def _folder() -> Iterator[Path | None]:
    """A folder that is removed when the demo ends, also before it serves and listens to signals itself. None where no
    place for it can be written."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _exit)
    before = _hold_signals()
    place = _writable_place()
    if place is None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="ads-proxy-demo-", dir=place, ignore_cleanup_errors=True) as folder:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield Path(folder)


def _writable_place() -> str | None:
    """Where temporary files go. In a container whose root is read-only, Podman mounts a /tmp; Docker has shared memory
    alone, which other programs do not use for folders."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK) else None


def _hold_signals() -> set[int | signal.Signals]:
    """Hold back what ends a demo, and return what was held back before.

    Python drops what a handler raises while it forks. What is raised before a `with` has its folder leaves the folder.
    """
    return signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGHUP, signal.SIGINT))


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


@contextmanager
def running_simulator(environ: Mapping[str, str], *options: str) -> Iterator[Mapping[str, Any]]:
    """A simulator on ports of its own, in its own session so that Ctrl-C stops the proxy first; what it printed.

    It inherits nothing of ours: the environment may hold real credentials.
    """
    before = _hold_signals()

    def begin() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        end_with_parent()

    process = subprocess.Popen(  # noqa: S603 - our own module
        (*_SIMULATOR, *options),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in environ.items() if not name.startswith(_OURS)},
        start_new_session=True,
        preexec_fn=begin,  # noqa: PLW1509 - no threads yet, and only system calls
    )
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield _read_addresses(process)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _read_addresses(process: subprocess.Popen[bytes]) -> Mapping[str, Any]:
    """The one line that the simulator prints once it listens."""
    line = process.stdout.readline() if process.stdout else b""
    try:
        found: Mapping[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        raise SimulatorFailed("demo: the simulator did not start; run `ads-proxy simulate` to see why") from None
    return found


def demo_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of the real environment that stay in force in a demo."""
    return {
        name: value for name, value in environ.items() if name.startswith("ADS_PROXY_") and not name.startswith(_OWN)
    }


def _add_admin_key(variables: dict[str, str]) -> str:
    """Beyond loopback the console needs a key; a demo makes one where there is none. It is shown in the banner."""
    given = any(variables.get(name) for name in ("ADS_PROXY_ADMIN__KEY", "ADS_PROXY_ADMIN__KEY_FILE"))
    try:
        is_open = not parse_address(variables["ADS_PROXY_ADMIN_LISTEN"]).is_loopback
    except ValueError:
        is_open = False
    if given or not is_open:
        return ""
    variables["ADS_PROXY_ADMIN__KEY"] = key = secrets.token_urlsafe(16)
    return key


def _try_to_listen(option: str, address: Address) -> None:
    """Complain of a port in use, and name the option."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            reason = error.strerror or str(error)
            variable = "ADS_PROXY_" + option.removeprefix("--").replace("-", "_").upper()
            raise ListenError(
                f"{address}: {reason}; stop the program that uses it, or choose another address "
                f"with {option} HOST:PORT or {variable}"
            ) from None


NO_FOLDER = (
    "Without a folder that can be written, the demo has no audit, no report and no invitation. Set TMPDIR to one; "
    "containers get one from --tmpfs /tmp."
)


def _of_files(file: Path) -> tuple[str, str]:
    return "A week of changes; other commands take the same --config:", f"  ads-proxy audit show --config {file}"


def banner(config: Config, made: PreparedDemo, key: str) -> str:
    """What to try first. `key` is the admin key, if the demo made one."""
    scheme = "https" if config.tls else "http"
    url, admin = f"{scheme}://{config.listen.reachable}", f"http://{config.admin_listen.reachable}"
    lines = [
        "ads-proxy demo: no credentials, no Amazon; a built-in simulator answers.",
        "",
        f"  curl -s {url}/v2/profiles",
        f"  curl -s {url}/eu/v2/profiles",
        *([f"  curl -s {url}/-/reports/{REPORT}.csv"] if made.file else []),
        f"  curl -s {admin}/metrics",
        "",
        f"The key of the client {AGENT}, which reads one profile of {ACCOUNTS[0]}; for curl, and for MCP at {url}/mcp:",
        f"  curl -s {url}/v2/profiles -H 'Authorization: Bearer {made.agent_key}'",
        "",
        *(_of_files(made.file) if made.file else (NO_FOLDER,)),
        "",
        *([f"An invitation for {ACCOUNTS[1]}: {admin}{made.invitation}", ""] if made.invitation else []),
        f"  console: {admin}/" + (f"   (key: {key})" if key else ""),
        "",
    ]
    return "\n".join(lines)
