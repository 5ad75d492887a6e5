"""How long an advertiser's consent holds, and when its end is announced (docs/explanation/tokens.md, Consent):
decisions on days.

Every moment is wall-clock time in seconds, every day is one in UTC. Nothing is kept here and no clock is read.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from proxy.errors import ConsentExpired, RefreshTokenRevoked, StateError
from proxy.events import ConsentEnded, ConsentEnding, ConsentRecorded
from proxy.tokens.store import fingerprint
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.errors import TokenFailure
    from proxy.events import Observer
    from proxy.secret import Secret
    from proxy.tokens.store import Store, StoredToken


CUT_OFF: Final = date(2026, 6, 30)
"""Consents given before this day have no end (docs/development/amazon-login.md, Consent)."""
_ENDLESS_BEFORE: Final = datetime.combine(CUT_OFF, datetime.min.time(), UTC).timestamp()
LIFETIME: Final = timedelta(days=365)
DAY: Final = 86400.0
MARKS: Final = (30, 7, 1, 0)
"""Days before the end at which it is announced; at 0 it is over."""
NEAR_DAYS: Final = MARKS[0]


class ConsentOrigin(StrEnum):
    """How the day of a consent is known."""

    SIGN_IN = "sign-in"
    CONFIGURATION = "configuration"
    """The account's `consented_on`."""
    UNKNOWN = ""


