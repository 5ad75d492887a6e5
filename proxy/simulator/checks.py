"""Whether a request to the Ads API has the token and the headers that it must have. Pure: values in, a refusal out.

What is refused follows Amazon where Amazon's behaviour is known (docs/reference/simulator.md), and is stricter for
headers that a proxy must never let through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxy.simulator.answers import Refusal

if TYPE_CHECKING:
    from proxy.simulator.credentials import AccessToken
    from proxy.simulator.operations import Operation
    from proxy.simulator.state import SimulatorState

NOT_AUTHENTICATED = "HTTP 401 Unauthorized"
"""What Amazon says of a token, whatever is wrong with it; the ledger knows more."""

RawHeaders = Sequence[tuple[bytes, bytes]]

AUTHORIZATION = "authorization"
API_CLIENT = "amazon-advertising-api-clientid"
ADS_CLIENT = "amazon-ads-clientid"
SCOPE = "amazon-advertising-api-scope"
INJECTED = (AUTHORIZATION, API_CLIENT, ADS_CLIENT, SCOPE)
ONCE = (*INJECTED, "amazon-ads-accountid", "amazon-ads-account-id")
"""Headers of which a second value could mean another advertiser."""

LEAKED_NAMES = frozenset(
    {"cookie", "cookie2", "via", "forwarded", "keep-alive", "te", "upgrade", "http2-settings", "x-real-ip"}
)
LEAKED_PREFIXES = ("x-ads-", "x-forwarded-", "proxy-")
HARMLESS_CONNECTION = frozenset({"", "keep-alive", "close"})


class Head:
    """A request's headers by lower-case name, every value kept."""

    def __init__(self, raw: RawHeaders) -> None:
        self.values: dict[str, list[str]] = {}
        for name, value in raw:
            self.values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def all(self, name: str) -> list[str]:
        """All values of a header."""
        return self.values.get(name, [])

    def first(self, name: str) -> str | None:
        """The only or first value, None if absent."""
        values = self.values.get(name)
        return values[0] if values else None


def find_leak(head: Head) -> Refusal | None:
    """A header that must not reach Amazon, or one that must come once and came twice."""
    for name in head.values:
        spelled = name.replace("_", "-")
        if name in LEAKED_NAMES or spelled.startswith(LEAKED_PREFIXES):
            return Refusal(400, "leaked-header", "INVALID_ARGUMENT", f"the header {name} must not reach Amazon")
        if spelled != name and spelled in INJECTED:
            return Refusal(400, "leaked-header", "INVALID_ARGUMENT", f"{name} is a second spelling of {spelled}")
    for value in head.all("connection"):
        for option in (part.strip().lower() for part in value.split(",")):
            if option not in HARMLESS_CONNECTION:
                return Refusal(400, "leaked-header", "INVALID_ARGUMENT", f"Connection names {option}")
    for name in ONCE:
        if len(head.all(name)) > 1:
            return Refusal(400, "duplicate-header", "INVALID_ARGUMENT", f"{name} came {len(head.all(name))} times")
    return None


def check_host(head: Head, port: int) -> Refusal | None:
    """The Host names this listener by its port: not the address of a proxy."""
    hosts = head.all("host")
    named = hosts[0].rpartition(":")[2] if len(hosts) == 1 else ""
    if named == str(port) or (port in (80, 443) and not named.isdigit()):
        return None
    return Refusal(
        400, "host-wrong", "INVALID_ARGUMENT", f"Host is {', '.join(hosts) or 'missing'}, the port is {port}"
    )


def check_token(state: SimulatorState, head: Head) -> AccessToken | Refusal:
    """The access token of the request, if it is good."""
    value = head.first(AUTHORIZATION)
    if value is None:
        return Refusal(
            401, "authorization-missing", "UNAUTHORIZED", "there is no Authorization header", NOT_AUTHENTICATED
        )
    scheme, space, token = value.partition(" ")
    if scheme != "Bearer" or not space or not token or " " in token:
        return Refusal(
            401,
            "authorization-malformed",
            "UNAUTHORIZED",
            "Authorization is not 'Bearer' and a token",
            NOT_AUTHENTICATED,
        )
    found = state.credentials.access_tokens.get(token)
    if found is None:
        return Refusal(401, "token-unknown", "UNAUTHORIZED", "the access token is not known", NOT_AUTHENTICATED)
    if state.now() >= found.expires_at:
        return Refusal(401, "token-expired", "UNAUTHORIZED", "the access token expired", NOT_AUTHENTICATED)
    return found


def check_client(head: Head, token: AccessToken, ads_client: bool) -> Refusal | None:
    """The client id headers: the one that the operation needs is there, and none is another app's."""
    needed = ADS_CLIENT if ads_client else API_CLIENT
    if head.first(needed) is None:
        return Refusal(401, "client-id-missing", "UNAUTHORIZED", f"{needed} is missing")
    for name in (API_CLIENT, ADS_CLIENT):
        if head.first(name) not in (None, token.client_id):
            return Refusal(401, "client-id-wrong", "UNAUTHORIZED", f"{name} is not the app that the token was made for")
    return None


def check_media(head: Head, operation: Operation | None, has_body: bool) -> Refusal | None:
    """Content-Type and Accept, where the specification names vendor media types, and in the unified API."""
    if operation is None:
        return None
    sent = (head.first("content-type") or "").split(";")[0].strip().lower()
    strict = operation.ads_client or names_vendor(operation.consumes)
    if has_body and strict and sent not in lowered(operation.consumes):
        return Refusal(415, "content-type", "UNSUPPORTED_MEDIA_TYPE", f"{sent or 'no media type'} is not taken here")
    accepted = {part.split(";")[0].strip().lower() for value in head.all("accept") for part in value.split(",")}
    anything = {"", "*/*", "application/*"}
    strict = operation.ads_client or names_vendor(operation.produces)
    if strict and accepted and not accepted & (anything | lowered(operation.produces)):
        return Refusal(406, "accept", "NOT_ACCEPTABLE", f"none of {', '.join(sorted(accepted))} is given here")
    return None


def has_body(head: Head) -> bool:
    """Whether a body comes with the head."""
    return head.first("transfer-encoding") is not None or (head.first("content-length") or "0") != "0"


def names_vendor(media_types: Sequence[str]) -> bool:
    """Whether any of the media types is a vendor's own."""
    return any("/vnd." in name for name in media_types)


def lowered(media_types: Sequence[str]) -> set[str]:
    """Media types without regard to case (RFC 9110, section 8.3.1)."""
    return {name.lower() for name in media_types}


def answer_media_type(head: Head, operation: Operation | None) -> str:
    """The media type of the answer: the vendor type that was asked for, else the specification's first, else JSON."""
    if operation is None or not operation.produces:
        return "application/json"
    asked = {part.split(";")[0].strip().lower() for value in head.all("accept") for part in value.split(",")}
    vendor = [name for name in operation.produces if "/vnd." in name and name.endswith("json")]
    named = [name for name in vendor if name.lower() in asked]
    if named or "application/json" not in asked:
        return (named or vendor or ["application/json"])[0]
    return "application/json"
