"""`invites`: Links that ask for consent."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.consoles import answers
from proxy.commands.terminal import FAILED, OK, complain, say
from proxy.config import environment, load
from proxy.tokens.invitation import Invitation, InvitationLedger, state_of
from proxy.tokens.opening import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.config import Config

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command("list")
def list_links(config: ConfigOption = None, env_file: EnvFileOption = None) -> int:
    """List the links that were made, and what became of them."""
    return print_invitations(load(config, environment(env_file)))


@app.command("revoke")
def revoke_links(
    which: Annotated[str, typer.Argument(metavar="ACCOUNT|ID", help="All open links of an account, or one of them.")],
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Take links back before they are used."""
    return revoke(load(config, environment(env_file)), which)


def print_invitations(config: Config) -> int:
    """A row for each link that is remembered."""
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "account", "made", "until", "state"):
        table.add_column(heading, no_wrap=True)
    for each in asyncio.run(_all(config)):
        state = state_of(each, time.time())
        table.add_row(each.id, each.account, as_utc(each.made_at), as_utc(each.expires_at), state)
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
async def opened_ledger(config: Config) -> AsyncIterator[InvitationLedger]:
    """The links that the state store keeps."""
    store = open_store(config.state.url, config.state.key)
    try:
        yield InvitationLedger(store, time.time)
    finally:
        await store.close()


async def _all(config: Config) -> tuple[Invitation, ...]:
    async with opened_ledger(config) as ledger:
        return await ledger.all()


async def _revoke(config: Config, which: str) -> tuple[Invitation, ...]:
    async with opened_ledger(config) as ledger:
        return await ledger.revoke(which)


def as_utc(moment: float) -> str:
    """A moment to the minute, as people read it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
