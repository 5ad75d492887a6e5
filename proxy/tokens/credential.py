"""One account's credential over time: performs what `lifecycle` decides.

A timer renews the access token ahead of its expiry, off the request path; one token request is in flight at most,
detached from the request that asked; requests wait for its outcome, not for the request itself. Which refresh token is
in force is `refresh_token`'s business. The token request itself is at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.errors import (
    ApplicationChanged,
    AppMisconfigured,
    NoUsableToken,
    RefreshTokenMissing,
    RefreshTokenRevoked,
    TokenAnswerMalformed,
    TokenFailure,
    TokenRequestRejected,
    TokenServerError,
    TokenThrottled,
    TokenTimeout,
)
from proxy.events import (
    NEEDS_OPERATOR,
    AccessTokenRefused,
    CredentialState,
    CredentialStateChanged,
    DefectMet,
    OlderRefreshTokenUsed,
    RefreshCause,
    RefreshFailed,
    SignInNeeded,
    TokenRefreshed,
    TokenTakenOver,
)
from proxy.tokens import lifecycle
from proxy.tokens.alarm_clock import Alarm
from proxy.tokens.consent import explain_refusal
from proxy.tokens.leases import LeaseRequest
from proxy.tokens.lifecycle import RefreshSchedule, Trigger, request_timeout
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.store import StoredSource, fingerprint
from proxy.tokens.token_rejections import TokenRejections
from proxy.tokens.token_request_queue import TokenWaiters
from proxy.tokens.values import AccessToken, CredentialFailure, CredentialStatus
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from proxy.events import Observer
    from proxy.secret import Secret
    from proxy.tokens.alarm_clock import AlarmClock
    from proxy.tokens.consent import Consent, ConsentLedger
    from proxy.tokens.leases import FailedAttempt, Lease, Leases, SharedContent, Urgency
    from proxy.tokens.lwa import LoginWithAmazon
    from proxy.tokens.refresh_token import RefreshTokenKeeper
    from proxy.tokens.token_rejections import TokenUse
    from proxy.tokens.token_request_queue import TokenRequestQueue
    from proxy.tokens.token_response import Grant
    from proxy.tokens.values import Timing, TokenSettings, TokenSource


class Credential:
    """Drives one account. Every method belongs to the event loop."""

    def __init__(self, source: TokenSource, keeper: RefreshTokenKeeper, dependencies: CredentialDependencies) -> None:
        self.source = source
        self.dependencies = dependencies
        self.state = CredentialState.PENDING
        self.token: AccessToken | None = None
        self._keeper = keeper
        self._sharing = TokenSharing(dependencies.leases)
        self._generation, self._older_secret = 0, False
        self.last_failure: CredentialFailure | None = None
        """Why the last token request failed, if it did."""
        self.last_success: float | None = None
        """When a token last came, as wall-clock time."""
        self._schedule = RefreshSchedule(dependencies.timing.clock(), RefreshCause.START)
        self._probe_at = NEVER
        self._waiters = TokenWaiters(source.account)
        self.rejections = TokenRejections(self._schedule.due_at)
        self._refresh_task: asyncio.Task[TokenFailure | None] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._alarm = Alarm(dependencies.alarm_clock)
        self._removed = False

    def __repr__(self) -> str:
        return f"<Credential {self.source.account}: {self.state}, generation {self._generation}>"

    # --- life ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to request tokens, and reports the initial state."""
        self.dependencies.observer.observe(CredentialStateChanged(self.source.account, self.state, self.state))
        if self._keeper.refresh_token is None:
            self._report_missing()
        self._timer = asyncio.create_task(self._renew_ahead(), name=f"keep the token of {self.source.account}")

    async def stop(self, grace: float) -> None:
        """Ends the timer. A refresh under way may bring a new refresh token: it and its write get `grace` seconds."""
        self._removed, loop = True, asyncio.get_running_loop()
        deadline = loop.time() + grace
        self.dependencies.request_queue.give_up(self._waiters)
        if self._timer is not None:
            self._timer.cancel()
        try:
            if self._refresh_task is not None:
                await asyncio.wait({self._refresh_task}, timeout=grace)
        except asyncio.CancelledError:
            deadline = loop.time()  # it is no longer awaited
            raise
        finally:
            for task in filter(None, (self._timer, self._refresh_task)):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            self._waiters.release()
            await self._keeper.close(max(0.0, deadline - loop.time()))

    async def reconfigure(self, source: TokenSource) -> None:
        """Puts a changed source in force; a changed secret is tried at once."""
        had_refresh_token = self._keeper.refresh_token is not None
        token_changed = await self._keeper.reconfigure(source.refresh_token)
        old, self.source = self.source, source  # only now: a refresh token is sent for its own application alone
        if had_refresh_token and self._keeper.refresh_token is None:
            self._report_missing()
        app_changed = old.application != source.application
        if old.client_id != source.client_id or self._keeper.refresh_token is None:
            self.token = None  # it belongs to another application, or to none any more
        if token_changed or app_changed:
            self._restart(RefreshCause.CREDENTIALS_CHANGED)

    async def reread_store(self) -> None:
        """The store may hold what another process wrote, such as a sign-in at a terminal."""
        source = await self._keeper.reread()
        if source is StoredSource.SIGN_IN:
            self._restart(RefreshCause.SIGN_IN)
        elif source is not None and self._schedule.failures:
            self._restart(RefreshCause.CREDENTIALS_CHANGED)
        wanted = self._keeper.refresh_token
        if wanted is not None and (shared := await self._sharing.newest(self.source, wanted)) is not None:
            with contextlib.suppress(TokenAnswerMalformed):  # it has ended on its way here
                self._take(shared, wanted)
            self._waiters.release()

    async def adopt(self, grant: Grant) -> None:
        """Put the two tokens of a sign-in in force at once. Returns when the write held, or after a few seconds.

        Raises `ApplicationChanged` where the account has another application by now.
        """
        await self._sharing.announce(self.source, grant, grant.refresh_token or self._keeper.refresh_token)
        if grant.client_id != self.source.client_id:
            account = self.source.account
            raise ApplicationChanged(f"The client id of '{account}' changed during the sign-in: sign in again.")
        if grant.refresh_token is not None:
            self._keeper.sign_in(grant.refresh_token)
        try:
            self._apply(grant, self.dependencies.timing.clock() - grant.took, RefreshCause.SIGN_IN)
            self._waiters.release()
        except TokenAnswerMalformed:  # dead on arrival: the refresh token brings another one
            self._restart(RefreshCause.SIGN_IN)
        await self._keeper.flush(5.0)

    # --- for requests --------------------------------------------------------------------------------------

    async def obtain(self, *, hastens: bool) -> AccessToken:
        """The cached token, or the next one if it comes in time; else `NoUsableToken`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.dependencies.settings.request_wait
        while (token := self._usable_token()) is None:
            self._refuse_where_an_operator_is_needed()
            if hastens:
                self._hasten()
            left, pause = deadline - loop.time(), self._schedule.due_at - self.dependencies.timing.clock()
            if not self._is_refreshing() and pause <= 0:
                self._start_refresh(self._schedule.cause)
            elif left <= 0 or (not self._is_refreshing() and pause > left):
                raise comes_later(self.source.account, self.last_failure, pause)
            await self._waiters.wait(left, counts=hastens)
        return token

    async def renew(self, rejected: AccessToken, use: TokenUse) -> AccessToken | None:
        """A token other than the rejected one, or None where the 401 does not convince that it is about the token.

        Raises `NoUsableToken` where it does, and none comes in time or a person must act first.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.dependencies.settings.request_wait
        self.rejections.rejected(use, rejected.generation)
        confirmed = self.rejections.confirms(use, self.dependencies.timing.clock())
        while (token := self._usable_token()) is None or token.is_same(rejected):
            left, pause = deadline - loop.time(), self._schedule.due_at - self.dependencies.timing.clock()
            if self.state in NEEDS_OPERATOR:
                self._take_401(token, use)
            if self._needs_operator() or not (confirmed or token is None or self._is_refreshing()):
                return None
            if left <= 0 or not (self._is_refreshing() or self._refresh_for_401(token, use, left)):
                if confirmed or token is None:
                    raise comes_later(self.source.account, self.last_failure, pause)
                return None
            await self._waiters.wait(left)
        return token

    def accepted(self, token: AccessToken, use: TokenUse) -> None:
        """Amazon accepted a token for this use. If it is the cached one, that one is alive."""
        self.rejections.accepted(use)
        if self.token is not None and token.is_same(self.token):
            self.rejections.unresolved_use = None

    def _take_401(self, token: AccessToken | None, use: TokenUse) -> None:
        """Amazon refuses both tokens: the client gets a 503 with the reason. Raises `NoUsableToken`.

        The cached token is dropped when the 401 was certainly not about a single use of it.
        """
        if token is not None:
            was_unresolved, is_dead = self.rejections.unresolved_use is not None, self.rejections.add_unresolved(use)
            self.token = None if is_dead else token
            if is_dead or not was_unresolved:
                detail = self.last_failure.detail if self.last_failure is not None else ""
                self.dependencies.observer.observe(AccessTokenRefused(self.source.account, detail))
        self._refuse_where_an_operator_is_needed()

    def _hasten(self) -> None:
        """A request is about to wait: passing trouble holds the next attempt back for less long."""
        sooner = self._schedule.for_waiting_requests()
        if sooner != self._schedule:
            self._schedule = sooner
            self._alarm.ring()

    def _refresh_for_401(self, token: AccessToken | None, use: TokenUse, left: float) -> bool:
        """Starts a refresh for a 401 where it may, or tells whether the next attempt is near enough to wait for."""
        self._hasten()
        now = self.dependencies.timing.clock()
        if self._schedule.due_at <= now:
            self._start_refresh(self._schedule.cause)
            return True
        if self._schedule.failures:
            return self._schedule.due_at - now <= left
        if token is not None:
            self.rejections.spend(use, now)
        self._start_refresh(RefreshCause.UNAUTHORIZED)
        return True

    def _refuse_where_an_operator_is_needed(self) -> None:
        account = self.source.account
        if self._removed:
            why, pause = f"The account '{account}' is no longer configured; choose another.", MAX_RETRY_AFTER
        elif self._keeper.refresh_token is None:
            why, pause = f"The account '{account}' has no refresh token. {self._advice()}", MAX_RETRY_AFTER
        elif self.state in NEEDS_OPERATOR:
            said = self.last_failure.detail if self.last_failure is not None else ""
            why = f"The account '{account}' has no usable token. {said} {self._advice()}"
            pause = self._schedule.due_at - self.dependencies.timing.clock()
        else:
            return
        raise NoUsableToken(why, retry_after=min(MAX_RETRY_AFTER, max(1.0, pause)), retryable=False)

    def _needs_operator(self) -> bool:
        return self._removed or self._keeper.refresh_token is None or self.state in NEEDS_OPERATOR

    # --- refreshing ----------------------------------------------------------------------------------------

    def _start_refresh(self, cause: RefreshCause) -> asyncio.Task[TokenFailure | None]:
        """The one refresh in flight, started if there is none. Its result is the failure, if it failed."""
        if self._refresh_task is None or self._refresh_task.done():
            request_queue, token = self.dependencies.request_queue.at(self.source.token_url), self._usable_token()
            left = token.expires_at - self.dependencies.timing.clock() if token is not None else 0.0
            self._waiters.ends_at = asyncio.get_running_loop().time() + left
            turn = request_queue.run(self._waiters, self._refresh, cause, self._generation)
            self._refresh_task = asyncio.create_task(turn, name=f"refresh the token of {self.source.account}")
        return self._refresh_task

    async def refresh_now(self) -> None:
        """The operator's button: raises the `TokenFailure`."""
        if self._keeper.refresh_token is None:
            raise RefreshTokenMissing(f"The account '{self.source.account}' has no refresh token yet.")
        failure = await asyncio.shield(self._start_refresh(RefreshCause.OPERATOR))
        if failure is not None:
            raise failure

    async def _refresh(self, cause: RefreshCause, generation: int) -> TokenFailure | None:
        """One token request, unless a token after this generation comes meanwhile. Never raises: the timer lives on."""
        source, sent, failure = self.source, self._keeper.refresh_token, None
        if sent is None:
            return None
        urgency = lifecycle.urgency_of(cause, self._waiters.count)
        try:
            async with self._sharing.lease(source, sent, urgency) as lease:
                if (source.application, sent) != (self.source.application, self._keeper.refresh_token):
                    pass  # other credentials came in force during the wait for the lease
                elif lease.held_back is not None:
                    self._hold_back(lease.held_back)
                elif lease.shared is not None:
                    self._take(lease.shared, sent)
                else:
                    failure = await self._ask(lease, source, sent, (cause, generation))
        except Exception as error:  # noqa: BLE001 - a defect, or what was shared has ended on its way here
            failure = failure_of(error, self.dependencies.observer)
            self._record_failure(failure, 0.0)
        self._waiters.release()
        return failure

    async def _ask(
        self, lease: Lease[Grant], source: TokenSource, sent: Secret, why: tuple[RefreshCause, int]
    ) -> TokenFailure | None:
        """Under a lease, or alone. `why` is the cause, and the generation of the token that is to be followed."""
        if lease.fence:
            await self.reread_store()
        (cause, generation), clock, grant = why, self.dependencies.timing.clock, None
        if (sent, generation) != (self._keeper.refresh_token, self._generation):
            return None
        sent_at = clock()
        try:
            grant = await request_grant(self.dependencies, source, sent, self._schedule.timeouts)
            if sent == self._keeper.refresh_token and source.client_id == self.source.client_id:
                self._apply(grant, sent_at, cause)
                self._waiters.release()
                await self._sharing.publish(lease, replace(grant, took=clock() - sent_at), self._keeper)
        except Exception as error:  # noqa: BLE001 - a defect must not stop refreshing for ever
            failure = failure_of(error, self.dependencies.observer)
            failure = explain_refusal(failure, self.consent, self.dependencies.timing.wall())
        else:
            return None
        ours = (sent, grant.refresh_token if grant is not None else None)
        if cause is RefreshCause.PROBE and not failure.permanent and self._usable_token() is not None:
            self._record_failed_probe(failure, clock() - sent_at)
        elif source == self.source and self._keeper.refresh_token in ours:
            self._schedule = self._schedule.counting(lease.failed) if lease.failed is not None else self._schedule
            self._record_failure(failure, clock() - sent_at)
            await lease.fail(self._schedule.failed_attempt(failure.reason))
        return failure

    def _hold_back(self, attempt: FailedAttempt) -> None:
        """Another replica asked the same without success. Unless it could not reach Amazon, that holds here too."""
        timing = self.dependencies.timing
        self._schedule = self._schedule.held_back(attempt, timing.clock(), self._waiters.count)
        failure = failure_elsewhere(attempt)
        if failure is not None and (self.last_failure is None or self.last_failure.reason != failure.reason):
            told = explain_refusal(failure, self.consent, timing.wall())
            self.last_failure = describe_failure(self.source.account, told, timing.wall())
            self._transition(lifecycle.trigger_of(failure))
        self._alarm.ring()

    def _take(self, shared: SharedContent[Grant], refresh_token: Secret) -> None:
        """Another replica got a token for this refresh token, perhaps for an application that a reload replaced."""
        is_for_now = (shared.value.client_id, refresh_token) == (self.source.client_id, self._keeper.refresh_token)
        if is_for_now and self._sharing.is_news(shared):
            self._apply(shared.value, self.dependencies.timing.clock() - shared.value.took, RefreshCause.SHARED)

    def _apply(self, grant: Grant, sent_at: float, cause: RefreshCause) -> None:
        """Applies a grant: the refresh token first, which is good even if the access token is not."""
        if grant.refresh_token is not None:
            self._keeper.rotate(grant.refresh_token)
        grant.check_life()
        settings, timing, account = self.dependencies.settings, self.dependencies.timing, self.source.account
        self._generation, self._older_secret = self._generation + 1, grant.older_secret
        expires_at, lineage = sent_at + grant.expires_in, fingerprint(self._keeper.refresh_token)
        self.token = AccessToken(account, grant.access_token, self._generation, expires_at, grant.client_id, lineage)
        asked_at, is_shared = timing.wall_at(sent_at), cause is RefreshCause.SHARED
        self.last_success = asked_at if is_shared else timing.wall()
        self.last_failure = self.rejections.unresolved_use = None
        self._probe_at = probe_at(sent_at, settings.probe_interval, timing.random())
        self._schedule = RefreshSchedule.after_grant(sent_at, grant.expires_in, settings.refresh_ahead, timing.random())
        duration, ends = timing.clock() - sent_at, timing.wall_at(expires_at)
        self.dependencies.observer.observe(
            TokenTakenOver(account, self._generation, ends, asked_at)
            if is_shared
            else TokenRefreshed(account, self._generation, duration, ends, cause)
        )
        self._transition(Trigger.GRANTED)
        self._alarm.ring()

    def _record_failed_probe(self, failure: TokenFailure, duration: float) -> None:
        """The cached token works, and its renewal is not due yet: nothing follows but another probe."""
        timing, account, now = self.dependencies.timing, self.source.account, self.dependencies.timing.clock()
        interval = self.dependencies.settings.probe_interval
        self._probe_at = probe_after_failure(now, interval, failure.retry_after, timing.random())
        told = describe_failure(account, failure, timing.wall())
        self._report_failure(told, duration, min(self._probe_at, self._schedule.due_at) - now)

    def _record_failure(self, failure: TokenFailure, duration: float) -> None:
        timing = self.dependencies.timing
        self._schedule = self._schedule.after_failure(failure, timing.clock(), timing.random())
        if self._waiters.count:
            self._schedule = self._schedule.for_waiting_requests()
        self.last_failure = describe_failure(self.source.account, failure, timing.wall())
        self._report_failure(self.last_failure, duration, self._schedule.wait)
        self._transition(lifecycle.trigger_of(failure))
        self._alarm.ring()

    def _report_failure(self, told: CredentialFailure, duration: float, wait: float) -> None:
        """Report an attempt that took `duration` seconds; the next one follows in `wait` seconds."""
        account, token = self.source.account, self._usable_token()
        expiry = self.dependencies.timing.wall_at(token.expires_at) if token is not None else None
        self.dependencies.observer.observe(
            RefreshFailed(account, told.reason, told.permanent, told.detail, told.advice, duration, wait, expiry)
        )

    def _restart(self, cause: RefreshCause) -> None:
        """Other credentials are in force: forget the old ones' failures and ask at once."""
        self.last_failure = None
        self._schedule = RefreshSchedule(self.dependencies.timing.clock(), cause)
        self._transition(Trigger.CHANGED if self._usable_token() is not None else Trigger.RESET)
        self._alarm.ring()
        self._waiters.release()

    async def _renew_ahead(self) -> None:
        """Refreshes whenever it is due and notices expiry."""
        while True:
            self._alarm.silence()
            token = self._usable_token()
            now = self.dependencies.timing.clock()
            moments = [token.expires_at] if token is not None else []
            if self._keeper.refresh_token is not None:
                moments.append(self._schedule.due_at)
                if self._schedule.due_at <= now:
                    await asyncio.wait({self._start_refresh(self._schedule.cause)})
                    continue
                if self.state is CredentialState.VALID:
                    await self._probe_if_due(now)
                    moments.append(self._probe_at)
            await self._alarm.sleep_until(min(moments, default=NEVER))

    async def _probe_if_due(self, now: float) -> None:
        if self._probe_at > now:
            return
        if self.dependencies.request_queue.at(self.source.token_url).is_busy:
            self._probe_at = probe_when_busy(now, self.dependencies.timing.random())
            return
        self._probe_at = probe_at(now, self.dependencies.settings.probe_interval, self.dependencies.timing.random())
        await asyncio.wait({self._start_refresh(RefreshCause.PROBE)})

    def _usable_token(self) -> AccessToken | None:
        """The access token that still works; an expired one is released."""
        if self.token is not None and self.dependencies.timing.clock() >= self.token.expires_at:
            self.token = None
            self._schedule = self._schedule.after_expiry()
            self._transition(Trigger.LAPSED)
        return self.token

    def _transition(self, trigger: Trigger) -> None:
        old, self.state = self.state, lifecycle.next_state(self.state, trigger)
        if old != self.state:
            self.dependencies.observer.observe(CredentialStateChanged(self.source.account, old, self.state))

    def _is_refreshing(self) -> bool:
        return self._refresh_task is not None and not self._refresh_task.done()

    def status(self) -> CredentialStatus:
        """What there is to say, without secrets."""
        token, has_refresh_token = self._usable_token(), self._keeper.refresh_token is not None
        refused = self.rejections.unresolved_use is not None
        timing = self.dependencies.timing
        return CredentialStatus(
            account=self.source.account,
            state=str(self.state),
            generation=self._generation,
            has_refresh_token=has_refresh_token,
            refresh_token_source=self._keeper.origin,
            expires_at=timing.wall_at(token.expires_at) if token is not None else None,
            last_success=self.last_success,
            last_failure=self.last_failure,
            next_refresh_at=timing.wall_at(self._schedule.due_at) if has_refresh_token else None,
            unpersisted=self._keeper.unpersisted,
            advice=self._advice(),
            consent=self.consent,
            older_secret_in_use=self._older_secret,
            refused=refused,
        )

    @property
    def consent(self) -> Consent:
        """The advertiser's, behind the refresh token in force."""
        source, consents = self.source, self.dependencies.consents
        return consents.consent(source.account, source.refresh_token, self._keeper.stored, source.consented_on)

    def _advice(self) -> str:
        """What a person should do; empty where nothing needs doing."""
        if self._keeper.refresh_token is None:
            return sign_in_advice(self.source.account, self.source.sign_in_url)
        return self.last_failure.advice if self.last_failure is not None else ""

    def _report_missing(self) -> None:
        self.dependencies.observer.observe(SignInNeeded(self.source.account, self._advice()))


