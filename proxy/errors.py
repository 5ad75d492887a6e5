"""Every failure by name: its slug, its status, whether asking again helps, and what the reader should do.

`Refused` and its subclasses are the proxy's own answers to a client; `TokenFailure` is a failed token request;
`StartupError` ends the program. Nothing here performs anything, and nothing else of ours is imported.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping


class AdsProxyError(Exception):
    """The root of all failures that have a name."""


# --- The proxy's own answers (RFC 9457, RFC 9209) --------------------------------------------------------


class Refused(AdsProxyError):
    """A request that the proxy answers itself.

    `detail` is one sentence for the reader of the answer and says what to do. `retry_after` is in seconds.
    `close` tells that the connection's framing can no longer be trusted, or that it must not be kept.
    `retryable` tells whether the same request can work later without anybody changing anything; an instance may know
    better than its kind.
    """

    slug: ClassVar[str] = "refused"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request was refused"
    code: ClassVar[str] = "INVALID_ARGUMENT"
    """Amazon's `code` member, which existing clients print."""
    proxy_error: ClassVar[str] = "http_request_error"
    """The error type of RFC 9209, section 2.3, for `Proxy-Status`."""
    retryable: bool = False
    advice: ClassVar[str] = ""
    """A sentence or two for the operator, in the console; empty where the status says whose turn it is."""
    answer: bytes = b""
    """JSON that is sent instead of a problem document, empty for none: messages of MCP have refusals of their own."""
    _answer_status: int = 0
    unverified_subject: str = ""
    """The `sub` of the JWT that was not accepted, for the log: the token may be forged. Of bounded length."""
    further: Mapping[str, object] = MappingProxyType({})
    """Members of the problem document that only this one has."""

    def __init__(
        self, detail: str, *, retry_after: float | None = None, close: bool = False, retryable: bool | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.close = close
        if retryable is not None:
            self.retryable = retryable

    @property
    def wait(self) -> int | None:
        """The seconds that `Retry-After` tells the client; None for no such field."""
        return None if self.retry_after is None else max(1, math.ceil(self.retry_after))

    @property
    def sent_status(self) -> int:
        """The status of the response: JSON-RPC says no in a 200, too."""
        return self._answer_status or self.status

    def answered(self, answer: bytes, status: int) -> Self:
        """Send this refusal as the answer given, with that status."""
        self.answer, self._answer_status = answer, status
        return self

    def saying(self, **further: object) -> Self:
        """Add members to this refusal's problem document."""
        self.further = further
        return self


# --- invalid requests ---------------------------------------------------------------------------------------


class MalformedRequest(Refused):
    """Bytes that are no HTTP/1.1 request, or that two readers could understand differently (RFC 9112)."""

    slug, title = "malformed-request", "The request is not valid HTTP/1.1"


class UnacceptablePath(Refused):
    """A path that two servers could read differently, where paths decide what a client may do."""

    slug, title = "unacceptable-path", "The path is ambiguous"


class TooManyParameters(Refused):
    """A query with more parameters than are judged, where the query decides what a client may do."""

    slug, title = "too-many-parameters", "The query has too many parameters"


class MethodNotAllowed(Refused):
    """`allow` are the methods that the target has."""

    slug, status, title, code = "method-not-allowed", 405, "The method is not allowed", "METHOD_NOT_ALLOWED"
    allow: str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class OnlyReadable(MethodNotAllowed):
    """Another method than GET and HEAD for a named report, or for the state of an approval."""

    slug, title, allow = "only-readable", "This can be read and not changed", "GET, HEAD"
    advice = "Let the client send GET."


class RequestTimeout(Refused):
    slug, status, title, code = "request-timeout", 408, "The request took too long to arrive", "REQUEST_TIMEOUT"
    retryable = True


class ContentTooLarge(Refused):
    slug, status, title, code = "content-too-large", 413, "The body is too large", "CONTENT_TOO_LARGE"


class TargetTooLong(Refused):
    slug, status, title, code = "target-too-long", 414, "The request target is too long", "URI_TOO_LONG"


class ExpectationFailed(Refused):
    slug, status, title, code = "expectation-failed", 417, "The expectation cannot be met", "EXPECTATION_FAILED"


class HeadTooLarge(Refused):
    slug, status, title, code = "head-too-large", 431, "The header section is too large", "HEADERS_TOO_LARGE"


class NotImplementedHere(Refused):
    slug, status, title, code = (
        "not-implemented",
        501,
        "Not implemented",
        "NOT_IMPLEMENTED",
    )


class VersionNotSupported(Refused):
    slug, status, title, code = "version-not-supported", 505, "Only HTTP/1.1 and HTTP/1.0 are supported", "VERSION"


# --- admission and permissions ------------------------------------------------------------------------------


class MisdirectedHost(Refused):
    """A Host that is not ours to answer for: the defence against DNS rebinding. In a tunnel: another host than the one
    it leads to."""

    slug, status, title, code = "misdirected-host", 421, "This host name is not served here", "MISDIRECTED"
    proxy_error = "http_request_denied"
    advice = (
        "Add the host name that the client uses to `allowed_hosts`, or correct the client's base URL. In a tunnel, the "
        "client has to send the Host and the server name (SNI) of the host that it asked for by CONNECT."
    )


class CrossOrigin(Refused):
    """A request of a web page: any Origin, and any Sec-Fetch-Site but `none` and `same-origin`."""

    slug, status, title, code = "cross-origin", 403, "Web pages may not use this proxy", "FORBIDDEN"
    proxy_error = "http_request_denied"
    advice = "A web page tried to use the proxy. Find out which one, and in whose browser."


class ClientUnknown(Refused):
    """No key, or one that no client has."""

    slug, status, title, code = "client-unknown", 401, "Unknown client", "UNAUTHORIZED"
    proxy_error = "http_request_denied"
    advice = "Give the client a configured key. `ads-proxy keys new CLIENT` makes one."


class ClientKeyEnded(Refused):
    """A client's key, after its end."""

    slug, status, title, code = "client-key-ended", 401, "The client's key has expired", "UNAUTHORIZED"
    proxy_error = "http_request_denied"
    advice = "Make a new key with `ads-proxy keys new CLIENT`, and give it to the client."


class CertificateRejected(Refused):
    """A client certificate of a trusted authority that expired, that belongs to no client, or whose authority was
    removed."""

    slug, status, title, code = "certificate-rejected", 401, "The client certificate is not accepted", "UNAUTHORIZED"
    proxy_error = "http_request_denied"
    advice = (
        "Compare `certificate.san` of the client's entry with the names in its certificate. A client that renews its "
        "certificate has to connect again with it."
    )


class TokenRefused(Refused):
    """A JWT that is no client's: expired, forged, from another issuer, for another audience, or without a client."""

    slug, status, title, code = "token-refused", 401, "The JWT is not accepted", "UNAUTHORIZED"
    proxy_error = "http_request_denied"
    advice = (
        "Compare the token with `identity_providers` and the client's `jwt`: `ads-proxy check --as-jwt FILE` says what "
        "does not fit. See docs/how-to/clients/workload-identity.md."
    )


class TokenNotChecked(Refused):
    """A JWT that cannot be checked now: the keys of its provider are not known yet, or too many others were wrong."""

    slug, status, title, code = "token-not-checked", 503, "The JWT cannot be checked now", "SERVICE_UNAVAILABLE"
    proxy_error = "proxy_internal_error"
    retryable = True
    advice = (
        "If it lasts, look at the log for the provider's keys (`identity_providers.NAME.jwks`), and for clients that "
        "send wrong tokens again and again."
    )
    reading: asyncio.Event | None = None
    """The end of the reading of keys after which it can be checked; None if nothing is to be waited for."""


class PlaceholderRejected(Refused):
    """A placeholder token that expired, was forged, or belongs to a client or account that is gone."""

    slug, status, title, code = "placeholder-rejected", 401, "The access token is not valid", "UNAUTHORIZED"
    proxy_error = "http_request_denied"
    advice = "The client fetches a new token by itself. If it happens again, its client or account was removed."


class InvalidTokenRequest(Refused):
    """A request to the local token endpoint that is not valid there. The client gets an OAuth error (RFC 6749, 5.2)."""

    slug, title = "invalid-token-request", "The token request is not valid"
    advice = (
        "Correct the token request in the client: the log line's `detail` says what is wrong. See "
        "docs/reference/routing.md."
    )


class InvalidGrant(InvalidTokenRequest):
    """A request to the local token endpoint for an account or a route that is unknown, or not the client's. The client
    gets one OAuth error for both."""

    slug, title = "invalid-grant", "The token request is for an unknown account or route, or for one of other clients"
    advice = (
        "Correct the name in the client's `refresh_token` or token address, or add the account to the client's entry "
        "and reload. The log line's `detail` says which it is."
    )


class NotPermitted(Refused):
    """The client is known, and its policy says no."""

    slug, status, title, code = "not-permitted", 403, "The client may not do this", "FORBIDDEN"
    proxy_error = "http_request_denied"
    advice = "Nothing, if this client is not meant to do that. Otherwise extend its entry under `clients` and reload."


class ToolNotPermitted(NotPermitted):
    """A message to the MCP endpoint that a client may not send. Its `answer` is one of JSON-RPC."""

    slug, title = "tool-not-permitted", "The client may not call this tool"


class OverLimit(NotPermitted):
    """A write over a limit of its client's `spend`. The violations are members of the problem document."""

    slug, title = "over-limit", "The write is over a spend limit"
    advice = (
        "Nothing, if the client is not meant to do that. Otherwise raise the limit under `spend` of its entry in "
        "`clients`, and reload. See docs/how-to/operations/over-limit.md."
    )


class ApprovalRequired(NotPermitted):
    """A write over a limit that an approver may approve. Its id and the violations are members of the document."""

    slug, title = "approval-required", "A person has to approve the write"
    advice = (
        "Look at the queue (`ads-proxy approvals`, or the console), then approve or deny. See "
        "docs/how-to/approve-writes.md."
    )


class ApprovalDenied(NotPermitted):
    """A write that an approver has denied, sent again."""

    slug, title = "approval-denied", "A person has denied the write"
    advice = "Nothing, if the denial was meant. It ends `approvals.valid_for` seconds after the decision."


class ApprovalStale(NotPermitted):
    """An approved write whose objects have changed since the approver saw them."""

    slug, title = "approval-stale", "What the write changes is no longer as its approver saw it"
    advice = "Nothing: the client asks again by sending the write once more."


class TooManyApprovals(Refused):
    """A write that needs an approval, of a client with too many pending ones."""

    slug, status, title, code = "too-many-approvals", 429, "Too many writes wait for approval", "THROTTLED"
    proxy_error = "http_request_denied"
    retryable = True
    advice = "Decide about the client's pending approvals, or raise `approvals.max_pending`."


class SpendUnreadable(NotPermitted):
    """A write of a client with `spend` of which the proxy cannot read what it would spend."""

    slug, title = "spend-unreadable", "The proxy cannot read what the write would spend"
    advice = (
        "Let the client send the amounts in a form of docs/reference/money-fields.md. If the write is harmless, add "
        "its operation to `spend.allow` of the client's entry."
    )


class AmbiguousBody(Refused):
    """A body that must be read before it leaves, and that is no JSON, or JSON that readers understand differently."""

    slug, title = "ambiguous-body", "The body is not plain JSON"


class Frozen(Refused):
    """A write of a client while its writes, or those of all clients, are frozen."""

    slug, status, title, code = "frozen", 403, "Writes are frozen", "FORBIDDEN"
    proxy_error = "http_request_denied"
    advice = "`ads-proxy unfreeze` lets writes pass again, once you know why they were frozen."


class FreezesUnknown(Refused):
    """A write of a program that has started without its state store: it may be frozen, so it is not sent."""

    slug, status, title, code = (
        "freezes-unknown",
        503,
        "It is not known whether writes are frozen",
        "SERVICE_UNAVAILABLE",
    )
    proxy_error = "proxy_internal_error"
    retryable = True
    advice = (
        "Look at the state store (`state.url`). If no write has to stay frozen, `ads-proxy unfreeze` lets them pass "
        "without it. See docs/how-to/operations/freeze-writes.md."
    )


class LedgerUnavailable(Refused):
    """A write that the state store has to count, or to look up an approval for, while the store is away: it is not
    sent."""

    slug, status, code = "ledger-unavailable", 503, "SERVICE_UNAVAILABLE"
    title = "The state store cannot be asked about this write"
    proxy_error = "proxy_internal_error"
    retryable = True
    advice = "Look at the state store (`state.url`): what a client spends in a day, and approvals, are kept there."


class NotAmazon(Refused):
    """A CONNECT to a host that the proxy does not answer for, and may not tunnel."""

    slug, status, title, code = "not-amazon", 403, "The proxy opens no tunnel to this host", "FORBIDDEN"
    proxy_error = "http_request_denied"
    advice = (
        "Add the host to NO_PROXY where the client runs, so that the client connects to it itself. If it cannot, add "
        "the host to `intercept.pass`."
    )


class ProxyKeyRequired(Refused):
    """A CONNECT without a client's key, where clients are configured."""

    slug, status, title, code = "proxy-key-required", 407, "A tunnel needs a client's key", "UNAUTHORIZED"
    proxy_error = "http_request_denied"
    advice = "Put the client's name and key into the client's HTTPS_PROXY: `http://CLIENT:KEY@HOST:PORT`."


class ClientsDiffer(Refused):
    """A request with the credential of another client than the one whose tunnel it came through, or whose certificate
    its connection has."""

    slug, status, code = "clients-differ", 403, "FORBIDDEN"
    title = "The request and its connection belong to two clients"
    proxy_error = "http_request_denied"
    advice = "Use one client's key, in HTTPS_PROXY or in the request. Next to a client certificate, no key is needed."


class BudgetSpent(Refused):
    slug, status, title, code = "budget-spent", 429, "The client's request budget is spent", "THROTTLED"
    proxy_error = "http_request_denied"
    retryable = True
    advice = (
        "Ask why the client sends so many requests. If that is right, raise its `requests_per_minute` or "
        "`max_in_flight`, whichever is spent."
    )


class TooManyConnections(Refused):
    slug, status, title, code = "too-many-connections", 503, "Too many connections", "SERVICE_UNAVAILABLE"
    proxy_error = "connection_limit_reached"
    retryable = True
    advice = "Find the address that holds them. Then raise `limits.max_connections` or correct that client."


# --- account, region and profile ----------------------------------------------------------------------------


class AccountRequired(Refused):
    """Several accounts, and nothing in the request chooses one."""

    slug, title = "account-required", "No account was chosen"
    advice = "Let the client name an account, or give it a single one under `accounts`."


class UnknownAccount(Refused):
    slug, title = "unknown-account", "Unknown account"
    advice = "Correct the account's name in the client, or configure the account."


class UnknownRegion(Refused):
    slug, title = "unknown-region", "Unknown region"


class ConflictingScope(Refused):
    slug, title = "conflicting-scope", "More than one profile was chosen"


class ConflictingAdsAccount(Refused):
    """Two ads accounts in one request, or one that leads to another account than its Scope."""

    slug, title = "conflicting-ads-account", "The ads account contradicts the rest of the request"


class RegionRequired(Refused):
    """An ads account that lives in several regions, of which nothing chooses one."""

    slug, title = "region-required", "No region was chosen"


class SessionElsewhere(Refused):
    """An MCP session of another client, or one that began with another account, region or advertiser."""

    slug, status, title, code = (
        "session-elsewhere",
        404,
        "The MCP session belongs to another client, account or region",
        "NOT_FOUND",
    )
    proxy_error = "destination_not_found"


class UnknownRoute(Refused):
    slug, status, title, code = "unknown-route", 404, "Unknown route", "NOT_FOUND"
    proxy_error = "destination_not_found"
    advice = "Correct the client's base URL, or configure the account in it."


class NeverForwarded(Refused):
    """`/auth/*` and `/ap/*`: signing in is the proxy's business."""

    slug, status, title, code = "never-forwarded", 404, "This path is never forwarded", "NOT_FOUND"
    proxy_error = "http_request_denied"


class ProfileNotKnownYet(Refused):
    """`default_profile: first`, and the account's profiles have not been listed yet; not retryable where a person must
    act before they can be."""

    slug, status, title, code = (
        "profile-not-known-yet",
        503,
        "The first profile is not known yet",
        "SERVICE_UNAVAILABLE",
    )
    proxy_error = "destination_unavailable"
    retryable = True
    advice = "Look at the account's card: it says why its profiles could not be listed."


class UnknownReport(Refused):
    """A path below `/-/` that leads to no named report which the client may read: the same for one that exists."""

    slug, status, title, code = "unknown-report", 404, "Unknown report", "NOT_FOUND"
    proxy_error = "destination_not_found"
    advice = "Correct the name in the client, or list it in the client's `reports`."


class UnknownApproval(Refused):
    """A path below `/-/approvals/` that leads to no approval of the client: the same for one of another client."""

    slug, status, title, code = "unknown-approval", 404, "Unknown approval", "NOT_FOUND"
    proxy_error = "destination_not_found"
    advice = "Let the client ask with the id that the refusal named. An approval is forgotten a week after its end."


class UnknownParameter(Refused):
    """A query of a named report that means nothing there."""

    slug, title = "unknown-parameter", "Unknown query parameter"
    advice = "Let the client leave the query out, except `refresh=1`."


class ReportNotReady(Refused):
    """A named report without a complete result."""

    slug, status, title, code = "report-not-ready", 503, "The report has no result yet", "SERVICE_UNAVAILABLE"
    proxy_error = "destination_unavailable"
    retryable = True
    advice = "Look at Reports: it says what the report waits for."


class ReportUnreadable(Refused):
    """The folder of named reports cannot be used, or a result in it is damaged."""

    slug, status, title, code = "report-unreadable", 500, "The report's result cannot be read", "INTERNAL_ERROR"
    proxy_error = "proxy_internal_error"
    advice = "The log has the cause. Check the disk and `reports.keep.dir`."


# --- Amazon's side ------------------------------------------------------------------------------------------


class UpstreamUnreachable(Refused):
    slug, status, title, code = "upstream-unreachable", 502, "Amazon could not be reached", "BAD_GATEWAY"
    proxy_error = "destination_unavailable"
    retryable = True
    advice = (
        "Check this machine's network, its name resolution and the outbound proxy (`upstream.proxy`). Other hosts "
        "of Amazon may still work."
    )


class UpstreamNameUnresolved(UpstreamUnreachable):
    slug, proxy_error = "upstream-name-unresolved", "dns_error"


class UpstreamCertificateRejected(Refused):
    slug, status, title, code = "upstream-certificate-rejected", 502, "Amazon's certificate was rejected", "BAD_GATEWAY"
    proxy_error = "tls_certificate_error"
    advice = (
        "Something intercepts the connection to Amazon. If it is your own outbound proxy, set `upstream.ca_file`. "
        "Otherwise find out what it is."
    )


class UpstreamClosed(Refused):
    """The connection ended before an answer's head was complete."""

    slug, status, title, code = "upstream-closed", 502, "Amazon closed the connection without an answer", "BAD_GATEWAY"
    proxy_error = "connection_terminated"
    retryable = True
    advice = "Amazon failed. If it happens again, give Amazon's support the request id of its response."


class UpstreamMalformed(Refused):
    """An answer that is no HTTP, or that two readers could understand differently."""

    slug, status, title, code = "upstream-malformed", 502, "Amazon's answer is not valid HTTP", "BAD_GATEWAY"
    proxy_error = "http_protocol_error"
    advice = UpstreamClosed.advice


class UpstreamTimeout(Refused):
    slug, status, title, code = "upstream-timeout", 504, "Amazon took too long to answer", "GATEWAY_TIMEOUT"
    proxy_error = "http_response_timeout"
    retryable = True
    advice = (
        "If it happens again, look at Amazon's status page. If an operation is always slow, raise "
        "`upstream.response_timeout`."
    )


class UpstreamConnectTimeout(UpstreamTimeout):
    slug, proxy_error = "upstream-connect-timeout", "connection_timeout"
    advice = UpstreamUnreachable.advice


class Throttled(Refused):
    """Amazon's own Retry-After is still running."""

    slug, status, title, code = "throttled", 429, "Amazon asked to wait", "THROTTLED"
    proxy_error = "destination_unavailable"
    retryable = True
    advice = "Let clients send fewer requests. `ads-proxy status` shows the rate limits and how long they last."


class NoUsableToken(Refused):
    """No cached access token, and none came within `tokens.request_wait`; not retryable where a person must act."""

    slug, status, title, code = "no-usable-token", 503, "No usable access token", "SERVICE_UNAVAILABLE"
    proxy_error = "destination_unavailable"
    retryable = True
    advice = "Look at the account's card: it says what is wrong with its token, and what to do."


# --- the proxy itself ---------------------------------------------------------------------------------------


class Draining(Refused):
    slug, status, title, code = "draining", 503, "The proxy is stopping", "SERVICE_UNAVAILABLE"
    proxy_error = "destination_unavailable"
    retryable = True
    advice = "The proxy was stopping. To find out why, read the service manager's log."


class WriteNotRecorded(Refused):
    """A write whose audit record cannot be kept at the moment: it is not sent (`audit.required`)."""

    slug, status, title, code = (
        "write-not-recorded",
        503,
        "The write cannot be recorded",
        "SERVICE_UNAVAILABLE",
    )
    proxy_error = "proxy_internal_error"
    retryable = True


class InternalError(Refused):
    """A defect of ours; the log has its traceback."""

    slug, status, title, code = "internal-error", 500, "Internal error of the proxy", "INTERNAL_ERROR"
    proxy_error = "proxy_internal_error"
    advice = "This is a defect of the proxy. Report it with the traceback in the log."


REFUSALS: Mapping[str, type[Refused]] = MappingProxyType(
    {
        kind.slug: kind
        for kind in tuple(globals().values())
        if isinstance(kind, type) and issubclass(kind, Refused) and kind is not Refused
    }
)
"""Each kind of the proxy's own answers, by its slug."""


def advice_on(slug: str) -> str:
    """The advice to the operator on refusals with this slug, empty for none."""
    kind = REFUSALS.get(slug)
    return kind.advice if kind is not None else ""


# --- Failed token requests --------------------------------------------------------------------------------


class TokenFailure(AdsProxyError):
    """A token request that gave no token. `reason` is the metric's label (docs/explanation/tokens.md, When a token
    request fails).

    `permanent` tells that only a person can fix it. `advice` is one sentence for the operator.
    `retry_after` is what the answer asked for, in seconds.
    """

    reason: ClassVar[str] = "malformed"
    permanent: ClassVar[bool] = False
    advice: ClassVar[str] = (
        "A running proxy tries again by itself. If it lasts, check Amazon's status page and the network."
    )

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


class RefreshTokenRevoked(TokenFailure):
    """`invalid_grant` (docs/development/amazon-login.md, Token errors): revoked, expired, or issued to another client
    id."""

    reason, permanent = "invalid_grant", True
    advice = (
        "If the client id or the token is new here, check that the token was issued to this client id. Otherwise "
        "sign in again with `ads-proxy login ACCOUNT`, or configure a new refresh token."
    )


class ConsentExpired(RefreshTokenRevoked):
    """`invalid_grant`, and the advertiser's consent is over by its age (docs/development/amazon-login.md, Consent)."""

    advice = (
        "The advertiser, or a user of theirs with access to the account, must consent again: press Reconnect in the "
        "console, or run `ads-proxy login ACCOUNT`."
    )


class RefreshTokenMissing(TokenFailure):
    """No sign-in and no configured token: Login with Amazon was not asked."""

    reason, permanent = "invalid_grant", True
    advice = "Sign in: press Connect in the console, or run `ads-proxy login ACCOUNT`; or configure a refresh token."


class AppMisconfigured(TokenFailure):
    """`invalid_client` (docs/development/amazon-login.md, Token errors): the whole application is wrong, not one
    account."""

    reason, permanent = "invalid_client", True
    advice = "Compare client_id and client_secret with the security profile in the Login with Amazon console."


class TokenRequestRejected(TokenFailure):
    """`unauthorized_client`, `invalid_request`, `unsupported_grant_type` and their like."""

    reason, permanent = "rejected", True
    advice = "Check that the application may use this grant type and these scopes."


class TokenThrottled(TokenFailure):
    reason = "throttled"


class TokenServerError(TokenFailure):
    reason = "server_error"


class TokenNetworkError(TokenFailure):
    reason = "network"
    advice = "Check name resolution, the outbound proxy and the firewall. A running proxy tries again by itself."


class TokenTimeout(TokenFailure):
    reason = "timeout"


class TokenAnswerMalformed(TokenFailure):
    reason = "malformed"


class ApplicationChanged(AdsProxyError):
    """A sign-in for an application that the account no longer has: the configuration changed meanwhile."""


# --- What ends the program before it serves, or a command before it has done what it is for --------------


class StartupError(AdsProxyError):
    """Ends the program before it serves; the message is one line that says what to do."""

    exit_code: int = 1


class ConfigurationError(StartupError):
    """All problems of a configuration at once, each with its path: `accounts.acme.region: is not one of ...`.

    They say what is expected there, and never what was written: it may be a secret in the wrong place.
    """

    exit_code = 2

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ListenError(StartupError):
    """An address that cannot be listened on, most often because another program holds it."""


class StateError(StartupError):
    """A state store that cannot be used safely: unreadable, another key, or a directory that others can read."""


class StateUnavailable(StateError):
    """A state store that is away, slow, full or read-only for now: everything goes on without it, and tries again."""


class StateFileDamaged(StateError):
    """What is kept of one account is damaged, of an unknown form, or encrypted with another key than the rest."""
