"""No file can be opened any more: requests get an error that explains it, nothing breaks, and all is well
afterwards."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.running import serving, simulated_amazon

pytestmark = pytest.mark.integration

FILES = 64


def ask(client: http.client.HTTPConnection) -> tuple[int, str]:
    """The status and the body of one answer."""
    client.request("GET", "/v2/profiles")
    answer = client.getresponse()
    return answer.status, answer.read().decode()


def test_a_program_out_of_files_says_so_and_recovers(tmp_path: Path) -> None:
    """An attacker holds all files: the first request already gets 502 with advice; requests are served as soon as files
    are free."""
    with simulated_amazon() as amazon, serving(tmp_path, amazon.configuration(), open_files=FILES) as running:
        running.until_listed()
        opened = Path(f"/proc/{running.process.pid}/fd")
        client = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
        client.connect()
        running.until(lambda: running.status()["connections"]["clients"] == 1)
        host, port = running.admin.removeprefix("http://").split(":")
        with contextlib.closing(client), contextlib.ExitStack() as held:
            for _ in range(FILES):
                held.enter_context(socket.create_connection((host, int(port)), PATIENCE))
            running.until(lambda: len(list(opened.iterdir())) == FILES)
            for _ in range(2):
                status, body = ask(client)
                assert status == 502
                assert "LimitNOFILE" in json.loads(body)["detail"]
            held.close()
            running.until(lambda: len(list(opened.iterdir())) < FILES - 10)
            assert ask(client)[0] == 200
        assert running.events("defect_met") == []
        assert "Traceback" not in running.process.text