# --- What a request is told that gets no access token, and whether waiting helps -------------------------

MAX_RETRY_AFTER = 60.0
"""Seconds that a client is told to wait at most."""


def sign_in_advice(account: str, sign_in_url: str) -> str:
    """What brings a refresh token to an account that has none."""
    page = sign_in_url or "Connect in the console"
    return f"Sign in: {page} or `ads-proxy login {account}`, or configure a refresh token."


def comes_later(account: str, failure: CredentialFailure | None, pause: float) -> NoUsableToken:
    """The refusal of a request whose account has no usable token. The proxy tries again in `pause` seconds."""
    why = failure.detail if failure is not None else "Login with Amazon has not answered yet."
    detail = f"The account '{account}' has no usable token. {why} The proxy tries again by itself."
    return NoUsableToken(detail, retry_after=min(MAX_RETRY_AFTER, max(1.0, pause)))


# --- When a refresh token is tried although the access token still serves --------------------------------

JITTER: Final = 5
"""A probe is up to a fifth of the interval early, so that accounts that start together spread, and replicas differ."""
POSTPONED: Final = 10.0
"""Seconds to the next look where other token requests come first."""
NEVER: Final = float("inf")


def probe_at(granted_at: float, interval: float, chance: float) -> float:
    """When to probe after a grant that was asked for at `granted_at`; never where the interval is 0."""
    return granted_at + interval * (1 - chance / JITTER) if interval else NEVER


