"""The protocol by which one replica of a fleet asks Amazon for something that all need, such as an account's next
access token, and the others get it.

A replica takes a lease, which is the right to ask, or gets what another replica got meanwhile. Each lease has a fence,
a number above all those before; what was got is published under the fence of its lease, and only while no later lease
was given. After a failed request, no replica with the same credentials gets a lease for a while: the rate limit of
failed attempts is the fleet's. `RedisLeases` does this for a fleet, `LocalLeases` without one. A `SharedFormat` says
what is shared.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

LONGEST: Final = 90.0
"""Seconds for which a holder may keep the lease for one answer of Amazon's."""
T = TypeVar("T")
"""What is shared, such as the grant of an access token."""


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """What is wanted: of an account and its application at an address, for the refresh token whose `fingerprint` is
    `lineage`.

    `known` is the fence of the newest that was seen, 0 for none. `sent` stands for all that is sent for it.
    """

    account: str
    url: str
    client_id: str
    lineage: str
    known: int
    sent: str = ""


class Urgency(StrEnum):
    """What a lease is for, where the last attempt of the fleet failed."""

    PLANNED = "planned"
    AWAITED = "awaited"
    """Requests wait for it."""
    AT_ONCE = "at-once"
    """An operator asks, whatever failed before."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """The last attempt of the fleet with the same: its number in a row of its kind, and seconds until the next,
    `sooner` where requests wait for it. Of a token request, `reason` is the metric's (docs/explanation/tokens.md)."""

    reason: str
    permanent: bool
    failures: int
    wait: float
    sooner: float


@dataclass(frozen=True, slots=True)
class SharedContent(Generic[T]):
    """What another replica got, under which fence, and for how many more seconds it is of use."""

    value: T
    fence: int
    left: float


class SharedFormat(Protocol[T]):
    """How one kind of what is shared is named and written. Each value names what it is for, whatever its key says."""

    @property
    def kind(self) -> str:
        """What the keys of its leases begin with."""

    def news(self, request: LeaseRequest) -> tuple[str, str]:
        """What kind of news it is that one was published, and of what."""

    @property
    def longest(self) -> float:
        """Seconds after which a holder that never ends gives way."""

    def is_long(self, value: T) -> bool:
        """Whether writing it takes so long that the event loop is to be spared it."""

    def write(self, request: LeaseRequest, value: T) -> tuple[bytes, float]:
        """A value as it is published, not encrypted yet, and for how many seconds it is of use."""

    def read(self, request: LeaseRequest, content: bytes, left: float) -> T | None:
        """What was published, of use for so many more seconds; None where it is for another refresh token.

        Raises `ValueError`, `KeyError` or `TypeError` for any other form, or for another account.
        """


class LeaseListener(Protocol):
    """Who wants to know at once."""

    def heard(self, kind: str, account: str, url: str) -> None:
        """One of this kind may have been published, of this account from this address; of any where both are empty."""

    def met_damage(self, account: str, url: str) -> None:
        """The kept value cannot be read, or belongs to another account. The next published one replaces it."""


class Lease(Protocol[T]):
    """The right to ask, or where there is something `shared`, none: it is there already."""

    @property
    def shared(self) -> SharedContent[T] | None: ...

    @property
    def fence(self) -> int:
        """0 without a shared store, or without a value."""

    @property
    def failed(self) -> FailedAttempt | None:
        """The attempt before, if it failed."""

    @property
    def held_back(self) -> FailedAttempt | None:
        """No right to ask: it is too soon after this attempt, which failed."""

    @property
    def lost(self) -> asyncio.Event:
        """Set when another replica may have the lease, before its holder ends it."""

    async def fail(self, attempt: FailedAttempt) -> None:
        """The request failed: no replica asks with the same credentials before it is time again. Ends the lease."""

    async def publish(self, value: T, lineage: str) -> int:
        """Shares what was got, for the refresh token in force after it. Gives its fence; 0 if it was not shared: there
        is no store, or a later lease was given."""


class Leases(Protocol[T]):
    """Nothing here raises: without the store, every replica works alone."""

    def lease(self, request: LeaseRequest, urgency: Urgency) -> AbstractAsyncContextManager[Lease[T]]:
        """Waits while another replica has the lease. It ends with the block, if it was not lost before."""

    async def newest(self, request: LeaseRequest) -> SharedContent[T] | None:
        """One that is newer than the one that is known."""

    async def announce(self, request: LeaseRequest, value: T) -> int:
        """Shares what a sign-in brought, and fences off requests that run meanwhile. Gives the fence, 0 where alone."""

    async def forget(self, request: LeaseRequest) -> None:
        """What is kept is not given to anybody any more."""

    def follow(self, listener: LeaseListener) -> None:
        """Tell this one from now on."""


@dataclass(frozen=True, slots=True)
class LocalLease(Generic[T]):
    """Always granted, except when something was `shared`, or is `held_back`."""

    shared: SharedContent[T] | None = None
    fence: int = 0
    failed: FailedAttempt | None = None
    held_back: FailedAttempt | None = None
    lost: asyncio.Event = field(default_factory=asyncio.Event, compare=False)

    async def fail(self, attempt: FailedAttempt) -> None:
        """Nothing is shared."""

    async def publish(self, value: T, lineage: str) -> int:
        return 0


class LocalLeases(Generic[T]):
    """Leases for a program that shares nothing."""

    def __repr__(self) -> str:
        return "<LocalLeases>"

    @contextlib.asynccontextmanager
    async def lease(self, request: LeaseRequest, urgency: Urgency) -> AsyncIterator[Lease[T]]:
        yield LocalLease()

    async def newest(self, request: LeaseRequest) -> SharedContent[T] | None:
        return None

    async def announce(self, request: LeaseRequest, value: T) -> int:
        return 0

    async def forget(self, request: LeaseRequest) -> None:
        """Nothing is kept."""

    def follow(self, listener: LeaseListener) -> None:
        """Do nothing: there are no news."""
