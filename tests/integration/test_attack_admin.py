"""An attacker reaches the admin listener and has no key: what is open is harmless, and nothing else opens."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.attacking import exchange
from tests.integration.rig import Rig, rig
from tests.support.patience import PATIENCE
from tests.support.processes import until
from tests.support.programs import ROOT

pytestmark = pytest.mark.integration
KEY = "admin-key-that-nobody-guesses"
SHOWN = f"Authorization: Bearer {KEY}"
FORM = "Content-Type: application/x-www-form-urlencoded"
REFRESH = "/console/accounts/acme/refresh"
PROOF = "X-Ads-Proxy-Console: 1"


@dataclass
class Admin:
    """The admin listener, asked in raw bytes."""

    running: Rig

    @property
    def host(self) -> str:
        return self.running.admin.removeprefix("http://")

    def ask(self, method: str, target: str, *lines: str, host: str = "", body: bytes = b"") -> tuple[int, str, bytes]:
        """Status, head and body."""
        fields = [f"Host: {host or self.host}", *lines, *([f"Content-Length: {len(body)}"] if body else [])]
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in fields) + "\r\n"
        answer, content = exchange(self.running.admin, head.encode("latin-1") + body)
        return int(answer.split(b" ")[1]), answer.decode("latin-1"), content

    def account(self) -> dict[str, Any]:
        """The account as `/status` has it."""
        found: dict[str, Any] = json.loads(self.ask("GET", "/status", SHOWN)[2])["accounts"][0]
        return found

    def is_listed(self) -> bool:
        """Whether all is known of the account: from then on the program does nothing by itself for minutes."""
        account = self.account()
        return len(account["profiles"]) == len(account["ads_accounts"]) == 3

    def generation(self) -> int:
        """How often the account's token was refreshed."""
        return int(self.account()["generation"])

    def logged(self, request_id: str) -> int:
        """How much was logged before a request of a client's with this id, which is logged behind it."""
        self.running.get("/v2/profiles", {"X-Request-Id": request_id})
        self.running.log.wait_for(lambda line: line.get("request_id") == request_id)
        lines = list(self.running.log.lines)
        return sum(map(len, lines[: next(place for place, line in enumerate(lines) if request_id in line)]))


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    with rig(tmp_path_factory.mktemp("admin"), admin={"key": KEY}) as running:
        admin = Admin(running)
        until(admin.is_listed)
        yield admin
        assert not [line for line in running.log.lines if "defect_met" in line]


@pytest.mark.parametrize(
    "target",
    [
        *("/status", "/status/", "//status", "/%73tatus", "/STATUS", "/status?x", "/status;x", "/livez/../status"),
        *("/livez/%2e%2e/status", "/login/callback/../../status", "http://evil.test/status", "/login/acme", "/"),
        *(
            "/console/state",
            "/console/profiles",
            "/console/invitations",
            "/console/session/../state",
            "/metrics/../status",
            "/console",
        ),
    ],
)
def test_nothing_behind_the_key_opens_without_it(admin: Admin, target: str) -> None:
    """No spelling of an address is one of the open ones."""
    status, _, body = admin.ask("GET", target)
    assert status in (401, 404)
    assert b"amzn1" not in body


@pytest.mark.parametrize(
    "name",
    ["..", "../view.py", "..%2fview.py", "%2e%2e%2fview.py", "..%5cview.py", "%00.css", "console.css%00.py", "."],
)
def test_static_files_are_the_consoles_alone(admin: Admin, name: str) -> None:
    """No name leads out of their folder."""
    assert admin.ask("GET", f"/console/static/{name}")[0] == 404


@pytest.mark.parametrize(
    "lines",
    [
        (SHOWN,),
        (SHOWN, PROOF, "Origin: http://evil.test"),
        (SHOWN, PROOF, "Origin: null"),
        (SHOWN, PROOF, "Origin: http://127.0.0.1:1"),
        (SHOWN, PROOF, "Sec-Fetch-Site: same-site"),
        (SHOWN, PROOF, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
        (SHOWN, FORM, "Content-Length: 0"),
    ],
)
def test_another_sites_page_presses_no_button(admin: Admin, lines: tuple[str, ...]) -> None:
    """Neither a form, nor another port, nor a method in a header presses it."""
    before = admin.generation()
    assert admin.ask("POST", REFRESH, *lines)[0] == 403
    assert admin.ask("GET", REFRESH, *lines, "X-HTTP-Method-Override: POST")[0] in (403, 405)
    assert admin.generation() == before


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "evil.test:80@127.0.0.1"])
@pytest.mark.parametrize("target", ["/", "/metrics", "/status", "/login/acme", "/livez/../status", "/livez?/status"])
def test_a_rebound_name_gets_nothing_but_health(admin: Admin, host: str, target: str) -> None:
    """The name is what a rebinding page cannot choose; whether the program lives says nothing of it."""
    status, _, body = admin.ask("GET", target, SHOWN, host=host)
    assert status in (400, 421) or (target.startswith("/livez?") and (status, len(body) < 10) == (200, True))