def probe_after_failure(now: float, interval: float, retry_after: float | None, chance: float) -> float:
    """When to probe again after a failure that passes by itself: a third of the interval, or what Amazon asks for."""
    return now + max(interval / 3 * (1 - chance / JITTER), retry_after or 0.0)


def probe_when_busy(now: float, chance: float) -> float:
    """When to look again whether the token endpoint has nothing else to do."""
    return now + POSTPONED * (1 + chance)


# --- One account's side of a fleet's leases --------------------------------------------------------------

FLUSH = 2.0
"""Seconds that a new refresh token may take to be written before the access token is shared anyway."""


class TokenSharing:
    """Belongs to one credential. Each method is for the source and the refresh token that are in force then."""

    def __init__(self, leases: Leases[Grant]) -> None:
        self._leases = leases
        self._fence = 0

    def __repr__(self) -> str:
        return f"<TokenSharing: {self._fence}>"

    def lease(
        self, source: TokenSource, refresh_token: Secret, urgency: Urgency
    ) -> AbstractAsyncContextManager[Lease[Grant]]:
        """Wait for the lease of the account's token request, as `Leases.lease` does."""
        return self._leases.lease(self._lease_request(source, refresh_token), urgency)

    async def publish(self, lease: Lease[Grant], grant: Grant, keeper: RefreshTokenKeeper) -> None:
        """Shares the grant under the lease, and before it the refresh token that belongs to it."""
        if lease.fence:
            await keeper.flush(FLUSH)
            self._see(await lease.publish(grant, fingerprint(keeper.refresh_token)))

    async def announce(self, source: TokenSource, grant: Grant, refresh_token: Secret | None) -> None:
        """Shares what a sign-in brought."""
        if refresh_token is not None:
            self._see(await self._leases.announce(self._lease_request(source, refresh_token), grant))

    async def newest(self, source: TokenSource, refresh_token: Secret) -> SharedContent[Grant] | None:
        """The shared token that is newer than the known one, as from `Leases.newest`."""
        return await self._leases.newest(self._lease_request(source, refresh_token))

    def is_news(self, shared: SharedContent[Grant]) -> bool:
        """Whether this one was not seen before; it is from now on."""
        known = self._fence
        self._see(shared.fence)
        return shared.fence > known

    def _see(self, fence: int) -> None:
        self._fence = max(self._fence, fence)

    def _lease_request(self, source: TokenSource, refresh_token: Secret) -> LeaseRequest:
        lineage = fingerprint(refresh_token)
        secrets = (source.client_secret, source.older_secret, source.older_refresh_token)
        sent = "".join((lineage, *map(fingerprint, secrets)))
        return LeaseRequest(source.account, source.token_url, source.client_id, lineage, self._fence, sent)


