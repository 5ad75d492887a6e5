"""The access tokens that a worker was given: it serves them until they end, and asks its supervisor for all else."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from proxy.app.workers.channel import ChannelClosed, RemoteCallFailed
from proxy.clock import boot_time
from proxy.errors import NoUsableToken
from proxy.secret import Secret
from proxy.tokens.token_rejections import WATCHFUL
from proxy.tokens.values import AccessToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.app.workers.channel import Channel, Message
    from proxy.tokens.token_rejections import TokenUse

_MAX_TOLD: Final = 16384
"""Uses that are remembered as told, of all accounts."""
_UNANSWERED: Final = "No access token because of a defect of the program; its log has the traceback."
_ALONE: Final = "This worker lost its supervisor and stops; send the request again on a new connection."


class WorkerTokens:
    """Implements what exchanges ask of tokens. `channel` leads to the supervisor, which gets them."""

    def __init__(self, channel: Channel, clock: Callable[[], float] = boot_time) -> None:
        self._channel, self._clock = channel, clock
        self._tokens: dict[str, AccessToken] = {}
        self._problems: dict[str, str] = {}
        self._news: dict[str, int] = {}
        """How many messages there were about each account."""
        self._told: set[tuple[str, TokenUse]] = set()
        self._watch_until = 0.0
        self.watchful = False

    def __repr__(self) -> str:
        return f"<WorkerTokens of {len(self._tokens)} accounts>"

    # --- what the supervisor tells

    def take(self, message: Message) -> AccessToken | None:
        """An account's token, if there is one now, and its trouble. An equal cached token stays the same object."""
        account = message["account"]
        if "trouble" in message:
            self._problems[account] = message["trouble"]
            self._news[account] = self._news.get(account, 0) + 1
        token = read_token(message["token"])
        held = self._tokens.get(account)
        if token is None:
            self._tokens.pop(account, None)
        elif token != held:
            self._tokens[account] = token
        return self._tokens.get(account)

    def keep(self, accounts: Iterable[str]) -> None:
        """Forget all other accounts."""
        kept = frozenset(accounts)
        for held in (self._tokens, self._problems, self._news):
            for account in [account for account in held if account not in kept]:
                held.pop(account)

    def watch(self) -> None:
        """Amazon answered 401: for a while, the uses that it accepts are noted."""
        self._told.clear()
        self.watchful, self._watch_until = True, self._clock() + WATCHFUL

    # --- what exchanges ask

    def current(self, account: str) -> AccessToken | None:
        token = self._tokens.get(account)
        return token if token is not None and self._clock() < token.expires_at else None

    async def get(self, account: str) -> AccessToken:
        token = self.current(account) or await self._ask("token", account)
        if token is None:
            raise NoUsableToken(f"The account '{account}' has no access token now; try again shortly.", retry_after=1)
        return token

    async def renewed(self, rejected: AccessToken, use: TokenUse) -> AccessToken | None:
        held = self.current(rejected.account)
        if held is not None and held is not rejected:
            return held
        self.watch()
        return await self._ask("renew", rejected.account, rejected=write_token(rejected), use=dataclasses.astuple(use))

    def accepted(self, token: AccessToken, use: TokenUse) -> None:
        """Tell the supervisor, once for each use: it remembers which were ever accepted."""
        if self._clock() > self._watch_until:
            self.watchful = False
        elif (token.account, use) not in self._told:
            if len(self._told) >= _MAX_TOLD:
                self._told.clear()
            self._told.add((token.account, use))
            self._channel.send("accepted", token=write_token(token), use=dataclasses.astuple(use))

    def problem(self, account: str) -> str:
        return self._problems.get(account, "")

    async def _ask(self, question: str, account: str, **values: Any) -> AccessToken | None:
        """The supervisor waits as long as a request may wait. Raises `NoUsableToken`.

        What it tells behind an answer may be heard before that is read here, and stays then.
        """
        news = self._news.get(account)
        try:
            answer = await self._channel.ask(question, account=account, **values)
        except ChannelClosed:
            raise NoUsableToken(_ALONE, retry_after=1, close=True) from None
        except RemoteCallFailed:
            raise NoUsableToken(_UNANSWERED, retry_after=1) from None
        refused = answer.get("refused")
        if refused is not None:
            raise NoUsableToken(
                refused["detail"], retry_after=refused["retry_after"], retryable=refused["retryable"]
            ) from None
        if answer["token"] is None:
            return None
        return self.take(answer) if self._news.get(account) == news else self._tokens.get(account)


def write_token(token: AccessToken | None) -> list[Any] | None:
    """A token as the channel carries it. The result holds the secret."""
    if token is None:
        return None
    return [token.account, token.value.reveal(), token.generation, token.expires_at, token.client_id, token.lineage]


def read_token(said: list[Any] | None) -> AccessToken | None:
    """What `write_token` wrote."""
    if said is None:
        return None
    account, value, generation, expires_at, client_id, lineage = said
    return AccessToken(account, Secret(value), generation, expires_at, client_id, lineage)


def write_refusal(error: NoUsableToken) -> dict[str, Any]:
    """Why there is no token, as an answer to a worker."""
    return {"detail": error.detail, "retry_after": error.retry_after, "retryable": error.retryable}
