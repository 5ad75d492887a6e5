"""Tokens without Amazon: a loop whose time jumps, a scripted Login with Amazon, and a source of tokens."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, ParamSpec

from proxy.errors import NoUsableToken, StateError
from proxy.secret import Secret
from proxy.tokens.lwa import AppCredentials, LoginWithAmazon
from proxy.tokens.manager import TokenManager
from proxy.tokens.store import MemoryStore, Store, StoredToken
from proxy.tokens.token_rejections import TokenUse
from proxy.tokens.token_response import Grant
from proxy.tokens.values import AccessToken, Timing, TokenSettings, TokenSource
from tests.support.events import EventRecorder

P = ParamSpec("P")
EPOCH = 1_700_000_000.0


class JumpingSelector(selectors.SelectSelector):
    """Instead of waiting, lets the time be later. It looks at no socket: none is in use."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen"
        self.now += max(0.0, timeout)
        return []


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time; nothing in it may use threads or sockets."""

    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now


def virtual_time(scenario: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs an async test on virtual time."""

    @functools.wraps(scenario)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            runner.run(scenario(*args, **kwargs))

    return run


def grant(access: str, expires_in: float = 3600.0, refresh: str | None = None, client: str = "c") -> Grant:
    return Grant(Secret(access), Secret(refresh) if refresh is not None else None, expires_in, client)


Answer = Grant | Exception | Callable[[], Awaitable[Grant]]


class ScriptedLogin(LoginWithAmazon):
    """Answers what it is told, else a fresh token each time; remembers when it was asked with what.

    Whatever it grants, it grants to the application that asks.
    """

    def __init__(self, *script: Answer, expires_in: float = 3600.0) -> None:
        self.script = list(script)
        self.expires_in = expires_in
        self.asked: list[tuple[float, str]] = []
        self.credentials: list[AppCredentials] = []

    def __repr__(self) -> str:
        return f"<ScriptedLogin: asked {len(self.asked)} times>"

    async def refresh(self, token_url: str, credentials: AppCredentials, refresh_token: Secret) -> Grant:
        self.asked.append((asyncio.get_running_loop().time(), refresh_token.reveal()))
        self.credentials.append(credentials)
        await asyncio.sleep(0.1)
        answer = self.script.pop(0) if self.script else grant(f"access-{len(self.asked)}", self.expires_in)
        if isinstance(answer, Exception):
            raise answer
        granted = answer if isinstance(answer, Grant) else await answer()
        return replace(granted, client_id=credentials.client_id)

    @property
    def times(self) -> list[float]:
        return [moment for moment, _ in self.asked]


class BrokenStore(MemoryStore):
    """A store whose writes fail as long as `broken` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = True
        self.attempts = 0

    async def write(self, account: str, entry: StoredToken) -> None:
        self.attempts += 1
        if self.broken:
            raise StateError("The disk is full.")
        await super().write(account, entry)


class RunningManager:
    """A manager on virtual time, and everything around it. `suspended` seconds pass on the boot clock alone."""

    def __init__(
        self, login: ScriptedLogin | None = None, store: Store | None = None, settings: TokenSettings | None = None
    ) -> None:
        self.login = login if login is not None else ScriptedLogin()
        self.store = store if store is not None else MemoryStore()
        self.events = EventRecorder()
        self.suspended = 0.0
        self.chance = 0.0
        self.manager = TokenManager(
            self.login,
            self.store,
            self.events,
            settings if settings is not None else TokenSettings(),
            Timing(self.clock, lambda: EPOCH + self.clock(), self.roll),
        )

    def clock(self) -> float:
        return asyncio.get_running_loop().time() + self.suspended

    def roll(self) -> float:
        """What chance has it."""
        return self.chance

    async def __aenter__(self) -> RunningManager:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.manager.stop()

    def state(self, account: str = "acme") -> str:
        return next(status.state for status in self.manager.statuses() if status.account == account)


def source(
    account: str = "acme", refresh: str | None = "refresh-0", secret: str = "s", client: str = "c"
) -> TokenSource:
    configured = Secret(refresh) if refresh is not None else None
    return TokenSource(account, "http://lwa.test/auth/o2/token", client, Secret(secret), configured)


class NumberedTokens:
    """The forwarder's source of tokens: `Atza|0` first, the next number after each renewal; accounts other than
    `default` have their names in theirs."""

    def __init__(self) -> None:
        self.number = 0
        self.cold = self.over = False
        self.fruitless = self.away = self.watchful = False
        self.uses: list[TokenUse] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.renewals = 0
        self._token = self._make()
        self._others: dict[str, AccessToken] = {}

    def _make(self, account: str = "default") -> AccessToken:
        value = f"Atza|{self.number}" if account == "default" else f"Atza|{account}|{self.number}"
        return AccessToken(account, Secret(value), self.number, float("inf"), "amzn1.test")

    def _of(self, account: str) -> AccessToken:
        if account == "default":
            return self._token
        if account not in self._others:
            self._others[account] = self._make(account)
        return self._others[account]

    def problem(self, account: str) -> str:
        return f"The login of {account} is over." if self.over else ""

    def current(self, account: str) -> AccessToken | None:
        return None if self.cold else self._of(account)

    def rotate(self) -> None:
        """The next tokens are in force."""
        self.number += 1
        self._token = self._make()
        self._others.clear()

    async def get(self, account: str) -> AccessToken:
        if self.cold:
            await self.gate.wait()
        return self._of(account)

    def accepted(self, token: AccessToken, use: TokenUse) -> None:
        self.uses.append(use)

    async def renewed(self, rejected: AccessToken, use: TokenUse) -> AccessToken | None:
        self.renewals += 1
        self.uses.append(use)
        await self.gate.wait()
        if self.away:
            raise NoUsableToken("Login with Amazon is away.", retry_after=3.0)
        if self.fruitless:
            return None
        if rejected is self._of(rejected.account):
            self.rotate()
        return self._of(rejected.account)
