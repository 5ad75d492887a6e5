"""`check`: obtains a token for each account, lists its profiles in each region, and says plainly what is wrong.

`check --offline` stops before it asks anybody.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rich.table import Table

from proxy.app.rules import make_operations
from proxy.app.telemetry import require_extra
from proxy.app.tls_in_force import TlsInForce
from proxy.commands.amazon_session import Finding, explain, open_session, remarks_on, try_account
from proxy.commands.consoles import answers
from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.config import REGION_NAMES, Config, StateKind, notes

if TYPE_CHECKING:
    from collections.abc import Iterator

_ORIGINS = {
    "configuration": "configuration",
    "store": "state (renewed by Amazon)",
    "sign-in": "state (sign-in)",
    "": "none",
}


def check(config: Config, *, offline: bool = False) -> int:
    """0 where every account works, else 1; `StartupError` where a running program would not take this configuration.

    With `offline` nobody is asked about accounts.
    """
    make_operations(config)
    require_extra(config)
    TlsInForce().begin(config)
    tell(_summary(config))
    for note in notes(config):
        tell(f"note: {note}")
    if offline:
        say("The configuration can be used. Nobody was asked.")
        return OK
    findings = asyncio.run(_try_all(config))
    answers().print(_table(findings))
    for remark in remarks_on(findings):
        tell(f"note: {remark}")
    for finding in findings:
        for sentence in explain(finding):
            complain(sentence)
    unknown = [*unlisted_profiles(config, findings)]
    for sentence in unknown:
        complain(sentence)
    if unknown or not all(finding.is_sound for finding in findings):
        return FAILED
    say("Everything works.")
    return OK


def _summary(config: Config) -> str:
    source = str(config.sources[0]) if config.sources else "the environment"
    state = {StateKind.MEMORY: "in memory", StateKind.FILE: "in files", StateKind.REDIS: "in Redis"}[config.state.kind]
    clients = f"clients with keys: {len(config.clients)}" if config.clients else "every caller is trusted"
    return f"The configuration ({source}) is valid: {config.listen}, {clients}, state {state}"


async def _try_all(config: Config) -> list[Finding]:
    async with open_session(config) as amazon:
        return await asyncio.gather(*(try_account(amazon, account) for account in config.accounts.values()))


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("account", "refresh token", "access token", *(f"profiles {region}" for region in REGION_NAMES)):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        counts = [("failed" if each.problem else str(len(each.profiles))) for each in finding.listings]
        minted = "ok" if not finding.problem else "failed" if finding.origin else "-"
        table.add_row(finding.account, _ORIGINS[finding.origin], minted, *(counts or ["-"] * len(REGION_NAMES)))
    return table


def unlisted_profiles(config: Config, findings: list[Finding]) -> Iterator[str]:
    """Configured profiles that no region lists for their account, where all regions spoke. Pure."""
    listed = {
        finding.account: {profile.id for listing in finding.listings for profile in listing.profiles}
        for finding in findings
        if finding.listings and not any(listing.problem for listing in finding.listings)
    }
    wanted = [
        *(
            (f"accounts.{name}.default_profile", name, account.default_profile)
            for name, account in config.accounts.items()
        ),
        *((f"routes.{name}.profile", route.account, route.profile) for name, route in config.routes.items()),
    ]
    for key, account, profile in wanted:
        if profile and profile != "first" and profile not in listed.get(account, {profile}):
            yield (
                f"{key}: is none of the profiles of '{account}'; "
                "`ads-proxy profiles` lists them, and Amazon answers requests for others with 401"
            )
