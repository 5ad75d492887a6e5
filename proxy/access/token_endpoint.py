"""The local OAuth answer: what Login with Amazon would say, with placeholders instead of tokens. Pure.

For tools that insist on a token exchange of their own (docs/reference/routing.md; docs/development/amazon-login.md,
Token requests). They send their parameters as a form or as JSON. Nothing of Amazon's is read or given here; what a
placeholder is worth later is for `clients`.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from proxy.access.clients import AUTHORIZATION, show_name
from proxy.access.placeholders import LIFETIME, REFRESH
from proxy.errors import (
    ClientKeyEnded,
    ClientsDiffer,
    ClientUnknown,
    InvalidGrant,
    InvalidTokenRequest,
    MethodNotAllowed,
    TokenNotChecked,
    TokenRefused,
)
from proxy.strict_json import UnclearBody, read_json
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.access.clients import ClientIdentity, Clients
    from proxy.errors import Refused
    from proxy.http1.message import Request
    from proxy.routing.table import RoutingTable

CONTENT_TYPE = b"content-type"
FORM = b"application/x-www-form-urlencoded"
JSON = b"application/json"
_MAX_FIELDS = 64
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""The only `client_assertion_type` (RFC 7523, 2.2)."""
BY_CREDENTIALS = "client_credentials"
"""The grant of a client that asks for itself (RFC 6749, 4.4). Its answer has no refresh token (4.4.3)."""
_ONLY_POST = "The token endpoint accepts only POST"
_FAILED = (
    "Client authentication failed : client_id has to be the name of a client of this proxy, and client_secret its key"
)
"""One text for a wrong id and a wrong secret: strangers learn of no client."""
_NOT_YOURS = (
    "The request has an invalid grant parameter : refresh_token. Send the name of an account or a route that this "
    "client may use, or the refresh token of an earlier response"
)
"""One text for what there is not, and for what is not the client's."""
_MORE_THAN_ONCE = "The request has a parameter more than once"
_HEADERS = (
    (b"Content-Type", b"application/json;charset=UTF-8"),
    (b"Cache-Control", b"no-store"),
    (b"Pragma", b"no-cache"),
)


@dataclass(frozen=True, slots=True)
class PlaceholderRequest:
    """A request to the token endpoint, whole. `binding` is the NAME of its `/@NAME` prefix, empty without one.
    `sender` is the client whose key the request has in its header section, as each request in a tunnel of a client
    does; None where the parameters have to tell. `address` is where it came from."""

    request: Request
    binding: str
    body: bytes
    sender: ClientIdentity | None = None
    address: str = ""


