"""How many token requests run at once, and how many a second: at a start with thousands of accounts all of them are due
in one moment.

The others wait for their turn before anything of theirs begins, so that no time-out counts the waiting. Those that a
client's request waits for go first (`_Rank`), and each token endpoint has turns of its own: one that hangs does not
delay the others.

A refusal (429) may be the endpoint's limit or one account's own. Only refusals of different accounts pause the
endpoint. An account whose token would expire during the pause may try anyway, one at a time: its answer shows whether
the endpoint still refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections import deque
from enum import IntEnum
from itertools import chain
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from proxy.errors import TokenThrottled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any


AT_ONCE: Final = 32
P = ParamSpec("P")
Result = TypeVar("Result")


class TokenRequestQueue:
    """The queues of all token endpoints, by URL. `rate_lowered` is called with an endpoint's URL, its new rate limit
    and a pause, after a refusal."""

    def __init__(self) -> None:
        self.rate_lowered: Callable[[str, float, float], None] = lambda token_url, rate, pause: None
        self._of: dict[str, EndpointQueue] = {}

    def __repr__(self) -> str:
        return f"<TokenRequestQueue at {len(self._of)} endpoints>"

    def at(self, token_url: str) -> EndpointQueue:
        found = self._of.get(token_url)
        if found is None:
            found = self._of[token_url] = EndpointQueue()
            found.rate_limit.lowered = lambda rate, pause: self.rate_lowered(token_url, rate, pause)
        return found

    def hear(self, token_url: str, rate: float, pause: float) -> None:
        """Another replica found this rate limit at an endpoint; see `EndpointRate.hear`."""
        chance = random.random()  # noqa: S311 - no secret
        self.at(token_url).rate_limit.hear(rate, pause, asyncio.get_running_loop().time(), chance)

    def give_up(self, waiters: TokenWaiters) -> None:
        """Who waits does not get a turn any more, wherever it is; one that has it keeps it."""
        for request_queue in self._of.values():
            request_queue.give_up(waiters)


class _Rank(IntEnum):
    """Which accounts get their turns first. An account whose last token request was refused may be refused for good:
    it delays no renewal of another account, whose clients have had no trouble yet."""

    AWAITED = 0
    """A client's request waits for the token."""
    RENEWED = 1
    """The account still has a token."""
    REFUSED = 2
    """A client's request waits for the token, and the last token request was refused."""
    PATIENT = 3
    """No request waits for the token."""
    REFUSED_AGAIN = 4
    """The last token requests were refused: the account takes no turn from others."""


