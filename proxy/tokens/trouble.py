"""What is wrong with an account's login that a person must mend, in words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import ConsentExpired
from proxy.tokens.consent import ConsentPhase, describe, phase

if TYPE_CHECKING:
    from proxy.tokens.values import CredentialStatus


def describe_trouble(status: CredentialStatus, now: float) -> str:
    """What is wrong, and what to do about it; empty where nothing is, or where it passes by itself.

    A token that was got before may still be in hand: Amazon refuses it at any moment from now on.
    """
    failure = status.last_failure
    if failure is not None and failure.permanent:
        return f"The account {status.account} gets no more tokens: {failure.detail} {failure.advice}"
    if phase(status.consent, now) is ConsentPhase.ENDED:
        advice = ConsentExpired.advice.replace("ACCOUNT", status.account)
        return f"{describe(status.consent, now)} {advice}"
    return ""
