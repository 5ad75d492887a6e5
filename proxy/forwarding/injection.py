"""The head that leaves: which fields the proxy injects, drops and passes, and how it writes them.

A new rule on a request's header belongs here, and in docs/reference/routing.md. A head is rendered from the very
`Request` that was checked, and from the `Route` that was chosen for it; nothing else is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.access.admission import FETCH_SITE, ORIGIN
from proxy.access.approvers import APPROVER_KEY
from proxy.access.clients import AUTHORIZATION, PROXY_KEY
from proxy.access.token_endpoint import CONTENT_TYPE
from proxy.http1.request_fields import RequestFieldRules
from proxy.routing.ads_account import ADS_ACCOUNT, NAMES_ACCOUNT, SCOPE, names_account
from proxy.routing.mcp_session import FIXED, MODE_HEADER
from proxy.routing.overrides import may_override
from proxy.routing.route import ACCOUNT, REGION
from proxy.tokens.authorization import AUTHORIZATION_FIELDS, authorization_headers

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields
    from proxy.routing.route import Route
    from proxy.tokens.values import AccessToken


class AccountLines:
    """The injected lines of each account, for the access token that was last asked for."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[AccessToken, bytes]] = {}

    def __repr__(self) -> str:
        return f"<AccountLines of {', '.join(sorted(self._made)) or 'no account'}>"

    def of(self, token: AccessToken) -> bytes:
        """The lines of a token's account, with the client id that the token was minted for."""
        known = self._made.get(token.account)
        if known is not None and known[0] is token:
            return known[1]
        lines = account_lines(token.value.reveal(), token.client_id)
        self._made[token.account] = (token, lines)
        return lines

    def forget(self) -> None:
        """Accounts may have gone."""
        self._made.clear()


class SectionMemory:
    """What leaves behind the request line for requests that are decided alike; rendered once for each access token."""

    __slots__ = ("_fields", "_host_line", "_route", "_section", "_token")

    def __init__(self, fields: RequestFields, route: Route, host_line: bytes) -> None:
        self._fields, self._route, self._host_line = fields, route, host_line
        self._token: AccessToken | None = None
        self._section = b""

    def __repr__(self) -> str:
        return f"<SectionMemory of {self._route.account}>"

    def of(self, token: AccessToken, account_lines: AccountLines) -> bytes:
        """The section that carries this token."""
        if token is not self._token:
            self._section = render_section(self._fields, self._route, self._host_line, account_lines.of(token))
            self._token = token
        return self._section


def account_lines(access_token: str, client_id: str) -> bytes:
    """The injected lines of one account while one access token lives."""
    headers = authorization_headers(access_token, client_id)
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")


def request_line(method: bytes, target: bytes) -> bytes:
    """The first line of a head that leaves."""
    return b"%b %b HTTP/1.1\r\n" % (method, target)


def render_section(fields: RequestFields, route: Route, host_line: bytes, account: bytes) -> bytes:
    """All that stands behind the request line, with the empty line that closes the head."""
    profile, ads_account = route.profile, route.ads_account_header
    return b"".join(
        (
            host_line,
            account,
            b"Amazon-Advertising-API-Scope: %b\r\n" % profile if profile else b"",
            b"%b: %b\r\n" % (ads_account, route.ads_account) if ads_account else b"",
            _MODE_LINE if route.fixed is not None else b"",
            fields.passing,
            b"Transfer-Encoding: chunked\r\n\r\n" if fields.chunked else b"\r\n",
        )
    )


_MODE_LINE = b"%b: %b\r\n" % (MODE_HEADER, FIXED)


# --- Which header fields mean something to this proxy ----------------------------------------------------

INJECTED = AUTHORIZATION_FIELDS | {SCOPE}
"""Written by the proxy, so that the client's own never leave."""
_KEPT = frozenset((b"cookie", b"via", b"forwarded", PROXY_KEY, APPROVER_KEY, ACCOUNT, REGION))
"""Read here or of no business to Amazon."""

REQUEST_FIELDS = RequestFieldRules(
    overrides=may_override,
    dropped=INJECTED | _KEPT,
    dropped_prefixes=(b"x-forwarded-", b"x-ads-proxy-"),
    dropped_if_empty=ADS_ACCOUNT,
    single=frozenset((AUTHORIZATION, PROXY_KEY, ACCOUNT, REGION)),
    repeated=frozenset((SCOPE, ORIGIN, FETCH_SITE, CONTENT_TYPE)) | ADS_ACCOUNT,
    noticed=NAMES_ACCOUNT,
    not_in_trailers=frozenset((b"accept-encoding",)),
    barred=lambda name: names_account(name) or may_override(name) or name.startswith(b"mcp-"),
)
