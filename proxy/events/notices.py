"""What became of telling people: the notices of docs/notify.md, as each way tried to send them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from proxy.events.root import Event


class NoticeKind(StrEnum):
    """What it is about."""

    SIGN_IN_NEEDED = "sign-in-needed"
    ACCOUNT_REVOKED = "account-revoked"
    CONSENT_ENDING = "consent-ending"
    CONSENT_ENDED = "consent-ended"
    TEST = "test"
    """Somebody wants to see one arrive."""


class NoticeOutcome(StrEnum):
    """How far the telling got."""

    SENT = "sent"
    DELAYED = "delayed"
    """It failed, and is tried again."""
    LOST = "lost"
    """It was given up."""


@dataclass(frozen=True, slots=True)
class NoticeTold(Event):
    """A notice was sent, failed for the first time, or was given up. `way` is `webhook` or `command`."""

    kind: NoticeKind
    account: str
    way: str
    outcome: NoticeOutcome
    detail: str = ""
