"""A program with thousands of accounts: `/status` and the console answer a page at a time, without delays for
others."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import quote

import pytest

from proxy.admin.overview import DAY
from proxy.admin.pauses import LONGEST_PIECE_SECONDS, PIECE_SECONDS, Pauses, next_piece
from proxy.admin.status import PAGE, Soonest, needs_attention
from proxy.profiles.index import ListingFailure
from proxy.profiles.replacement import ReachedProfile
from proxy.tokens.consent import Consent
from proxy.tokens.values import CredentialStatus
from tests.admin.fixtures import AdminClient, FakeProgram, administer, credential


def names(count: int) -> list[str]:
    return [f"acct-{number:04}" for number in range(count)]


def many(count: int, *special: CredentialStatus) -> FakeProgram:
    """A number of accounts in no order; the special ones have fixed places."""
    changed = {status.account: status for status in special}
    statuses = [changed.get(name) or credential(name) for name in names(count)]
    return FakeProgram(
        statuses=tuple(reversed(statuses)),
        known_profiles=tuple(ReachedProfile(f"1{name[5:]}", name, "na", name, "US", "seller") for name in names(count)),
    )


async def asked(admin: AdminClient, path: str) -> Any:
    async with admin.ask(path) as answer:
        assert answer.status == 200
        return json.loads(await answer.text())


async def test_status_answers_a_page_at_a_time() -> None:
    """`next` leads from page to page, each account is on one of them, and its profiles are on the same."""
    async with administer(many(2 * PAGE + 7)) as admin:
        page = await asked(admin, "/status")
        found = [page]
        while found[-1]["next"] is not None:
            found.append(await asked(admin, f"/status?after={found[-1]['next']}"))
    assert [len(page["accounts"]) for page in found] == [PAGE, PAGE, 7]
    assert [each["name"] for page in found for each in page["accounts"]] == names(2 * PAGE + 7)
    for page in found:
        assert [each["account"] for each in page["profiles"]] == [each["name"] for each in page["accounts"]]


async def test_a_page_follows_a_name_that_is_gone() -> None:
    """An account that was removed between two pages costs none of the others."""
    async with administer(many(10)) as admin:
        page = await asked(admin, "/status?after=acct-0003-gone")
    assert [each["name"] for each in page["accounts"]] == names(10)[4:]
    assert page["next"] is None


async def test_a_page_is_bounded_by_its_profiles_too() -> None:
    """Accounts with thousands of profiles make shorter pages, of one account at least."""
    program = many(3)
    program.known_profiles = tuple(
        ReachedProfile(str(number), name, "na", "", "US", "seller") for name in names(3) for number in range(1500)
    )
    async with administer(program) as admin:
        page = await asked(admin, "/status")
    assert ([each["name"] for each in page["accounts"]], page["next"]) == (names(1), names(1)[0])
    assert len(page["profiles"]) == 1500


async def test_one_account_is_asked_for_by_its_name() -> None:
    """With its profiles, and nothing of others; an unknown name is an error."""
    async with administer(many(120)) as admin:
        page = await asked(admin, "/status?account=acct-0077")
        assert await admin.status("/status?account=nobody") == 404
    assert [each["name"] for each in page["accounts"]] == ["acct-0077"]
    assert [each["account"] for each in page["profiles"]] == ["acct-0077"]
    assert page["next"] is None


async def test_all_accounts_are_counted_by_state() -> None:
    """Accounts that need attention are on each page of `/status`, wherever they come in the order."""
    broken = credential("acct-0110", "revoked", expires_at=None)
    async with administer(many(120, broken, credential("acct-0111", "degraded"))) as admin:
        page = await asked(admin, "/status?account=acct-0000")
    assert page["account_counts"] == {
        "total": 120,
        "serving": 119,
        "attention": 2,
        "states": {"valid": 118, "revoked": 1, "degraded": 1},
    }
    assert [each["name"] for each in page["attention"]] == ["acct-0110", "acct-0111"]


async def test_the_console_shows_accounts_that_need_attention_first() -> None:
    """On every page, and the others in order after them."""
    broken = credential("acct-0110", "revoked", expires_at=None)
    async with administer(many(120, broken)) as admin:
        first, last = [await asked(admin, f"/console/state?page={page}") for page in (1, 3)]
        beyond, odd = [await asked(admin, f"/console/state?page={page}") for page in ("99", "-1")]
    assert [each["name"] for each in first["accounts"]] == ["acct-0110", *names(PAGE)]
    assert (first["page"], first["pages"]) == (1, 3)
    others = [name for name in names(120) if name != "acct-0110"]
    assert [each["name"] for each in last["accounts"]] == ["acct-0110", *others[2 * PAGE :]]
    assert (beyond["page"], odd["page"]) == (3, 1)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("0077", ["acct-0077"]),
        ("ACCT -011", ["acct-0110", *names(120)[111:]]),
        ("-0110 acct", ["acct-0110"]),
        ("nobody", []),
        (" ", ["acct-0110", *names(PAGE)]),
    ],
)
async def test_the_console_finds_accounts_by_name(search: str, found: list[str]) -> None:
    """Every word occurs in the name, in any case; accounts that need attention come first, as without a search."""
    broken = credential("acct-0110", "revoked", expires_at=None)
    async with administer(many(120, broken)) as admin:
        page = await asked(admin, f"/console/state?page=1&search={quote(search)}")
    assert [each["name"] for each in page["accounts"]] == found
    assert (page["search"], page["found"]) == (search, 120 if search == " " else len(found))
    assert page["account_counts"]["total"] == 120


async def test_a_search_has_pages_too() -> None:
    """A search has pages of the accounts that it finds."""
    async with administer(many(2 * PAGE + 7)) as admin:
        page = await asked(admin, "/console/state?page=9&search=acct-00")
    assert (page["page"], page["pages"], page["found"]) == (2, 2, 100)
    assert [each["name"] for each in page["accounts"]] == names(100)[PAGE:]


async def test_accounts_that_need_attention_are_all_on_some_page_of_the_console() -> None:
    """More of them than a page holds go on in front of the others, with no account twice."""
    broken = [credential(name, "revoked", expires_at=None) for name in names(PAGE + 60)[PAGE:]]
    async with administer(many(PAGE + 60, *broken)) as admin:
        pages = [await asked(admin, f"/console/state?page={page}") for page in (1, 2)]
    need = names(PAGE + 60)[PAGE:]
    others = [*need[PAGE:], *names(PAGE)]
    assert [page["pages"] for page in pages] == [2, 2]
    shown = [[each["name"] for each in page["accounts"]] for page in pages]
    assert shown == [[*need[:PAGE], *others[:PAGE]], [*need[:PAGE], *others[PAGE:]]]


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, False),
        ({"state": "pending"}, False),
        ({"state": "pending", "has_refresh_token": False}, True),
        ({"state": "degraded"}, True),
        ({"state": "expired"}, True),
        ({"state": "misconfigured"}, True),
        ({"unpersisted": True}, True),
        ({"older_secret_in_use": True}, True),
        ({"consent": Consent(given_at=1_790_000_000.0)}, True),
    ],
)
def test_what_needs_attention(changes: dict[str, Any], needed: bool) -> None:
    """Whatever a person should know of an account; an account that starts or works is calm."""
    assert needs_attention(credential(**changes), 1_900_000_000.0) is needed


def test_of_any_number_of_moments_the_first_few_are_kept() -> None:
    """Whatever their order."""
    soonest = Soonest(5)
    for number in range(100):
        soonest.add(float((number * 37) % 100), f"a{number}")
    assert sorted(at for at, _ in soonest.found()) == [0, 1, 2, 3, 4]
    assert repr(soonest) == "<Soonest 5 of at most 5>"


async def test_the_console_names_the_next_consents_of_all_accounts() -> None:
    """Wherever they are; consents of an unknown day are counted."""
    now = time.time()
    special = [
        credential(f"acct-{99 - number:04}", consent=Consent(given_at=now - 10 * number * DAY)) for number in range(10)
    ]
    unknown = [credential(f"acct-000{number}", consent=Consent(first_seen=now)) for number in range(4)]
    async with administer(many(120, *special, *unknown)) as admin:
        state = await asked(admin, "/console/state?page=2")
    assert [(line["name"], line["days"]) for line in state["expiring"]] == [
        (f"acct-{99 - number:04}", 364 - 10 * number) for number in (9, 8, 7, 6, 5)
    ]
    assert state["undated_consents"] == {"count": 4, "accounts": ["acct-0000", "acct-0001", "acct-0002"]}


async def test_an_account_whose_lists_fail_needs_attention() -> None:
    """The account's login works, and its profiles are missing."""
    program = many(60)
    program.unlisted = (ListingFailure("acct-0059", "na", "Amazon refuses (403)", 1_700_000_000.0),)
    async with administer(program) as admin:
        page = await asked(admin, "/status")
    assert [each["name"] for each in page["attention"]] == ["acct-0059"]


