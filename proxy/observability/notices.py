"""What is worth telling a person at once: which events are, what a notice says, its signature, when it is sent again.

Values in, values out, and no clock is read. Sending is for `notifier`, the ways are in `delivery`. A notice holds no
secret: it is made of what the log may hold.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import hashlib
import hmac
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from proxy.backoff import backoff
from proxy.events import (
    ApprovalDecided,
    ApprovalEnded,
    ApprovalRequested,
    ApprovalState,
    ConsentEnded,
    ConsentEnding,
    CredentialStateChanged,
    Event,
    NoticeKind,
    SignInNeeded,
    WritesFrozen,
    WritesUnfrozen,
)
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

REPEAT_AFTER: Final = 86400.0
"""Seconds for which the same news is told once, unless it was over in the meantime."""
MAX_ATTEMPTS: Final = 20
"""About an hour and a quarter, as `delay` has it."""
MAX_DELAY: Final = 300.0
ABOUT_APPROVALS: Final = frozenset(
    {NoticeKind.APPROVAL_REQUESTED, NoticeKind.APPROVAL_DECIDED, NoticeKind.APPROVAL_EXPIRED}
)
"""How many of these there are is up to clients."""
_ALWAYS_NEWS: Final = frozenset({NoticeKind.WRITES_FROZEN, NoticeKind.WRITES_UNFROZEN, *ABOUT_APPROVALS})
"""What a person did, who may do it again a minute later; and what happens once to each approval."""
_CODED: Final = "whsec_"
_WITH_TOKEN: Final = frozenset({"valid", "degraded"})
"""States in which an account has an access token; in others it may have none."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One piece of news. `at` and `ends_at` are wall-clock time; `text` says what to do. `client` is set if it is
    about one client. `members` are further members of what is sent, each a name and a text."""

    id: str
    kind: NoticeKind
    account: str
    text: str
    at: float
    days: int | None = None
    ends_at: float | None = None
    client: str = ""
    members: tuple[tuple[str, str], ...] = ()

    @property
    def is_always_news(self) -> bool:
        """Whether it is told however often the like was told before."""
        return self.kind in _ALWAYS_NEWS

    @property
    def key(self) -> str:
        """A text that is equal for the same news: an account's consent is news at each mark of each end."""
        if self.is_always_news:
            return f"{self.kind} {self.id}"
        return f"{self.kind} {self.account} {self.days} {day(self.ends_at)}"


@functools.lru_cache(maxsize=1)
def _reader_of_kept() -> TypeAdapter[Notice]:
    """Checks kept notices. Made for the first: a start without any does not pay for it."""
    return TypeAdapter(Notice)


def notice_of(event: Event, identity: str, now: float, console: str = "") -> Notice | None:
    """What an event is to people; None for most. `identity` becomes the notice's id; `console` is the base URL of the
    console, empty where there is none."""
    if isinstance(event, SignInNeeded):
        text = f"{event.account}: no sign-in yet, so the proxy refuses its requests. {event.advice}"
        return Notice(identity, NoticeKind.SIGN_IN_NEEDED, event.account, text, now)
    if isinstance(event, CredentialStateChanged) and event.new == "revoked" != event.old:
        until = "; requests are served until the access token expires" if event.old in _WITH_TOKEN else ""
        text = (
            f"{event.account}: Amazon no longer accepts its refresh token{until}. Reconnect in the console, or run "
            f"`ads-proxy login {event.account}`."
        )
        return Notice(identity, NoticeKind.ACCOUNT_REVOKED, event.account, text, now)
    if isinstance(event, ConsentEnding):
        text = f"{event.account}: the advertiser's consent expires on {day(event.ends_at)}. {event.advice}"
        return Notice(identity, NoticeKind.CONSENT_ENDING, event.account, text, now, event.days, event.ends_at)
    if isinstance(event, ConsentEnded):
        text = f"{event.account}: the advertiser's consent expired on {day(event.ends_at)}. {event.advice}"
        return Notice(identity, NoticeKind.CONSENT_ENDED, event.account, text, now, 0, event.ends_at)
    if isinstance(event, WritesFrozen | WritesUnfrozen) and not event.heard:  # the replica that did it tells
        return _notice_of_freeze(event, identity, now)
    if isinstance(event, ApprovalRequested | ApprovalDecided | ApprovalEnded):
        return _notice_of_approval(event, identity, now, f"{console}/approvals/{event.id}" if console else "")
    return None


