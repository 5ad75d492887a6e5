"""Canary secrets go through every path of the running program, errors and debug level included, and come out nowhere.

A canary is a text that occurs nowhere else. Found means: plain, percent-encoded, in base64 or as JSON writes it, in any
output of the program, any answer, any file of its state, and in what the system shows of its process.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import re
import secrets
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import yaml

from tests.integration.test_state_live import allow
from tests.support.patience import PATIENCE
from tests.support.processes import Process, ReadyProcess, fetch, free_port, until
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration


def canary(kind: str) -> str:
    return f"canary-{kind}-{secrets.token_hex(12)}"


def spellings(secret: str) -> set[bytes]:
    """The forms in which an output can hold a text."""
    plain = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    inner = {base64.b64encode(b"x" * shift + secret.encode())[4:-4] for shift in range(3)}
    return {text.encode() for text in plain} | {text for text in inner if len(text) > 12}


@dataclass
class Hunt:
    """What must not be found, and everything in which it was looked for."""

    secrets: dict[str, str] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)

    def see(self, where: str, text: bytes) -> None:
        self.texts[f"{where} #{len(self.texts)}"] = text

    def finds(self) -> list[str]:
        return [
            f"{kind} in {where}"
            for kind, secret in self.secrets.items()
            for spelling in spellings(secret)
            for where, text in self.texts.items()
            if spelling in text
        ]


def ask(netloc: str, request: bytes) -> bytes:
    """The bytes that come back until the end."""
    host, port = netloc.split(":")
    answer = b""
    with socket.create_connection((host, int(port)), PATIENCE) as connection, contextlib.suppress(ConnectionResetError):
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65536):
            answer += piece
    return answer


def call(url: str, hunt: Hunt, headers: dict[str, str] | None = None, data: bytes | None = None) -> tuple[int, bytes]:
    """A request whose answer, headers included, is searched."""
    scheme_netloc, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(scheme_netloc, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("POST" if data is not None else "GET", f"/{path}", data, headers or {})
        answer = connection.getresponse()
        body = answer.read()
        hunt.see(f"answer of /{path[:30]}", str(answer.headers).encode() + body)
        return answer.status, body


def access_tokens(amazon: SimulatedAmazon) -> list[str]:
    """Every access token that Amazon's side has seen used."""
    found = []
    for record in amazon.look("requests", last=1000):
        found += [v.removeprefix("Bearer ") for n, v in record["headers"] if n.lower() == "authorization"]
    return sorted(set(found))


def settings(amazon: SimulatedAmazon, tmp_path: Path, hunt: Hunt) -> dict[str, Any]:
    """A configuration full of canaries, at debug level."""
    hunt.secrets = {kind: canary(kind) for kind in ("client-secret", "client-key", "admin-key", "state-key")}
    amazon.control("app/secret", {"client_secret": hunt.secrets["client-secret"]})
    hunt.secrets["refresh-token"] = amazon.control("users", {"user": "second"})["refresh_token"]
    for kind in ("client-secret", "refresh-token", "admin-key", "state-key"):
        (tmp_path / kind).write_text(hunt.secrets[kind])

    def file(kind: str) -> dict[str, str]:
        return {"file": str(tmp_path / kind)}

    port = free_port()
    account = amazon.account(
        client_secret=file("client-secret"),
        refresh_token=file("refresh-token"),
        redirect_uri=f"http://127.0.0.1:{port}/login/callback",
    )
    digest = hashlib.sha256(hunt.secrets["client-key"].encode()).hexdigest()
    return amazon.configuration(
        admin_listen=f"127.0.0.1:{port}",
        accounts={"acme": {**account, "default_profile": "first"}},
        clients=[{"name": "reporting", "key_sha256": digest}],
        admin={"key": file("admin-key")},
        state={"url": f"file:{tmp_path / 'state'}", "key": file("state-key")},
        tokens={"request_wait": 1},
        log={"level": "debug", "format": "json"},
        audit={"file": str(tmp_path / "audit.jsonl"), "stdout": True},
    )