class EndpointQueue:
    """Belongs to one event loop. Whose turn it is, is told by the `TokenWaiters` of an account, who has one turn at
    most."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self.rate_limit = EndpointRate()
        self._free = at_once
        self._asking: set[asyncio.Task[Any] | None] = set()
        self._rate_timer: asyncio.TimerHandle | None = None
        self._trying: TokenWaiters | None = None
        """The account that tries during a pause of the endpoint."""
        self._all: tuple[dict[TokenWaiters, asyncio.Future[bool]], ...] = tuple({} for _ in _Rank)
        """The accounts that wait for their turn, by rank."""

    def __repr__(self) -> str:
        return f"<EndpointQueue: {self._free} free, {sum(map(len, self._all))} waiting>"

    @property
    def is_busy(self) -> bool:
        """Whether a request waits for a turn, or would have to."""
        return not self._free or any(self._all)

    def _waiting(self) -> Iterator[tuple[TokenWaiters, asyncio.Future[bool]]]:
        """The accounts that wait, in the order of their turns; some have their turn already."""
        return chain.from_iterable(waiting.items() for waiting in self._all)

    async def run(
        self, waiters: TokenWaiters, work: Callable[P, Coroutine[Any, Any, Result]], *args: P.args, **kwargs: P.kwargs
    ) -> Result | None:
        """Do it when it is its turn; None where it was given up before. What sends a token request does so within
        `request`."""
        if not await self._take(waiters):
            return None
        try:
            return await work(*args, **kwargs)
        finally:
            self._give_back(waiters)

    @contextlib.contextmanager
    def request(self, account: str) -> Iterator[None]:
        """A token request of an account: what it comes to sets the rate limit."""
        time = asyncio.get_running_loop().time
        self._asking.add(asyncio.current_task())
        sent_at = time()
        try:
            yield
        except TokenThrottled as refused:
            self.rate_limit.refused(account, sent_at, time(), refused.retry_after)
            raise
        self.rate_limit.granted(account, sent_at, time())

    def give_up(self, waiters: TokenWaiters) -> None:
        """The account may be removed: nothing is remembered of it."""
        self.rate_limit.refusals.forget(waiters.account)
        turn = next((waiting[waiters] for waiting in self._all if waiters in waiting), None)
        if turn is not None and not turn.done():
            turn.set_result(False)

    async def _take(self, waiters: TokenWaiters) -> bool:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._all[self._rank(waiters)][waiters] = turn
        waiters.called = lambda: self._hasten(waiters)
        self._go_on()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self._give_back(waiters)
            raise
        finally:
            waiters.called = None
            for waiting in self._all:
                waiting.pop(waiters, None)

    def _rank(self, waiters: TokenWaiters) -> _Rank:
        times = self.rate_limit.refusals.times(waiters.account)
        if times > 1:
            return _Rank.REFUSED_AGAIN
        if waiters.count:
            return _Rank.REFUSED if times else _Rank.AWAITED
        has_token = waiters.ends_at > asyncio.get_running_loop().time()
        return _Rank.RENEWED if has_token and not times else _Rank.PATIENT

    def _hasten(self, waiters: TokenWaiters) -> None:
        """A request has begun to wait: the account may get a better rank, behind those that have it already."""
        rank = self._rank(waiters)
        for worse in self._all[rank + 1 :]:
            turn = worse.pop(waiters, None)
            if turn is not None:
                self._all[rank][waiters] = turn

    def _give_back(self, waiters: TokenWaiters) -> None:
        """A turn is over; where nothing was asked in it, the rate limit has room for another one."""
        task = asyncio.current_task()
        if task in self._asking:
            self._asking.remove(task)
        else:
            self.rate_limit.give_back()
        if self._trying is waiters:
            self._trying = None
            self.rate_limit.tried(asyncio.get_running_loop().time())
        self._free += 1
        self._go_on()

    def _go_on(self) -> None:
        """Give turns to those that wait, as far as there are any, at the endpoint's rate limit."""
        if self._rate_timer is not None:
            self._rate_timer.cancel()
            self._rate_timer = None
        loop = asyncio.get_running_loop()
        for _, turn in self._waiting():
            if turn.done():
                continue
            if not self._free:
                return
            now = loop.time()
            if (wait := self.rate_limit.wait(now)) > 0:
                if self._trying is None and (soon := self.rate_limit.try_in(now)) > 0:
                    wait = min(wait, soon)
                elif self._trying is None:
                    self._try_in_pause(now, wait)
                self._rate_timer = loop.call_later(wait, self._go_on)
                return
            self._give_turn(turn, now)

    def _give_turn(self, turn: asyncio.Future[bool], now: float) -> None:
        self.rate_limit.take(now)
        self._free -= 1
        turn.set_result(True)

    def _try_in_pause(self, now: float, wait: float) -> None:
        """Give a turn to an account whose token expires before its own turn; not to one that was refused itself. The
        first turn is `wait` seconds away."""
        turn_at = now + wait
        for waiters, turn in self._waiting():
            if turn.done():
                continue
            if waiters.ends_at <= turn_at and not self.rate_limit.refusals.times(waiters.account):
                self._trying = waiters
                self._give_turn(turn, now)
                return
            turn_at += self.rate_limit.interval


# --- How many token requests a second a token endpoint takes, learned from its refusals (429) ------------

_LOWERED: Final = 0.8
_SEARCHING, _STEADY = math.log(2), 0.05
"""The growth in a second, as a part of the rate limit."""
_MOST_AT_ONCE: Final = 0.5
"""The largest growth after one grant, as a part of the rate limit."""
SLOWEST: Final = 0.5
"""Requests a second; an endpoint that refuses everything is still asked so often."""
_LONGEST_PAUSE: Final = 120.0
_FIRST_TRY, _BETWEEN_TRIES = 0.5, 5.0
"""Seconds from the beginning of a pause to the first request in spite of it, and from the end of one to the next."""


