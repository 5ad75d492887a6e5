"""`serve` and `demo` as processes: they start, answer, complain of what is in their way, and end when asked."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.commands.audit import verify
from tests.support.patience import PATIENCE
from tests.support.processes import Process, ReadyProcess, free_port, until
from tests.support.programs import do_without
from tests.support.ready_program import ready

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent.parent
ANY = "127.0.0.1:0"
ONE = {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "y", "ADS_PROXY_STATE__URL": "memory:"}


PROGRAM = (sys.executable, "-m", "proxy")


async def start(
    folder: Path, environ: Mapping[str, str], *arguments: str, program: Sequence[str] = PROGRAM
) -> asyncio.subprocess.Process:
    needed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder), "ADS_PROXY_LOG__FORMAT": "json"}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *program, *arguments, env={**needed, **environ}, cwd=folder, stdout=pipe, stderr=pipe
    )


@asynccontextmanager
async def running(folder: Path, environ: Mapping[str, str], *arguments: str) -> AsyncIterator[tuple[Any, bytes]]:
    """The program once it has started: its `server_started` line, and what it had said before on standard error."""
    process = await start(folder, environ, *arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE):
            while b"server_started" not in (line := await process.stdout.readline()):
                assert line, await process.stderr.read()
        async with asyncio.timeout(PATIENCE):
            said = await process.stderr.readuntil(b"console: ") if "demo" in arguments else b""
        yield json.loads(line), said
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            _, rest = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in rest


async def ask(url: str) -> tuple[aiohttp.ClientResponse, bytes]:
    """The demo's answer, once it has a token: a busy machine may take longer for it than a request waits."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
        while True:
            async with session.get(url) as answer:
                if answer.status != 503:
                    return answer, await answer.read()


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[Any, str]]:
    """The `server_started` line and the banner of a demo that runs; its environment names a real configuration.

    Where the system chooses the port of the console, there is no invitation.
    """
    environ = {"AMAZON_ADS_CLIENT_ID": "real", "ADS_PROXY_CONFIG": "/real.yaml"}
    process = begun_demo(f"127.0.0.1:{free_port()}", **environ)
    try:
        started = process.first(lambda line: line.get("event") == "server_started")
        until(lambda: "console: " in process.text)
        yield started, process.text
    finally:
        process.end()
    audit = Path(shown(r"--config (\S+)", process.text)).parent
    assert (process.wait(), "Traceback" in process.text, audit.exists()) == (0, False, False)


def begun_demo(admin: str = ANY, **environ: str) -> ReadyProcess:
    """A demo whose clients' port is one that the system chooses."""
    arguments = ("demo", "--listen", ANY, "--admin-listen", admin)
    return ReadyProcess("proxy", *arguments, open_files=None, ADS_PROXY_LOG__FORMAT="json", **environ)


def shown(pattern: str, banner: str) -> str:
    """The group of a pattern, which the banner has."""
    found = re.search(pattern, banner)
    assert found, banner
    return found[1]


async def test_the_demo_answers_at_once(demo: tuple[Any, str]) -> None:
    """One command, no credentials: profiles come, and every answer says that it is a demo."""
    started, said = demo
    assert "ads-proxy demo: no credentials, no Amazon" in said
    answer, body = await ask(f"http://{started['listen']}/v2/profiles")
    assert answer.status == 200
    assert "X-Ads-Proxy-Demo" in answer.headers
    assert len(json.loads(body)) == 3


def test_the_banner_of_the_demo_has_the_ports_that_the_system_chose(demo: tuple[Any, str]) -> None:
    """The addresses are those at which it answers."""
    started, said = demo
    for address in (f"http://{started['listen']}/v2/profiles", f"http://{started['admin_listen']}/metrics"):
        assert f"curl -s {address}\n" in said


async def test_the_demo_shows_the_product(demo: tuple[Any, str]) -> None:
    """Two accounts, a limited key, a named report, an invitation and an unbroken week of audit, all from the banner."""
    started, said = demo
    listen = started["listen"]
    assert started["accounts"] == ["default", "globex"]
    answer, body = await ask(f"http://{listen}/-/reports")
    assert [each["name"] for each in json.loads(body)["reports"]] == ["campaigns"]
    status = await asked_with(shown(r"Bearer (adsproxy_[\w-]+)", said), "POST", f"http://{listen}/sp/campaigns")
    assert status == 403
    for prefix, expected in (("", 200), ("/@globex", 200), ("/@nobody", 404)):
        assert await asked_with("any", "GET", f"http://{listen}{prefix}/v2/profiles") == expected
    answer, body = await ask(shown(r"(http://\S+/invite/\S+)", said))
    assert (answer.status, b"globex" in body) == (200, True)
    audit = Path(shown(r"--config (\S+proxy\.yaml)", said)).with_name("audit.jsonl")
    assert verify((audit,)) == 0
    days = {json.loads(line)["@timestamp"][:10] for line in audit.read_text().splitlines()}
    assert len(days) >= 7


