"""The collector is kept away from what stays, and from nothing else."""

from __future__ import annotations

import gc

import pytest

from proxy.app.kept_objects import STEP, KeptObjects
from proxy.events import AccountRemoved, ProfilesListed


@pytest.fixture
def freezes(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that objects are frozen."""
    found: list[None] = []
    monkeypatch.setattr(gc, "freeze", lambda: found.append(None))
    return found


def test_objects_are_frozen_as_the_lists_grow(freezes: list[None]) -> None:
    """Each time that there are so many more."""
    kept = KeptObjects()
    for account in range(25):
        kept.observe(ProfilesListed(f"a{account}", "na", STEP // 10))
    assert len(freezes) == 2
    assert repr(kept) == f"<KeptObjects: {25 * STEP // 10} profiles>"


def test_the_same_lists_again_are_no_growth(freezes: list[None]) -> None:
    """Neither a list that is read again, nor one that shrank and has grown back."""
    kept = KeptObjects()
    for profiles in (STEP, STEP, 0, STEP, STEP + 1):
        kept.observe(ProfilesListed("acme", "na", profiles))
    kept.observe(AccountRemoved("acme"))
    assert len(freezes) == 1


def test_regions_and_accounts_are_counted_apart(freezes: list[None]) -> None:
    """What one has takes nothing from another."""
    kept = KeptObjects()
    for account, region in (("a", "na"), ("a", "eu"), ("b", "na")):
        kept.count(account, region, STEP // 3 + 1)
    assert len(freezes) == 1
