"""The authority of the running program: reported, renewed in time, and what may resolve Amazon's names."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from proxy.app.interception import AuthorityKeeper, resolver_of
from proxy.config import Address, Config
from proxy.events import AuthorityLoaded, Event
from proxy.intercept.authority import AUTHORITY_LIFE, DAY, Authority
from proxy.intercept.hosts import AMAZON_HOSTS
from proxy.net.names import AskAboutOthers, ask_system


class Reports:
    """What was reported."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        self.events.append(event)

    @property
    def newest(self) -> AuthorityLoaded:
        newest = self.events[-1]
        assert isinstance(newest, AuthorityLoaded)
        return newest


class Kept:
    """An authority that is kept, at a time that a test sets."""

    def __init__(self, folder: Path) -> None:
        self.now = time.time()
        self.folder = folder
        self.authority = Authority.open(folder, self.now)
        self.reports = Reports()
        self.keeper = AuthorityKeeper(self.authority, self.reports, lambda: self.now)


@pytest.fixture
async def kept(tmp_path: Path) -> Kept:
    """A new authority, as it was reported at start."""
    made = Kept(tmp_path / "ca")
    made.keeper.begin().cancel()
    return made


async def test_it_is_reported_at_start(kept: Kept) -> None:
    """Whoever reads the log knows what clients must trust, and until when."""
    file = kept.folder / "ca.pem"
    note = f"An authority has been made; clients must trust {file}."
    assert kept.reports.events == [AuthorityLoaded(kept.authority.ends_at, str(file), note)]


async def test_looks_that_find_nothing_new_report_nothing(kept: Kept) -> None:
    """The authority is not due until 30 days before its end."""
    await kept.keeper.look()
    kept.now += AUTHORITY_LIFE - 31 * DAY
    await kept.keeper.look()
    assert len(kept.reports.events) == 1


async def test_it_is_renewed_although_no_client_connects(kept: Kept) -> None:
    """The end of the old one stays the moment that matters, until only the new one is left."""
    first = kept.authority.ends_at
    kept.now = first - 29 * DAY
    await kept.keeper.look()
    assert kept.reports.newest.note.startswith("The authority has been renewed; copy ")
    assert (kept.reports.newest.ends_at, kept.authority.pem.count(b"BEGIN")) == (first, 2)
    kept.now = first + 60
    await kept.keeper.look()
    assert kept.authority.pem.count(b"BEGIN") == 1
    assert kept.reports.newest.ends_at > first + 3000 * DAY


async def test_another_process_may_have_renewed_it(kept: Kept) -> None:
    """Whichever was first, clients with a copy need a new one."""
    kept.now = kept.authority.ends_at - 29 * DAY
    Authority.open(kept.folder, kept.now)
    await kept.keeper.look()
    assert kept.reports.newest.note == kept.authority.renewed


async def test_what_keeps_it_from_being_renewed_is_reported_once(kept: Kept) -> None:
    """Certificates are issued meanwhile by the authority that was read."""
    shutil.rmtree(kept.folder)
    for _ in range(3):
        await kept.keeper.look()
    assert len(kept.reports.events) == 2
    assert "ca.key is missing" in kept.reports.newest.note
    assert kept.authority.issue("api.amazon.com", kept.now).chain


def test_only_a_listener_for_amazons_names_makes_them_special() -> None:
    """Elsewhere a name may lead wherever a resolver says."""
    plain = Config()
    assert resolver_of(plain) is ask_system
    section = plain.intercept.model_copy(update={"listen": Address("127.0.0.1", 443)})
    resolver = resolver_of(plain.model_copy(update={"intercept": section}))
    assert isinstance(resolver, AskAboutOthers)
    assert resolver._elsewhere is AMAZON_HOSTS
