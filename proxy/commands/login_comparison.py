"""What `login` asks before a login that works gives way: the new one is tried first, and compared with the present one.

The rule is that of the console (`proxy.profiles.replacement`); here it is asked at a terminal.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.commands.amazon_session import RegionListing, list_region, try_account
from proxy.commands.terminal import complain, say, tell
from proxy.config import REGION_NAMES
from proxy.profiles.replacement import Comparison, GrantedProfiles, ReachedProfile, Replacement, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from proxy.commands.amazon_session import AmazonSession
    from proxy.config import Account
    from proxy.tokens.token_response import Grant

MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class NamedProfile:
    """A profile that one of the two logins reaches."""

    id: str
    region: str
    name: str
    country: str


async def may_replace(amazon: AmazonSession, account: Account, grant: Grant, insists: bool) -> bool:
    """Whether what was granted may be put in force; says why not. Nothing has changed until then.

    Where the present login does not work, or none of its profiles is known, there is nothing to lose.
    """
    present, listings = await asyncio.gather(
        try_account(amazon, account),
        asyncio.gather(*(list_region(amazon, account, region, grant.access_token) for region in REGION_NAMES)),
    )
    known = tuple(_named_profiles(present.listings))
    granted = GrantedProfiles(
        tuple(_named_profiles(listings)), {listing.region: listing.problem for listing in listings if listing.problem}
    )
    comparison = compare(known, granted) if known and not present.problem else Comparison(Replacement.AT_ONCE)
    for line in describe_comparison(comparison):
        tell(line)
    return decide(comparison.decision, insists, sys.stdin.readline)


def decide(decision: Replacement, insists: bool, read_line: Callable[[], str]) -> bool:
    """Whether it is taken over: at once, after a `yes`, or only where one insists."""
    if decision is Replacement.AT_ONCE or insists:
        return True
    if decision is Replacement.INSIST:
        complain("the present login stays in force; if you mean it, run the command again with --replace")
        return False
    tell("Type yes and press Enter to take the new login all the same; anything else keeps the present one.")
    if read_line().strip().lower() == "yes":
        return True
    complain("the present login stays in force")
    return False


def describe_comparison(comparison: Comparison) -> Iterator[str]:
    """What would be gone and what would be new, and who that most likely is."""
    if comparison.gained:
        yield f"New with this login: {_named(comparison.gained)}."
    if comparison.lost:
        yield f"Not reached by this login: {_named(comparison.lost)}."
    if comparison.uncertain:
        yield f"What it reaches in {', '.join(comparison.uncertain)} could not be listed."
    if comparison.decision is Replacement.INSIST:
        yield (
            f"It reaches none of the {comparison.known} profiles of the present login: most likely it is somebody "
            "else's."
        )


def _named(profiles: tuple[ReachedProfile, ...]) -> str:
    shown = ", ".join(f"{profile.id} {profile.name} ({profile.region})" for profile in profiles[:MAX_SHOWN])
    more = len(profiles) - MAX_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _named_profiles(listings: Iterable[RegionListing]) -> Iterator[NamedProfile]:
    for listing in listings:
        for profile in listing.profiles:
            yield NamedProfile(profile.id, listing.region, profile.name, profile.country)


def say_what_it_reaches(listings: Iterable[RegionListing]) -> None:
    """A line for each region."""
    for listing in listings:
        say(f"  {listing.region}: {listing.problem or _count(listing)}")


def _count(listing: RegionListing) -> str:
    shown = ", ".join(profile.id for profile in listing.profiles[:5])
    count = len(listing.profiles)
    if not count:
        return "no profiles"
    return f"{count} profiles ({shown}{', ...' if count > 5 else ''})"
