"""Who of a fleet asks for an account's next access token, and how the others come by it: the protocol.

Whoever needs a token takes a lease, which is the right to ask for one, or is handed the token that somebody else got
meanwhile. Each lease has a fence, a number above all those before; a token is published under the fence of its lease,
and only while no later lease was given. Where asking fails, nobody who would send the same is given a lease for a
while: the pace of attempts in vain is the fleet's. How a fleet does it is in `redis_leases`; `AloneLeases` is for who
has none.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from proxy.tokens.token_response import Grant


@dataclass(frozen=True, slots=True)
class TokenWanted:
    """Which access token: of an account and its application, for the refresh token whose `fingerprint` is `lineage`.

    `known` is the fence of the newest token that was seen, 0 for none. `sent` stands for all that is sent for it.
    """

    account: str
    token_url: str
    client_id: str
    lineage: str
    known: int
    sent: str = ""


class Urgency(StrEnum):
    """What a lease is for, where the last attempt of the fleet failed."""

    PLANNED = "planned"
    AWAITED = "awaited"
    """Requests wait for the token."""
    AT_ONCE = "at-once"
    """An operator asks, whatever failed before."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """The last attempt of the fleet with the same: the how-manieth in a row of its kind, and seconds until the next,
    `sooner` where requests wait for the token. `reason` is the metric's (docs/tokens.md)."""

    reason: str
    permanent: bool
    failures: int
    wait: float
    sooner: float


@dataclass(frozen=True, slots=True)
class SharedToken:
    """What another replica was granted, and under which fence. The grant has no refresh token; `took` is its age."""

    grant: Grant
    fence: int


class Lease(Protocol):
    """The right to ask, or where `shared` is a token, none: it is there already."""

    @property
    def shared(self) -> SharedToken | None: ...

    @property
    def fence(self) -> int:
        """0 where there is nobody to share with, or nothing."""

    @property
    def failed(self) -> FailedAttempt | None:
        """The attempt before, if it failed."""

    @property
    def held_back(self) -> FailedAttempt | None:
        """No right to ask: it is too soon after this attempt, which failed."""

    async def fail(self, attempt: FailedAttempt) -> None:
        """Asking failed: nobody asks with the same before it is time again. Ends the lease."""

    async def publish(self, grant: Grant, lineage: str) -> int:
        """Shares what was granted, for the refresh token in force after it. Gives its fence; 0 where nobody else has
        it: there is no store, or a later lease was given."""


class Leases(Protocol):
    """Nothing here raises: where the others cannot be heard, everybody is alone."""

    def lease(self, wanted: TokenWanted, urgency: Urgency) -> AbstractAsyncContextManager[Lease]:
        """Waits while another replica has the lease. It ends with the block, if it was not lost before."""

    async def newest(self, wanted: TokenWanted) -> SharedToken | None:
        """A token that is newer than the one that is known."""

    async def announce(self, wanted: TokenWanted, grant: Grant) -> int:
        """Shares what a sign-in brought, and fences off whoever asks meanwhile. Gives the fence, 0 where alone."""


@dataclass(frozen=True, slots=True)
class LeaseOfNobody:
    """Everybody has it always, but where something was `shared`, or is `held_back`."""

    shared: SharedToken | None = None
    fence: int = 0
    failed: FailedAttempt | None = None
    held_back: FailedAttempt | None = None

    async def fail(self, attempt: FailedAttempt) -> None:
        """Nobody else is to know."""

    async def publish(self, grant: Grant, lineage: str) -> int:
        return 0


class AloneLeases:
    """For a program that shares nothing."""

    def __repr__(self) -> str:
        return "<AloneLeases>"

    @contextlib.asynccontextmanager
    async def lease(self, wanted: TokenWanted, urgency: Urgency) -> AsyncIterator[Lease]:
        yield LeaseOfNobody()

    async def newest(self, wanted: TokenWanted) -> SharedToken | None:
        return None

    async def announce(self, wanted: TokenWanted, grant: Grant) -> int:
        return 0