def _notice_of_approval(
    event: ApprovalRequested | ApprovalDecided | ApprovalEnded, identity: str, now: float, link: str
) -> Notice | None:
    """What became of a write that needs an approval; None for one that was sent, of which its approver knows."""
    write = f"{event.operation} of client {event.client}"
    if isinstance(event, ApprovalRequested):
        kind, state, until = NoticeKind.APPROVAL_REQUESTED, ApprovalState.PENDING, moment(event.expires_at)
        text = f"{write} waits for approval: over its limits ({', '.join(event.rules)}). Approve or deny it by {until}"
    elif isinstance(event, ApprovalDecided):
        kind, state, until = NoticeKind.APPROVAL_DECIDED, event.state, ""
        text = f"{event.approver} {state} {write}{_reason(event.because)}"
        if state is ApprovalState.APPROVED:
            text += ". It passes once, if the client sends it again in time"
    elif event.state is ApprovalState.USED:
        return None
    else:
        kind, state, until = NoticeKind.APPROVAL_EXPIRED, event.state, ""
        ended = "has expired" if state is ApprovalState.EXPIRED else "is void"
        text = f"The approval of {write} {ended}{_reason(event.because)}. The client may ask again"
    members = {"approval": event.id, "state": str(state), "expires_at": until, "link": link}
    kept = tuple((name, value) for name, value in members.items() if value)
    return Notice(identity, kind, "", f"{text}. {link}".strip(), now, client=event.client, members=kept)


def _reason(because: str) -> str:
    """A reason behind a sentence that has no full stop yet."""
    return f": {because.removesuffix('.')}" if because else ""


def _notice_of_freeze(event: WritesFrozen | WritesUnfrozen, identity: str, now: float) -> Notice:
    whose = f"of client {event.client} " if event.client else ""
    why = f"{_reason(event.because)}."
    if isinstance(event, WritesUnfrozen):
        text = f"{event.by} unfroze all writes {whose}through the proxy{why}"
        return Notice(identity, NoticeKind.WRITES_UNFROZEN, "", text, now, client=event.client)
    command = f"ads-proxy unfreeze {event.client}".rstrip()
    text = f"{event.by} froze all writes {whose}through the proxy{why} Reads go on. `{command}` lets writes pass again."
    return Notice(identity, NoticeKind.WRITES_FROZEN, "", text, now, client=event.client)


def recovered_account(event: Event) -> str:
    """The account that works again, so that its next trouble is news at once; empty for other events."""
    return event.account if isinstance(event, CredentialStateChanged) and event.new == "valid" else ""


def day(at: float | None) -> str:
    """A day in UTC, as ISO 8601 has it; empty for none."""
    return "" if at is None else str(datetime.fromtimestamp(at, UTC).date())


def moment(at: float) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def body_of(notice: Notice) -> bytes:
    """What is sent, as JSON. `text` is at the top level, where chat programs look for it."""
    values: dict[str, object] = {
        "id": notice.id,
        "type": str(notice.kind),
        "timestamp": moment(notice.at),
        "account": notice.account,
        "text": notice.text,
    }
    if notice.client:
        values["client"] = notice.client
    if notice.ends_at is not None:
        values |= {"days": notice.days, "ends_at": moment(notice.ends_at)}
    values |= dict(notice.members)
    return json.dumps(values, ensure_ascii=False).encode()


def signature(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over id, time and body, each followed by a dot but for the last, as Standard Webhooks has it.

    A secret that begins with `whsec_` is base64 behind that; any other is taken as it is.
    """
    key = secret.encode()
    if secret.startswith(_CODED):
        with contextlib.suppress(binascii.Error):
            key = base64.b64decode(secret.removeprefix(_CODED), validate=True)
    signed = hmac.new(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def delay(attempt: int, chance: float, asked: float | None = None) -> float:
    """Seconds until a failed attempt (the first is 0) is made again; its upper half is by chance (0 to 1).

    What the receiver asked for counts, within bounds.
    """
    own = backoff(attempt + 1, first=1.0, limit=MAX_DELAY, jitter=(0.5, 1.0), chance=chance)
    return max(own, min(asked or 0.0, MAX_DELAY))


def as_kept(notice: Notice) -> dict[str, object]:
    """A notice as the state store keeps it until it is sent."""
    return {**asdict(notice), "kind": str(notice.kind)}


def read_notice(kept: object) -> Notice | None:
    """What `as_kept` made; anything else is None."""
    try:
        return _reader_of_kept().validate_python(kept)
    except ValidationError:
        return None


def read_told(kept: object) -> Mapping[str, float]:
    """What was told, and when; what is no such record counts as lost."""
    if not isinstance(kept, dict):
        return {}
    return {str(key): float(at) for key, at in kept.items() if isinstance(at, int | float)}
