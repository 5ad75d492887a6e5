"""One attempt to obtain an access token: a token request, bounded in time, and what a defect in it comes to.

When to make one, and what follows from it, is for `credential`.
"""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import TokenAnswerMalformed, TokenFailure, TokenTimeout
from proxy.events import DefectMet
from proxy.tokens.lifecycle import request_timeout
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.values import CredentialFailure

if TYPE_CHECKING:
    from proxy.events import Observer
    from proxy.secret import Secret
    from proxy.tokens.consent_ledger import ConsentLedger
    from proxy.tokens.leases import Leases
    from proxy.tokens.lwa import LoginWithAmazon
    from proxy.tokens.token_response import Grant
    from proxy.tokens.values import Timing, TokenSettings, TokenSource


@dataclass(frozen=True, slots=True)
class CredentialDependencies:
    """What a credential works with; a reload may give it others."""

    lwa: LoginWithAmazon
    observer: Observer
    settings: TokenSettings
    timing: Timing
    consents: ConsentLedger
    leases: Leases


async def request_grant(
    dependencies: CredentialDependencies, source: TokenSource, refresh_token: Secret, timeouts: int
) -> Grant:
    """What is granted for a refresh token. Raises `TokenFailure`, in bounded time; `timeouts` counts the attempts in a
    row that took too long."""
    seconds = request_timeout(dependencies.settings.refresh_timeout, timeouts)
    try:
        async with asyncio.timeout(seconds):
            credentials = AppCredentials(source.client_id, source.client_secret, source.older_secret)
            return await dependencies.lwa.refresh(source.token_url, credentials, refresh_token)
    except TimeoutError:
        raise TokenTimeout(f"Login with Amazon did not answer in {seconds:g} seconds.") from None


def describe_failure(account: str, failure: TokenFailure, at: float) -> CredentialFailure:
    """What people are told of it; `at` is wall-clock time."""
    advice = failure.advice.replace("ACCOUNT", account)
    return CredentialFailure(failure.reason, failure.permanent, failure.detail, advice, at)


def report_defect(observer: Observer, error: Exception) -> TokenFailure:
    """An exception that nobody expected is told without its words, and counts as an attempt that failed."""
    where = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    observer.observe(DefectMet("token refresh", where))
    return TokenAnswerMalformed("The token request met a defect of this program; the log has its traceback.")
