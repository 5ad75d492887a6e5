"""`status`: one screen of a running program, asked of a real admin listener."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from proxy.admin.view import AccessRules, ThrottleView
from proxy.commands.healthcheck import check_health
from proxy.commands.status import (
    SCREEN,
    account_problems,
    consent_in_words,
    headlines,
    print_screen,
    print_status,
    span,
)
from proxy.commands.terminal import FAILED, OK, printable
from proxy.commands.wait import wait_until_ready
from proxy.config import Address, admin_key
from proxy.events import CounterRaised
from proxy.profiles.index import ListingFailure
from proxy.profiles.replacement import ReachedProfile
from proxy.reports.pace import OrderLimit, PaceStatus
from proxy.secret import Secret
from proxy.tokens.consent import Consent, ConsentOrigin
from proxy.tokens.values import CredentialFailure
from tests.admin.fixtures import FAILURE, KEY, FakeProgram, administer, credential
from tests.observability.test_metrics import finished
from tests.support.ready_program import run_ready

DAY = 86400.0


async def shown(
    program: FakeProgram,
    capsys: pytest.CaptureFixture[str],
    key: Secret | None = None,
    *,
    as_json: bool = False,
    account: str = "",
    show_all: bool = False,
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `status` in front of this program."""
    async with administer(program) as admin:
        admin.history.observe(
            finished(status=403, refusal="access-denied", detail="Client x may not.", client="x", path="/sp/campaigns")
        )
        asked = partial(print_status, as_json=as_json, account=account, show_all=show_all)
        code = await asyncio.to_thread(asked, Address("0.0.0.0", admin.port), key)
    out, err = capsys.readouterr()
    return code, out, err


async def test_the_screen_shows_what_an_operator_asks(capsys: pytest.CaptureFixture[str]) -> None:
    """The screen shows accounts with token, consent and profiles, accounts that need attention, rate limits, and the
    last refusals."""
    given = time.time() - 25.5 * DAY
    consent = Consent(given_at=given, origin=ConsentOrigin.CONFIGURATION)
    program = FakeProgram(
        statuses=(
            credential("acme", consent=consent),
            credential("other", "revoked", expires_at=None, last_failure=FAILURE, advice="Sign in again."),
        ),
        unlisted=(ListingFailure("acme", "fe", "Amazon refuses (403)", 1_700_000_000.0),),
        limits=(ThrottleView(("acme",), "na", "sp/campaigns:read", "111", 90.4),),
        problems=("accounts.acme.region: is not one of na, eu, fe",),
    )
    code, screen, err = await shown(program, capsys)
    lines = screen.splitlines()
    assert (code, err) == (FAILED, "")
    assert lines[0].startswith("ads-proxy 1.2.3 at 0.0.0.0:")
    assert ": ready, up 1 min" in lines[0]
    (acme,) = [line.split() for line in lines if line.startswith("acme ")][:1]
    assert acme[:2] == ["acme", "Working"]
    assert "expires in 339 d" in " ".join(acme)
    assert "na 1 eu 1" in " ".join(acme)
    for words in (
        "new configuration refused: accounts.acme.region",
        "other: Connection refused. Sign in again.",
        "acme (fe): could not list profiles: Amazon refuses (403)",
        "sp/campaigns:read",
        "1 min 30 s",
        "access-denied: Client x may not.",
    ):
        assert words in screen


