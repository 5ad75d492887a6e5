"""What the attacks share: clients with keys and limits, requests as raw bytes, and what Amazon's side saw of them.

Nothing is asserted here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.integration.rig import Rig
from tests.support.http_reader import Incomplete, read_answer
from tests.support.patience import PATIENCE
from tests.support.processes import until

FIRST, SECOND = "1110000000000001", "1110000000000002"
"""Profiles of region na: the one that limited clients may use, and one that they may not."""
OWN, FOREIGN = "amzn1.ads-account.g.own", "amzn1.ads-account.g.foreign"
"""Values of Amazon-Ads-AccountId: one that limited clients may use, and one that they may not."""
SCOPE = f"Amazon-Advertising-API-Scope: {FIRST}"
VENDOR = ("Content-Type: application/vnd.spCampaign.v3+json", "Accept: application/vnd.spCampaign.v3+json")
LIMITS: dict[str, dict[str, Any]] = {
    "profiled": {"profiles": [FIRST]},
    "wide": {"profiles": [FIRST], "paths": ["*"], "methods": ["GET", "POST", "DELETE"]},
    "opened": {"profiles": [FIRST], "unscoped_paths": ["/v2/profiles"]},
    "accounted": {"account_ids": [OWN]},
    "mixed": {"profiles": [FIRST], "account_ids": [OWN]},
    "looker": {"access": "read"},
    "reporter": {"access": "report"},
    "reader": {"methods": ["GET"], "paths": ["/reporting/*"]},
    "budgeted": {"requests_per_minute": 5},
    "free": {},
}


def key(name: str) -> str:
    """A client's key."""
    return f"key-of-{name}-which-nobody-guesses"


CLIENTS = [
    {"name": name, "key_sha256": hashlib.sha256(key(name).encode()).hexdigest(), **limits}
    for name, limits in LIMITS.items()
]


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer, and the requests that reached Amazon's API meanwhile."""

    status: int
    head: bytes
    body: bytes
    seen: list[dict[str, Any]]

    @property
    def slug(self) -> str:
        """Which refusal of the proxy's own it is; empty for an answer of Amazon's."""
        if b"Proxy-Status: ads-proxy" not in self.head:
            return ""
        return str(json.loads(self.body)["type"]).rpartition(":")[2]


def exchange(address: str, data: bytes) -> tuple[bytes, bytes]:
    """Send bytes on a connection of their own; head and body of the first final answer."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    received, more = b"", b"-"
    with socket.create_connection((parts.hostname, parts.port or 80), PATIENCE) as wire:
        wire.sendall(data)
        while more:
            more = wire.recv(65536)
            received += more
            with contextlib.suppress(Incomplete):
                answer, _ = read_answer(received, 0, data.startswith(b"HEAD "), ended=not more)
                if answer.body.complete:
                    return answer.head.raw, answer.body.content
    raise AssertionError(f"no whole answer came: {received[:500]!r}")


def request(method: str, target: str, *lines: str, host: str = "127.0.0.1", body: bytes = b"", minor: int = 1) -> bytes:
    """A request's bytes; `lines` are further header lines."""
    framing = [f"Content-Length: {len(body)}"] if body else []
    fields = "".join(f"{line}\r\n" for line in (f"Host: {host}", *lines, *framing))
    return f"{method} {target} HTTP/1.{minor}\r\n{fields}\r\n".encode("latin-1") + body


class Attacker:
    """An attacker who reaches the clients' listener."""

    def __init__(self, running: Rig) -> None:
        self.running = running
        until(self._is_listed)

    def _is_listed(self) -> bool:
        """Whether the lists of all accounts and regions are read: what a request is answered may depend on them."""
        accounts = json.loads(self.running.admin_get("/status")[1])["accounts"]
        return all(len(account["profiles"]) == len(account["ads_accounts"]) == 3 for account in accounts)

    def seen(self) -> list[dict[str, Any]]:
        """The requests of clients that reached Amazon's API or its MCP endpoint so far; the proxy's own lists come when
        they come."""
        found: list[dict[str, Any]] = json.loads(self.running.get_control("/control/requests?last=1000")[1])
        reached = [request for request in found if request["listener"] in ("api", "mcp")]
        return [request for request in reached if values(request, "User-Agent") != ["ads-proxy"]]

    def send(self, data: bytes) -> Asked:
        before = max((request["number"] for request in self.seen()), default=0)
        head, body = exchange(self.running.proxy_url, data)
        seen = [request for request in self.seen() if request["number"] > before]
        return Asked(int(head.split(b" ")[1]), head, body, seen)

    def ask(self, client: str, method: str, target: str, *lines: str, **rest: Any) -> Asked:
        """A request with a client's key."""
        return self.send(request(method, target, f"X-Ads-Proxy-Key: {key(client)}", *lines, **rest))


def values(seen: dict[str, Any], name: str) -> list[str]:
    """A header's values in a request that Amazon's side saw."""
    return [value for field, value in seen["headers"] if field.lower() == name.lower()]
