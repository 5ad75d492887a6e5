"""When an account's list in a region is read, for which demand, and which failures are reported."""

from __future__ import annotations

from proxy.events import AdsAccountsFailed, ProfilesFailed
from proxy.profiles.listing import ProfileSource
from proxy.profiles.reach_reader import REPORT_INTERVAL, RegionWatch


def watch() -> RegionWatch:
    return RegionWatch(ProfileSource("acme", "app", {"na": "https://a.test"}, pins_first=False), "na")


async def test_a_list_on_demand_is_read_at_once_where_no_other_replica_read_one() -> None:
    """Each watcher wakes."""
    watched = watch()
    watched.hasten(100.0, 10.0)
    assert (watched.early_at, watched.wake.is_set()) == (100.0, True)


async def test_it_waits_until_anothers_list_is_old_enough() -> None:
    """Whichever comes first, the wish or the list; a sign-in waits for nothing, and is not put off by a later wish."""
    watched = watch()
    watched.take_over(4.0, 100.0, 10.0)
    watched.hasten(101.0, 10.0)
    assert watched.early_at == 106.0
    watched.take_over(0.0, 103.0, 10.0)
    assert watched.early_at == 113.0
    watched.hasten(104.0, 0.0)
    watched.hasten(105.0, 10.0)
    assert watched.early_at == 104.0


async def test_a_failure_is_told_once() -> None:
    """The failure is reported again when it changes, is of another kind, or some time has passed."""
    watched = watch()
    told = [
        watched.is_news(ProfilesFailed, "503", 0.0),
        watched.is_news(ProfilesFailed, "503", REPORT_INTERVAL - 1),
        watched.is_news(AdsAccountsFailed, "503", REPORT_INTERVAL - 1),
        watched.is_news(ProfilesFailed, "503", REPORT_INTERVAL),
        watched.is_news(ProfilesFailed, "403", REPORT_INTERVAL),
        watched.is_news(ProfilesFailed, "403", 3 * REPORT_INTERVAL),
    ]
    assert told == [True, False, True, True, True, True]