async def test_one_trouble_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Regions with one reason share it, and an account without a token is not told three times more of it."""
    unlisted = tuple(
        ListingFailure(account, region, detail, 1_700_000_000.0)
        for account, region, detail in (
            ("acme", "na", "Amazon refuses (403)"),
            ("acme", "eu", "no route"),
            ("acme", "fe", "Amazon refuses (403)"),
            ("other", "na", "no usable token"),
        )
    )
    statuses = (credential("acme"), credential("other", "revoked", expires_at=None))
    _, screen, _ = await shown(FakeProgram(statuses=statuses, unlisted=unlisted), capsys)
    assert [line.strip() for line in screen.splitlines() if "could not list" in line] == [
        "acme (na fe): could not list profiles: Amazon refuses (403)",
        "acme (eu): could not list profiles: no route",
    ]


@pytest.mark.parametrize(
    ("program", "code"),
    [
        (FakeProgram(), OK),
        (FakeProgram(is_ready=False), FAILED),
        (FakeProgram(is_draining=True), FAILED),
        (FakeProgram(problems=("x: y",)), FAILED),
        (FakeProgram(statuses=(credential(), credential("other", "expired", expires_at=1.0))), FAILED),
        (FakeProgram(statuses=(credential("acme", "degraded"),)), OK),
        (FakeProgram(statuses=(credential("acme", "revoked"),)), FAILED),
        (FakeProgram(statuses=(credential("acme", "misconfigured"),)), FAILED),
        (FakeProgram(statuses=(credential("acme", "revoked", refused=True),)), FAILED),
    ],
)
async def test_the_exit_code_says_whether_all_is_well(
    capsys: pytest.CaptureFixture[str], program: FakeProgram, code: int
) -> None:
    """0 only where it is ready, its configuration is in force and every account serves."""
    assert (await shown(program, capsys))[0] == code


async def test_the_admin_key_is_shown_where_one_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """With the key it answers; without, or with a wrong one, the line says where to put it, and not what was tried."""
    program = FakeProgram(rules=AccessRules(KEY, True, "127.0.0.1"))
    assert (await shown(program, capsys, KEY))[0] == OK
    for wrong in (None, Secret("canary-of-a-wrong-key")):
        code, out, err = await shown(program, capsys, wrong)
        assert (code, out) == (FAILED, "")
        assert "needs the admin key" in err
        assert "canary" not in err


@pytest.mark.parametrize("text", ["schlüssel-der-verwaltung", "ключ-от-управления"])
async def test_an_admin_key_may_have_any_letters(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """The key is sent as the listener reads it: in UTF-8."""
    key = Secret(text)
    assert (await shown(FakeProgram(rules=AccessRules(key, True, "127.0.0.1")), capsys, key))[0] == OK


async def test_programs_read_it_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints what `/status` says: throttles and refusals are in it."""
    limit = ThrottleView(("acme",), "na", "sp/campaigns:read", "111", 90.44)
    _, out, _ = await shown(FakeProgram(limits=(limit,)), capsys, as_json=True)
    status = json.loads(out)
    assert status["throttles"] == [
        {
            "accounts": ["acme"],
            "region": "na",
            "family": "sp/campaigns:read",
            "advertiser": "111",
            "wait": 90.4,
        }
    ]
    assert [request["reason"] for request in status["refused"]] == ["access-denied"]


def test_the_program_says_what_needs_attention() -> None:
    """Notes, a change that wants a restart, and that it is on its way out."""
    status = {
        "version": "1",
        "draining": True,
        "ready": True,
        "demo": True,
        "uptime_seconds": 5,
        "keyed": True,
        "connections": {"in_flight": 2},
        "clients_url": "http://127.0.0.1:8080",
        "notes": ["A note."],
        "state": {"trouble": "The state store at redis://h:6379/0 cannot be reached."},
        "config": {"problems": [], "needs_restart": ["listen", "state"]},
    }
    assert [*headlines(status, "127.0.0.1:8081")] == [
        "ads-proxy 1 at 127.0.0.1:8081: stopping, a demo, up 5 s",
        "clients: http://127.0.0.1:8080 (key required), 2 requests in flight",
        "note: A note.",
        "degraded: The state store at redis://h:6379/0 cannot be reached. This replica works alone until then.",
        "changed; takes effect after a restart: listen, state",
    ]


async def test_what_is_about_to_break_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The warnings are for a consent that expires soon, and a refresh token that is in memory alone."""
    soon = {"phase": "ending", "explanation": "The consent ends in 5 days."}
    account = {"name": "acme", "state": "valid", "consent": soon, "unpersisted": True, "listing_failures": []}
    assert [*account_problems([account])] == [
        "acme: The consent ends in 5 days.",
        "acme: the state store could not save a renewed refresh token yet.",
    ]
    limits = tuple(ThrottleView((), "na", f"sp/{number}:read", "", 0.2) for number in range(13))
    _, screen, _ = await shown(FakeProgram(limits=limits), capsys)
    assert "3 more" in screen
    assert "now" in screen


def test_nobody_at_home_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1."""
    assert print_status(Address("127.0.0.1", 9), None, as_json=False) == FAILED
    assert capsys.readouterr().err.startswith("ads-proxy: 127.0.0.1:9 does not answer (")


