"""How the program observes judged writes, and keeps what it observed in the state store.

The program adds up what it observes and writes it every `SAVE_SECONDS` at most, and at its end. Replicas share one
document: each adds what it counted since its last write, and notes the number of this write in the document. If the
next look finds an older number, another replica wrote at the same moment, and what was lost is added again: every write
counts once. After each write there is such a look.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from proxy.errors import LedgerUnavailable
from proxy.events import RequestFinished
from proxy.spend.observations import SpendObservations, judged_write
from proxy.spend.overview import SpendOverview
from proxy.tokens.delayed_writer import DelayedWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from proxy.events import Event, RequestKind, SpendJudgement
    from proxy.spend.capability import SpendMemory
    from proxy.spend.judge import DayUse
    from proxy.spend.ledger import DayKey
    from proxy.spend.limits import SpendLimits
    from proxy.spend.observations import ObservedWrite

SAVE_SECONDS: Final = 30.0
_DOCUMENT: Final = "spend-observations"
_MARKS: Final = "marks"
_MAX_MARKS: Final = 256
"""Replicas whose last write is noted: those that wrote last."""
_LATEST_DAY: Final = 12 * 3600.0
"""Seconds by which a day ends later somewhere on earth than in UTC."""
_KEPT_PARTS: Final = 4
"""Writes of this replica that were still there at a look, and can be done again nevertheless: another replica may have
read the document before them, and write it after them."""


class SpendObserver:
    """An observer that hands each judged write on. `count` gets those that were noted without an event: of these,
    client, judgement and moment are all that matters."""

    def __init__(
        self,
        take: Callable[[ObservedWrite], None],
        count: Callable[[str, SpendJudgement, float], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._take, self._count, self._wall = take, count, wall

    def __repr__(self) -> str:
        return "<SpendObserver>"

    def observe(self, event: Event) -> None:
        if isinstance(event, RequestFinished) and event.spend is not None:
            self._take(judged_write(event, event.spend, self._wall()))

    def note_judged(self, kind: RequestKind, path: str, judged: SpendJudgement) -> None:
        """A write is within its limits, and was noted without an event."""
        self._count(kind.client, judged, self._wall())


class ObservationStore(Protocol):
    """Where the document is kept: see `proxy.tokens.store.Store`."""

    async def read_document(self, name: str) -> object | None: ...

    async def write_document(self, name: str, data: object) -> None: ...


async def _pause(seconds: float) -> None:
    await asyncio.sleep(max(seconds, SAVE_SECONDS))


class KeptObservations:
    """What was judged, here and at all other replicas as of the last look at the store. `begin` and `stop` are called
    one after the other; what is noted before `begin` counts, too."""

    def __init__(
        self, wall: Callable[[], float] = time.time, pause: Callable[[float], Awaitable[None]] = _pause
    ) -> None:
        self._wall = wall
        self._id = secrets.token_hex(8)
        self._serial = 0
        self._base, self._included = SpendObservations(), 0
        """What the store had, and the number of this replica's write up to which that includes its parts."""
        self._parts: dict[int, SpendObservations] = {}
        """What was added by the last writes, also by those that failed."""
        self._new = SpendObservations()
        self._marks: dict[str, int] = {}
        self._store: ObservationStore | None = None
        self._writer = DelayedWriter(self._write, pause)

    def __repr__(self) -> str:
        return f"<KeptObservations: {self._base!r}, {self._writer!r}>"

    def note(self, write: ObservedWrite) -> None:
        """Count a write that was judged in this program."""
        self._new.note(write)
        self._writer.changed()

    def note_within(self, client: str, judged: SpendJudgement, at: float) -> None:
        """Count a write that is within the limits of its client, at this wall-clock time."""
        self._new.note_within(client, judged, at)
        self._writer.changed()

    def all(self) -> SpendObservations:
        """What is known now."""
        return self._sum(self._base, *self._parts_after(self._included), self._new)

    async def overview(self, limits: Mapping[str, SpendLimits], spend: SpendMemory) -> SpendOverview:
        """What people are shown: by these limits of all clients, and by what the program knows of days and freezes."""
        await self.look()
        observed, problem = self.all(), ""
        days: dict[DayKey, DayUse] = {}
        if limits:
            oldest = datetime.fromtimestamp(self._wall() - _LATEST_DAY, UTC).date().isoformat()
            try:
                days = {key: used for key, used in (await spend.ledger.days()).items() if key.day >= oldest}
            except LedgerUnavailable as error:
                problem = error.detail
        frozen = filter(spend.freezes.is_frozen, {*limits, *observed.clients()})
        return SpendOverview(limits, observed, days, frozenset(frozen), problem)

    async def begin(self, store: ObservationStore) -> None:
        """Take what the store has, and keep there what is counted from now on."""
        self._store = store
        await self.look()
        self._writer.begin()

    async def stop(self) -> None:
        """Write what is not written yet."""
        await self._writer.stop()

    async def look(self) -> None:
        """Take what other replicas wrote meanwhile."""
        self._base, self._marks = await self._read()
        self._included = self._marks.get(self._id, 0)
        if self._parts_after(self._included):
            self._writer.changed()

    async def _write(self) -> None:
        """Raises `StateError`; then everything is still to be written."""
        assert self._store is not None
        base, marks = await self._read()
        included = marks.pop(self._id, 0)
        if self._new:
            self._serial += 1
            self._parts[self._serial], self._new = self._new, SpendObservations()
        serial, missing = self._serial, self._parts_after(included)
        if not missing:
            self._base, self._included = base, included
            self._marks = {**marks, self._id: included}
            return
        whole = self._sum(base, *missing)
        kept = dict([*marks.items(), (self._id, serial)][-_MAX_MARKS:])
        await self._store.write_document(_DOCUMENT, {**whole.to_document(), _MARKS: kept})
        self._base, self._marks, self._included = whole, kept, serial
        self._parts = {number: part for number, part in self._parts.items() if number > included - _KEPT_PARTS}
        self._writer.changed()  # look again later, whether another replica wrote at the same moment

    async def _read(self) -> tuple[SpendObservations, dict[str, int]]:
        """What the store has, and each replica's last write. If it has nothing that can be read, what is known here
        takes its place."""
        assert self._store is not None
        document: Any = await self._store.read_document(_DOCUMENT)
        if not isinstance(document, dict) or not isinstance(document.get(_MARKS), dict):
            return self._base, dict(self._marks)
        marks = {str(name): serial for name, serial in document[_MARKS].items() if isinstance(serial, int)}
        return SpendObservations.read(document), marks

    def _parts_after(self, serial: int) -> list[SpendObservations]:
        return [part for number, part in self._parts.items() if number > serial]

    def _sum(self, *parts: SpendObservations) -> SpendObservations:
        found = SpendObservations()
        for part in parts:
            found.add(part, self._wall())
        return found
