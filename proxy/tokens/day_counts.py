"""Counts of a day that all processes with one state store share, in whole numbers by unit: what clients have spent.

Each running program has a share of each day's count. It alone changes its share, and tells the store the whole of it;
the count is the sum of all shares. So a program's next step repairs what an answer that was lost, or a store that lost
data, left unclear, and nothing is counted twice. The share of a program that ended stays until the day is forgotten.

`DocumentCounts` keeps the counts of one program in a document of its store; `redis_counts` has those of a fleet.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from proxy.errors import StateError, StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MOST: Final = 9_000_000_000_000_000
"""The largest count of a unit. A double, which is what a Lua script counts in, has all whole numbers up to it."""
KEPT: Final = timedelta(days=2)
"""For how long after its date in UTC a day is kept."""
DOCUMENT: Final = "spent"


class CountedDay(NamedTuple):
    """What is counted together. `day` is an ISO date, in whatever time zone."""

    name: str
    day: str


class CountRequest(NamedTuple):
    """A change by unit, negative where something is given back. It is made if no unit exceeds its limit then."""

    key: CountedDay
    change: Mapping[str, int]
    limits: Mapping[str, int]


class CountAnswer(NamedTuple):
    """Whether the change was made, and the count before it."""

    granted: bool
    before: Mapping[str, int]


class CountsUnsettled(StateUnavailable):
    """The store may lack what other programs counted, until they have told it again in so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__("The state store lost data, and the replicas are telling it again what they counted.")
        self.seconds = seconds


class DayCounts(Protocol):
    """The counts of all days."""

    async def take(self, requests: Sequence[CountRequest]) -> list[CountAnswer | StateError]:
        """Answer each request, in their order. The store has kept each grant before this returns.

        After an error the change may have been counted or not: the next request for the same day corrects that.
        """

    async def totals(self) -> dict[CountedDay, dict[str, int]]:
        """All counts that are kept. Raises `StateError`."""


def oldest_day(now: float) -> str:
    """The first day that is kept at a moment of wall-clock time."""
    return (datetime.fromtimestamp(now, UTC) - KEPT).date().isoformat()


def changed(own: Mapping[str, int], request: CountRequest, used: Mapping[str, int]) -> dict[str, int] | None:
    """A program's share after a change; None if the change exceeds a limit. `used` is the sum of all shares."""
    change = request.change
    if any(used.get(unit, 0) + change.get(unit, 0) > limit for unit, limit in request.limits.items()):
        return None
    return {unit: min(MOST, max(0, own.get(unit, 0) + change.get(unit, 0))) for unit in {*own, *change}}


class ChangeableDocuments(Protocol):
    """A store of one program: see `store.MemoryStore` and `file_store.FileStore`."""

    async def change_document(self, name: str, change: Callable[[object | None], object]) -> None:
        """Replace a document by what `change` makes of it, unless that is the same object. No other process changes it
        meanwhile. Raises `StateError`, also for a document that cannot be read."""


class DocumentCounts:
    """Implements `DayCounts` in one document: by day, name and running program, the counts by unit."""

    def __init__(self, documents: ChangeableDocuments, wall: Callable[[], float] = time.time) -> None:
        self._documents, self._wall = documents, wall
        self._program = secrets.token_hex(8)
        self._own: dict[CountedDay, dict[str, int]] = {}

    def __repr__(self) -> str:
        return f"<DocumentCounts of {len(self._own)} days>"

    async def take(self, requests: Sequence[CountRequest]) -> list[CountAnswer | StateError]:
        oldest = oldest_day(self._wall())
        known: dict[CountedDay, dict[str, int]] = {**{request.key: {} for request in requests}, **self._own}
        own = {key: share for key, share in known.items() if key.day >= oldest}
        answers: list[CountAnswer | StateError] = []

        def count(document: object | None) -> object:
            shares = {key: found for key, found in _read(document).items() if key.day >= oldest}
            for key, share in own.items():
                shares.setdefault(key, {})[self._program] = share
            for request in requests:
                kept = shares.setdefault(request.key, {})
                used = _sum(kept)
                after = changed(kept.get(self._program, {}), request, used)
                answers.append(CountAnswer(after is not None, used))
                if after is not None and request.key.day >= oldest:
                    own[request.key] = kept[self._program] = after
            anew = _write(shares)
            return document if anew == document else anew

        try:
            await self._documents.change_document(DOCUMENT, count)
        except StateError as error:
            return [error for _ in requests]
        self._own = own
        return answers

    async def totals(self) -> dict[CountedDay, dict[str, int]]:
        found: dict[CountedDay, dict[str, int]] = {}

        def look(document: object | None) -> object:
            found.update({key: _sum(shares) for key, shares in _read(document).items()})
            return document

        await self._documents.change_document(DOCUMENT, look)
        return found


def _sum(shares: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for share in shares.values():
        total.update(share)
    return dict(total)


def _write(shares: Mapping[CountedDay, Mapping[str, Mapping[str, int]]]) -> dict[str, Any]:
    """What the document says of all shares, by day and name."""
    document: dict[str, Any] = {}
    for key, found in shares.items():
        if any(found.values()):
            document.setdefault(key.day, {})[key.name] = {program: share for program, share in found.items() if share}
    return document


def _read(document: object | None) -> dict[CountedDay, dict[str, dict[str, int]]]:
    """What `_write` wrote. Raises `StateError` for anything else: what was spent cannot be told then."""
    try:
        days: Any = {} if document is None else document
        return {
            CountedDay(name, day): {program: _amounts(share) for program, share in shares.items()}
            for day, names in days.items()
            for name, shares in names.items()
        }
    except (AttributeError, TypeError, ValueError):
        raise StateError("The state's document of what was spent has an unknown form; use a newer version.") from None


def _amounts(share: Mapping[str, Any]) -> dict[str, int]:
    if not all(type(amount) is int and amount >= 0 for amount in share.values()):
        raise ValueError(share)
    return dict(share)