def use_the_keys(running: Serving, hunt: Hunt) -> None:
    """Good, wrong and misplaced keys, and the local token endpoint."""
    key = hunt.secrets["client-key"]
    tools = running.proxy_url
    for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": key}, {"X-Ads-Proxy-Key": key}):
        assert call(f"{tools}/v2/profiles", hunt, headers)[0] == 200
    basic = base64.b64encode(f"reporting:{key}".encode()).decode()
    form = f"grant_type=refresh_token&refresh_token=acme&client_id=reporting&client_secret={key}".encode()
    typed = {"Content-Type": "application/x-www-form-urlencoded"}
    call(f"{tools}/auth/o2/token", hunt, typed, b"grant_type=refresh_token&refresh_token=acme")
    for headers, data in ((typed, form), ({**typed, "Authorization": f"Basic {basic}"}, form.partition(b"&client")[0])):
        connection = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("POST", "/auth/o2/token", data, headers)
            answer = connection.getresponse()
            assert answer.status == 200
            hunt.secrets["placeholder"] = json.loads(answer.read())["access_token"]
        assert call(f"{tools}/v2/profiles", hunt, {"Authorization": f"Bearer {hunt.secrets['placeholder']}"})[0] == 200
    forged = hunt.secrets["placeholder"][:-1] + "_"
    assert call(f"{tools}/v2/profiles", hunt, {"Authorization": f"Bearer {forged}"})[0] == 401
    assert call(f"{tools}/v2/profiles?key={key}&client_secret={key}", hunt)[0] == 401
    wrong = form.replace(key.encode(), key[:-1].encode())
    assert call(f"{tools}/auth/o2/token", hunt, typed, wrong)[0] in (400, 401)


def send_broken_requests(running: Serving, hunt: Hunt) -> None:
    """Messages that are refused, each with a key somewhere in it."""
    key = hunt.secrets["client-key"].encode()
    broken = (
        b"GET /v2/profiles HTTP/1.1\r\nHost: localhost\r\nX-Ads-Proxy-Key : %b\r\n\r\n" % key,
        b"GET /v2/profiles HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n folded\r\n\r\n" % key,
        b"GET /v2/profiles HTTP/9.9\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n" % key,
        b"BREW /v2/profiles HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n" % key,
        b"GET /v2/profiles HTTP/1.1\r\nHost: evil.test\r\nAuthorization: Bearer x%b\r\n\r\n" % key,
        b"GET /v2/profiles HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\nX-Ads-Proxy-Key: %b\r\n\r\n"
        % key,
        b"POST /v2/profiles HTTP/1.1\r\nHost: localhost\r\nX-Ads-Proxy-Key: %b\r\nTransfer-Encoding: x\r\n\r\n" % key,
        b"GET /@nobody/v2/profiles HTTP/1.1\r\nHost: localhost\r\nX-Ads-Proxy-Key: %b\r\n\r\n" % key,
        b"GET /v2/profiles HTTP/1.1\r\nHost: localhost\r\nX-Ads-Proxy-Key: %b\r\nX-Ads-Account: no\r\n\r\n" % key,
    )
    for request in broken:
        answer = ask(running.netloc, request)
        assert re.match(rb"HTTP/1\.1 [45]\d\d ", answer), request
        hunt.see("refusal", answer)


def let_amazon_fail(running: Serving, amazon: SimulatedAmazon, hunt: Hunt) -> None:
    """Amazon's side repeats our secrets in its errors, breaks off, and answers nonsense."""
    key = {"Authorization": f"Bearer {hunt.secrets['client-key']}"}
    token = access_tokens(amazon)[0]
    faults: tuple[dict[str, Any], ...] = (
        {"raw": f"HTTP/1.1 2xx {token}\r\nX: {token}\r\n\r\n"},
        {"raw": f"HTTP/1.1 200 OK\r\nContent-Length: {token}\r\n\r\n"},
        {"abort": "before_head", "reset": True},
        {"status": 200, "abort": "mid_body", "abort_after": 3, "body": "abcdef"},
    )
    for fault in faults:
        amazon.fault(fault, times=2, path="/v2/profiles")
        with contextlib.suppress(http.client.HTTPException, ConnectionError):
            call(f"{running.proxy_url}/v2/profiles", hunt, key)
        amazon.heal()
    echo = f"the token {hunt.secrets['refresh-token']} of {hunt.secrets['client-secret']} is not good"
    for status, error in ((400, "invalid_grant"), (500, "server_error"), (401, "invalid_client"), (400, "odd")):
        body = json.dumps({"error": error, "error_description": echo})
        failures = len(running.events("refresh_failed"))
        amazon.fault({"status": status, "body": body}, times=1, target="lwa")
        amazon.control("tokens/expire")
        button = {"X-Ads-Proxy-Key": hunt.secrets["admin-key"], "X-Ads-Proxy-Console": "1"}
        call(f"{running.admin}/console/accounts/acme/refresh", hunt, button, b"")
        running.until(lambda failures=failures: len(running.events("refresh_failed")) > failures)
        call(f"{running.proxy_url}/v2/profiles", hunt, key)
        look_around(running, hunt)
        amazon.heal()