# --- One request for an access token ---------------------------------------------------------------

_TOLD_BY_AMAZON = {
    kind.reason: kind
    for kind in (RefreshTokenRevoked, AppMisconfigured, TokenRequestRejected, TokenThrottled, TokenServerError)
}


@dataclass(frozen=True, slots=True)
class CredentialDependencies:
    """What a credential works with; a reload may give it others."""

    lwa: LoginWithAmazon
    observer: Observer
    settings: TokenSettings
    timing: Timing
    consents: ConsentLedger
    leases: Leases[Grant]
    request_queue: TokenRequestQueue
    alarm_clock: AlarmClock


async def request_grant(
    dependencies: CredentialDependencies, source: TokenSource, refresh_token: Secret, timeouts: int
) -> Grant:
    """The grant for a refresh token. Raises `TokenFailure`, in bounded time; `timeouts` counts the attempts in a
    row that took too long. Where the configured one follows an older one and is refused, the older is tried too."""
    seconds = request_timeout(dependencies.settings.refresh_timeout, timeouts)
    try:
        async with asyncio.timeout(seconds):
            try:
                return await _ask(dependencies, source, refresh_token)
            except RefreshTokenRevoked as refused:
                if source.older_refresh_token is None or refresh_token != source.refresh_token:
                    raise
                return await _ask_with_older(dependencies, source, source.older_refresh_token, refused)
    except TimeoutError:
        raise TokenTimeout(f"Login with Amazon did not answer in {seconds:g} seconds.") from None


