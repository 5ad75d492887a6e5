"""All accounts' tokens: returns those in memory, and drives one credential per account.

What a credential does with time and failures is in `credential`, its rules in `lifecycle`. Nothing here knows the
traffic that uses the tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING

from proxy.errors import ConsentExpired, NoUsableToken, StateError, UnknownAccount
from proxy.events import AccountRemoved
from proxy.tokens.alarm_clock import AlarmClock
from proxy.tokens.consent import DOCUMENT as CONSENTS
from proxy.tokens.consent import ConsentLedger, ConsentPhase, describe, phase
from proxy.tokens.credential import Credential, CredentialDependencies
from proxy.tokens.refresh_token import RefreshTokenKeeper, WriteRetries
from proxy.tokens.token_rejections import WATCHFUL
from proxy.tokens.token_request_queue import TokenRequestQueue
from proxy.tokens.values import AccessToken, CredentialFailure, CredentialStatus, Timing, TokenSettings, TokenSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.events import Observer
    from proxy.tokens.consent import Consent
    from proxy.tokens.lwa import LoginWithAmazon
    from proxy.tokens.store import Store, StoreChange
    from proxy.tokens.token_rejections import TokenUse
    from proxy.tokens.token_response import Grant


STOP_GRACE = 10.0
"""Longer than a token request may take at first: `TokenSettings.refresh_timeout`."""
RECONFIGURED = 500
"""Accounts that are looked at in one turn of the event loop."""
WATCH_PAUSE = 10.0
CONSENT_PAUSE = 600.0
"""A sleep does not notice a suspended machine, or a clock that was set; consents are looked at this often."""


class TokenManager:
    """Tokens by account name. Every method belongs to one event loop."""

    def __init__(
        self,
        lwa: LoginWithAmazon,
        store: Store,
        observer: Observer,
        settings: TokenSettings,
        timing: Timing | None = None,
    ) -> None:
        self._store = store
        timing = timing if timing is not None else Timing()
        self._consents = ConsentLedger(store, observer, timing.wall)
        self.request_queue = TokenRequestQueue()
        shared = self._consents, store.leases, self.request_queue, AlarmClock(timing.clock)
        self._dependencies = CredentialDependencies(lwa, observer, settings, timing, *shared)
        self._clock, self._wall = timing.clock, timing.wall
        self._credentials: dict[str, Credential] = {}
        self._removing: dict[str, asyncio.Task[None]] = {}
        self._changing = asyncio.Lock()
        self._write_retries = WriteRetries()
        self._watchers: list[asyncio.Task[None]] = []
        self._consents_moved = asyncio.Event()
        self._consents_due = 0.0
        """When all are to be looked at again, on the event loop's clock, however many of them move until then."""
        self._rejected_at = 0.0
        self.watchful = False
        self.store_changed: Callable[[StoreChange], None] = lambda _: None
        """Called with each change of the store, before what it has is read."""

    def __repr__(self) -> str:
        return f"<TokenManager of {len(self._credentials)} accounts>"

    async def start(self, sources: Iterable[TokenSource]) -> None:
        """Reads the store and begins to request tokens; returns without waiting for them. Raises `StateError`."""
        await self._consents.load()
        await self.reconfigure(sources)
        self._watchers = [
            asyncio.create_task(self._watch(), name="watch the state store"),
            asyncio.create_task(self._watch_consents(), name="announce the ends of consents"),
        ]

    async def reconfigure(
        self,
        sources: Iterable[TokenSource],
        *,
        settings: TokenSettings | None = None,
        lwa: LoginWithAmazon | None = None,
    ) -> None:
        """Adds, removes and changes accounts; unchanged ones keep token and timer, a changed secret is tried at once.

        Raises `StateError` where a new account's stored token cannot be read; nothing has changed then. The end of a
        removed account is not waited for, unless it is added again: its token request may take seconds.
        """
        async with self._changing:
            wanted = {source.account: source for source in sources}
            added = [await self._prepare(source) for name, source in wanted.items() if name not in self._credentials]
            self._dependencies = dataclasses.replace(
                self._dependencies, settings=settings or self._dependencies.settings, lwa=lwa or self._dependencies.lwa
            )
            for number, credential in enumerate(tuple(self._credentials.values())):
                if number % RECONFIGURED == 0:
                    await asyncio.sleep(0)
                credential.dependencies = self._dependencies
                source = wanted.get(credential.source.account, credential.source)
                if credential.source != source:
                    await credential.reconfigure(source)
            for name in [name for name in self._credentials if name not in wanted]:
                self._removing[name] = asyncio.create_task(self._remove(self._credentials.pop(name)))
            for credential in added:
                credential.dependencies = self._dependencies
                self._credentials[credential.source.account] = credential
                credential.start()
            self._look_at_consents()

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """Ends the timers. Token requests under way, and what of them is to be written, get `grace` seconds.

        A refresh token that could not be written by then is lost with the process, which is told.
        """
        async with self._changing:
            for watcher in self._watchers:
                watcher.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watcher
            await self._consents.save()
            credentials = tuple(self._credentials.values())
            self._credentials.clear()
            await asyncio.gather(*(credential.stop(grace) for credential in credentials), *self._removing.values())

    def current(self, account: str) -> AccessToken | None:
        """The cached token, never an expired one."""
        credential = self._credentials.get(account)
        token = credential.token if credential is not None else None
        return token if token is not None and self._clock() < token.expires_at else None

    async def get(self, account: str, *, hastens: bool = True) -> AccessToken:
        """The cached token, or the next one if it comes within `request_wait`; else `NoUsableToken`.

        What waits for a request's sake `hastens` it: it comes before others' tokens, and after a shorter pause.
        """
        credential = self._credentials.get(account)
        if credential is None:
            raise NoUsableToken(
                f"The account '{account}' is not configured; choose another.", retry_after=60, retryable=False
            )
        return await credential.obtain(hastens=hastens)

    async def renewed(self, rejected: AccessToken, use: TokenUse) -> AccessToken | None:
        """A token of another generation, after Amazon's 401 to this use, or None if the 401 is not convincingly about
        the token. Raises `NoUsableToken` if it is, and none comes within `request_wait`."""
        self.watchful, self._rejected_at = True, self._clock()
        credential = self._credentials.get(rejected.account)
        return await credential.renew(rejected, use) if credential is not None else None

    def accepted(self, token: AccessToken, use: TokenUse) -> None:
        """Amazon took the token for this use. Need only be told while `watchful`: after a 401, for a while."""
        credential = self._credentials.get(token.account)
        if credential is not None:
            credential.accepted(token, use)
        if self._clock() - self._rejected_at > WATCHFUL:
            self.watchful = False

    def problem(self, account: str) -> str:
        """What a person must fix in an account's login, and how; empty if nothing is wrong."""
        credential = self._credentials.get(account)
        if credential is None:
            return ""
        return describe_problem(account, credential.last_failure, credential.consent, self._wall())

    def statuses(self) -> tuple[CredentialStatus, ...]:
        """Every account's, in the order of the configuration."""
        return tuple(credential.status() for credential in self._credentials.values())

    def status(self, account: str) -> CredentialStatus | None:
        """One account's status; None for an unknown account."""
        credential = self._credentials.get(account)
        return credential.status() if credential is not None else None

    def accounts(self) -> tuple[str, ...]:
        """The names of all, in the order of the configuration."""
        return tuple(self._credentials)

    @property
    def has_served(self) -> bool:
        """Whether some account has had a token."""
        return any(credential.last_success is not None for credential in self._credentials.values())

    async def refresh_now(self, account: str) -> None:
        """The operator's button. Raises `TokenFailure`, or `UnknownAccount`."""
        await self._credential(account).refresh_now()

    async def adopt(self, account: str, grant: Grant) -> None:
        """Store the refresh token of a sign-in, and put its access token in use at once.

        Raises `UnknownAccount` or `ApplicationChanged`, where the configuration changed during the sign-in.
        """
        await self._credential(account).adopt(grant)
        self._look_at_consent(account)

    def _credential(self, account: str) -> Credential:
        if account not in self._credentials:
            raise UnknownAccount(
                f"Unknown account '{account}'; the accounts are: {', '.join(self._credentials) or 'none'}."
            )
        return self._credentials[account]

    async def _prepare(self, source: TokenSource) -> Credential:
        if source.account in self._removing:
            await asyncio.wait((self._removing[source.account],))
        observer, timing = self._dependencies.observer, self._dependencies.timing
        keeper = RefreshTokenKeeper(source.account, self._store, observer, timing, self._write_retries)
        await keeper.load(source.refresh_token)
        return Credential(source, keeper, self._dependencies)

    async def _remove(self, credential: Credential) -> None:
        account = credential.source.account
        try:
            await credential.stop(STOP_GRACE)
            self._dependencies.observer.observe(AccountRemoved(account))
        finally:
            del self._removing[account]

    async def _watch(self) -> None:
        """Notices what other processes write into the store, as long as this one runs."""
        while True:
            with contextlib.suppress(StateError):
                async for change in self._store.changes():
                    self._write_retries.release_all()
                    self.store_changed(change)
                    if change.concerns_document(CONSENTS):
                        await self._consents.hear()
                        self._look_at_consents()
                    await self._reread(change)
            await asyncio.sleep(WATCH_PAUSE)

    async def _reread(self, change: StoreChange) -> None:
        """What the store has now. Among thousands of accounts some change all the time: only they are looked at."""
        if change.document is not None:
            return
        for account in (change.account,) if change.account is not None else self.accounts():
            credential = self._credentials.get(account)
            if credential is not None:
                await credential.reread_store()
                self._look_at_consent(account)

    def _look_at_consents(self) -> None:
        """Tells what is new of all, and plans the next look."""
        consents = {account: credential.consent for account, credential in self._credentials.items()}
        next_at = self._consents.look(consents)
        pause = CONSENT_PAUSE if next_at is None else next_at - self._dependencies.timing.wall()
        self._consents_due = asyncio.get_running_loop().time() + min(CONSENT_PAUSE, max(1.0, pause))
        self._consents_moved.set()

    def _look_at_consent(self, account: str) -> None:
        """Tells what is new of one, unless it was removed meanwhile."""
        credential = self._credentials.get(account)
        if credential is not None:
            self._consents.look_at(account, credential.consent)
            self._consents_moved.set()

    async def _watch_consents(self) -> None:
        """Keeps what was announced, and announces ends when they come near."""
        while True:
            self._consents_moved.clear()
            await self._consents.save()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._consents_due):
                    await self._consents_moved.wait()
            if asyncio.get_running_loop().time() >= self._consents_due:
                self._look_at_consents()


# --- What a person must fix in an account's login, in words -----------------------------


def describe_problem(account: str, failure: CredentialFailure | None, consent: Consent, now: float) -> str:
    """What is wrong, and what to do about it; empty where nothing is, or where it passes by itself.

    An earlier token may still be cached: Amazon may refuse it at any moment.
    """
    if failure is not None and failure.permanent:
        return f"The account {account} gets no more tokens: {failure.detail} {failure.advice}"
    if phase(consent, now) is ConsentPhase.ENDED:
        advice = ConsentExpired.advice.replace("ACCOUNT", account)
        return f"{describe(consent, now)} {advice}"
    return ""