async def test_the_demo_says_that_it_needs_no_key(demo: tuple[Any, str]) -> None:
    """`/status`, and so the console and `ads-proxy status`, although the demo has clients."""
    _, body = await ask(f"http://{demo[0]['admin_listen']}/status")
    assert json.loads(body)["keyed"] is False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_stopped_at_its_start_leaves_no_folder(tmp_path: Path, number: signal.Signals) -> None:
    """The folder holds keys; service managers send SIGTERM, a terminal that closes SIGHUP."""
    process = begun_demo(TMPDIR=str(tmp_path))
    try:
        until(lambda: any(tmp_path.iterdir()))
        process.signal(number)
        assert process.wait() == 128 + number
        assert not any(tmp_path.iterdir())
        assert "Traceback" not in process.text
    finally:
        process.end()


STARTING = """
import os, signal, tempfile
from proxy.commands.demo import run_demo

def stop(*_):
    os.kill(os.getpid(), signal.SIGTERM)

def making(*where, make=tempfile.mkdtemp):
    try:
        return make(*where)
    finally:
        stop()

if {is_forking}:
    os.register_at_fork(before=stop)
else:
    tempfile.mkdtemp = making
run_demo(os.environ, "127.0.0.1:0", "127.0.0.1:0")
"""


@pytest.mark.parametrize("is_forking", [True, False], ids=["simulator", "folder"])
async def test_a_signal_at_an_odd_moment_is_not_lost(tmp_path: Path, is_forking: bool) -> None:
    """While the process forks, or just when the folder has been made."""
    program = (sys.executable, "-c", STARTING.format(is_forking=is_forking))
    process = await start(tmp_path, {"TMPDIR": str(tmp_path)}, program=program)
    try:
        async with asyncio.timeout(PATIENCE):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, [*tmp_path.iterdir()]) == (128 + signal.SIGTERM, []), said


def test_a_demo_stops_when_its_terminal_closes(tmp_path: Path) -> None:
    """A demo has nothing to reload, and would hold its ports unseen."""
    process = begun_demo(TMPDIR=str(tmp_path))
    try:
        until(lambda: "console: " in process.text)
        process.signal(signal.SIGHUP)
        assert process.wait() == 0
        assert not any(tmp_path.iterdir())
    finally:
        process.end()


async def test_a_demo_behind_nohup_goes_on_when_its_terminal_closes(tmp_path: Path) -> None:
    """With nohup SIGHUP is ignored. The console is where the banner says, at the port that the system chose."""
    arguments = ("demo", "--listen", ANY, "--admin-listen", ANY)
    process = Process("nohup", *PROGRAM, *arguments, TMPDIR=str(tmp_path))
    try:
        until(lambda: "console: " in process.text)
        process.signal(signal.SIGHUP)
        admin = shown(r"console: (http://\S+)", process.text)
        answer, _ = await ask(f"{admin}livez")
        process.signal(signal.SIGTERM)
        assert (answer.status, process.wait()) == (200, 0)
    finally:
        process.end()


PLACES = ("/tmp", "/var/tmp", "/usr/tmp", "/dev/shm")
READ_ONLY = "mount -t tmpfs -o ro none {}; "


