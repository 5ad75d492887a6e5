"""`invite ACCOUNT`, `invites list` and `invites revoke`: links that ask an advertiser for consent."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.table import Table

from proxy.commands.consoles import answers
from proxy.commands.login import find_account
from proxy.commands.status import ask
from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.config import StateKind
from proxy.tokens.invitation import Invitation, InvitationLedger, link, signing_key, state_of
from proxy.tokens.opening import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.config import Config

NOWHERE = "state.url is memory:, so a running proxy would not know the link; use the console's button, or file:DIR"


def invite(config: Config, name: str, days: int) -> int:
    """Print a link for the account; 1 if it would lead nowhere."""
    account, url = find_account(config, name, "invite"), config.invites.url
    if url is None:
        complain(
            "nobody can be invited: set invites.listen and invites.url, or invites.url alone, and restart the proxy"
        )
        return FAILED
    if config.state.kind is StateKind.MEMORY:
        complain(NOWHERE)
        return FAILED
    running = ask(config.admin_listen, config.admin.key)
    if running.status is not None and not running.status.get("invites", True):
        complain(
            f"the proxy that runs at {config.admin_listen} does not know `invites` yet; restart it, then run this "
            "command again"
        )
        return FAILED
    made = asyncio.run(_make(config, name, days * 86400.0, config.invites.sender or urlsplit(url).hostname or ""))
    tell(f"Send this link to the advertiser of '{name}'. It works once, until {_when(made.expires_at)}:\n")
    say(link(url, made, signing_key(account.secrets[0])))
    tell(f"\nThe security profile must list {url}/invite/callback among its return URLs. To take the link back:")
    tell(f"ads-proxy invites revoke {made.id}")
    if running.status is None:
        tell(f"\nWhether the running proxy knows `invites` was not checked: {running.problem}")
    return OK


def print_invitations(config: Config) -> int:
    """A row for each link that is remembered."""
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "account", "made", "until", "state"):
        table.add_column(heading, no_wrap=True)
    for each in asyncio.run(_all(config)):
        state = state_of(each, time.time())
        table.add_row(each.id, each.account, _when(each.made_at), _when(each.expires_at), state)
    answers().print(table)
    return OK


def revoke(config: Config, which: str) -> int:
    """End open links; 1 where there is none of that account or id."""
    ended = asyncio.run(_revoke(config, which))
    if not ended:
        complain(f"no open link is of the account or id '{which}'; `ads-proxy invites list` shows them")
        return FAILED
    for each in ended:
        say(f"{each.id} ({each.account}) is revoked")
    return OK


@asynccontextmanager
async def _opened(config: Config) -> AsyncIterator[InvitationLedger]:
    store = open_store(config.state.url, config.state.key)
    try:
        yield InvitationLedger(store, time.time)
    finally:
        await store.close()


async def _make(config: Config, account: str, seconds: float, sender: str) -> Invitation:
    async with _opened(config) as ledger:
        return await ledger.make(account, seconds, sender)


async def _all(config: Config) -> tuple[Invitation, ...]:
    async with _opened(config) as ledger:
        return await ledger.all()


async def _revoke(config: Config, which: str) -> tuple[Invitation, ...]:
    async with _opened(config) as ledger:
        return await ledger.revoke(which)


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
