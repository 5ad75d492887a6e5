"""Odd requests to the admin listener of the real program: answered, no defect, and no long line in its log."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rig import rig
from tests.support.odd_requests import odd_requests, status_of
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.integration
KEY = "admin-key-that-nobody-guesses"


def ask(address: tuple[str, int], request: bytes) -> int:
    """The status of the final answer; 0 where there was none."""
    answer = b""
    with socket.create_connection(address, PATIENCE) as connection:
        try:
            connection.sendall(request)
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:
            """What came before counts."""
    return status_of(answer)


@pytest.mark.parametrize("changes", [{}, {"admin": {"key": KEY}}], ids=["open", "with a key"])
def test_odd_requests_are_answered_and_briefly_told(tmp_path: Path, changes: dict[str, Any]) -> None:
    """More than a thousand, each on a connection of its own; the listener is alive afterwards."""
    with rig(tmp_path, **changes) as running:
        host, port = running.admin.removeprefix("http://").split(":")
        requests = odd_requests()
        statuses = [ask((host, int(port)), request) for request in requests]
        assert running.admin_get("/livez")[0] == 200
        lines = list(running.log.lines)
    assert [request[:120] for status, request in zip(statuses, requests, strict=True) if not 200 <= status < 500] == []
    assert [line[:200] for line in lines if "defect_met" in line] == []
    assert max(len(line.encode()) for line in lines) <= 4096