class EndpointRate:
    """The rate limit of one endpoint. `rate` is in requests a second, None without a limit. `lowered` is told the rate
    limit and the pause, in seconds, after a refusal that made it slower."""

    def __init__(self) -> None:
        self.rate: float | None = None
        self.lowered: Callable[[float, float], None] = lambda rate, pause: None
        self._next = self._paused_until = 0.0
        self._paused_at = self._lowered_at = self._learned_at = self._try_at = -math.inf
        self._searching = self._waited_for = False
        self._grants: deque[float] = deque()
        self.refusals = RefusedAccounts()

    def __repr__(self) -> str:
        return f"<EndpointRate: {'no limit' if self.rate is None else f'{self.rate:.1f} requests a second'}>"

    @property
    def interval(self) -> float:
        """Seconds between two requests."""
        return 0.0 if self.rate is None else 1 / self.rate

    def wait(self, now: float) -> float:
        """Seconds until the next request may be sent."""
        return max(self._next, self._paused_until) - now

    def try_in(self, now: float) -> float:
        """Seconds until one request may be sent although the endpoint asked for a pause; infinite without a pause."""
        return self._try_at - now if self._paused_until > now else math.inf

    def tried(self, now: float) -> None:
        """Note that the request sent during a pause was answered."""
        self._try_at = now + _BETWEEN_TRIES

    def take(self, now: float) -> None:
        """A request is about to be sent."""
        if self.rate is not None:
            self._waited_for = now < self._next + 1 / self.rate
            self._next = max(now, self._next) + 1 / self.rate

    def give_back(self) -> None:
        """Undo `take`: the request was not sent after all."""
        if self.rate is not None:
            self._next -= 1 / self.rate

    def granted(self, account: str, sent_at: float, now: float) -> None:
        """A request was answered with a token. One that was sent during a pause shows that the endpoint needs none."""
        self.refusals.forget(account)
        if sent_at >= self._paused_at:
            self._paused_until = min(self._paused_until, now)
        if self.rate is None:
            self._grants.append(now)
            self._forget_grants(now)
        elif sent_at <= self._learned_at == self._lowered_at:
            self._grants.append(now)
            self._learn(now)
        elif self._waited_for:  # an unused rate limit says nothing about the limit
            growth = _SEARCHING if self._searching else _STEADY
            self.rate *= 1 + min(growth / self.rate, _MOST_AT_ONCE)

    def refused(self, account: str, sent_at: float, now: float, retry_after: float | None) -> None:
        """A request of this account was answered with 429. Those sent before the rate limit fell say nothing about the
        new rate limit."""
        pause = 0.0
        is_shared = self.refusals.refused(account, now)
        if is_shared:
            pause = min(retry_after or 0.0, _LONGEST_PAUSE)
            self._pause(pause, now)
        if self.refusals.times(account) > 1 or sent_at <= self._lowered_at or (self.rate is None and not is_shared):
            return
        if self.rate is None:
            self._forget_grants(now)
            self._searching, self._learned_at, self._lowered_at = True, now, now
            self._learn(now)
        else:
            self._searching = False
            self._set(self.rate * _LOWERED, now)
        assert self.rate is not None
        self.lowered(self.rate, pause)

    def hear(self, rate: float, pause: float, now: float, chance: float) -> None:
        """Another replica found this rate limit, and was asked for this pause. `chance` keeps replicas from sending at
        one time."""
        self._pause(min(pause, _LONGEST_PAUSE), now)
        if self.rate is None or rate < self.rate:
            self._searching = self._searching or self.rate is None
            self._set(rate, now, chance)

    def _learn(self, now: float) -> None:
        """Begin below the tokens of the last second. The requests that were on their way count once they bring one: a
        refusal is often faster than a token."""
        self.rate = max(len(self._grants) * _LOWERED, SLOWEST)
        self._next = now + 1 / self.rate

    def _pause(self, seconds: float, now: float) -> None:
        if now + seconds > self._paused_until:
            self._paused_at, self._paused_until = now, now + seconds
            self._try_at = max(self._try_at, now + _FIRST_TRY)

    def _set(self, rate: float, now: float, part: float = 1.0) -> None:
        self.rate, self._lowered_at = max(rate, SLOWEST), now
        self._next = now + part / self.rate

    def _forget_grants(self, now: float) -> None:
        while self._grants and self._grants[0] <= now - 1:
            self._grants.popleft()


# --- Whether a refusal is the endpoint's limit or one account's own --------------------------------------

_TOGETHER: Final = 10.0
"""Seconds within which refusals of different accounts show that the endpoint refuses."""


class RefusedAccounts:
    """The accounts whose last token request was refused.

    An account that is refused again and again may have a limit of its own. So only its first refusal shows something
    about the endpoint, and only together with another account's.
    """

    def __init__(self) -> None:
        self._times: dict[str, int] = {}
        """How often in a row."""
        self._newest = ("", -math.inf)
        """The account that was refused last for the first time, and the moment."""

    def __repr__(self) -> str:
        return f"<RefusedAccounts: {len(self._times)}>"

    def times(self, account: str) -> int:
        """How often in a row an account was refused."""
        return self._times.get(account, 0)

    def forget(self, account: str) -> None:
        """Forget an account that got a token, or is removed."""
        self._times.pop(account, None)

    def refused(self, account: str, now: float) -> bool:
        """Take note of a refusal. Returns whether it shows that the endpoint refuses."""
        self._times[account] = self.times(account) + 1
        if self._times[account] > 1:
            return False
        (other, moment), self._newest = self._newest, (account, now)
        return other != account and now - moment <= _TOGETHER


# --- Those who wait for one outcome that all of them share -----------------------------------------------


class TokenWaiters:
    """Belongs to the event loop that runs when it is made. `called` is called for each request that begins to wait.
    `ends_at` is when the account's token expires, on that loop's clock; in the past where it has none."""

    def __init__(self, account: str = "") -> None:
        self.account, self.ends_at = account, -math.inf
        self._outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.count = 0
        self.called: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<TokenWaiters: {self.count}>"

    async def wait(self, seconds: float, *, counts: bool = True) -> None:
        """Wait until the next release, or for so many seconds. A client's request `counts`."""
        self.count += counts
        if counts and self.called is not None:
            self.called()
        try:
            await asyncio.wait({self._outcome}, timeout=max(0.0, seconds))
        finally:
            self.count -= counts

    def release(self) -> None:
        """Wake all that wait. Later ones wait for the next event."""
        outcome, self._outcome = self._outcome, asyncio.get_running_loop().create_future()
        outcome.set_result(None)
