"""The currency and the time zone that a request is paid in, by its route and the lists of profiles."""

from __future__ import annotations

import pytest

from proxy.profiles.listing import Profile
from proxy.routing.api import ADS_API, MCP
from proxy.routing.mcp_session import FixedAccount
from proxy.routing.route import Route
from proxy.routing.table import EmptyDirectory
from proxy.spend.findings import Payer
from proxy.spend.payer import payer_of
from tests.support.deciding import Listed


def profile(identifier: str, currency: str, timezone: str) -> Profile:
    return Profile(identifier, "Brand", "", currency, timezone, "seller", "M", "E")


PACIFIC, BERLIN = "America/Los_Angeles", "Europe/Berlin"
DIRECTORY = Listed(
    profiles={
        ("acme", "na"): (
            profile("1", "USD", PACIFIC),
            profile("2", "CAD", PACIFIC),
            profile("3", "USD", "America/New_York"),
            profile("4", "", ""),
        ),
        ("acme", "eu"): (profile("1", "EUR", BERLIN), profile("5", "EUR", BERLIN)),
        ("zeta", "na"): (profile("6", "MXN", PACIFIC),),
    },
    parts={
        ("one", "acme"): (("1", "na"),),
        ("states", "acme"): (("1", "na"), ("3", "na")),
        ("pacific", "acme"): (("1", "na"), ("2", "na")),
        ("global", "acme"): (("1", "na"), ("5", "eu")),
        ("partly", "acme"): (("1", "na"), ("", "na")),
        ("hidden", "acme"): (("9", "na"),),
    },
)


def payer(profile: str = "", ads_account: str = "", region: str = "na", fixed: FixedAccount | None = None) -> Payer:
    api = ADS_API if fixed is None else MCP
    return payer_of(Route("acme", region, api, profile.encode(), b"", ads_account.encode(), fixed=fixed), DIRECTORY)


@pytest.mark.parametrize(
    ("profile", "region", "paid"),
    [
        ("1", "na", Payer("USD", PACIFIC)),
        ("1", "eu", Payer("EUR", BERLIN)),
        ("2", "na", Payer("CAD", PACIFIC)),
        ("4", "na", Payer("", "")),
        ("6", "na", Payer("", "")),
        ("9", "na", Payer("", "")),
        ("", "na", Payer("", "")),
    ],
)
def test_a_profile_pays_in_its_currency(profile: str, region: str, paid: Payer) -> None:
    """The lists of the account and region of the route decide; another account's do not count."""
    assert payer(profile, region=region) == paid


@pytest.mark.parametrize(
    ("ads_account", "paid"),
    [
        ("one", Payer("USD", PACIFIC)),
        ("states", Payer("USD", "")),
        ("pacific", Payer("", PACIFIC)),
        ("global", Payer("", "")),
        ("partly", Payer("", "")),
        ("hidden", Payer("", "")),
        ("unknown", Payer("", "")),
    ],
)
def test_an_ads_account_pays_in_what_all_its_profiles_have(ads_account: str, paid: Payer) -> None:
    """Currency and time zone each by itself; a profile that no list has may have any other."""
    assert payer(ads_account=ads_account) == paid


@pytest.mark.parametrize(
    ("profile", "ads_account", "paid"),
    [
        ("1", "one", Payer("USD", PACIFIC)),
        ("3", "one", Payer("USD", "")),
        ("2", "one", Payer("", PACIFIC)),
        ("1", "unknown", Payer("", "")),
        ("9", "one", Payer("", "")),
    ],
)
def test_a_profile_and_an_ads_account_must_agree(profile: str, ads_account: str, paid: Payer) -> None:
    """A request names both, and the one that Amazon goes by cannot lie hidden behind the other."""
    assert payer(profile, ads_account) == paid


def test_only_a_fixed_session_of_mcp_has_a_payer() -> None:
    """In any other, arguments name the advertiser."""
    assert payer("1", fixed=FixedAccount(b"1")) == Payer("USD", PACIFIC)
    assert payer(ads_account="one", fixed=FixedAccount(b"", b"one")) == Payer("USD", PACIFIC)
    free = Route("acme", "na", MCP, b"1", b"")
    assert payer_of(free, DIRECTORY) == Payer("", "")
    assert payer_of(free, DIRECTORY, is_fixed=True) == Payer("USD", PACIFIC)


def test_without_lists_nobody_is_known_to_pay() -> None:
    """Nothing is known in a program that has not listed profiles yet."""
    assert payer_of(Route("acme", "na", ADS_API, b"1", b"", b"one"), EmptyDirectory()) == Payer("", "")
