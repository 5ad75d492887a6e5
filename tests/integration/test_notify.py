"""`notify` of the running program: a webhook's receiver and a command hear of it, once, signed, without a secret."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import fetch
from tests.support.programs import ROOT
from tests.support.running import serving, simulated_amazon

pytestmark = pytest.mark.integration
SECRET = "a-webhook-secret-of-some-length"


@dataclass
class Received:
    """What came, in its order; the first ones are answered with these statuses."""

    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def notices(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]


@contextmanager
def receiver(received: Received) -> Iterator[str]:
    """A webhook's receiver; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.requests.append((dict(self.headers), body))
            self.send_response(received.statuses.pop(0) if received.statuses else 204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
        thread.join()


def test_a_revoked_account_is_told(tmp_path: Path) -> None:
    """By both ways, again after a failure; the page's own check takes the signature; a restart repeats nothing."""
    received, told = Received(statuses=[503]), tmp_path / "told"
    check: dict[str, Any] = {}
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "notify.md").read_text(), re.DOTALL)
    exec(example, check)
    with receiver(received) as url, simulated_amazon() as amazon:
        notify = {"webhook": url, "secret": SECRET, "command": ["tee", "-a", str(told)]}
        settings = amazon.configuration(notify=notify, state={"url": f"file:{tmp_path / 'state'}"})
        with serving(tmp_path, settings) as running:
            running.until_ready()
            assert received.requests == []
            amazon.control("credentials/revoke", {})
            fetch(f"{running.admin}/console/accounts/acme/refresh", b"", {"X-Ads-Proxy-Console": "1"})
            running.until(lambda: running.account()["state"] == "revoked")
            running.told("notice_told", 2, outcome="sent")
            assert len(running.events("notice_told", outcome="delayed", way="webhook")) == 1
            running.stop()
        first, second = received.requests
        assert first[1] == second[1]
        assert first[0]["webhook-id"] == second[0]["webhook-id"]
        assert check["is_ours"](SECRET, second[0], second[1])
        assert not check["is_ours"](SECRET + "x", second[0], second[1])
        notice = received.notices[1]
        assert (notice["type"], notice["account"]) == ("account-revoked", "acme")
        assert json.loads(told.read_text()) == notice
        for secret in (amazon.facts["refresh_token"], amazon.facts["client_secret"], SECRET):
            assert secret not in told.read_text()
        with serving(tmp_path, settings) as again:
            again.until(lambda: again.account()["state"] == "revoked")
            again.stop()
    assert len(received.requests) == 2


def test_an_account_without_a_login_is_told(tmp_path: Path) -> None:
    """At the start, with where to sign in; and what is configured later is in force without a restart."""
    received = Received()
    with receiver(received) as url, simulated_amazon() as amazon:
        account = {key: value for key, value in amazon.account().items() if key != "refresh_token"}
        settings = amazon.configuration(accounts={"acme": account}, notify={"webhook": url})
        with serving(tmp_path, settings) as running:
            running.told("notice_told", outcome="sent")
            console = {"key": "an-admin-key-of-some-length", "url": "https://ads.example.com"}
            running.write({**settings, "accounts": {"acme": account, "brand": {**account}}, "admin": console})
            running.told("notice_told", 2, outcome="sent")
            running.write(
                {**settings, "accounts": {"acme": account, "brand": {**account}, "third": {**account}}, "notify": {}}
            )
            running.told("sign_in_needed", account="third")
            running.stop()
    assert [(notice["type"], notice["account"]) for notice in received.notices] == [
        ("sign-in-needed", "acme"),
        ("sign-in-needed", "brand"),
    ]
    assert "/login/acme" in received.notices[0]["text"] or "ads-proxy login acme" in received.notices[0]["text"]
    assert "https://ads.example.com/login/brand" in received.notices[1]["text"]
