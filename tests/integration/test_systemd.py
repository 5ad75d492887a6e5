"""The unit of config/systemd: systemd's own tools accept it, and the program works under what it forbids."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.programs import ROOT, do_without, require_program
from tests.support.running import serving, simulated_amazon

pytestmark = pytest.mark.integration
UNIT = ROOT / "config" / "systemd" / "ads-proxy.service"
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


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """With a program where the unit expects one, nothing is said."""
    text = UNIT.read_text(encoding="utf-8").replace("/opt/ads-proxy/bin/ads-proxy", sys.executable)
    (tmp_path / UNIT.name).write_text(text, encoding="utf-8")
    result = analysed("verify", "--man=no", tmp_path / UNIT.name)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_little_is_exposed() -> None:
    """systemd's own judgement of what the service could still do."""
    result = analysed("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", UNIT)
    assert result.returncode == 0, result.stdout[-500:]


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