@contextmanager
def another_program(answer: bytes) -> Iterator[Address]:
    """A program that is no ads-proxy: it gives one answer, and ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def give() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=give)
        thread.start()
        yield Address("127.0.0.1", listening.getsockname()[1])
        thread.join()


@pytest.mark.parametrize(
    ("body", "as_json"), [(b'{"accounts": []}', False), (b'{"accounts": []}', True), (b"[" * 100_000, False)]
)
def test_the_json_of_another_program_is_one_line(
    capsys: pytest.CaptureFixture[str], body: bytes, as_json: bool
) -> None:
    """Other programs have a `/status`, too."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with another_program(head + body) as address:
        assert print_status(address, None, as_json=as_json) == FAILED
    err = capsys.readouterr().err
    assert err.startswith(f"ads-proxy: {address} answers 200; give the admin_listen of ads-proxy")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("ask", [partial(print_status, key=None), partial(wait_until_ready, timeout=0), check_health])
def test_what_is_no_http_is_one_line_and_moves_no_cursor(
    capsys: pytest.CaptureFixture[str], ask: Callable[[Address], int]
) -> None:
    """The message quotes what another program answers."""
    with another_program(b"\x1b[2JSSH-2.0\r\n") as address:
        assert ask(address) == FAILED
    err = capsys.readouterr().err
    assert f"{address} does not answer (?[2JSSH-2.0); start the proxy" in err
    assert len(err.splitlines()) == 1


def test_names_cannot_move_the_cursor() -> None:
    """What came from outside is cut to what can be printed."""
    assert printable("a\x1b[2Jb\nc") == "a?[2Jb?c"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (-3.0, "0 s"),
        (0.4, "0 s"),
        (59.0, "59 s"),
        (60.0, "1 min"),
        (3600.0, "1 h"),
        (90061.0, "1 d 1 h"),
    ],
)
def test_spans_are_short(seconds: float | None, words: str) -> None:
    """The two largest units."""
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("phase", "ends_in", "words"),
    [
        ("ended", -5.0, "expired"),
        ("ending", 2 * DAY + 5, "expires in 2 d"),
        ("holding", 200 * DAY, "expires in 200 d"),
        ("endless", None, "never expires"),
        ("unknown", None, "unknown"),
        ("none", None, "-"),
    ],
)
def test_a_consent_is_told_in_a_few_words(phase: str, ends_in: float | None, words: str) -> None:
    """Every phase that there is."""
    assert consent_in_words({"phase": phase, "ends_in": ends_in}) == words


def test_the_key_is_found_where_the_server_finds_it(tmp_path: Path) -> None:
    """The key is in the file, behind `{file: ...}` next to it, or in the environment; a broken rest does not matter."""
    (tmp_path / "key").write_text("0123456789abcdef\n")
    path = tmp_path / "proxy.yaml"
    path.write_text("broken: 1\nadmin: {key: {file: key}}\n")
    assert admin_key(path, {}) == Secret("0123456789abcdef")
    assert admin_key(path, {"ADS_PROXY_ADMIN__KEY": "fedcba9876543210"}) == Secret("fedcba9876543210")
    assert admin_key(None, {"ADS_PROXY_ADMIN__KEY_FILE": str(tmp_path / "key")}) == Secret("0123456789abcdef")
    assert admin_key(None, {}) is None
    assert admin_key(None, {"ADS_PROXY_ADMIN__KEY_FILE": str(tmp_path / "none")}) is None
    path.write_text("admin: nonsense\n")
    assert admin_key(path, {}) is None


def many(count: int, state: str = "valid", **last: object) -> FakeProgram:
    """A program with so many accounts, of which the last one is special."""
    names = [f"acct-{number:04}" for number in range(count)]
    return FakeProgram(statuses=(*map(credential, names[:-1]), credential(names[-1], state, **last)))


