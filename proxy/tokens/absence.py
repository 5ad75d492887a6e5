"""What a request is told that gets no access token, and whether waiting helps. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import NoUsableToken

if TYPE_CHECKING:
    from proxy.tokens.values import CredentialFailure

MAX_RETRY_AFTER = 60.0
"""Seconds that a tool is told to wait at most."""


@dataclass(frozen=True, slots=True)
class Absence:
    """Why an account has no token that waiting would bring: it left the configuration, or nobody has signed in."""

    account: str
    removed: bool
    unconnected: bool


def needs_operator(absence: Absence, failure: CredentialFailure | None, advice: str, pause: float) -> NoUsableToken:
    """A person has to do something first; `pause` is seconds to the next attempt."""
    account = absence.account
    if absence.removed:
        return NoUsableToken(f"The account '{account}' is no longer configured.", retry_after=60, retryable=False)
    if absence.unconnected:
        detail = f"The account '{account}' has no refresh token. {advice}"
        return NoUsableToken(detail, retry_after=60, retryable=False)
    detail = f"The account '{account}' has no usable token. {failure.detail if failure else ''} {advice}"
    return NoUsableToken(detail, retry_after=min(MAX_RETRY_AFTER, max(1.0, pause)), retryable=False)


def sign_in_advice(account: str, sign_in_url: str) -> str:
    """What brings a refresh token to an account that has none."""
    page = sign_in_url or "Connect in the console"
    return f"Sign in: {page} or `ads-proxy login {account}`; or configure a refresh token."


def comes_later(account: str, failure: CredentialFailure | None, pause: float) -> NoUsableToken:
    """It is tried again by itself, in so many seconds."""
    why = failure.detail if failure is not None else "Login with Amazon has not answered yet."
    detail = f"The account '{account}' has no usable token. {why} It is tried again by itself."
    return NoUsableToken(detail, retry_after=min(MAX_RETRY_AFTER, max(1.0, pause)))
