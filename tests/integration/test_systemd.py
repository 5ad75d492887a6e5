"""The units of config/systemd: systemd's own tools accept them, and the program works under what they forbid."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import free_port
from tests.support.programs import ROOT, do_without, require_program
from tests.support.redis_server import KEY, redis_server
from tests.support.running import serving, simulated_amazon

pytestmark = pytest.mark.integration
UNIT = ROOT / "config" / "systemd" / "ads-proxy.service"
TEMPLATE = UNIT.with_name("ads-proxy@.service")
UNITS = [pytest.param(UNIT, UNIT.name, id="one"), pytest.param(TEMPLATE, "ads-proxy@3.service", id="replica")]
"""Each with the name of what systemd would start."""
MOST_EXPOSED = 15
"""Tenths of systemd's level of exposure, of 100; up to 20 is OK in its words."""
WITHOUT_NEW_CODE = """
import ctypes, os, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit("this kernel has no PR_SET_MDWE")
os.execv(sys.argv[1], sys.argv[1:])
"""


def analysed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [require_program("systemd-analyze"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def settings() -> dict[str, str]:
    """The last value of each key."""
    lines = (line.partition("=") for line in UNIT.read_text(encoding="utf-8").splitlines())
    return {key: value for key, sign, value in lines if sign and not key.startswith("#")}


@pytest.mark.parametrize(("unit", "started"), UNITS)
def test_systemd_understands_every_line(unit: Path, started: str, tmp_path: Path) -> None:
    """With a program where the unit expects one, nothing is said."""
    text = unit.read_text(encoding="utf-8").replace("/opt/ads-proxy/bin/ads-proxy", sys.executable)
    (tmp_path / unit.name).write_text(text, encoding="utf-8")
    result = analysed("verify", "--man=no", tmp_path / started)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_little_is_exposed() -> None:
    """systemd's own judgement of what the service could still do."""
    result = analysed("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", UNIT)
    assert result.returncode == 0, result.stdout[-500:]


def test_a_replica_differs_in_what_is_its_own_alone() -> None:
    """Description, environment and the comment at the top: what one service may do, a replica may do, and no more."""
    one, replica = ([*unit.read_text(encoding="utf-8").splitlines()] for unit in (UNIT, TEMPLATE))
    own = [line for line in replica if line not in one and not line.startswith("#")]
    assert own == [
        "Description=ads-proxy, the Amazon Ads API without its login, replica %i",
        "Environment=ADS_PROXY_REUSE_PORT=true ADS_PROXY_ADMIN_LISTEN=127.0.0.1:808%i ADS_PROXY_LOG__FORMAT=json "
        "PYTHONDONTWRITEBYTECODE=1",
        "Environment=ADS_PROXY_AUDIT__FILE=/var/log/ads-proxy/audit-%i.jsonl",
    ]
    missing = [line for line in one if line not in replica and not line.startswith("#")]
    assert [line.partition("=")[0] for line in missing] == ["Description", "Environment", "Environment"]


def template_environment(instance: int) -> dict[str, str]:
    """The variables that systemd gives an instance."""
    lines = TEMPLATE.read_text(encoding="utf-8").replace("%i", str(instance)).splitlines()
    found = (line.removeprefix("Environment=").split() for line in lines if line.startswith("Environment="))
    return dict(pair.split("=", 1) for pairs in found for pair in pairs)


def test_two_instances_serve_on_one_port(tmp_path: Path) -> None:
    """With the environment of their instances and one file, each with its own admin port and audit file."""
    (tmp_path / "valkey").mkdir()
    with contextlib.ExitStack() as opened:
        amazon = opened.enter_context(simulated_amazon())
        store = opened.enter_context(redis_server(tmp_path / "valkey"))
        state = {"url": store.url, "key": KEY}
        settings = amazon.configuration(listen=f"127.0.0.1:{free_port()}", state=state)
        del settings["admin_listen"]
        replicas = []
        for instance in (1, 2):
            environment = template_environment(instance)
            assert environment.pop("ADS_PROXY_ADMIN_LISTEN") == f"127.0.0.1:808{instance}"
            audit = tmp_path / Path(environment.pop("ADS_PROXY_AUDIT__FILE")).name
            own = {"ADS_PROXY_ADMIN_LISTEN": f"127.0.0.1:{free_port()}", "ADS_PROXY_AUDIT__FILE": str(audit)}
            replicas.append(opened.enter_context(serving(tmp_path / "proxy.yaml", settings, **environment, **own)))
            replicas[-1].until_ready()
        assert {replicas[0].get("/v2/profiles")[0] for _ in range(40)} == {200}
        for each in replicas:
            each.until(lambda each=each: each.metric("requests_total", code="200") > 0)
        assert {path.name for path in tmp_path.glob("audit-*.jsonl")} == {"audit-1.jsonl", "audit-2.jsonl"}


def test_it_has_time_to_drain() -> None:
    """TimeoutStopSec is longer than draining by default, and a mistake in the configuration is not tried again."""
    from proxy.config.model.sections import DrainSection

    assert int(settings()["TimeoutStopSec"]) > DrainSection().delay + DrainSection().timeout
    assert settings()["RestartPreventExitStatus"] == "2"


def test_a_service_manager_hears_of_start_reload_and_stop(tmp_path: Path) -> None:
    """The socket in the environment gets: ready once clients are served, each reload, life, and the end."""
    address = tmp_path / "notify"
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, simulated_amazon() as amazon:
        listener.bind(str(address))
        listener.settimeout(PATIENCE)

        def told(word: str) -> str:
            """The next message that is no sign of life."""
            while True:
                message = listener.recv(4096).decode()
                heard.append(message)
                if message != "WATCHDOG=1":
                    assert message.startswith(word)
                    return message

        manager = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "20000000"}
        with serving(tmp_path, amazon.configuration(), **manager) as running:
            assert running.netloc in told("READY=1")
            assert running.admin_get("/livez")[0] == 200
            running.process.signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in told("RELOADING=1")
            told("READY=1")
            assert running.metric("config_reloads_total", result="success") == 1
            assert running.stop()[0] == 0
            assert "EXTEND_TIMEOUT_USEC=45000000" in told("STOPPING=1")
    assert "WATCHDOG=1" in heard


def test_the_program_needs_no_memory_that_is_written_and_run(tmp_path: Path) -> None:
    """MemoryDenyWriteExecute: it serves, and keeps its encrypted state, where the kernel refuses such memory."""
    probe = subprocess.run([sys.executable, "-c", WITHOUT_NEW_CODE, "/bin/true"], capture_output=True, check=False)
    if probe.returncode:
        do_without("this kernel has no PR_SET_MDWE")
    prefix = (sys.executable, "-c", WITHOUT_NEW_CODE)
    state = {"url": f"file:{tmp_path / 'state'}"}
    with simulated_amazon() as amazon, serving(tmp_path, amazon.configuration(state=state), prefix=prefix) as running:
        running.until_ready()
        status, body = running.get("/v2/profiles")
        assert (status, len(json.loads(body))) == (200, 3)
        assert running.stop()[0] == 0
