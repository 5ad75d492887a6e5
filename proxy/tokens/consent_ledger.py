"""What is remembered of consents across restarts, and the announcing of their ends: each mark once.

Which mark has come is for `consent`. The record is one document of the state store; where it is lost, the last mark is
told once more, and a token counts as first seen now.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from proxy.errors import StateError
from proxy.events import ConsentEnded, ConsentEnding, ConsentRecorded
from proxy.tokens.consent import Consent, consent_in_force, day_of, mark_reached, next_mark_at
from proxy.tokens.store import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from proxy.events import Observer
    from proxy.secret import Secret
    from proxy.tokens.store import Store, StoredToken

DOCUMENT: Final = "consents"
CONSENT_ADVICE: Final = (
    "The advertiser, or a user of theirs with access to the account, has to consent anew: Reconnect in the console, or "
    "`ads-proxy login {0}`, or a link to send them by `ads-proxy invite {0}`. The present login serves until then."
)


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """What is kept of an account: since when its configured token (known by `lineage`) is known, and which mark was
    told of which end."""

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
        """Writes what changed beside what others wrote; a store that cannot be written is tried again the next time."""
        if not self._unsaved:
            return
        self._unsaved = False
        try:
            await self.hear()
            await self._store.write_document(DOCUMENT, {name: asdict(each) for name, each in self._records.items()})
        except StateError:
            self._unsaved = True

    def consent(
        self, account: str, configured: Secret | None, stored: StoredToken | None, consented_on: date | None
    ) -> Consent:
        """The consent behind the refresh token in force, which is `stored`, or else the configured one."""
        if stored is None and configured is None:
            return Consent()
        return consent_in_force(stored, consented_on, self._first_seen(account, fingerprint(configured)))

    def look(self, consents: Mapping[str, Consent]) -> float | None:
        """Tells what is new of these, and when the next mark comes."""
        now = self._wall()
        for gone in self._records.keys() - consents.keys():
            del self._records[gone]
            self._told.pop(gone, None)
            self._gone.add(gone)
            self._unsaved = True
        for account, consent in consents.items():
            self._record(account, consent)
            self._announce(account, consent, now)
        moments = (next_mark_at(each.ends_at, now) for each in consents.values() if each.ends_at is not None)
        return min((moment for moment in moments if moment is not None), default=None)

    def _first_seen(self, account: str, lineage: str) -> float:
        kept = self._records.get(account, ConsentRecord())
        if kept.lineage == lineage and kept.first_seen is not None:
            return kept.first_seen
        now = self._wall()
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
            found[str(account)] = ConsentRecord(
                str(kept.get("lineage", "")),
                _number(kept.get("first_seen")),
                _number(kept.get("ends_at")),
                kept["mark"] if isinstance(kept.get("mark"), int) else None,
            )
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
