"""One attempt to obtain an access token: a token request, bounded in time, and what a defect in it comes to.

When to make one, and what follows from it, is for `credential`.
"""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proxy.errors import (
    AppMisconfigured,
    RefreshTokenRevoked,
    TokenAnswerMalformed,
    TokenFailure,
    TokenRequestRejected,
    TokenServerError,
    TokenThrottled,
    TokenTimeout,
)
from proxy.events import DefectMet, OlderRefreshTokenUsed
from proxy.tokens.lifecycle import request_timeout
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.values import CredentialFailure

if TYPE_CHECKING:
    from proxy.events import Observer
    from proxy.secret import Secret
    from proxy.tokens.consent import ConsentLedger
    from proxy.tokens.leases import FailedAttempt, Leases
    from proxy.tokens.lwa import LoginWithAmazon
    from proxy.tokens.token_response import Grant
    from proxy.tokens.turns import TokenTurns
    from proxy.tokens.values import Timing, TokenSettings, TokenSource

_TOLD_BY_AMAZON = {
    kind.reason: kind
    for kind in (RefreshTokenRevoked, AppMisconfigured, TokenRequestRejected, TokenThrottled, TokenServerError)
}


@dataclass(frozen=True, slots=True)
class CredentialDependencies:
    """What a credential works with; a reload may give it others."""

    lwa: LoginWithAmazon
    observer: Observer
    settings: TokenSettings
    timing: Timing
    consents: ConsentLedger
    leases: Leases[Grant]
    turns: TokenTurns


async def request_grant(
    dependencies: CredentialDependencies, source: TokenSource, refresh_token: Secret, timeouts: int
) -> Grant:
    """What is granted for a refresh token. Raises `TokenFailure`, in bounded time; `timeouts` counts the attempts in a
    row that took too long. Where the configured one follows an older one and is refused, the older is tried too."""
    seconds = request_timeout(dependencies.settings.refresh_timeout, timeouts)
    try:
        async with asyncio.timeout(seconds):
            try:
                return await _ask(dependencies, source, refresh_token)
            except RefreshTokenRevoked as refused:
                if source.older_refresh_token is None or refresh_token != source.refresh_token:
                    raise
                return await _ask_with_older(dependencies, source, source.older_refresh_token, refused)
    except TimeoutError:
        raise TokenTimeout(f"Login with Amazon did not answer in {seconds:g} seconds.") from None


async def _ask(dependencies: CredentialDependencies, source: TokenSource, refresh_token: Secret) -> Grant:
    credentials = AppCredentials(source.client_id, source.client_secret, source.older_secret)
    with dependencies.turns.at(source.token_url).request():
        return await dependencies.lwa.refresh(source.token_url, credentials, refresh_token)


async def _ask_with_older(
    dependencies: CredentialDependencies, source: TokenSource, older: Secret, refused: RefreshTokenRevoked
) -> Grant:
    """What the older refresh token brings; where it is refused as well, the newer one's refusal counts."""
    try:
        grant = await _ask(dependencies, source, older)
    except RefreshTokenRevoked:
        raise refused from None
    dependencies.observer.observe(OlderRefreshTokenUsed(source.account))
    return replace(grant, refresh_token=None) if grant.refresh_token == older else grant


def failure_elsewhere(attempt: FailedAttempt) -> TokenFailure | None:
    """What Amazon told another replica of the same credentials; None where the trouble may be that replica's own."""
    kind = _TOLD_BY_AMAZON.get(attempt.reason)
    return kind(f"Another replica was told so by Login with Amazon ({attempt.reason}).") if kind is not None else None


def describe_failure(account: str, failure: TokenFailure, at: float) -> CredentialFailure:
    """What people are told of it; `at` is wall-clock time."""
    advice = failure.advice.replace("ACCOUNT", account)
    return CredentialFailure(failure.reason, failure.permanent, failure.detail, advice, at)


def failure_of(error: Exception, observer: Observer) -> TokenFailure:
    """What an attempt came to. An exception that nobody expected is told without its words, and counts as one."""
    if isinstance(error, TokenFailure):
        return error
    where = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    observer.observe(DefectMet("token refresh", where))
    return TokenAnswerMalformed("The token request met a defect of this program; the log has its traceback.")
