"""`invite`: Make a link to send to the advertiser, which asks for the consent that an account needs.

It works once, for this account alone, at the running proxy's listener for invitations (invites.listen).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.invites import as_utc, opened_ledger
from proxy.commands.login import find_account
from proxy.commands.status import ask
from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.config import StateKind, environment, load
from proxy.profiles.replacement import STREAMS
from proxy.tokens.invitation import Invitation, link, signing_key

if TYPE_CHECKING:
    from proxy.config import Config

NOWHERE = "state.url is memory:, so a running proxy would not know the link; use the console's button, or file:DIR"


def invite(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account whose consent is asked for.")],
    days: Annotated[int, typer.Option(min=1, max=90, help="How long the link is good.")] = 7,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    return make_link(load(config, environment(env_file)), account, days)


def make_link(config: Config, name: str, days: int) -> int:
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
    tell(f"Send this link to the advertiser of '{name}'. It works once, until {as_utc(made.expires_at)}:\n")
    say(link(url, made, signing_key(account.secrets[0])))
    tell(f"\nThe security profile must list {url}/invite/callback among its return URLs. To take the link back:")
    tell(f"ads-proxy invites revoke {made.id}")
    tell(f"\nIf another person than before gives the consent: {STREAMS}")
    if running.status is None:
        tell(f"\nWhether the running proxy knows `invites` was not checked: {running.problem}")
    return OK


async def _make(config: Config, account: str, seconds: float, sender: str) -> Invitation:
    async with opened_ledger(config) as ledger:
        return await ledger.make(account, seconds, sender)