async def test_of_many_accounts_those_that_need_attention_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A screen stays a screen: it says how many there are in which state, and how to see the others."""
    code, screen, _ = await shown(many(500, state="revoked", expires_at=None, advice="Sign in again."), capsys)
    assert code == FAILED
    assert [line[:9] for line in screen.splitlines() if line.startswith("acct-")] == ["acct-0499"]
    assert "1 of 500 accounts needs attention (499 valid, 1 revoked)." in screen
    assert "--all shows every account, --account NAME one." in screen
    assert "acct-0499: Amazon no longer accepts this account's refresh token. Sign in again." in screen


async def test_where_nobody_is_needed_of_many_none_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """No table without rows, but how many work."""
    code, screen, _ = await shown(many(51), capsys)
    assert code == OK
    assert "None of 51 accounts needs attention (51 valid)." in screen
    assert "token expires in" not in screen


@pytest.mark.parametrize("count", [2, 50, 51, 120])
async def test_all_accounts_are_shown_on_request(capsys: pytest.CaptureFixture[str], count: int) -> None:
    """Accounts that need attention come first, and nothing is said of others."""
    program = many(count, state="revoked", expires_at=None)
    _, screen, _ = await shown(program, capsys, show_all=True)
    names = [line[:9] for line in screen.splitlines() if line.startswith("acct-")]
    in_order = [f"acct-{number:04}" for number in range(count)]
    assert names == (in_order if count <= 50 else [in_order[-1], *in_order[:-1]])
    assert "--all" not in screen
    _, unasked, _ = await shown(program, capsys)
    assert unasked.count("\nacct-") == (count if count <= 50 else 1)


def test_one_account_and_all_are_not_shown_at_once(tmp_path: Path) -> None:
    """The two options together are a mistake, and no request is sent."""
    ended = run_ready(tmp_path, ["status", "--all", "--account", "acme"], {})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--all and --account: give one of them" in ended.stderr


async def test_a_page_that_is_short_for_its_profiles_leaves_no_account_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Fifty accounts are on one screen, on however many pages they come."""
    program = many(3)
    program.known_profiles = tuple(
        ReachedProfile(str(number), f"acct-{account:04}", "na", "", "US", "seller")
        for account in range(3)
        for number in range(1500)
    )
    _, screen, _ = await shown(program, capsys)
    assert [line[:9] for line in screen.splitlines() if line.startswith("acct-")] == [
        "acct-0000",
        "acct-0001",
        "acct-0002",
    ]


@pytest.mark.parametrize(
    ("changes", "token", "consent"),
    [
        ({"state": "valid"}, "30 min", "expires in 304 d"),
        ({"state": "revoked"}, "30 min", "revoked"),
        ({"state": "revoked", "refused": True}, "refused", "revoked"),
        ({"state": "expired", "expires_at": 1.0}, "expired", "expires in 304 d"),
        ({"state": "revoked", "expires_at": None}, "-", "revoked"),
    ],
)
async def test_what_is_dead_expires_no_more(
    capsys: pytest.CaptureFixture[str], changes: dict[str, object], token: str, consent: str
) -> None:
    """A consent that Amazon took back, and a token that it refuses."""
    given = Consent(given_at=time.time() - 60.5 * DAY)
    expires = time.time() + 1802
    status = credential("acme", **{"consent": given, "expires_at": expires, **changes})  # type: ignore[arg-type]  # each of its own type
    _, screen, _ = await shown(FakeProgram(statuses=(status,)), capsys)
    (line,) = [line for line in screen.splitlines() if line.startswith("acme ")]
    assert re.search(rf" {re.escape(token)}( \d+ s)? +{consent} ", line), line


async def test_a_proxy_of_version_0_2_0_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The former program runs while it is upgraded, and does not report whether Amazon refuses a token."""
    _, text, _ = await shown(many(2), capsys, as_json=True)
    status = json.loads(text)
    for account in (*status["accounts"], *status["attention"]):
        del account["refused"]
    print_screen(status, "127.0.0.1:8081")
    assert "acct-0001  Working" in capsys.readouterr().out


async def test_json_has_all_pages(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts get every account in one document."""
    code, text, _ = await shown(many(120), capsys, as_json=True)
    said = json.loads(text)
    assert code == OK
    assert [account["name"] for account in said["accounts"]] == [f"acct-{number:04}" for number in range(120)]
    assert said["next"] is None


