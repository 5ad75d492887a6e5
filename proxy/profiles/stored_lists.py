"""Lists that outlast the program: read from the store's documents at a start, and written a moment after a change.

Losing them is harmless. When lists change is for `directory`; which document holds what is for `index` and `reach`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol

from proxy.errors import StateError
from proxy.profiles import reach
from proxy.profiles.index import DOCUMENTS, ProfileIndex, document_of, read_document, read_listing, write_listing
from proxy.profiles.listing import LIST_INTERVAL, ProfilesUnavailable, next_listing
from proxy.profiles.reach import ReachIndex, read_reading, write_reading
from proxy.tokens.delayed_writer import DelayedWriter
from proxy.tokens.leases import LONGEST, FailedAttempt, LeaseRequest, T
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from proxy.profiles.listing import ListingSchedule, ProfileSource
    from proxy.profiles.reach import Reach
    from proxy.tokens.leases import Lease, LeaseListener, Leases, SharedContent, SharedFormat, Urgency


_Kind = tuple[str, tuple[str, ...], "Callable[[object], Iterator[tuple[str, str, Any]]]", Any]
"""The document that held all lists of a kind in the versions before, and is empty once they are in the others; the
others; how one is read; and the index of these lists."""


class ListStore(Protocol):
    """Where lists are kept, and shared: see `proxy.tokens.store.Store`."""

    async def read_document(self, name: str) -> object | None: ...

    async def write_document(self, name: str, data: object) -> None: ...

    def leases_for(self, form: SharedFormat[T]) -> Leases[T]: ...


class StoredLists:
    """Keeps what is in two indexes. `load`, `begin` and `stop` are called one after another."""

    def __init__(
        self, documents: ListStore, profiles: ProfileIndex, further: ReachIndex, schedule: ListingSchedule
    ) -> None:
        self._documents = documents
        self._kinds: tuple[_Kind, ...] = (
            ("profiles", DOCUMENTS, read_document, profiles),
            ("ads-accounts", reach.DOCUMENTS, reach.read_document, further),
        )
        self._unsaved: set[str] = set()
        never = asyncio.Event()
        self._writer = DelayedWriter(self._write, lambda seconds: schedule.pause(seconds, never), schedule.clock)
        self.version = 0

    def __repr__(self) -> str:
        return f"<StoredLists: {self.version} changes, {len(self._unsaved)} documents to write>"

    async def load(self, sources: Mapping[str, ProfileSource]) -> None:
        """Take what the store knows of the accounts that there are, if it was asked for as it would be now."""
        with contextlib.suppress(StateError):
            for earlier, names, read, index in self._kinds:
                wanted = {document_of(account, names) for account in sources}
                for name in (earlier, *(name for name in names if name in wanted)):
                    for account, region, entry in read(await self._documents.read_document(name)):
                        if _is_of(sources.get(account), region, entry.origin):
                            index.put(account, region, entry)
                        if name == earlier:
                            self.changed(document_of(account, names), earlier)

    def begin(self) -> None:
        """Write what changes from now on."""
        self._writer.begin()

    async def stop(self) -> None:
        """Write what is not written yet."""
        await self._writer.stop()

    def changed(self, *documents: str) -> None:
        """What is in these documents is other now."""
        self.version += 1
        self._unsaved.update(documents)
        self._writer.changed()

    async def _write(self) -> None:
        names, self._unsaved = self._unsaved, set()
        try:
            for earlier, documents, _, index in self._kinds:
                for name in (*documents, earlier):
                    if name in names:
                        await self._documents.write_document(name, index.to_document(name))
        except BaseException:
            self._unsaved |= names
            raise


def _is_of(source: ProfileSource | None, region: str, origin: str) -> bool:
    return source is not None and region in source.api_urls and origin == source.origin(region)


# --- How a list is written where replicas share it; see `tokens.leases.SharedFormat` -----------------------------

MAX_LIST: Final = 64 * 1024 * 1024
"""Bytes of a list before it is compressed; far above what `listing` reads of Amazon's."""
_LONG: Final = 500
"""The number of entries from which writing takes milliseconds."""
_LEVEL: Final = 1
"""The level of compression: a list of 5,000 takes a tenth of its size then, and no other level is as fast."""


@dataclass(frozen=True, slots=True)
class ListFormat(Generic[T]):
    """Implements `leases.SharedFormat` for one kind of lists: how one becomes JSON and back, and how many entries it
    has."""

    kind: str
    to_json: Callable[[T], Mapping[str, Any]]
    from_json: Callable[[Mapping[str, Any]], T]
    length: Callable[[T], int]
    longest: float = LONGEST

    def news(self, request: LeaseRequest) -> tuple[str, str]:
        return self.kind, f"{request.account}\0{request.url}"

    def is_long(self, value: T) -> bool:
        return self.length(value) >= _LONG

    def write(self, request: LeaseRequest, value: T) -> tuple[bytes, float]:
        return write_list(request, self.kind, self.to_json(value)), LIST_INTERVAL

    def read(self, request: LeaseRequest, content: bytes, left: float) -> T | None:
        entry = read_list(request, self.kind, content)
        return self.from_json(entry) if entry is not None else None


