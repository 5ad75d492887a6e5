"""`profiles`: List the profiles of every account in every region.

With --accounts it lists ads accounts instead.

Example: ads-proxy profiles --format csv --config proxy.yaml
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.consoles import answers, plain_table, remarks
from proxy.commands.terminal import FAILED, OK, say
from proxy.config import environment, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.commands.amazon_session import AccountFinding, AmazonSession
    from proxy.config import Account, Config
    from proxy.profiles.listing import Profile
    from proxy.profiles.reach import MergedAdsAccount

COLUMNS = ("account", "region", "profile", "country", "currency", "timezone", "type", "name")
ADS_ACCOUNT_COLUMNS = (
    *("account", "ads_account", "kind", "status", "regions", "countries", "profiles", "entities", "name"),
)


def profiles(
    layout: Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="The output format.")] = "table",
    accounts: Annotated[bool, typer.Option("--accounts", help="List ads accounts instead of profiles.")] = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    return print_profiles(load(config, environment(env_file)), layout, ads_accounts=accounts)


def print_profiles(config: Config, layout: str, *, ads_accounts: bool = False) -> int:
    """Print what could be listed; 1 where something could not."""
    findings = asyncio.run(_try_all(config, ads_accounts))
    if ads_accounts:
        rows = [_ads_account_row(known) for finding in findings for known in finding.ads_accounts]
        return _print(ADS_ACCOUNT_COLUMNS, rows, layout, findings)
    rows = [
        _row(finding.account, listing.region, profile)
        for finding in findings
        for listing in finding.listings
        for profile in listing.profiles
    ]
    return _print(COLUMNS, rows, layout, findings)


def _print(
    columns: Sequence[str], rows: Sequence[Mapping[str, str]], layout: str, findings: Sequence[AccountFinding]
) -> int:
    from proxy.commands.amazon_session import tell_findings

    if layout == "json":
        say(json.dumps(rows, indent=2, ensure_ascii=False))
    elif layout == "csv":
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)
    else:
        table = plain_table(*columns, unbroken=("account", "region", "profile"))
        for row in rows:
            table.add_row(*row.values())
        answers().print(table)
    tell_findings(findings)
    return OK if all(finding.is_sound for finding in findings) else FAILED


async def _try_all(config: Config, ads_accounts: bool) -> list[AccountFinding]:
    from proxy.commands.amazon_session import open_session, try_account

    what = "reading ads accounts" if ads_accounts else "reading profiles"
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("accounts"))
    with Progress(*columns, console=remarks(), transient=True) as progress:
        task = progress.add_task("", total=len(config.accounts))

        async def try_one(amazon: AmazonSession, account: Account) -> AccountFinding:
            finding = await try_account(amazon, account, ads_accounts=ads_accounts)
            progress.advance(task)
            return finding

        async with open_session(config) as amazon:
            return await asyncio.gather(*(try_one(amazon, account) for account in config.accounts.values()))


def _row(account: str, region: str, profile: Profile) -> dict[str, str]:
    own = profile.id, profile.country, profile.currency, profile.timezone, profile.kind, profile.name
    return dict(zip(COLUMNS, (account, region, *own), strict=True))


def _ads_account_row(known: MergedAdsAccount) -> dict[str, str]:
    """Several values of a kind share one cell, separated by blanks."""
    several = (known.regions, known.countries, known.profiles, known.entities)
    values = (known.account, known.id, known.kind, known.status, *map(" ".join, several), known.name)
    return dict(zip(ADS_ACCOUNT_COLUMNS, values, strict=True))


def _plain(value: str) -> str:
    """A cell that no spreadsheet takes for a formula; names are chosen by others."""
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t") else value