async def test_one_account_is_shown_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """The account's own state decides the exit code."""
    program = many(120, state="revoked", expires_at=None)
    code, screen, _ = await shown(program, capsys, account="acct-0007")
    assert [line[:9] for line in screen.splitlines() if line.startswith("acct-")] == ["acct-0007"]
    assert code == OK
    assert (await shown(program, capsys, account="acct-0119"))[0] == FAILED
    code, _, complaint = await shown(program, capsys, account="nobody")
    assert code == FAILED
    assert "unknown account at" in complaint


async def test_clients_of_deprecated_operations_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Operations that end first come first, with their end and the number of calls."""
    async with administer(FakeProgram()) as admin:
        for client, operation in (("bids", "getAdGroupBidRecommendations"), ("old", "requestSnapshot")):
            admin.metrics.observe(CounterRaised("deprecated_requests_total", (client, operation), 3))
        code = await asyncio.to_thread(print_status, Address("0.0.0.0", admin.port), None, as_json=False)
        await asyncio.to_thread(print_status, Address("0.0.0.0", admin.port), None, as_json=True)
    screen, _, rest = capsys.readouterr().out.partition("\n{")
    assert code == OK
    rows = [
        line.split()[:5]
        for line in screen.partition("Deprecated operations in use\n")[2].splitlines()[1:]
        if "2024" in line
    ]
    assert rows == [
        ["bids", "getAdGroupBidRecommendations", "2024-03-27", "2024-03-27", "POST"],
        ["old", "requestSnapshot", "announced", "2024-12-15", "POST"],
    ]
    assert [each["calls"] for each in json.loads("{" + rest)["deprecated"]] == [3, 3]


async def test_throttled_orders_for_reports_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With what was learned, and how many wait; no more than fit."""
    limits = (OrderLimit(f"acct-{number:02}", "amzn1.app", "na") for number in range(13))
    paced = tuple(PaceStatus(limit, 16.0, 9.4, 120.0, 3) for limit in limits)
    async with administer(FakeProgram(paced=paced)) as admin:
        code = await asyncio.to_thread(print_status, Address("0.0.0.0", admin.port), None, as_json=False)
    rows = [
        line.split() for line in capsys.readouterr().out.partition("Throttled orders for reports\n")[2].splitlines()
    ]
    assert code == OK
    assert rows[0] == ["account", "region", "one", "in", "next", "throttled", "for", "waiting"]
    assert rows[1] == ["acct-00", "na", "16", "s", "in", "9", "s", "2", "min", "3"]
    assert rows[-1] == ["3", "more"]


async def test_the_screen_fits_a_hundred_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the names and details are; no word is lost."""
    detail = " ".join(f"word{number}" for number in range(60))
    failed = CredentialFailure("network", False, detail, "Check the network.", 1_700_000_000.0)
    program = FakeProgram(
        statuses=(credential("a" * 64, "expired", expires_at=1.0, last_failure=failed, advice="Check the network."),),
        unlisted=(ListingFailure("a" * 64, "fe", detail, 1_700_000_000.0),),
        limits=(ThrottleView(("a" * 64,), "na", "sp/campaigns:read" * 5, "1" * 20, 90.4),),
        problems=(detail,),
    )
    _, screen, _ = await shown(program, capsys)
    assert [line for line in screen.splitlines() if len(line) > SCREEN] == []
    assert screen.count("word59") == 2  # the configuration's problem, and the account's


async def test_accounts_with_one_problem_share_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The same sentence is printed once, and a note too."""
    statuses = tuple(credential(name, "misconfigured", last_failure=FAILURE, advice="Compare both.") for name in "ab")
    _, screen, _ = await shown(FakeProgram(statuses=statuses), capsys)
    assert "  a, b: Connection refused. Compare both.\n" in screen
    assert screen.count("Compare both.") == 1


def test_a_consent_that_expired_is_the_cause() -> None:
    """The refusal of its token and the consent are not two problems."""
    consent = {"phase": "ended", "explanation": "The consent of 2025-11-01 expired on 2026-11-01."}
    account = {
        "name": "acme",
        "state": "revoked",
        "consent": consent,
        "unpersisted": False,
        "listing_failures": [],
        "explanation": "Amazon refuses.",
        "advice": "Consent again.",
        "last_failure": {"detail": "invalid_grant"},
    }
    assert [*account_problems([account])] == ["acme: The consent of 2025-11-01 expired on 2026-11-01. Consent again."]