async def _ask(dependencies: CredentialDependencies, source: TokenSource, refresh_token: Secret) -> Grant:
    credentials = AppCredentials(source.client_id, source.client_secret, source.older_secret)
    with dependencies.request_queue.at(source.token_url).request(source.account):
        return await dependencies.lwa.refresh(source.token_url, credentials, refresh_token)


async def _ask_with_older(
    dependencies: CredentialDependencies, source: TokenSource, older: Secret, refused: RefreshTokenRevoked
) -> Grant:
    """What the older refresh token brings; where it is refused as well, the newer one's refusal counts."""
    try:
        grant = await _ask(dependencies, source, older)
    except RefreshTokenRevoked:
        raise refused from None
    dependencies.observer.observe(OlderRefreshTokenUsed(source.account))
    return replace(grant, refresh_token=None) if grant.refresh_token == older else grant


def failure_elsewhere(attempt: FailedAttempt) -> TokenFailure | None:
    """What Amazon told another replica of the same credentials; None where the trouble may be that replica's own."""
    kind = _TOLD_BY_AMAZON.get(attempt.reason)
    return kind(f"Login with Amazon refused another replica ({attempt.reason}).") if kind is not None else None


def describe_failure(account: str, failure: TokenFailure, at: float) -> CredentialFailure:
    """The failure in words for people; `at` is wall-clock time."""
    advice = failure.advice.replace("ACCOUNT", account)
    return CredentialFailure(failure.reason, failure.permanent, failure.detail, advice, at)


def failure_of(error: Exception, observer: Observer) -> TokenFailure:
    """What an attempt came to. An unexpected exception is reported without its text, and counts as one."""
    if isinstance(error, TokenFailure):
        return error
    where = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    observer.observe(DefectMet("token refresh", where))
    return TokenAnswerMalformed(
        "The token request failed because of a defect of the program; the log has its traceback."
    )
