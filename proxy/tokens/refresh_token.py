"""The refresh token of one account: which one is in force, and the persistence of a new one.

A new refresh token is in force in memory first; its write is retried until it holds, and what the store has lost is
written again. What another process wrote is noticed by its being neither known nor our own. When to ask for access
tokens is not decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final

from proxy.errors import StateError, StateFileDamaged, StateUnavailable
from proxy.events import RefreshTokenLost, RefreshTokenReplaced, StoredTokenDamaged, TokenUnpersisted
from proxy.tokens.store import (
    RefreshTokenChoice,
    RefreshTokenOrigin,
    StoredSource,
    StoredToken,
    choose,
    fingerprint,
    outranks,
    rotated,
    signed_in,
)

if TYPE_CHECKING:
    from proxy.events import Observer
    from proxy.secret import Secret
    from proxy.tokens.store import Store
    from proxy.tokens.values import Timing


REMEMBERED = 64
CLOSING_PAUSE = 0.25
LOST = "Repair the state store. If the account does not serve after the next start, sign in: `ads-proxy login {}`."


class RefreshTokenKeeper:
    """Keeps one account's refresh token. Every method belongs to the event loop."""

    def __init__(self, account: str, store: Store, observer: Observer, timing: Timing, retries: WriteRetries) -> None:
        self._account = account
        self._store = store
        self._retries = retries
        self._observer = observer
        self._timing = timing
        self._configured: Secret | None = None
        self._choice = RefreshTokenChoice(None, RefreshTokenOrigin.NONE)
        self._stored: StoredToken | None = None
        self._known: deque[tuple[str, float]] = deque(maxlen=REMEMBERED)
        self._unsaved: StoredToken | None = None
        self._saving: asyncio.Task[None] | None = None
        self._trouble = "The write did not finish."
        self._closing = asyncio.Event()
        self.unpersisted = False

    def __repr__(self) -> str:
        return f"<RefreshTokenKeeper of {self._account}: {self._choice.origin or 'no'} refresh token>"

    @property
    def refresh_token(self) -> Secret | None:
        """The one in force."""
        return self._choice.refresh_token

    @property
    def origin(self) -> RefreshTokenOrigin:
        return self._choice.origin

    @property
    def stored(self) -> StoredToken | None:
        """The stored entry of the one in force, None where it is the configured one."""
        return self._stored if self._choice.origin.is_stored else None

    async def load(self, configured: Secret | None) -> None:
        """Decides at start which refresh token is in force. Raises `StateError` where the store cannot be used."""
        try:
            self._remember(await self._store.read(self._account))
        except StateFileDamaged as error:
            self._observer.observe(StoredTokenDamaged(self._account, False, str(error)))
        except StateUnavailable:
            pass  # what it has is learned when it is there
        self._configured = configured
        unwritten = await self._store.unwritten(self._account)
        if unwritten is not None and choose(configured, unwritten).refresh_token == unwritten.refresh_token:
            self._remember(unwritten)
            self._write(unwritten)
        self._choice = choose(configured, self._stored)

    async def reconfigure(self, configured: Secret | None) -> bool:
        """The configured refresh token is this one now. Tells whether another one is in force than before."""
        if configured == self._configured:
            return False
        entry, before = None, self._stored
        if self._unsaved is None:
            with contextlib.suppress(StateError):
                entry = await self._store.read(self._account)
        self._configured = configured
        if self._stored is before:  # what Amazon gave meanwhile is newer, and belongs to the token before
            self._remember(entry)
        return self._activate()

    async def reread(self) -> StoredSource | None:
        """Puts in force what another process wrote, and tells its source; None where there is nothing new."""
        settled = self._stored if self._unsaved is None else None
        try:
            entry = await self._store.read(self._account)
        except StateFileDamaged as error:
            self._restore(str(error))
            return None
        except StateError:
            return None
        if entry is None:
            self._restore("The stored refresh token is gone.")
            return None
        if _identity(entry) in self._known:
            if settled is not None and settled is self._stored and outranks(settled, entry):
                self._restore("The store has an older refresh token again.")
            return None
        self._known.append(_identity(entry))
        if self._unsaved is not None and outranks(self._unsaved, entry):
            return None  # the write under way replaces it
        is_for_now = choose(self._configured, entry).refresh_token == entry.refresh_token
        if is_for_now or self._unsaved is None:
            self._stored = entry
        if not is_for_now:
            return None
        self._unsaved = None
        self._activate()
        return entry.source

    def _restore(self, detail: str) -> None:
        """What was in the store belongs into it."""
        if self._stored is not None and self._unsaved is None:
            self._observer.observe(StoredTokenDamaged(self._account, True, detail))
            self._write(self._stored)

    def rotate(self, refresh_token: Secret) -> None:
        """Amazon gave another refresh token for the one in force."""
        if refresh_token == self._choice.refresh_token:
            return
        before = self.stored
        consented_at = before.consented_at if before is not None else None
        now, in_force = self._timing.wall(), self._choice.refresh_token
        self._replace(rotated(refresh_token, self._configured, now, consented_at, in_force))

    def sign_in(self, refresh_token: Secret) -> None:
        """A person signed in."""
        self._replace(signed_in(refresh_token, self._configured, self._timing.wall()))

    async def flush(self, seconds: float) -> None:
        """Waits for the write under way, at most so long."""
        if self._saving is not None:
            await asyncio.wait({self._saving}, timeout=seconds)

    async def close(self, grace: float) -> None:
        """Tries to write what is not written yet for so many seconds, and at short intervals; tells what is lost."""
        self._closing.set()
        self._retries.release(self._account)
        try:
            await self.flush(grace)
        finally:
            if self._saving is not None:
                self._saving.cancel()
            if self._unsaved is not None:
                self._observer.observe(RefreshTokenLost(self._account, self._trouble, LOST.format(self._account)))
        if self._saving is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._saving

    def _replace(self, entry: StoredToken) -> None:
        self._remember(entry)
        self._activate()
        self._write(entry)

    def _write(self, entry: StoredToken) -> None:
        self._unsaved = entry
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save(), name=f"save refresh token of {self._account}")
        else:
            self._retries.release(self._account)  # the failed write is of an older entry

    def _activate(self) -> bool:
        """Decides again. Tells whether another refresh token is in force than before."""
        choice = choose(self._configured, self._stored)
        changed = choice.refresh_token != self._choice.refresh_token
        self._choice = choice
        if changed and choice.refresh_token is not None:
            source = StoredSource.ROTATED if choice.origin is RefreshTokenOrigin.STORE else choice.origin
            self._observer.observe(RefreshTokenReplaced(self._account, source))
        return changed

    async def _save(self) -> None:
        """Writes the newest unsaved entry, and again until it holds."""
        while (entry := self._unsaved) is not None:
            try:
                await self._store.write(self._account, entry)
            except StateError as error:
                self._trouble = str(error)
                self._report(True, str(error))
                if self._unsaved is entry and self._closing.is_set():
                    await asyncio.sleep(CLOSING_PAUSE)  # while the program stops there is no time to lose
                elif self._unsaved is entry:
                    await self._retries.wait(self._account)
            else:
                self._retries.release_all()
                if self._unsaved is entry:
                    self._unsaved = None
        self._report(False, "")

    def _report(self, unpersisted: bool, detail: str) -> None:
        if unpersisted != self.unpersisted:
            self.unpersisted = unpersisted
            self._observer.observe(TokenUnpersisted(self._account, unpersisted, detail))

    def _remember(self, entry: StoredToken | None) -> None:
        """Remember an entry that the store has, or is about to have."""
        if entry is not None:
            self._stored = entry
            self._known.append(_identity(entry))


def _identity(entry: StoredToken) -> tuple[str, float]:
    return fingerprint(entry.refresh_token), entry.saved_at


# --- When failed writes of refresh tokens are tried again ------------------------------------------------

EVERY: Final = 1.0
"""Seconds between two attempts while the store takes no writes."""


class WriteRetries:
    """Shared by the keepers of all accounts; belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<WriteRetries: {len(self._waiting)} waiting>"

    async def wait(self, account: str) -> None:
        """Returns when this account's write may be tried again."""
        loop = asyncio.get_running_loop()
        self._waiting[account] = released = loop.create_future()
        if self._timer is None:
            self._timer = loop.call_later(EVERY, self._release_next)
        try:
            await released
        finally:
            self._waiting.pop(account, None)

    def release(self, account: str) -> None:
        """Lets one account's write be tried now."""
        released = self._waiting.pop(account, None)
        if released is not None and not released.done():
            released.set_result(None)

    def release_all(self) -> None:
        """The store takes writes, or may do so again."""
        for account in tuple(self._waiting):
            self.release(account)

    def _release_next(self) -> None:
        self._timer = None
        account = next(iter(self._waiting), None)
        if account is None:
            return
        self.release(account)
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._release_next)