class Work:
    """A clock that goes on only by work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("proxy.admin.pauses.perf_counter", lambda: self.now)

    def do(self, seconds: float) -> None:
        self.now += seconds


async def test_long_work_lets_others_take_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long piece of work, everything that is ready runs."""
    work, turns = Work(monkeypatch), 0
    pause = Pauses()

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    for _ in range(3):
        work.do(0.9 * PIECE_SECONDS)
        await pause()
        assert turns == 0
        work.now = 0.0
    for number in range(3):
        work.do(1.1 * PIECE_SECONDS)
        await pause()
        assert turns > number
    other.cancel()


async def test_long_work_lets_other_processes_take_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other processes serve requests, or wait for responses."""
    yielded: list[None] = []
    monkeypatch.setattr("proxy.admin.pauses._yield_processor", lambda: yielded.append(None))
    work, pause = Work(monkeypatch), Pauses()
    await pause()
    assert not yielded
    work.do(1.1 * PIECE_SECONDS)
    await pause()
    assert len(yielded) == 1


@pytest.mark.parametrize(
    ("away", "piece"), [(0.0, PIECE_SECONDS), (0.004, 0.001), (0.04, 0.01), (10.0, LONGEST_PIECE_SECONDS)]
)
def test_a_piece_is_as_long_as_the_event_loop_is_busy(away: float, piece: float) -> None:
    """A piece takes a quarter of what others took: requests wait little longer, and the work comes to an end."""
    assert next_piece(away) == pytest.approx(piece)
