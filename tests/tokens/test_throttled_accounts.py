"""An account whose token requests are all refused with 429, next to others at the same token endpoint."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from itertools import pairwise

import pytest

from proxy.errors import NoUsableToken, RefreshTokenRevoked, TokenThrottled
from proxy.events import CredentialState, CredentialStateChanged
from proxy.secret import Secret
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.token_response import Grant
from proxy.tokens.values import TokenSettings
from tests.support.tokens import RunningManager, ScriptedLogin, grant, source, virtual_time

LIFE, AHEAD, RETRY_AFTER, SECONDS = 24.0, 10.0, 5.0, 42.0
HEALTHY = tuple(f"healthy-{number:02}" for number in range(12))


class PartlyThrottledLogin(ScriptedLogin):
    """Answers 429 with `Retry-After: 5` to some accounts, each time; and `invalid_grant` to those that are revoked."""

    def __init__(self, throttled: int) -> None:
        super().__init__()
        self.throttled = {f"throttled-{number}" for number in range(throttled)}
        self.revoked: set[str] = set()

    async def refresh(self, token_url: str, credentials: AppCredentials, refresh_token: Secret) -> Grant:
        account = refresh_token.reveal()
        self.asked.append((asyncio.get_running_loop().time(), account))
        await asyncio.sleep(0.1)
        if account in self.throttled:
            raise TokenThrottled("too many", retry_after=RETRY_AFTER)
        if account in self.revoked:
            raise RefreshTokenRevoked("revoked")
        return grant(f"access-{len(self.asked)}", LIFE)

    def moments(self, account: str) -> list[float]:
        return [moment for moment, asked in self.asked if asked == account]


class Endpoint(RunningManager):
    """Accounts at one token endpoint, and clients that ask for all of them all the time."""

    def __init__(self, throttled: int) -> None:
        self.partly = PartlyThrottledLogin(throttled)
        super().__init__(self.partly, settings=replace(TokenSettings(), refresh_ahead=AHEAD))
        self.dice = random.Random(throttled)
        self.refused: list[tuple[float, str]] = []
        """The requests for healthy accounts that got no token, or had to wait for one."""

    def roll(self) -> float:
        return self.dice.random()

    async def begin(self) -> None:
        """Return when the healthy accounts have their first tokens."""
        await self.manager.start([source(name, name) for name in (*sorted(self.partly.throttled), *HEALTHY)])
        await asyncio.gather(*map(self.manager.get, HEALTHY))

    async def serve(self, seconds: float) -> None:
        """Ten requests a second for each account."""
        until = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as clients:
            for account in (*HEALTHY, *self.partly.throttled):
                clients.create_task(self._ask_until(account, until))

    async def _ask_until(self, account: str, until: float) -> None:
        loop = asyncio.get_running_loop()
        while (began := loop.time()) < until and account not in self.partly.revoked:
            try:
                await self.manager.get(account)
                served = loop.time() == began
            except NoUsableToken:
                served = False
            if not served and account in HEALTHY and account not in self.partly.revoked:
                self.refused.append((began, account))
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("throttled", [1, 2, 5, 10, 20])
@virtual_time
async def test_throttled_accounts_take_no_token_from_the_others(throttled: int) -> None:
    """Twelve healthy accounts with tokens of 24 s, due 10 s before, are served all the time, and a throttled one is
    asked no more often than its Retry-After says."""
    endpoint = Endpoint(throttled)
    async with endpoint:
        await endpoint.begin()
        await endpoint.serve(SECONDS)
        assert not endpoint.refused
        for account in HEALTHY:
            assert len(endpoint.partly.moments(account)) >= SECONDS // LIFE
        for account in endpoint.partly.throttled:
            moments = endpoint.partly.moments(account)
            assert len(moments) > 3
            assert min(later - earlier for earlier, later in pairwise(moments)) >= RETRY_AFTER


@pytest.mark.parametrize("throttled", [10, 20])
@virtual_time
async def test_throttled_accounts_that_are_added_take_no_token_from_the_others(throttled: int) -> None:
    """No account got a token in the second before their refusals, so nothing is known of the endpoint's limit."""
    endpoint = Endpoint(0)
    async with endpoint:
        await endpoint.begin()
        await endpoint.serve(2)
        endpoint.partly.throttled = {f"throttled-{number}" for number in range(throttled)}
        await endpoint.manager.reconfigure([source(name, name) for name in (*HEALTHY, *endpoint.partly.throttled)])
        await endpoint.serve(SECONDS)
        assert not endpoint.refused


@virtual_time
async def test_more_accounts_than_ask_at_once_get_their_first_tokens_beside_throttled_ones() -> None:
    """The pace follows the tokens of the first that ask, although the refusals come before these tokens."""
    endpoint, many = Endpoint(20), [f"many-{number:02}" for number in range(60)]
    async with endpoint:
        await endpoint.manager.start([source(name, name) for name in (*sorted(endpoint.partly.throttled), *many)])
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*map(endpoint.manager.get, many))
        assert asyncio.get_running_loop().time() - began < 5


@virtual_time
async def test_a_throttled_account_delays_no_news_of_a_revoked_one() -> None:
    """The revoked account is known as such as soon as its token is due."""
    endpoint = Endpoint(1)
    async with endpoint:
        await endpoint.begin()
        began = asyncio.get_running_loop().time()
        await endpoint.serve(5)
        endpoint.partly.revoked.add(HEALTHY[0])
        await endpoint.serve(LIFE - AHEAD)
        changes = [each for each in endpoint.events.of(CredentialStateChanged) if each.account == HEALTHY[0]]
        assert changes[-1].new is CredentialState.REVOKED
        asked = endpoint.partly.moments(HEALTHY[0])
        assert asked[-1] - began <= LIFE - AHEAD + 0.5
        assert not endpoint.refused