class ConsentPhase(StrEnum):
    """The phase of a consent's life."""

    NONE = "none"
    """The account has no refresh token, so it has no consent."""
    UNKNOWN = "unknown"
    ENDLESS = "endless"
    HOLDING = "holding"
    ENDING = "ending"
    """The consent expires within 30 days."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Consent:
    """An advertiser's consent, as far as it is known.

    `given_at` is the earliest moment at which it can have been given; None if unknown. `first_seen` is when
    this program met its refresh token first: it was given no later.
    """

    given_at: float | None = None
    origin: ConsentOrigin = ConsentOrigin.UNKNOWN
    first_seen: float | None = None

    @property
    def is_endless(self) -> bool:
        """Given before the cut-off, so no day comes at which it ends."""
        known = self.given_at if self.given_at is not None else self.first_seen
        return known is not None and known < _ENDLESS_BEFORE

    @property
    def ends_at(self) -> float | None:
        """When the consent expires; None for a consent without an end, or given on an unknown day."""
        return None if self.given_at is None or self.is_endless else self.given_at + LIFETIME.total_seconds()

    @property
    def ends_at_the_latest(self) -> float | None:
        """When a consent of an unknown day has ended at the latest, if it has an end at all."""
        if self.given_at is not None or self.first_seen is None or self.is_endless:
            return None
        return self.first_seen + LIFETIME.total_seconds()


def consent_in_force(stored: StoredToken | None, consented_on: date | None, first_seen: float | None) -> Consent:
    """The consent behind the refresh token in force. `stored` is its entry, None where it is the configured one.

    A sign-in that this program saw beats the configured day, which is of the configured token; a renewal by Amazon
    prolongs nothing.
    """
    seen = [moment for moment in (first_seen, stored.saved_at if stored else None) if moment is not None]
    earliest = min(seen, default=None)
    if stored is not None and stored.consented_at is not None:
        return Consent(stored.consented_at, ConsentOrigin.SIGN_IN, earliest)
    if consented_on is not None:
        return Consent(start_of(consented_on), ConsentOrigin.CONFIGURATION, earliest)
    return Consent(first_seen=earliest)


def phase(consent: Consent, now: float) -> ConsentPhase:
    """Where it stands now."""
    if consent.is_endless:
        return ConsentPhase.ENDLESS
    if consent.ends_at is None:
        return ConsentPhase.NONE if consent.first_seen is None else ConsentPhase.UNKNOWN
    if now >= consent.ends_at:
        return ConsentPhase.ENDED
    return ConsentPhase.ENDING if now >= consent.ends_at - NEAR_DAYS * DAY else ConsentPhase.HOLDING


def mark_reached(ends_at: float, now: float) -> int | None:
    """The last of `MARKS` that has come, None before the first."""
    return next((mark for mark in reversed(MARKS) if now >= ends_at - mark * DAY), None)


def next_mark_at(ends_at: float, now: float) -> float | None:
    """When the next of `MARKS` comes, None after the last."""
    return next((ends_at - mark * DAY for mark in MARKS if ends_at - mark * DAY > now), None)


def day_of(moment: float) -> date:
    """The day of a moment."""
    return datetime.fromtimestamp(moment, UTC).date()


def start_of(day: date) -> float:
    """The first moment of a day: a consent given later on that day ends later, never earlier."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def describe(consent: Consent, now: float) -> str:
    """One sentence on how long it holds."""
    stage, ends_at = phase(consent, now), consent.ends_at
    if stage is ConsentPhase.NONE:
        return ""
    if stage is ConsentPhase.ENDLESS:
        return f"The consent was given before {CUT_OFF} and never expires."
    if ends_at is None:
        return _describe_unknown(consent, now)
    given = day_of(consent.given_at or 0.0)
    if stage is ConsentPhase.ENDED:
        return f"The consent of {given} expired on {day_of(ends_at)}."
    days = int((ends_at - now) // DAY)
    left = f"in {days} day{'' if days == 1 else 's'}" if days else "in less than a day"
    return f"The consent of {given} expires on {day_of(ends_at)}, {left}."


def _describe_unknown(consent: Consent, now: float) -> str:
    seen, latest = day_of(consent.first_seen or 0.0), consent.ends_at_the_latest or 0.0
    if now >= latest:
        return f"The day of the consent is not known; first seen on {seen}."
    return (
        f"The day of the consent is not known; first seen on {seen}, it holds until {day_of(latest)} at the latest, "
        f"unless it was given before {CUT_OFF}."
    )


def explain_refusal(failure: TokenFailure, consent: Consent, now: float) -> TokenFailure:
    """What a refused refresh token means for a consent: an end by age is told from a revocation.

    Amazon says the same of both. Any other failure comes back as it is.
    """
    if not isinstance(failure, RefreshTokenRevoked):
        return failure
    ends_at = consent.ends_at
    if ends_at is not None and now >= ends_at:
        given = day_of(consent.given_at or 0.0)
        return ConsentExpired(
            f"The advertiser's consent of {given} expired on {day_of(ends_at)}: it holds for {LIFETIME.days} days, "
            "however its refresh token is used."
        )
    if consent.given_at is None and not consent.is_endless and now >= start_of(CUT_OFF + LIFETIME):
        return RefreshTokenRevoked(
            f"{failure.detail} It may have expired by age: a consent holds for {LIFETIME.days} days, "
            "and its day is not "
            "known here (`consented_on`).",
            retry_after=failure.retry_after,
        )
    return failure


# --- Records of consents across restarts, and announcements of their expiry --------------------

DOCUMENT: Final = "consents"
CONSENT_ADVICE: Final = (
    "The advertiser, or a user of theirs with access to the account, must consent again: press Reconnect in the "
    "console, run `ads-proxy login {0}`, or send a link made by `ads-proxy invite {0}`. The present login works until "
    "then."
)


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """What is kept of an account: since when its configured token (known by `lineage`) is known, and which mark was
    announced for which end."""

    lineage: str = ""
    first_seen: float | None = None
    ends_at: float | None = None
    mark: int | None = None


class ConsentLedger:
    """The records of all accounts. Every method belongs to the event loop."""

    def __init__(self, store: Store, observer: Observer, wall: Callable[[], float]) -> None:
        self._store, self._observer, self._wall = store, observer, wall
        self._records: dict[str, ConsentRecord] = {}
        self._told: dict[str, Consent] = {}
        self._known: dict[str, tuple[tuple[object, ...], Consent]] = {}
        """For each account, the values that decide its consent, and the consent."""
        self._gone: set[str] = set()
        self._unsaved = False

    def __repr__(self) -> str:
        return f"<ConsentLedger of {len(self._records)} accounts{', unsaved' if self._unsaved else ''}>"

    async def load(self) -> None:
        """Reads what an earlier run left, or another replica, and keeps what is known here."""
        kept = read_records(await self._store.read_document(DOCUMENT))
        theirs = {account: record for account, record in kept.items() if account not in self._gone}
        self._records = merge_records(self._records, theirs)

    async def hear(self) -> None:
        """Takes in what other replicas wrote, where there are any."""
        if self._store.fleet is not None:
            await self.load()

    async def save(self) -> None:
        """Merges what changed with what others wrote. What fails, or is cut off by a stop, is tried again the next
        time."""
        if not self._unsaved:
            return
        self._unsaved, is_saved = False, False
        try:
            with contextlib.suppress(StateError):
                await self.hear()
                await self._store.write_document(DOCUMENT, {name: asdict(each) for name, each in self._records.items()})
                is_saved = True
        finally:
            self._unsaved = self._unsaved or not is_saved

    def consent(
        self, account: str, configured: Secret | None, stored: StoredToken | None, consented_on: date | None
    ) -> Consent:
        """The consent behind the refresh token in force, which is `stored`, or else the configured one."""
        if stored is None and configured is None:
            return Consent()
        inputs = configured, stored, consented_on, self._records.get(account)
        known = self._known.get(account)
        if known is not None and known[0] == inputs and known[1].first_seen != _ENDLESS_BEFORE:
            return known[1]
        consent = consent_in_force(stored, consented_on, self._first_seen(account, fingerprint(configured)))
        self._known[account] = (configured, stored, consented_on, self._records.get(account)), consent
        return consent

    def look(self, consents: Mapping[str, Consent]) -> float | None:
        """Tells what is new of these, which are all, and when the next mark comes."""
        for gone in self._known.keys() - consents.keys():
            del self._known[gone]
        for gone in self._records.keys() - consents.keys():
            del self._records[gone]
            self._told.pop(gone, None)
            self._gone.add(gone)
            self._unsaved = True
        for account, consent in consents.items():
            self.look_at(account, consent)
        now = self._wall()
        moments = (next_mark_at(each.ends_at, now) for each in consents.values() if each.ends_at is not None)
        return min((moment for moment in moments if moment is not None), default=None)

    def look_at(self, account: str, consent: Consent) -> None:
        """Tells what is new of one."""
        self._record(account, consent)
        self._announce(account, consent, self._wall())

    def _first_seen(self, account: str, lineage: str) -> float:
        kept = self._records.get(account, ConsentRecord())
        if kept.lineage == lineage and kept.first_seen is not None:
            return kept.first_seen
        now = self._wall()
        if now < _ENDLESS_BEFORE:  # this program is newer than that day: the clock is not set yet
            return _ENDLESS_BEFORE
        self._keep(account, replace(kept, lineage=lineage, first_seen=now))
        return now

    def _record(self, account: str, consent: Consent) -> None:
        if self._told.get(account) == consent:
            return
        self._told[account] = consent
        given = "" if consent.given_at is None else str(day_of(consent.given_at))
        self._observer.observe(ConsentRecorded(account, given, consent.origin, consent.ends_at))

    def _announce(self, account: str, consent: Consent, now: float) -> None:
        ends_at = consent.ends_at
        mark = None if ends_at is None else mark_reached(ends_at, now)
        if ends_at is None or mark is None:
            return
        kept = self._records.get(account, ConsentRecord())
        if kept.ends_at == ends_at and kept.mark is not None and kept.mark <= mark:
            return
        self._keep(account, replace(kept, ends_at=ends_at, mark=mark))
        advice = CONSENT_ADVICE.format(account)
        told = ConsentEnding(account, ends_at, mark, advice) if mark else ConsentEnded(account, ends_at, advice)
        self._observer.observe(told)

    def _keep(self, account: str, record: ConsentRecord) -> None:
        self._gone.discard(account)
        self._records[account] = record
        self._unsaved = True


def merge_records(ours: Mapping[str, ConsentRecord], theirs: Mapping[str, ConsentRecord]) -> dict[str, ConsentRecord]:
    """What both know: of one token the earliest sight, of one end the latest mark that was told. Else ours counts."""
    return {**theirs, **{account: _merge(record, theirs.get(account)) for account, record in ours.items()}}


def _merge(ours: ConsentRecord, theirs: ConsentRecord | None) -> ConsentRecord:
    if theirs is None:
        return ours
    seen = [each.first_seen for each in (ours, theirs) if each.lineage == ours.lineage and each.first_seen is not None]
    if ours.ends_at is None:
        ours = replace(ours, ends_at=theirs.ends_at, mark=theirs.mark)
    marks = [each.mark for each in (ours, theirs) if each.ends_at == ours.ends_at and each.mark is not None]
    return replace(ours, first_seen=min(seen, default=None), mark=min(marks, default=None))


def read_records(document: object) -> dict[str, ConsentRecord]:
    """The records of a document; what is no record counts as lost."""
    if not isinstance(document, dict):
        return {}
    found = {}
    for account, kept in document.items():
        if isinstance(kept, dict):
            seen = _number(kept.get("first_seen"))
            found[str(account)] = ConsentRecord(
                str(kept.get("lineage", "")),
                None if seen is None or seen < _ENDLESS_BEFORE else seen,  # the clock was not set yet
                _number(kept.get("ends_at")),
                kept["mark"] if isinstance(kept.get("mark"), int) else None,
            )
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