def look_around(running: Serving, hunt: Hunt) -> None:
    """Everything that the admin listener shows, with the key and without."""
    key = {"X-Ads-Proxy-Key": hunt.secrets["admin-key"]}
    shown = ("state", "invitations", "profiles", "static/console.js")
    paths = ("/", "/status", "/metrics", "/livez", *(f"/console/{path}" for path in shown))
    for path in paths:
        assert call(running.admin + path, hunt, key)[0] == 200
    for path in (*paths, f"/status?key={hunt.secrets['admin-key']}", "/login/callback?code=x&state=y"):
        call(running.admin + path, hunt)


def guess_the_admin_key(running: Serving, hunt: Hunt) -> None:
    """Keys that are nearly right, until no more are looked at."""
    statuses = set()
    for number in range(20):
        key = {"X-Ads-Proxy-Key": f"{hunt.secrets['admin-key']}{number}"}
        statuses.add(call(f"{running.admin}/status", hunt, key)[0])
    assert statuses == {401, 429}


def sign_in_by_browser(running: Serving, hunt: Hunt) -> None:
    """The way through Amazon's page, with a code and a refresh token that are canaries as well."""
    key = {"X-Ads-Proxy-Key": hunt.secrets["admin-key"]}
    connection = http.client.HTTPConnection(running.admin.removeprefix("http://"), timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", "/login/acme", headers=key)
        answer = connection.getresponse()
        answer.read()
        assert answer.status in (302, 303)
        cookie = str(answer.getheader("Set-Cookie")).partition(";")[0]
        landing = allow(str(answer.getheader("Location")), "second")
    hunt.secrets["code"] = re.findall(r"[?&]code=([^&]+)", landing)[0]
    query = landing.partition("?")[2]
    status, _ = call(f"{running.admin}/login/callback?{query}", hunt, {"Cookie": cookie})
    assert status == 200
    assert call(f"{running.admin}/login/callback?{query}", hunt, {"Cookie": cookie})[0] == 400


def break_the_configuration(running: Serving, good: dict[str, Any], hunt: Hunt) -> None:
    """Secrets in the wrong place of the file: the problem is named, its value is not shown."""
    account = good["accounts"]["acme"]
    for wrong in ({"region": hunt.secrets["client-secret"]}, {hunt.secrets["refresh-token"]: "refresh_token"}):
        failures = len(running.events("config_reloaded", success=False))
        running.write({**good, "accounts": {"acme": {**account, **wrong}}})
        running.until(lambda n=failures: len(running.events("config_reloaded", success=False)) > n)
        look_around(running, hunt)
    running.write(good)
    running.until(lambda: running.events("config_reloaded", success=True))


def search_the_system(running: Serving, tmp_path: Path, hunt: Hunt) -> None:
    """What the system shows of the process, and what lies on the disk."""
    process = Path(f"/proc/{running.process.pid}")
    hunt.see("command line", (process / "cmdline").read_bytes())
    hunt.see("environment", (process / "environ").read_bytes())
    hunt.see("thread names", b"".join(file.read_bytes() for file in process.glob("task/*/comm")))
    assert (process / f"task/{running.process.pid}/children").read_text() == ""
    kept: list[Path] = until(
        lambda: len(found := [file for file in (tmp_path / "state").rglob("*") if file.is_file()]) >= 3 and found
    )
    for file in kept:
        with contextlib.suppress(FileNotFoundError):  # the name of one that is being written
            assert file.stat().st_mode & 0o077 == 0
            hunt.see(f"state file {file.name[:12]}", file.read_bytes())


def test_no_secret_comes_out_anywhere(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """All kinds of secrets, all paths, all errors: the search finds none of them."""
    hunt = Hunt()
    amazon.control("settings", {"rotation": "grace", "answer_refresh_token": True})
    configuration = settings(amazon, tmp_path, hunt)
    # Through `env`, so that the system shows it as it shows one that a user started.
    with serving(tmp_path, configuration, prefix=("env",)) as running:
        running.until_ready()
        use_the_keys(running, hunt)
        send_broken_requests(running, hunt)
        let_amazon_fail(running, amazon, hunt)
        break_the_configuration(running, configuration, hunt)
        sign_in_by_browser(running, hunt)
        look_around(running, hunt)
        search_the_system(running, tmp_path, hunt)
        guess_the_admin_key(running, hunt)
        running.process.signal(signal.SIGTERM)
        assert running.process.wait() == 0
        hunt.see("log", running.process.text.encode())
        audit = (tmp_path / "audit.jsonl").read_bytes()
        assert audit.count(b"\n") > 10
        hunt.see("audit", audit)
    for number, token in enumerate(access_tokens(amazon)):
        hunt.secrets[f"access token {number}"] = token
    assert len(hunt.secrets) >= 9
    assert len(hunt.texts) > 80
    assert sum(len(line) for line in running.process.output.lines) > 10_000
    assert hunt.finds() == []


def test_the_search_would_find_them() -> None:
    """The judge is judged: each spelling of a secret is found."""
    secret = "Atzr|canary/with+odd=letters"
    for spelling in spellings(secret):
        hunt = Hunt({"token": secret}, {"log": b"before " + spelling + b" after"})
        assert hunt.finds() == ["token in log"]
    assert Hunt({"token": secret}, {"log": b"nothing here"}).finds() == []


def test_an_outbound_proxys_password_stays_inside(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The outbound proxy cannot be reached: 502 and its log line name it, not its password."""
    hunt = Hunt({"password": canary("password")})
    address = f"http://user:{hunt.secrets['password']}@127.0.0.1:{free_port()}"
    configuration = amazon.configuration(
        upstream={"proxy": address}, tokens={"request_wait": 1}, log={"level": "debug"}
    )
    with serving(tmp_path, configuration) as running:
        assert call(f"{running.proxy_url}/v2/profiles", hunt)[0] == 503
        running.until(lambda: running.events("refresh_failed"))
        for path in ("/status", "/metrics", "/console/state"):
            assert call(running.admin + path, hunt)[0] == 200
        running.stop()
        hunt.see("log", running.process.text.encode())
    assert hunt.finds() == []


def test_a_configuration_that_is_refused_shows_no_secret(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """At the start, too, a secret literal with a mistake in it is named by its place alone."""
    hunt = Hunt({"client-secret": canary("a b"), "key": canary("short")})
    account = amazon.account(client_secret=hunt.secrets["client-secret"])
    file = tmp_path / "proxy.yaml"
    file.write_text(
        yaml.safe_dump(amazon.configuration(accounts={"acme": account}, admin={"keys": hunt.secrets["key"]}))
    )
    process = ReadyProcess("proxy", "serve", "--config", file)
    try:
        assert process.wait() == 2
        hunt.see("output", process.text.encode())
    finally:
        process.end()
    assert "accounts.acme.client_secret" in process.text
    assert hunt.finds() == []


def test_the_demos_child_does_not_inherit_real_credentials() -> None:
    """The demo runs in a shell that holds the real credentials: the simulator's environment has none of them."""
    hunt = Hunt({"secret": canary("secret"), "token": canary("token"), "admin": canary("admin")})
    ports = [free_port(), free_port()]
    options = ("--listen", f"127.0.0.1:{ports[0]}", "--admin-listen", f"127.0.0.1:{ports[1]}")
    process = Process(
        *(sys.executable, "-u", "-m", "proxy", "demo", *options),
        AMAZON_ADS_CLIENT_SECRET=hunt.secrets["secret"],
        AMAZON_ADS_REFRESH_TOKEN=hunt.secrets["token"],
        ADS_PROXY_ADMIN__KEY=hunt.secrets["admin"],
    )
    try:
        process.output.wait_for(lambda line: line.get("event") == "server_started")
        until(lambda: fetch(f"http://127.0.0.1:{ports[0]}/v2/profiles")[0] == 200)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 1
        for child in children:
            hunt.see("environment", Path(f"/proc/{child}/environ").read_bytes())
            hunt.see("command line", Path(f"/proc/{child}/cmdline").read_bytes())
    finally:
        process.end()
    hunt.see("output", process.text.encode())
    assert hunt.finds() == []
