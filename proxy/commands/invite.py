"""`invite`: Make, list or revoke links that ask for consent.

A link asks the advertiser for the consent that one account needs. It works once, at the running proxy's listener for
invitations (invites.listen).

Example: ads-proxy invite acme --days 14 --config proxy.yaml
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import urlsplit

import typer

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.completion import account_names
from proxy.commands.consoles import answers, plain_table
from proxy.commands.login import find_account
from proxy.commands.status import ask
from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.config import StateKind, environment, load
from proxy.errors import ConfigurationError
from proxy.profiles.replacement import STREAMS
from proxy.tokens.invitation import InvitationLedger, link, signing_key, state_of
from proxy.tokens.opening import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from proxy.config import Config

T = TypeVar("T")
NOT_SHARED = (
    "state.url: memory: does not share links with the running proxy; "
    "set state.url: file:DIR, or press Invite in the console"
)


def invite(
    account: Annotated[
        str,
        typer.Argument(
            metavar="ACCOUNT",
            help="The account that needs a consent.",
            show_default=False,
            autocompletion=account_names,
        ),
    ] = "",
    days: Annotated[int, typer.Option(min=1, max=90, help="Days until the link expires.")] = 7,
    listed: Annotated[bool, typer.Option("--list", help="List all links and their state.")] = False,
    revoked: Annotated[
        str,
        typer.Option(
            "--revoke",
            metavar="ID|ACCOUNT",
            help="Revoke one link, or all open links of an account.",
            autocompletion=account_names,
        ),
    ] = "",
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    if sum((bool(account), listed, bool(revoked))) != 1:
        raise ConfigurationError(("invite: give either ACCOUNT, --list or --revoke ID, as in `ads-proxy invite acme`",))
    loaded = load(config, environment(env_file))
    if listed:
        return print_invitations(loaded)
    return revoke(loaded, revoked) if revoked else make_link(loaded, account, days)


def make_link(config: Config, name: str, days: int) -> int:
    """Print a link for the account; 1 if the link would not work."""
    account, url = find_account(config, name, "invite"), config.invites.url
    if url is None:
        complain("invites.url: is not set; set it, and invites.listen for a listener of its own; restart the proxy")
        return FAILED
    if config.state.kind is StateKind.MEMORY:
        complain(NOT_SHARED)
        return FAILED
    running = ask(config.admin_listen, config.admin.key)
    if running.status is not None and not running.status.get("invites", True):
        complain(
            f"invites: the running proxy at {config.admin_listen} started without this section; restart it, then run "
            "this command again"
        )
        return FAILED
    sender = config.invites.sender or urlsplit(url).hostname or ""
    made = asyncio.run(_with_ledger(config, lambda ledger: ledger.make(name, days * 86400.0, sender)))
    tell(f"Send this link to the advertiser of '{name}'. It works once, until {as_utc(made.expires_at)}:\n")
    say(link(url, made, signing_key(account.secrets[0])))
    tell(f"\nAdd {url}/invite/callback to the return URLs of the security profile. To revoke the link:")
    tell(f"ads-proxy invite --revoke {made.id}")
    tell(f"\nIf another person than before gives the consent: {STREAMS}")
    if running.status is None:
        tell(f"\nnote: could not check whether the running proxy has `invites`: {running.problem}")
    return OK


async def _with_ledger(config: Config, act: Callable[[InvitationLedger], Awaitable[T]]) -> T:
    async with opened_ledger(config) as ledger:
        return await act(ledger)


def print_invitations(config: Config) -> int:
    """A row for each link in the state store."""
    columns = ("id", "account", "made", "until", "state")
    table = plain_table(*columns, unbroken=columns, overflow="ellipsis")
    for each in asyncio.run(_with_ledger(config, lambda ledger: ledger.all())):
        state = state_of(each, time.time())
        table.add_row(each.id, each.account, as_utc(each.made_at), as_utc(each.expires_at), state)
    answers().print(table)
    return OK


def revoke(config: Config, which: str) -> int:
    """Revoke open links; 1 if the account or id has none."""
    revoked = asyncio.run(_with_ledger(config, lambda ledger: ledger.revoke(which)))
    if not revoked:
        complain(f"--revoke: no open link has the account or id '{which}'; `ads-proxy invite --list` lists all links")
        return FAILED
    for each in revoked:
        say(f"{each.id} ({each.account}) is revoked")
    return OK


@asynccontextmanager
async def opened_ledger(config: Config) -> AsyncIterator[InvitationLedger]:
    """The links in the state store."""
    store = open_store(config.state.url, config.state.key)
    try:
        yield InvitationLedger(store, time.time)
    finally:
        await store.close()


def as_utc(moment: float) -> str:
    """A moment to the minute, for people."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
