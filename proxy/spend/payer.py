"""Who pays for a write: the currency and the time zone of the profiles that it works for. Pure.

They are known where Amazon's lists have every profile that may be meant, and all of them agree. In doubt they are
unknown, and amounts cannot be judged: an amount in dollars must not pass for one in yen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.spend.findings import Payer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.profiles.listing import Profile
    from proxy.routing.route import Route
    from proxy.routing.table import Directory

UNKNOWN: Final = Payer("", "")


def payer_of(route: Route, directory: Directory, *, is_fixed: bool = False) -> Payer:
    """The payer of a request with this route. At the MCP endpoint only a session that is fixed to one advertiser has
    one, by its route or as `is_fixed` tells: in any other session the arguments of a tool name an advertiser, and the
    header fields do not count."""
    if route.api.takes_messages and route.fixed is None and not is_fixed:
        return UNKNOWN
    profiles = [*_profiles_of(route, directory)]
    if not profiles:
        return UNKNOWN
    currencies = {each.currency if each is not None else "" for each in profiles}
    timezones = {each.timezone if each is not None else "" for each in profiles}
    return Payer(
        currencies.pop() if len(currencies) == 1 else "",
        timezones.pop() if len(timezones) == 1 else "",
    )


def _profiles_of(route: Route, directory: Directory) -> Iterator[Profile | None]:
    """The profiles of the Scope and of the ads account; None for each that no list has."""
    if route.profile:
        yield directory.describe(route.profile.decode("latin-1"), route.account, route.region)
    if route.ads_account:
        parts = directory.ads_account_profiles(route.ads_account.decode("latin-1"), route.account)
        if not parts:
            yield None
        for profile, region in parts:
            yield directory.describe(profile, route.account, region)