@pytest.mark.parametrize(
    "target",
    ["//evil.test", "/\\evil.test", "https://evil.test", "/\tevil", "/x\r\nSet-Cookie: a=b", "javascript:alert(1)"],
)
def test_the_key_form_leads_nowhere_else(admin: Admin, target: str) -> None:
    """The response to the form cannot be split."""
    status, head, _ = admin.ask("POST", "/console/session", FORM, body=f"key={KEY}&next={quote(target)}".encode())
    assert status == 303
    assert re.search(r"(?m)^Location: /\r?$", head)
    assert head.count("Set-Cookie") == 1


def test_the_sessions_cookie_is_out_of_reach_of_scripts_and_sites(admin: Admin) -> None:
    """HttpOnly, SameSite=Strict, a time limit, and nothing of the key in it."""
    _, head, _ = admin.ask("POST", "/console/session", FORM, body=f"key={KEY}".encode())
    cookie = next(line for line in head.split("\r\n") if line.startswith("Set-Cookie"))
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert KEY not in cookie
    assert admin.ask("POST", "/console/session", FORM, "Origin: http://evil.test", body=f"key={KEY}".encode())[0] == 403


def test_what_an_address_says_is_text_on_the_page(admin: Admin) -> None:
    """The key form repeats where you wanted to go, and an ending what Amazon said."""
    pages = [admin.ask("GET", "/%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "Accept: text/html")]
    pages.append(admin.ask("GET", "/login/callback?state=x&error=%3Cscript%3Ealert(1)%3C/script%3E"))
    for _, head, body in pages:
        assert b"<script>alert" not in body
        assert "default-src 'none'" in head
        assert "Access-Control" not in head


def test_a_sign_in_ends_in_the_browser_that_began_it_and_once(admin: Admin) -> None:
    """A state without its cookie, with another one, or used already is not known."""
    port = admin.host.rpartition(":")[2]
    _, head, _ = admin.ask("GET", "/login/acme", SHOWN, host=f"localhost:{port}")
    state = re.search(r"state=([\w-]+)", head)
    cookie = re.search(r"Set-Cookie: (ads_proxy_sign_in_\w+)=([\w-]+); ([^\r]*)", head)
    assert state is not None
    assert cookie is not None
    assert "HttpOnly" in cookie[3]
    assert "SameSite=Lax" in cookie[3]
    landing = f"/login/callback?error=access_denied&state={state[1]}"
    assert admin.ask("GET", landing)[0] == 400
    assert admin.ask("GET", landing, f"Cookie: {cookie[1]}=another")[0] == 400
    assert admin.ask("GET", landing, f"Cookie: {cookie[1]}={cookie[2]}")[0] == 403
    assert admin.ask("GET", landing, f"Cookie: {cookie[1]}={cookie[2]}")[0] == 400


@pytest.mark.parametrize(
    ("lines", "body", "status"),
    [
        ((FORM,), b"key=" + b"a" * 70_000, 413),
        ((FORM, "Content-Encoding: deflate"), zlib.compress(b"key=" + b"a" * 30_000_000), 413),
        (("Content-Type: multipart/form-data; boundary=x",), b"--x\r\n" + b"X: y\r\n" * 9000, 400),
        ((f"{FORM}; charset=unheard-of",), b"key=a", 400),
        ((FORM, "Content-Encoding: deflate"), b"no deflated text", 400),
        ((FORM,), b"key=%ff%00&key=a&" + b"&" * 100, 401),
        ((FORM,), b"\xff" * 100, 400),
        (("Content-Type: application/json",), b"{}", 400),
    ],
)
def test_large_and_broken_forms_are_refused(admin: Admin, lines: tuple[str, ...], body: bytes, status: int) -> None:
    """Forms that are large only once they are unpacked are refused as well."""
    assert admin.ask("POST", "/console/session", *lines, body=body)[0] == status


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01junk\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: \0\r\n\r\n",
        b"POST /console/session HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_noise_fills_no_log(admin: Admin, data: bytes) -> None:
    """Bytes that are no request are answered, and cost no traceback."""
    name = hashlib.sha256(data).hexdigest()
    before = admin.logged(f"{name}-before")
    for _ in range(20):
        assert exchange(admin.running.admin, data)[0].startswith(b"HTTP/1.0 400")
    assert admin.logged(f"{name}-behind") - before < 2000


def test_the_lenient_parser_is_refused() -> None:
    """aiohttp without its compiled parser is one line of advice and exit code 1, not a server."""
    variables = {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "x", "AMAZON_ADS_REFRESH_TOKEN": "x"}
    ended = subprocess.run(
        [sys.executable, "-m", "proxy", "serve"],
        env={**os.environ, **variables, "ADS_PROXY_LISTEN": "127.0.0.1:0", "AIOHTTP_NO_EXTENSIONS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1
    assert "AIOHTTP_NO_EXTENSIONS" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_guessing_the_key_is_slowed_down_and_health_is_not(admin: Admin) -> None:
    """After ten wrong ones an address gets no further key looked at for a minute. Runs last: it locks this address."""
    statuses = [admin.ask("GET", "/status", f"X-Ads-Proxy-Key: wrong{number}")[0] for number in range(12)]
    assert statuses[-1] == 429
    assert admin.ask("GET", "/status", SHOWN)[0] == 429
    assert admin.ask("GET", "/livez")[0] == 200
    assert admin.ask("GET", "/metrics")[0] == 200
