"""What a named report orders: days, zones, and how many at once."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from proxy.profiles.reach import AdsAccount, AlternateId
from proxy.reports.plan import ProfileAccount, ReportProfile, find_accounts, find_window, plan_orders, select_profiles
from proxy.reports.templates import Version1Template, Version3Template
from tests.reports.reporting import DE, JP, US, make_report, moment

NOON = moment("2026-11-02 12:00")


@pytest.mark.parametrize(
    ("zone", "now", "last"),
    [
        ("Europe/Berlin", "2026-11-01 22:59", date(2026, 10, 31)),
        ("Europe/Berlin", "2026-11-01 23:00", date(2026, 11, 1)),
        ("America/Los_Angeles", "2026-11-02 07:59", date(2026, 10, 31)),
        ("America/Los_Angeles", "2026-11-02 08:00", date(2026, 11, 1)),
        ("Asia/Tokyo", "2026-11-01 15:00", date(2026, 11, 1)),
        ("nowhere", "2026-11-02 00:00", date(2026, 11, 1)),
        ("", "2026-11-01 23:59", date(2026, 10, 31)),
        ("../etc/passwd", "2026-11-02 00:00", date(2026, 11, 1)),
    ],
)
def test_the_last_day_is_yesterday_in_the_time_zone_of_the_profile(zone: str, now: str, last: date) -> None:
    """UTC's where the zone is unknown."""
    assert find_window(make_report(days=1), zone, moment(now)) == (last, last)


@pytest.mark.parametrize(
    ("days", "lengths"),
    [(1, [1]), (30, [30]), (31, [31]), (32, [31, 1]), (62, [31, 31]), (94, [31, 31, 31, 1]), (95, [31, 31, 31, 1])],
)
def test_no_order_is_longer_than_amazon_accepts(days: int, lengths: list[int]) -> None:
    """The newest days come first, and the orders cover each day once; the 95th is at the edge of what Amazon keeps."""
    orders = plan_orders(make_report(days=days), US, NOON)
    covered = [
        (date.fromisoformat(order.first_day) + timedelta(days=number)).isoformat()
        for order in reversed(orders)
        for number in range((date.fromisoformat(order.last_day) - date.fromisoformat(order.first_day)).days + 1)
    ]
    assert [(date.fromisoformat(o.last_day) - date.fromisoformat(o.first_day)).days + 1 for o in orders] == lengths
    assert covered == sorted(set(covered))
    assert covered[-1] == "2026-11-01"


def test_no_order_is_older_than_amazon_keeps_rows() -> None:
    """60 days of Sponsored Brands."""
    template = Version3Template({"reportTypeId": "sbCampaigns", "columns": ["date"]})
    orders = plan_orders(make_report(days=90, template=template), US, NOON)
    assert orders[-1].first_day == "2026-09-04"


def test_version_1_takes_more_days_in_one_order() -> None:
    """Which names the ads account; 24 months are seven of them."""
    whole = plan_orders(
        make_report(days=730, template=Version1Template({"query": {"fields": ["date.value"]}})), DE, NOON
    )
    assert (len(whole), whole[-1].first_day, whole[0].last_day) == (7, "2024-11-02", "2026-11-01")
    report = make_report(days=95, template=Version1Template({"query": {"fields": ["date.value"]}}))
    (order,) = plan_orders(report, DE, NOON, ProfileAccount("amzn1.x", "DE"))
    assert (order.first_day, order.last_day) == ("2026-07-30", "2026-11-01")
    assert (order.profile, order.region, order.ads_account, order.country) == ("22", "eu", "amzn1.x", "DE")


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ({"A": [("US", "11")]}, {"11": ("A", "")}),
        ({"A": [("US", "11"), ("CA", "12")]}, {"11": ("A", "US"), "12": ("A", "CA")}),
        ({"A": [("US", "11"), ("US", "12"), ("CA", "13")]}, {"13": ("A", "CA")}),
        ({"A": [("US", "11"), ("", "12")]}, {"11": ("A", "US")}),
        ({"A": [("US", "11"), ("MX", "")]}, {"11": ("A", "US")}),
        ({"A": [("US", "11"), ("CA", "12")], "B": [("US", "11")]}, {"11": ("B", ""), "12": ("A", "CA")}),
        ({"A": []}, {}),
    ],
)
def test_a_profile_has_an_ads_account_whose_rows_can_be_told_apart(
    listed: dict[str, list[tuple[str, str]]], found: dict[str, tuple[str, str]]
) -> None:
    """By the country, unless all of them are its."""
    accounts = [
        AdsAccount(name, alternates=tuple(AlternateId(country, "", profile) for country, profile in entries))
        for name, entries in listed.items()
    ]
    assert find_accounts(accounts) == found


def test_an_ads_account_is_seen_whole_over_all_hosts() -> None:
    """One host may list another part of it than the other."""
    parts = [AdsAccount("A", alternates=(AlternateId(*each),)) for each in (("US", "", "11"), ("DE", "", "22"))]
    assert find_accounts([*parts, parts[0]]) == {"11": ("A", "US"), "22": ("A", "DE")}


def test_an_ads_account_may_have_a_country_on_a_host_that_was_not_read() -> None:
    """So each profile gets the rows of its own country, and none where that is unknown."""
    one, unknown = (AdsAccount("A", alternates=(AlternateId(country, "", "11"),)) for country in ("US", ""))
    assert find_accounts([one]) == {"11": ("A", "")}
    assert find_accounts([one], complete=False) == {"11": ("A", "US")}
    assert find_accounts([unknown], complete=False) == {}


@pytest.mark.parametrize(
    "part",
    [
        AdsAccount("A", alternates=(AlternateId("CA", "ENTITY2", ""),)),
        AdsAccount("A", countries=("US", "CA")),
    ],
    ids=["entity", "country"],
)
def test_rows_of_a_country_without_a_profile_are_no_other_profiles(part: AdsAccount) -> None:
    """The ads account has them, too; without its own country, a profile cannot be told apart from them."""
    us, unknown = (AdsAccount("A", alternates=(AlternateId(country, "ENTITY1", "11"),)) for country in ("US", ""))
    assert find_accounts([us, part]) == find_accounts([part, us]) == {"11": ("A", "US")}
    assert find_accounts([unknown, AdsAccount("A", countries=("US", "CA"))]) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"account": "b"},
        {"days": 3},
        {"region": "eu"},
        {"profiles": ("11",)},
        {"template": Version3Template({"columns": ["cost"]})},
    ],
)
def test_another_definition_has_another_digest(change: dict[str, object]) -> None:
    assert make_report(**change).digest != make_report().digest


def test_a_schedule_does_not_change_the_rows() -> None:
    assert make_report(every=60.0).digest == make_report().digest


@pytest.mark.parametrize(
    ("change", "found", "missing"),
    [
        ({}, ["11", "22", "33"], ()),
        ({"region": "eu"}, ["22"], ()),
        ({"profiles": ("33", "44")}, ["33"], ("44",)),
        ({"profiles": ("33",), "region": "na"}, [], ("33",)),
    ],
)
def test_profiles_are_those_of_the_configuration_that_exist(
    change: dict[str, object], found: list[str], missing: tuple[str, ...]
) -> None:
    known: list[ReportProfile] = [US, DE, JP]
    chosen, absent = select_profiles(make_report(**change), known)
    assert ([profile.id for profile in chosen], absent) == (found, missing)
