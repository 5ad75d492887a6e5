"""What follows a token that Amazon may have refused: another token, or the same answer for the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import NoUsableToken
from proxy.forwarding.retry import ReplayReason
from proxy.http1.body_copy import MAX_READ
from proxy.tokens.token_rejections import TokenUse

if TYPE_CHECKING:
    from proxy.forwarding.attempt import Attempt
    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.dependencies import AccessTokens
    from proxy.forwarding.replays import Replays
    from proxy.tokens.values import AccessToken


PATIENCE = 0.25
"""Seconds that the body may lag behind its head before the answer is checked without it."""


def token_use(context: RequestContext) -> TokenUse:
    """What a request presents the account's token for."""
    return TokenUse(context.client, context.route.advertiser)


def tell_accepted(token: AccessToken, status: int, tokens: AccessTokens, context: RequestContext) -> None:
    """Amazon took the token for this request, unless its answer is an error: told to who wants to know."""
    if tokens.watchful and status < 400:
        tokens.accepted(token, token_use(context))


async def renew_after_refusal(
    attempt: Attempt, tokens: AccessTokens, context: RequestContext, replays: Replays, now: float
) -> AccessToken | None:
    """The token to send the request again with; None where the held answer is the best there is.

    Raises `NoUsableToken` where another token is needed, and none is to be had.
    """
    assert attempt.response is not None
    body = await attempt.gather(MAX_READ, PATIENCE)
    if not context.api.refusals.refuses(attempt.status, body, attempt.response.fields.content_encoding):
        return None
    attempt.refused = True
    replays.begin(ReplayReason.UNAUTHORIZED, now, attempt.status)
    try:
        renewed = await tokens.renewed(attempt.token, token_use(context))
    except NoUsableToken:
        replays.withdraw()
        raise
    if renewed is None:
        replays.withdraw()
    return renewed
