"""The running program and name servers that say nothing: the system's own resolver hangs, and only its host suffers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running import SimulatedAmazon, serving

SILENT = "127.53.53.53"
"""An address of this machine alone that no other program uses."""


def _may_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not _may_mount(), reason="only root can give a process other name servers"),
]


@pytest.fixture
def silent_name_server(tmp_path: Path) -> Iterator[tuple[str | Path, ...]]:
    """What a command begins with whose name server hears and says nothing."""
    file = tmp_path / "resolv.conf"
    file.write_text(f"nameserver {SILENT}\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind((SILENT, 53))
        yield ("unshare", "--mount", "sh", "-c", f'mount --bind {file} /etc/resolv.conf && exec "$@"', "sh")


def test_name_servers_that_are_silent_stop_nobody_who_needs_none(
    amazon: SimulatedAmazon, silent_name_server: tuple[str | Path, ...], tmp_path: Path
) -> None:
    """More lookups hang than the event loop has threads for: other regions go on, and so do tokens; a stop is quick."""
    configuration = amazon.configuration()
    configuration["regions"]["na"]["api_url"] = "http://hanging.example:9"
    hanging: list[tuple[int, bytes]] = []
    with serving(tmp_path, configuration, prefix=silent_name_server) as running:
        running.until_ready()
        clients = [
            threading.Thread(target=lambda: hanging.append(running.get("/na/v2/profiles")), daemon=True)
            for _ in range(8)
        ]
        for client in clients:
            client.start()
        served = 0
        while any(client.is_alive() for client in clients):
            assert running.get("/eu/v2/profiles")[0] == 200
            served += 1
        assert served
        assert {status for status, _ in hanging} == {502}
        assert all(b"upstream-name-unresolved" in body for _, body in hanging)
        code, _ = running.stop()
        assert code == 0
