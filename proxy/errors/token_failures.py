"""What Login with Amazon did to us: the metric's reason, and what the operator should do."""

from __future__ import annotations

from typing import ClassVar

from proxy.errors.root import AdsProxyError


class TokenFailure(AdsProxyError):
    """A token request that gave no token. `reason` is the metric's label (docs/tokens.md, When a token request fails).

    `permanent` tells that only a human can mend it. `advice` is one sentence for the operator.
    `retry_after` is what the answer asked for, in seconds.
    """

    reason: ClassVar[str] = "malformed"
    permanent: ClassVar[bool] = False
    advice: ClassVar[str] = (
        "A running proxy retries it by itself; if it lasts, look at Amazon's status page and at the network."
    )

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


class RefreshTokenRevoked(TokenFailure):
    """`invalid_grant` (docs/amazon.md, Token errors): revoked, expired, or issued to another client id."""

    reason, permanent = "invalid_grant", True
    advice = (
        "If the client id or the token is new here, check that the token was issued to this client id. Otherwise "
        "sign in again with `ads-proxy login ACCOUNT`, or put a new refresh token in place."
    )


class ConsentExpired(RefreshTokenRevoked):
    """`invalid_grant`, and the advertiser's consent is over by its age (docs/amazon.md, Consent)."""

    advice = (
        "The advertiser, or a user of theirs with access to the account, has to consent anew: Reconnect in the "
        "console, or run `ads-proxy login ACCOUNT`."
    )


class RefreshTokenMissing(TokenFailure):
    """Nobody has signed in, and none is configured: Login with Amazon was not even asked."""

    reason, permanent = "invalid_grant", True
    advice = "Sign in: press Connect in the console, or run `ads-proxy login ACCOUNT`; or configure a refresh token."


class AppMisconfigured(TokenFailure):
    """`invalid_client` (docs/amazon.md, Token errors): the whole application is wrong, not one account."""

    reason, permanent = "invalid_client", True
    advice = "The client id or secret is wrong: compare both with the security profile in Login with Amazon's console."


class TokenRequestRejected(TokenFailure):
    """`unauthorized_client`, `invalid_request`, `unsupported_grant_type` and their like."""

    reason, permanent = "rejected", True
    advice = (
        "Login with Amazon refuses the request as such: check that the application may use this grant and these scopes."
    )


class TokenThrottled(TokenFailure):
    reason = "throttled"


class TokenServerError(TokenFailure):
    reason = "server_error"


class TokenNetworkError(TokenFailure):
    reason = "network"
    advice = "Check name resolution, the outbound proxy and the firewall; a running proxy retries it by itself."


class TokenTimeout(TokenFailure):
    reason = "timeout"


class TokenAnswerMalformed(TokenFailure):
    reason = "malformed"


class ApplicationChanged(AdsProxyError):
    """Somebody signed in for an application that the account no longer has: the configuration changed meanwhile."""
