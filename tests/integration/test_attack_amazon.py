"""Amazon's side, the network and the environment turn hostile: no token goes anywhere but to the configured hosts."""

from __future__ import annotations

import base64
import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.attacking import Attacker, request
from tests.integration.rig import Rig, rig
from tests.support.processes import fetch, until

pytestmark = pytest.mark.integration
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@dataclass
class Trap:
    """A server that must never be asked."""

    address: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    found = Trap()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(f"{self.command} {self.path} {dict(self.headers)}")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_CONNECT = do_GET  # noqa: N815 - its name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory, trap: Trap) -> Iterator[Attacker]:
    """The program, started in an environment that names the trap as the proxy for all requests."""
    before = {name: os.environ.get(name) for name in (*VARIABLES, "NO_PROXY", "no_proxy")}
    os.environ.update(dict.fromkeys(VARIABLES, trap.address) | {"NO_PROXY": "", "no_proxy": ""})
    try:
        with rig(tmp_path_factory.mktemp("hostile")) as running:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            yield Attacker(running)
            assert not [line for line in running.log.lines if "defect_met" in line]
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def plan(running: Rig, target: str, fault: dict[str, Any], times: int = 1) -> None:
    """The next answer of the API, or of Login with Amazon, is this one."""
    match = {"target": target, **({"path": "/sd/campaigns"} if target == "api" else {})}
    running.control("/control/faults", {"times": times, "match": match, "fault": fault})


def test_proxies_of_the_environment_are_not_used(attacker: Attacker, trap: Trap) -> None:
    """Token requests, profile lists and clients' requests all went straight to the configured hosts."""
    assert attacker.send(request("GET", "/sd/campaigns")).status == 200
    assert attacker.running.account("acme")["generation"] == 1
    assert trap.asked == []


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (301, {"Location": "TRAP/steal"}),
        (307, {"Location": "TRAP/steal"}),
        (308, {"Location": "//127.0.0.1:1/steal"}),
        (200, {"Refresh": "0; url=TRAP", "Link": "<TRAP>; rel=preload", "Alt-Svc": 'h2="127.0.0.1:1"'}),
        (401, {"Location": "TRAP", "WWW-Authenticate": "Bearer"}),
        (407, {"Proxy-Authenticate": "Basic realm=x", "Location": "TRAP"}),
        (421, {"Location": "TRAP"}),
        (426, {"Upgrade": "TLS/1.3, h2c", "Connection": "Upgrade"}),
        (503, {"Location": "TRAP", "Retry-After": "0"}),
    ],
)
def test_no_answer_sends_the_proxy_elsewhere(
    attacker: Attacker, trap: Trap, status: int, headers: dict[str, str]
) -> None:
    """The redirect is passed on; Amazon's host is asked again at most, for a 401, and no other host is asked at all."""
    filled = {name: value.replace("TRAP", trap.address) for name, value in headers.items()}
    plan(attacker.running, "api", {"status": status, "headers": filled, "body": "x"})
    asked = attacker.send(request("GET", "/sd/campaigns"))
    assert asked.status == (200 if status == 401 else status)
    assert len(asked.seen) == (2 if status == 401 else 1)
    assert b"proxy-authenticate" not in asked.head.lower()
    assert b"\r\nupgrade:" not in asked.head.lower()
    assert trap.asked == []


def test_a_token_endpoint_that_redirects_is_not_followed(attacker: Attacker, trap: Trap) -> None:
    """The redirect's target would receive the client secret."""
    plan(attacker.running, "lwa", {"status": 307, "headers": {"Location": f"{trap.address}/auth/o2/token"}, "body": ""})
    address = f"{attacker.running.admin}/console/accounts/acme/refresh"
    status, body = fetch(address, b"", {"X-Ads-Proxy-Console": "1"})
    assert status == 502
    assert "never followed" in json.loads(body)["detail"]
    assert trap.asked == []


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
)
def test_answers_that_leave_a_doubt_are_502(attacker: Attacker, raw: bytes) -> None:
    """The connection is not used again, and the next request is answered as it should be."""
    plan(attacker.running, "api", {"raw_base64": base64.b64encode(raw).decode()})
    assert attacker.send(request("GET", "/sd/campaigns")).status == 502
    assert attacker.send(request("GET", "/sd/campaigns")).status == 200


def test_an_answer_with_another_behind_it_poisons_nobody(attacker: Attacker) -> None:
    """What comes behind an answer is never the answer to the next request."""
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    plan(attacker.running, "api", {"raw_base64": base64.b64encode(poison).decode()})
    assert attacker.send(request("GET", "/sd/campaigns")).body == b"ok"
    for _ in range(5):
        asked = attacker.send(request("GET", "/sd/campaigns"))
        assert (asked.status, b"poison" in asked.body) == (200, False)


def test_a_flood_of_401s_is_no_flood_of_token_requests(attacker: Attacker) -> None:
    """A client that sends Scopes that Amazon refuses cannot use up the right to get tokens."""

    def token_requests() -> int:
        return int(json.loads(attacker.running.get_control("/control/counts")[1])["token_requests"])

    before, since = token_requests(), time.monotonic()
    kind = "application/vnd.spCampaign.v3+json"
    lines = ("Amazon-Advertising-API-Scope: 999", f"Content-Type: {kind}", f"Accept: {kind}")
    for _ in range(60):
        asked = attacker.send(request("POST", "/sp/campaigns/list", *lines, body=b"{}"))
        assert asked.status == 401
    minutes = (time.monotonic() - since) / 60
    assert token_requests() - before <= 15 + 4 * minutes


def test_hostile_words_stay_words_in_the_log(tmp_path: Path) -> None:
    """Escape sequences, line ends and look-alike fields from clients, Amazon and LWA steer no terminal."""
    with rig(tmp_path, log={"format": "json", "level": "debug"}) as running:
        attacker = Attacker(running)
        for target in ("/a%0d%0aevent=forged", "/\x9b2Jx", "/@\x9b31m/x", "/" + "C" * 8000):
            attacker.send(request("GET", target, "X-Ads-Account: \x9b31m" if "@" in target else "X-Plain: 1"))
        raw = b"HTTP/1.1 599 \x9b31m\r\nx-amz-rid: a\x9b31mb\r\nContent-Length: 0\r\n\r\n"
        plan(running, "api", {"raw_base64": base64.b64encode(raw).decode()})
        attacker.send(request("GET", "/sd/campaigns"))
        words = {"error": "x\x1b[31m", "error_description": '\r\n{"level":"forged"} Atza|AAAAAAAA'}
        plan(running, "lwa", {"status": 400, "body": json.dumps(words)})
        fetch(f"{running.admin}/console/accounts/acme/refresh", b"", {"X-Ads-Proxy-Console": "1"})
        until(lambda: any("refresh_failed" in line for line in list(running.log.lines)))
        lines = list(running.log.lines)
    assert all(character == "\n" or character.isprintable() for line in lines for character in line)
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert not [line for line in lines if json.loads(line).get("level") == "forged" or "Atza|AAAA" in line]