def without(places: Sequence[str]) -> tuple[str, ...]:
    """What a command begins with that can write to none of these places. Skips the test where only root could."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        do_without("only root can make a namespace without a writable /tmp")
    mounts = "".join(READ_ONLY.format(place) for place in places if Path(place).is_dir())
    return ("unshare", "--mount", "sh", "-c", f'set -e; {mounts} cd /proc; exec "$@"', "sh")


@pytest.mark.parametrize("has_shared_memory", [True, False])
async def test_a_demo_needs_no_temporary_folder(has_shared_memory: bool) -> None:
    """As in Docker with a root that is read-only: shared memory keeps its files; without any, it serves without them,
    and its banner names what is missing."""
    prefix = without(PLACES[:-1] if has_shared_memory else PLACES)
    process = Process(*prefix, *PROGRAM, "demo", "--listen", ANY, "--admin-listen", ANY, PYTHONPATH=str(ROOT))
    try:
        until(lambda: "console: " in process.text)
        url = shown(r"curl -s (http://\S+)/v2/profiles", process.text)
        answer, body = await ask(f"{url}/v2/profiles")
        assert (answer.status, len(json.loads(body))) == (200, 3)
        key = shown(r"Bearer (adsproxy_[\w-]+)", process.text)
        assert await asked_with(key, "POST", f"{url}/sp/campaigns") == 403
        assert await asked_with("any", "GET", f"{url}/-/reports") == (200 if has_shared_memory else 404)
        assert ("has no audit, no report and no invitation" in process.text) is not has_shared_memory
        assert ("--config /dev/shm/ads-proxy-demo-" in process.text) is has_shared_memory
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    finally:
        process.end()


async def asked_with(key: str, method: str, url: str) -> int:
    """The status that a client with this key gets."""
    headers = {"Authorization": f"Bearer {key}"}
    async with asyncio.timeout(PATIENCE), aiohttp.request(method, url, headers=headers) as answer:
        return answer.status


@pytest.mark.integration
@pytest.mark.parametrize(("options", "status"), [((), 404), (("--echo",), 200)])
async def test_the_demo_knows_typos(tmp_path: Path, options: tuple[str, ...], status: int) -> None:
    """An unknown operation is 404, as at Amazon; with --echo the simulator mirrors it."""
    arguments = ("demo", "--listen", ANY, "--admin-listen", ANY, *options)
    async with running(tmp_path, {}, *arguments) as (started, _):
        answer, _ = await ask(f"http://{started['listen']}/sp/campaign")
        assert answer.status == status


@pytest.mark.integration
async def test_the_health_check_finds_a_running_server(tmp_path: Path) -> None:
    """`healthcheck` finds `serve` with the same environment."""
    async with running(tmp_path, {**ONE, "ADS_PROXY_LISTEN": ANY, "ADS_PROXY_ADMIN_LISTEN": ANY}, "serve") as (
        started,
        _,
    ):
        environ = {**ONE, "ADS_PROXY_ADMIN_LISTEN": started["admin_listen"]}
        check = await start(tmp_path, environ, "healthcheck")
        _, said = await check.communicate()
        assert (said, check.returncode) == (b"", 0)


@pytest.mark.parametrize(
    ("url", "console"), [("", r"http://127\.0\.0\.1:\d+"), (", url: 'https://ads.test'", r"https://ads\.test")]
)
async def test_serve_on_a_terminal_says_where_the_console_and_its_key_are(
    tmp_path: Path, url: str, console: str
) -> None:
    """One line on standard error, with the path of the key's file and never the key."""
    (tmp_path / "admin-key").write_text("canary-key-of-the-admin")
    (tmp_path / "proxy.yaml").write_text(f"admin: {{key: {{file: admin-key}}{url}}}")
    screen, terminal = os.openpty()
    environ = {**ONE, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    options = ("--config", "proxy.yaml", "--listen", ANY, "--admin-listen", ANY)
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "serve", *options, env=environ, cwd=tmp_path, stdout=terminal, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            said = await process.stderr.readline()
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
        os.close(terminal)
        os.close(screen)
    pattern = rf"console: {console}/ \(its key: {tmp_path}/admin-key\); clients: 127\.0\.0\.1:\d+\n"
    assert re.fullmatch(pattern, said.decode()), said


@pytest.mark.parametrize("command", ["serve", "demo"])
async def test_a_port_in_use_is_told(tmp_path: Path, command: str) -> None:
    """One line with the address and what to do, exit code 1."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        environ = {**ONE, "ADS_PROXY_LISTEN": address, "ADS_PROXY_ADMIN_LISTEN": ANY}
        process = await start(tmp_path, environ, command, program=ready())
        async with asyncio.timeout(PATIENCE):
            _, said = await process.communicate()
    lines = [line for line in said.decode().splitlines() if line.startswith("ads-proxy: ")]
    assert process.returncode == 1
    assert len(lines) == 1
    assert address in lines[0]
    assert b"Traceback" not in said


async def test_a_wrong_address_for_the_demo_is_told(tmp_path: Path) -> None:
    """Exit code 2, as for any configuration."""
    process = await start(tmp_path, {}, "demo", "--listen", "8080", program=ready())
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.startswith(b"ads-proxy: listen: is not an address")