def write_list(request: LeaseRequest, kind: str, entry: Mapping[str, Any]) -> bytes:
    """A list of a kind, as it is kept."""
    kept = {"kind": kind, "for": _purpose(request), "lineage": request.lineage, "list": entry}
    return zlib.compress(json.dumps(kept).encode(), _LEVEL)


def read_list(request: LeaseRequest, kind: str, content: bytes) -> Mapping[str, Any] | None:
    """The list of `write_list`; None where it is for another refresh token.

    Raises `ValueError`, `KeyError` or `TypeError` for what is damaged, or of another kind, account or application.
    """
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(content, MAX_LIST)
    except zlib.error:
        raise ValueError("the list is damaged") from None
    if not unpacking.eof:
        raise ValueError("the list is cut, or too long")
    kept = json.loads(text)
    if kept["kind"] != kind or kept["for"] != _purpose(request):
        raise ValueError("the list is another's")
    found: Mapping[str, Any] = kept["list"]
    return found if kept["lineage"] == request.lineage else None


def _purpose(request: LeaseRequest) -> list[str]:
    return [request.account, request.url, request.client_id]


def _length(reach: Reach) -> int:
    return len(reach.profiles) + len(reach.ads_accounts) + len(reach.linked)


PROFILES: Final = ListFormat("profiles", write_listing, read_listing, lambda listing: len(listing.profiles))
"""The usual profiles of an account at one address."""
ADS_ACCOUNTS: Final = ListFormat("ads-accounts", write_reading, read_reading, _length)
"""The ads accounts of an account at one address."""


# --- Lists of one kind that a fleet shares ---------------------------------------------------------------

_NO_ANSWER = "no-list"


class SharedLists(Generic[T]):
    """Belongs to one directory. `lineage` is that of the access token that is asked with."""

    def __init__(self, leases: Leases[T]) -> None:
        self._leases = leases
        self._known: dict[tuple[str, str], int] = {}

    def __repr__(self) -> str:
        return f"<SharedLists: {len(self._known)} seen, {self._leases!r}>"

    def follow(self, listener: LeaseListener) -> None:
        """Pass on news to the listener, as `Leases.follow` does."""
        self._leases.follow(listener)

    def lease(
        self, source: ProfileSource, region: str, lineage: str, urgency: Urgency
    ) -> AbstractAsyncContextManager[Lease[T]]:
        """Wait for the lease of an account's list, as `Leases.lease` does."""
        return self._leases.lease(self._lease_request(source, region, lineage), urgency)

    async def newest(self, source: ProfileSource, region: str, lineage: str) -> SharedContent[T] | None:
        """What another replica listed since this one last saw a list; it is seen from now on."""
        shared = await self._leases.newest(self._lease_request(source, region, lineage))
        return shared if shared is not None and self.see(source, region, shared.fence) else None

    async def publish(self, lease: Lease[T], source: ProfileSource, region: str, value: T, lineage: str) -> None:
        """Share what was listed under the lease."""
        self.see(source, region, await lease.publish(value, lineage))

    async def forget(self, source: ProfileSource, region: str) -> None:
        """The account is gone, or asks elsewhere now: what is kept of it goes."""
        self._known.pop((source.account, region), None)
        await self._leases.forget(self._lease_request(source, region, ""))

    def see(self, source: ProfileSource, region: str, fence: int) -> bool:
        """Whether this one is newer than all that were seen; it is seen from now on."""
        known = self._known.get((source.account, region), 0)
        if fence > known:
            self._known[source.account, region] = fence
        return fence > known

    def _lease_request(self, source: ProfileSource, region: str, lineage: str) -> LeaseRequest:
        known = self._known.get((source.account, region), 0)
        return LeaseRequest(source.account, source.api_urls[region], source.client_id, lineage, known, sent=lineage)


def attempt_after(error: ProfilesUnavailable, before: FailedAttempt | None, chance: float) -> FailedAttempt:
    """The news for the fleet about a failed listing, the next in a row after `before`. Pure; `chance` is 0 to 1."""
    failures = (before.failures if before is not None else 0) + 1
    wait = next_listing(failures, error.retry_after, chance)
    sooner = next_listing(failures, error.retry_after, chance, awaited=True)
    return FailedAttempt(str(error.status or _NO_ANSWER), not error.retryable, failures, wait, sooner)


def failure_elsewhere(attempt: FailedAttempt, *, awaited: bool) -> ProfilesUnavailable:
    """Why this replica may not list yet. Pure."""
    pause = attempt.sooner if awaited else attempt.wait
    if not attempt.reason.isdecimal():
        return ProfilesUnavailable("another replica got no list from Amazon", retry_after=pause)
    told = f"another replica was answered {attempt.reason} by Amazon"
    return ProfilesUnavailable(told, retry_after=pause, retryable=not attempt.permanent, status=int(attempt.reason))
