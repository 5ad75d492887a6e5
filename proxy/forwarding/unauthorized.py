"""What an error of Amazon's says of the access token: whether it was refused, or something else is at
fault; and what follows a refused token: another token, or the same answer for the client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from proxy.errors import NoUsableToken
from proxy.forwarding.refusal import MAX_READ, readable
from proxy.forwarding.retry import ReplayReason
from proxy.tokens.token_rejections import TokenUse, is_about_scope

if TYPE_CHECKING:
    from proxy.forwarding.attempt import Attempt
    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.dependencies import AccessTokens
    from proxy.forwarding.replays import Replays
    from proxy.http1.message import Response
    from proxy.tokens.values import AccessToken


PATIENCE = 0.25
"""Seconds that the body may lag behind its head before the answer is checked without it."""
_MCP_REFUSALS = (b"no authorization", b"client initialization failed")
"""How the MCP endpoint says that a token is missing, or is over (docs/development/amazon.md, MCP)."""
_MCP_STATUSES = frozenset((400, 403, 500))
"""The statuses of such a response besides 401; 200 is JSON-RPC's."""


def may_refuse_token(response: Response) -> bool:
    """Whether a response of the MCP endpoint that is no 401 may say that the token was refused: its body has to be
    read then. A stream of events is never held back for it.
    """
    if response.status in _MCP_STATUSES:
        return True
    fields = response.fields
    small = fields.content_length is None or fields.content_length <= MAX_READ
    return response.status == 200 and small and fields.content_type[:16].lower() == b"application/json"


def refuses_token(status: int, body: bytes, content_encoding: bytes) -> bool:
    """Whether the beginning of such a response's body says that the token was refused, or may mean that.

    A 401 means it unless it is about the Scope. Any other response must name the token; the result of a call never
    does.
    """
    text = readable(body, content_encoding)
    if status == 401:
        return not is_about_scope(text)
    if status == 200:
        text = _rpc_error(text)
    return any(words in text for words in _MCP_REFUSALS)


def _rpc_error(text: bytes) -> bytes:
    """What a JSON-RPC error says, empty where there is none."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return b""
    error = message.get("error") if isinstance(message, dict) else None
    return str(error.get("message")).encode() if isinstance(error, dict) else b""


# --- What a refused token leads to -----------------------------------------------------------------------


def token_use(context: RequestContext) -> TokenUse:
    """What a request presents the account's token for."""
    return TokenUse(context.client, context.route.advertiser)


def tell_accepted(attempt: Attempt | None, tokens: AccessTokens, context: RequestContext) -> None:
    """Amazon took the token for this request, unless its answer is an error: told to who wants to know."""
    if tokens.watchful and attempt is not None and attempt.status < 400 and not attempt.refused:
        tokens.accepted(attempt.token, token_use(context))


async def renew_after_refusal(
    attempt: Attempt, tokens: AccessTokens, context: RequestContext, replays: Replays, now: float
) -> AccessToken | None:
    """The token to send the request again with; None where the held answer is the best there is.

    Raises `NoUsableToken` where another token is needed, and none is to be had.
    """
    assert attempt.response is not None
    body = await attempt.gather(MAX_READ, PATIENCE)
    if not refuses_token(attempt.status, body, attempt.response.fields.content_encoding):
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