@dataclass(frozen=True, slots=True)
class PlaceholderResponse:
    """`headers` leaves out what frames the body. `client` is who was answered, empty if none was recognised, and
    `subject` the `sub` of its JWT. `refusal` is what an error means here, for log, metrics and console: its `detail`
    may say more than the answer does."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    client: str = ""
    subject: str = ""
    refusal: Refused | None = None


class _TokenRequestError(Exception):
    """An error of RFC 6749, 5.2, as LWA words it. The `description` is for the client, the `refusal` for the log."""

    def __init__(self, status: int, error: str, description: str, refusal: Refused | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.description = description
        self.refusal: Refused = refusal or InvalidTokenRequest(f"{error}: {description}")

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """How to authenticate, the only method, and when to come again."""
        if self.status == 405:
            return ((b"Allow", b"POST"),)
        if self.status == 401:
            return ((b"WWW-Authenticate", b'Basic realm="ads-proxy"'),)
        after = self.refusal.wait
        return () if after is None else ((b"Retry-After", b"%d" % after),)


def answer(asked: PlaceholderRequest, clients: Clients, table: RoutingTable, now: float) -> PlaceholderResponse:
    """Answer a token request; `now` is wall-clock time."""
    identity, has_sender = asked.sender, asked.sender is not None
    try:
        fields = _fields(asked)
        identity = _identity(asked, fields, clients, now)
        asking = _AuthenticatedClient(identity, clients, table, now, has_sender)
        bound = asking.bound(asked.binding, fields)
    except _TokenRequestError as failed:
        return _error(failed, identity)
    access, refresh = clients.issue(identity, bound, now)
    if asking.may_bind(fields.get("refresh_token", "")):
        refresh = fields["refresh_token"]
    content = {"access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": asking.lifetime}
    if fields["grant_type"] == BY_CREDENTIALS:
        del content["refresh_token"]
    return PlaceholderResponse(200, _HEADERS, json.dumps(content).encode(), identity.name, identity.subject)


def _error(failed: _TokenRequestError, identity: ClientIdentity | None) -> PlaceholderResponse:
    """The answer to a request that failed, of the client that is known so far."""
    body = json.dumps({"error": failed.error, "error_description": failed.description}).encode()
    whose = ("", "") if identity is None else (identity.name, identity.subject)
    return PlaceholderResponse(failed.status, (*_HEADERS, *failed.headers), body, *whose, failed.refusal)


def _fields(asked: PlaceholderRequest) -> dict[str, str]:
    """The parameters of a POST: a form or a JSON object. Each may come once (RFC 6749, 3.2).

    No parameter's name begins with a brace, so that a form which does is the JSON of a client that labels it wrongly.
    """
    if asked.request.method != b"POST":
        raise _TokenRequestError(405, "invalid_request", _ONLY_POST, MethodNotAllowed(_ONLY_POST))
    media_type = asked.request.fields.value(CONTENT_TYPE).partition(b";")[0].strip().lower()
    if media_type not in (FORM, JSON, b""):
        raise _invalid(f"The Content-Type must be {FORM.decode()} or {JSON.decode()}")
    if media_type == JSON or asked.body.lstrip(b" \t\r\n").startswith(b"{"):
        return _json_fields(asked.body)
    try:
        pairs = parse_qsl(asked.body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise _invalid("The body is not a form") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _invalid(_MORE_THAN_ONCE)
    return fields


def _json_fields(body: bytes) -> dict[str, str]:
    """The members of a JSON object; a null member counts as absent."""
    try:
        content = read_json(body, strictly=False)
    except UnclearBody:
        raise _invalid(f"{_MORE_THAN_ONCE}, or its JSON can be read in two ways") from None
    except (ValueError, RecursionError):
        raise _invalid("The body is not JSON") from None
    if not isinstance(content, dict) or len(content) > _MAX_FIELDS:
        raise _invalid("The body is not a JSON object of parameters")
    fields = {name: value for name, value in content.items() if value is not None}
    for value in fields.values():
        if not isinstance(value, str) or not _is_text(value):
            raise _invalid("The body has a parameter that is not a JSON string")
    return fields


def _is_text(value: str) -> bool:
    """Whether a JSON string holds characters only: half of a surrogate pair is none (RFC 8259, 8.2)."""
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _identity(asked: PlaceholderRequest, fields: dict[str, str], clients: Clients, now: float) -> ClientIdentity:
    """Who asks: `client_id` is a client's name, `client_secret` its key or JWT, in the body or as Basic; or a
    `client_assertion` tells both. With a sender they may be anything but those of another client."""
    basic = _basic(asked.request.fields.value(AUTHORIZATION))
    name, secret = basic or (fields.get("client_id", ""), fields.get("client_secret", ""))
    try:
        if "client_assertion" in fields or "client_assertion_type" in fields:
            if basic is not None or "client_secret" in fields:
                raise _invalid("The request authenticates its client in two ways; send client_assertion alone")
            identity = _asserted(fields, clients, now, asked.address)
            name = name or (identity.name if identity is not None else "")
        else:
            identity = clients.authenticate(name, secret, now, asked.address)
    except (ClientKeyEnded, TokenRefused) as refused:
        raise _TokenRequestError(401, "invalid_client", refused.detail, refused) from None
    except TokenNotChecked as refused:
        raise _TokenRequestError(503, "temporarily_unavailable", refused.detail, refused) from None
    if asked.sender is not None:
        if identity is not None and name == identity.name != asked.sender.name:  # not what a demo makes of any name
            differ = ClientsDiffer("The request and its client_id belong to two clients; use one client's for both.")
            raise _TokenRequestError(403, "invalid_client", differ.detail, differ)
        return asked.sender
    if identity is None:
        if basic == ("", ""):
            why = "the Authorization header holds no client_id and client_secret as Basic"
        elif "client_assertion" in fields:
            why = f"client_assertion is no JWT, or of another client than client_id {show_name(name)}"
        else:
            why = clients.explain_failure(name, secret)
        raise _TokenRequestError(401, "invalid_client", _FAILED, ClientUnknown(f"invalid_client: {why}."))
    return identity


def _asserted(fields: dict[str, str], clients: Clients, now: float, address: str) -> ClientIdentity | None:
    """The client of a `client_assertion` (RFC 7523, 2.2), which a `client_id` may repeat; None for another client.
    Raises what `Clients.authenticate_assertion` raises."""
    if fields.get("client_assertion_type") != ASSERTION_TYPE:
        raise _invalid(f"The client_assertion_type must be {ASSERTION_TYPE}")
    identity = clients.authenticate_assertion(_required(fields, "client_assertion"), now, address)
    named = fields.get("client_id", "")
    return identity if not clients.exist or not named or (identity is not None and named == identity.name) else None


def _basic(authorization: bytes) -> tuple[str, str] | None:
    """Name and secret of HTTP Basic (RFC 7617); None for any other scheme, or what cannot be read."""
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, secret


@dataclass(frozen=True, slots=True)
class _AuthenticatedClient:
    """An authenticated client, and the names that it may bind to."""

    identity: ClientIdentity
    clients: Clients
    table: RoutingTable
    now: float
    has_sender: bool

    @property
    def lifetime(self) -> int:
        """Seconds that an access placeholder is good for: it expires with what the client has shown."""
        return int(min(LIFETIME, self.identity.valid_until - self.now))

    def bound(self, prefix: str, fields: dict[str, str]) -> str:
        """The account or route that the placeholder is bound to: the prefix's, else what the grant names, else none."""
        granted = self._granted(fields)
        if prefix and not self.may_bind(prefix):
            description = "The /@NAME before this path is an unknown account or route"
            refusal = InvalidGrant(f"invalid_request: {self._why_not('/@NAME', prefix)}.")
            raise _TokenRequestError(400, "invalid_request", description, refusal)
        return prefix or granted

    def may_bind(self, name: str) -> bool:
        """Whether the account or route exists and the client may use it."""
        return self.identity.scope.may_use(self.table.names.get(name))

    def _granted(self, fields: dict[str, str]) -> str:
        """What the grant names. A code is dropped: a placeholder needs none of Amazon's."""
        match _required(fields, "grant_type"):
            case "authorization_code":
                if "code" not in fields:
                    raise _missing("code")
                return ""
            case grant if grant == BY_CREDENTIALS:
                return ""
            case "refresh_token":
                return self._bound_by(_required(fields, "refresh_token"))
        wording = (
            "The authorization grant type is not supported by the authorization server. Send refresh_token, "
            f"authorization_code or {BY_CREDENTIALS}"
        )
        raise _TokenRequestError(400, "unsupported_grant_type", wording)

    def _bound_by(self, refresh_token: str) -> str:
        """A name, or one of our own refresh placeholders; anything else only where no parameter had to tell who asks:
        no clients are configured, or the request has a key."""
        if self.may_bind(refresh_token):
            return refresh_token
        bound = self.clients.read_refresh(self.identity, refresh_token, self.now)
        if bound is not None and (not bound or self.may_bind(bound)):
            return bound
        if self.clients.exist and not self.has_sender:
            refusal = InvalidGrant(f"invalid_grant: {self._why_not('refresh_token', refresh_token, bound)}.")
            raise _TokenRequestError(400, "invalid_grant", _NOT_YOURS, refusal)
        return ""

    def _why_not(self, where: str, text: str, bound: str | None = None) -> str:
        """Why the client may not use what a parameter chooses, for the log. `bound` is the name that a refresh token of
        its own was issued for."""
        name = text if bound is None else bound
        if name in self.table.names:
            return f"{where} is for {name}, which client {self.identity.name} may not use"
        if bound is None and text.encode("utf-8", "surrogatepass").startswith(REFRESH):
            return f"{where} was issued to another client, or for a key that has expired or was removed"
        return f"{where} is for {show_name(name)}, which is neither an account nor a route"


def _required(fields: dict[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not value:
        raise _missing(name)
    return value


def _missing(name: str) -> _TokenRequestError:
    return _invalid(f"The request is missing a required parameter : {name}")


def _invalid(description: str) -> _TokenRequestError:
    return _TokenRequestError(400, "invalid_request", description)
