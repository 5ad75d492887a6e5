"""Who may use the admin listener: Host, origin, and key. Decisions only; nothing is answered here.

A browser is the way in for others' pages: the Host check stops rebinding, the origin checks stop cross-site requests,
and no answer ever carries a CORS header.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cachetools import TTLCache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.admin.view import AccessRules
    from proxy.secret import Secret

HEALTH: Final = frozenset({"/livez", "/healthz", "/liveness", "/readyz", "/readiness", "/startup"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
COOKIE: Final = "ads_proxy_console"
PROOF_HEADER: Final = "X-Ads-Proxy-Console"
"""A header that a page of another origin cannot send without a preflight request, which the listener never answers."""
SESSION_SECONDS: Final = 12 * 3600
MAX_FAILURES: Final = 10
FAILURE_SECONDS: Final = 60


def host_allowed(host: str, rules: AccessRules) -> bool:
    """Whether a Host header names this listener: an IP literal, localhost, the listen address or an allowed name."""
    name = _host_name(host)
    if name is None:
        return False
    if name == "localhost" or name == rules.listen_host.lower():
        return True
    if name in {allowed.lower() for allowed in rules.allowed_hosts}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _host_name(host: str) -> str | None:
    """The name without its port, in lower case; None where it is no host."""
    if not host or any(character in host for character in "/@?#\\ \t"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname.removesuffix(".") if parts.hostname else None


def crossed_sites(method: str, headers: Mapping[str, str]) -> bool:
    """Whether another site's page sent this. A plain navigation from elsewhere is allowed to read, never to change."""
    site = headers.get("Sec-Fetch-Site", "none")
    if site not in {"none", "same-origin"}:
        navigates = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
        if method not in SAFE_METHODS or not navigates:
            return True
    origin = headers.get("Origin")
    return origin is not None and not is_own_origin(origin, headers.get("Host", ""))


def is_own_origin(origin: str, host: str) -> bool:
    """Whether an Origin is this listener as the Host header names it; behind a TLS proxy the scheme is another."""
    return origin.lower() in {f"http://{host.lower()}", f"https://{host.lower()}"}


def is_own_step(headers: Mapping[str, str]) -> bool:
    """Whether a person took this step here: typed the address, or followed a link of ours. Or it is no browser at all.

    A browser that sends no `Sec-Fetch-Site` (an old one, or plain HTTP beyond loopback) is believed where it names a
    page of ours as `Referer`, which other sites cannot make it do. Every browser asks for a page with `text/html`.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"none", "same-origin"}
    referer = headers.get("Referer")
    if referer is not None:
        return is_own_origin("/".join(referer.split("/")[:3]), headers.get("Host", ""))
    return "text/html" not in headers.get("Accept", "")


def needs_proof(method: str, path: str) -> bool:
    """State-changing requests show the console's header; a form cannot, and rests on its Origin, which is checked."""
    form = path in {"/console/session", "/console/session/end"} or path.startswith(("/login/", "/approvals/"))
    return method not in SAFE_METHODS and not form


def needs_key(path: str, rules: AccessRules) -> bool:
    """Whether a path needs the admin key. The callback is protected by its state; styles, scripts and the key form hold
    no secret."""
    if rules.key is None or path in HEALTH:
        return False
    if path == "/metrics":
        return not rules.open_metrics
    return not (path in {"/login/callback", "/console/session"} or path.startswith("/console/static/"))


def shown_key(headers: Mapping[str, str]) -> str | None:
    """The key that a request shows in a header, or None."""
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return headers.get("X-Ads-Proxy-Key")


def safe_next(target: str) -> str:
    """Where the key form leads to: a page of ours, never elsewhere."""
    local = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if local and "\\" not in target else "/"


class KeyChecker:
    """Checks keys, keeps the console's sessions, and slows down who guesses."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions: TTLCache[bytes, bytes] = TTLCache(256, SESSION_SECONDS, clock)
        self._failures: TTLCache[str, int] = TTLCache(1024, FAILURE_SECONDS, clock)

    def __repr__(self) -> str:
        return f"<KeyChecker {len(self._sessions)} sessions, {len(self._failures)} addresses that failed>"

    def guessing(self, address: str) -> bool:
        """Whether an address failed so often that no key is looked at for a minute."""
        return self._failures.get(address, 0) >= MAX_FAILURES

    def fits(self, shown: str, key: Secret, address: str) -> bool:
        """Whether the key fits; a failure counts against the address."""
        if hmac.compare_digest(_digest(shown), _digest(key.reveal())):
            return True
        self.count_failure(address)
        return False

    def count_failure(self, address: str) -> None:
        """Count a wrong key of any kind against an address."""
        self._failures[address] = self._failures.get(address, 0) + 1

    def open_session(self, key: Secret) -> str:
        """A new session's token; it ends when the key changes."""
        token = secrets.token_urlsafe(32)
        self._sessions[_digest(token)] = _digest(key.reveal())
        return token

    def in_session(self, token: str, key: Secret) -> bool:
        kept = self._sessions.get(_digest(token))
        return kept is not None and hmac.compare_digest(kept, _digest(key.reveal()))

    def end_session(self, token: str) -> None:
        self._sessions.pop(_digest(token), None)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
