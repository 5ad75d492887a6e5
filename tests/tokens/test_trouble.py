"""What is wrong with a login, in words."""

from __future__ import annotations

from datetime import date

import pytest

from proxy.tokens.consent import DAY, Consent, start_of
from proxy.tokens.trouble import describe_trouble
from proxy.tokens.values import CredentialFailure, CredentialStatus

GIVEN = start_of(date(2026, 7, 1))
END = start_of(date(2027, 7, 1))
REVOKED = CredentialFailure("invalid_grant", True, "It was revoked.", "Sign in again.", END)
ENDLESS = Consent()
AWAY = CredentialFailure("network", False, "No route.", "Look at the network.", END)


def status(failure: CredentialFailure | None = None, consent: Consent = ENDLESS) -> CredentialStatus:
    """An account that has a token in hand."""
    return CredentialStatus("acme", "valid", 1, True, "store", END + 60, END - 60, failure, END, False, "", consent)


@pytest.mark.parametrize(
    ("given", "now", "said"),
    [
        (status(REVOKED), GIVEN, "The account acme gets no more tokens: It was revoked. Sign in again."),
        (status(AWAY), GIVEN, ""),
        (status(), GIVEN, ""),
        (status(None, Consent(GIVEN)), END - DAY, ""),
        (status(AWAY, Consent(GIVEN)), END, "The consent of 2026-07-01 ended on 2027-07-01. The advertiser"),
        (status(REVOKED, Consent(GIVEN)), END, "The account acme gets no more tokens"),
    ],
)
def test_what_a_person_must_mend_is_told(given: CredentialStatus, now: float, said: str) -> None:
    """A refusal that lasts, and a consent that is over though nobody has asked since; nothing that passes by itself."""
    told = describe_trouble(given, now)
    assert told.startswith(said) if said else told == ""
    assert "ACCOUNT" not in told
