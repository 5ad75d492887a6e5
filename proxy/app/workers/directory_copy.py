"""What a worker knows of profiles and ads accounts: a copy of its supervisor's lists, taken one by one."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

from proxy.app.workers.channel import ChannelClosed, RemoteCallFailed
from proxy.profiles.directory import EarlyListings
from proxy.profiles.first_lists import FirstLists
from proxy.profiles.index import ListingFailure, read_listing, write_listing
from proxy.profiles.known_lists import KnownLists
from proxy.profiles.reach import ReachIndex, read_reading, write_reading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from proxy.app.workers.channel import Message
    from proxy.profiles.first_lists import AwaitedId
    from proxy.profiles.index import ProfileListing
    from proxy.profiles.reach import Reach

MISS_MEMORY: Final = 60.0
"""Seconds until an unlisted id is told again: the supervisor may have read no list for it, after another worker's miss.
Not sooner, or one id that a client never gives up would leave others no chance."""


class DirectoryCopy(KnownLists):
    """Implements `routing.Directory`. `missed` gets each unlisted id: kind, id, account. `ask` puts the question
    `first-lists` to the supervisor, which answers when the wait for an id is over."""

    def __init__(self, missed: Callable[[str, str, str], None], ask: Callable[[AwaitedId], Awaitable[object]]) -> None:
        super().__init__(ReachIndex())
        self._missed, self._ask = missed, ask
        self._awaited: set[str] = set()
        """The accounts whose first lists are still to be read."""
        self._failures: dict[tuple[str, str], ListingFailure] = {}
        self._accounts: tuple[str, ...] = ()
        self._misses = EarlyListings(time.monotonic, MISS_MEMORY)
        self.version = 0

    def __repr__(self) -> str:
        return f"<DirectoryCopy: {self._index!r}, {self._reach!r}>"

    # --- what the supervisor tells

    def keep(self, accounts: Iterable[str]) -> None:
        """Replace the known accounts with these."""
        self._accounts = tuple(accounts)
        self._misses.keep(self._accounts)

    def take(self, message: Message) -> None:
        """The lists of one account in one region; None where they are gone."""
        account, region = message["account"], message["region"]
        self.version += 1
        if message["listing"] is not None:
            self._index.put(account, region, read_listing(message["listing"]))
        else:
            self._index.drop(account, region)
        if message["reach"] is not None:
            self._reach.put(account, region, read_reading(message["reach"]))
        else:
            self._reach.drop(account, region)

    def take_first_lists(self, message: Message) -> None:
        """The accounts whose first lists are awaited from now on, and those whose lists are settled."""
        self._awaited.update(message["awaited"])
        self._awaited.difference_update(message["settled"])

    def take_failures(self, failures: Iterable[list[Any]]) -> None:
        """Every listing whose last attempt failed."""
        read = (ListingFailure(*failure) for failure in failures)
        self._failures = {(failure.account, failure.region): failure for failure in read}

    # --- look-ups

    def failure(self, account: str, region: str) -> ListingFailure | None:
        return self._failures.get((account, region))

    @property
    def settled(self) -> bool:
        return not self._awaited

    def first_lists(self, account: str) -> FirstLists:
        """Whether they can be read, the supervisor knows: it does not wait for an account without a token."""
        return FirstLists.AWAITED if account in self._awaited else FirstLists.SETTLED

    async def wait_for_first_lists(self, awaited: AwaitedId) -> None:
        with contextlib.suppress(ChannelClosed, RemoteCallFailed):  # then what is known decides
            await self._ask(awaited)

    def _miss(self, kind: str, identifier: str, account: str) -> None:
        read = (name for name in ((account,) if account else self._accounts) if name not in self._awaited)
        if self._misses.take(f"{kind} {identifier}", read):
            self._missed(kind, identifier, account)


def write_lists(account: str, region: str, listing: ProfileListing | None, reading: Reach | None) -> dict[str, Any]:
    """What `DirectoryCopy.take` takes."""
    return {
        "account": account,
        "region": region,
        "listing": None if listing is None else write_listing(listing),
        "reach": None if reading is None else write_reading(reading),
    }
