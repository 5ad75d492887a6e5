"""What a worker holds in the place of tokens and lists, and what it asks its supervisor for."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any, cast

import pytest

from proxy.access.client_keys import KeyUses
from proxy.app.workers import worker_tokens
from proxy.app.workers.channel import Channel, ChannelClosed, Message, RemoteCallFailed
from proxy.app.workers.directory_copy import MISS_MEMORY, DirectoryCopy, write_lists
from proxy.app.workers.request_reporter import LIMIT, RequestReporter, read_request
from proxy.app.workers.worker_tokens import WorkerTokens, read_token, write_refusal, write_token
from proxy.errors import NoUsableToken
from proxy.events import RequestFinished
from proxy.profiles.directory import MISS_INTERVAL
from proxy.profiles.first_lists import AwaitedId, FirstLists
from proxy.profiles.index import ListingFailure, ProfileListing
from proxy.profiles.listing import Profile
from proxy.profiles.reach import Reach
from proxy.secret import Secret
from proxy.tokens.token_rejections import WATCHFUL, TokenUse
from proxy.tokens.values import AccessToken

ENDED = RequestFinished(
    request_id="a-1",
    client="tool",
    account="acme",
    region="na",
    method="GET",
    path="/v2/profiles",
    status=200,
    amazon_request_id="",
    bytes_in=0,
    bytes_out=2,
    duration=0.1,
    upstream=0.05,
    overhead=0.01,
    attempts=1,
    refusal="",
    detail="",
    fault="",
)
USE = TokenUse("tool", "123")


def token(generation: int = 1, expires_at: float = 100.0) -> AccessToken:
    return AccessToken("acme", Secret(f"canary-{generation}"), generation, expires_at, "amzn1.x")


class Supervisor:
    """What a worker's channel leads to: `answers` are given one by one, an error is raised."""

    def __init__(self, *answers: Message | Exception) -> None:
        self.answers, self.said = list(answers), list[tuple[str, dict[str, Any]]]()
        self.now = 10.0
        self.tokens = WorkerTokens(cast(Channel, self), lambda: self.now)

    def send(self, kind: str, **values: Any) -> None:
        self.said.append((kind, values))

    async def ask(self, question: str, **values: Any) -> Message:
        self.said.append((question, values))
        await asyncio.sleep(0)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return cast(Message, json.loads(json.dumps(answer)))


def told(held: AccessToken | None, trouble: str = "") -> Message:
    return {"kind": "token", "account": "acme", "token": write_token(held), "trouble": trouble}


async def test_a_token_is_served_until_it_ends() -> None:
    """The one that was given, the same object each time; after its end the supervisor is asked."""
    supervisor = Supervisor({"account": "acme", "token": write_token(token(2, 200.0))})
    tokens = supervisor.tokens
    tokens.take(told(token(), "Sign in."))
    tokens.take(told(token(), "Sign in."))
    first = tokens.current("acme")
    assert first == token()
    assert await tokens.get("acme") is first
    tokens.take(told(token()))
    assert tokens.current("acme") is first
    supervisor.now = 100.0
    assert tokens.current("acme") is None
    assert await tokens.get("acme") == token(2, 200.0)
    assert supervisor.said == [("token", {"account": "acme"})]
    assert "canary" not in repr(tokens)


async def test_without_a_token_the_reason_is_the_supervisors() -> None:
    """The supervisor's refusal is raised as it was; without a supervisor there is one of our own."""
    refusal = NoUsableToken("Sign in.", retry_after=60, retryable=False)
    supervisor = Supervisor(
        {"account": "acme", "token": None, "refused": write_refusal(refusal)},
        ChannelClosed(),
        {"token": None},
        RemoteCallFailed(),
    )
    expected = ("Sign in.", False), ("lost its supervisor", True), ("no access token now", True), ("a defect", True)
    for detail, retryable in expected:
        with pytest.raises(NoUsableToken, match=detail) as caught:
            await supervisor.tokens.get("acme")
        assert caught.value.retryable is retryable


async def test_a_401_is_told_and_the_answer_is_held() -> None:
    """A newer token that is here already needs no asking."""
    supervisor = Supervisor({"account": "acme", "token": write_token(token(2))}, {"account": "acme", "token": None})
    tokens = supervisor.tokens
    tokens.take(told(token()))
    rejected = tokens.current("acme")
    assert rejected is not None
    assert await tokens.renewed(rejected, USE) == token(2)
    assert tokens.watchful
    assert await tokens.renewed(rejected, USE) is tokens.current("acme")
    assert len(supervisor.said) == 1
    newest = tokens.current("acme")
    assert newest is not None
    assert await tokens.renewed(newest, USE) is None


@pytest.mark.parametrize("newest", [None, token(2)])
async def test_an_answer_replaces_nothing_that_was_told_behind_it(newest: AccessToken | None) -> None:
    """A reload puts another application in force just behind it: what the answer has is the former one's."""
    supervisor = Supervisor({"account": "acme", "token": write_token(token())})
    getting = asyncio.create_task(supervisor.tokens.get("acme"))
    await asyncio.sleep(0)
    supervisor.tokens.take(told(newest))
    await asyncio.wait((getting,))
    assert supervisor.tokens.current("acme") == newest
    assert (getting.exception() is None) == (newest is not None)


async def test_what_amazon_accepts_is_told_once_while_it_is_of_interest() -> None:
    """For a while after a 401, and each use one time."""
    supervisor = Supervisor()
    tokens = supervisor.tokens
    tokens.watch()
    for _ in range(3):
        tokens.accepted(token(), USE)
    tokens.accepted(token(), TokenUse("other", ""))
    assert [kind for kind, _ in supervisor.said] == ["accepted", "accepted"]
    assert read_token(supervisor.said[0][1]["token"]) == token()
    supervisor.now += WATCHFUL + 1
    tokens.accepted(token(), USE)
    assert not tokens.watchful


async def test_with_many_uses_each_is_told_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told is forgotten where it becomes too much: told twice, a use is no harm; a use that is not told is."""
    monkeypatch.setattr(worker_tokens, "_MAX_TOLD", 2)
    supervisor = Supervisor()
    supervisor.tokens.watch()
    uses = [TokenUse("tool", str(number)) for number in range(5)]
    for use in uses:
        supervisor.tokens.accepted(token(), use)
    assert [TokenUse(*values["use"]) for _, values in supervisor.said] == uses


async def test_after_each_401_what_amazon_accepts_is_told_again() -> None:
    """The report says that the cached token is alive, whatever that 401 was about."""
    supervisor = Supervisor()
    tokens = supervisor.tokens
    for _ in range(2):
        tokens.watch()
        tokens.accepted(token(), USE)
    assert [kind for kind, _ in supervisor.said] == ["accepted", "accepted"]


def test_a_reload_forgets_accounts_that_are_gone() -> None:
    """Their tokens and their trouble."""
    tokens = Supervisor().tokens
    tokens.take(told(token(), "Sign in."))
    tokens.keep(["other"])
    assert (tokens.current("acme"), tokens.problem("acme")) == (None, "")
    tokens.take(told(token()))
    tokens.take(told(None))
    assert tokens.current("acme") is None


def profile(identifier: str) -> Profile:
    return Profile(identifier, "Pretend", "US", "USD", "UTC", "seller", "M", "A", valid_payment=True)


def lists(*profiles: str, further: tuple[str, ...] = ()) -> Message:
    listing = ProfileListing("o", tuple(map(profile, profiles)), profiles[0], 1.0) if profiles else None
    reading = Reach("o", tuple(map(profile, further))) if further else None
    return cast(Message, json.loads(json.dumps(write_lists("acme", "na", listing, reading))))


async def _nobody_asks(awaited: AwaitedId) -> None:
    raise AssertionError(awaited)


def test_lists_are_looked_up_as_they_were_told() -> None:
    """What is listed, what else is reached, the first, and what is gone again; each change has another version."""
    missed: list[tuple[str, str, str]] = []
    directory = DirectoryCopy(lambda *told: missed.append(told), _nobody_asks)
    directory.keep(["acme"])
    before = directory.version
    directory.take(lists("1", "2", further=("7",)))
    assert directory.owners("2") == directory.owners("7") == (("acme", "na"),)
    assert (directory.first("acme", "na"), directory.first("acme", "eu")) == ("1", None)
    assert directory.version != before
    assert [directory.describe(each, "acme", "na") for each in "27"] == [profile("2"), profile("7")]
    directory.take(lists())
    assert directory.owners("2") == ()
    assert [directory.describe(each, "acme", "na") for each in "27"] == [None, None]
    assert missed == [("profile", "2", "")]


def test_an_id_that_nobody_lists_is_told_once_in_a_while() -> None:
    """However often it is asked for, and only what can be an id."""
    missed: list[tuple[str, str, str]] = []
    directory = DirectoryCopy(lambda *told: missed.append(told), _nobody_asks)
    directory.keep(["acme", "other"])
    for _ in range(3):
        assert directory.owners("99", "acme") == ()
        assert directory.ads_account_owners("amzn1.ads-account.g.x", "other") == ()
        assert directory.owners("none") == ()
        assert directory.ads_account_owners("not one") == ()
    assert missed == [("profile", "99", "acme"), ("ads account", "amzn1.ads-account.g.x", "other")]


def test_an_id_that_is_still_asked_for_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor may have had no early listing left for it, after the miss of another worker: it alone knows which
    ids it has looked for."""
    clock, missed = [1000.0], list[tuple[str, str, str]]()
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    directory = DirectoryCopy(lambda *told: missed.append(told), _nobody_asks)
    directory.keep(["acme"])
    for after in (0.0, MISS_MEMORY - 1.0, 1.0, 1.0):
        clock[0] += after
        assert directory.owners("99", "acme") == ()
    assert missed == 2 * [("profile", "99", "acme")]


def test_ids_that_clients_never_give_up_leave_others_a_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is told once in a while, and looked for by the supervisor less often still."""
    clock, missed = [1000.0], list[tuple[str, str, str]]()
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    directory = DirectoryCopy(lambda *told: missed.append(told), _nobody_asks)
    directory.keep(["acme"])
    for _ in range(3):
        for identifier in ("deleted", "gone", "new"):
            directory.ads_account_owners(identifier, "acme")
        clock[0] += MISS_INTERVAL
    assert [identifier for _, identifier, _ in missed] == ["deleted", "gone", "new"]


async def test_first_lists_are_asked_for_while_the_supervisor_awaits_them() -> None:
    """An id that is unlisted meanwhile is no miss; without a supervisor no request waits."""
    asked, missed, failure = list[AwaitedId](), list[tuple[str, str, str]](), list[Exception]()

    async def ask(awaited: AwaitedId) -> None:
        asked.append(awaited)
        if failure:
            raise failure[0]

    directory = DirectoryCopy(lambda *told: missed.append(told), ask)
    directory.keep(["acme", "other"])
    assert (directory.settled, directory.first_lists("acme")) == (True, FirstLists.SETTLED)
    directory.take_first_lists(cast(Message, {"awaited": ["acme"], "settled": []}))
    assert (directory.settled, directory.first_lists("acme")) == (False, FirstLists.AWAITED)
    assert directory.first_lists("other") is FirstLists.SETTLED
    assert directory.owners("99", "acme") == ()
    for error in (None, ChannelClosed(), RemoteCallFailed()):
        failure[:] = [error] if error is not None else []
        await directory.wait_for_first_lists(AwaitedId(("acme",), "99"))
    assert (asked, missed) == (3 * [AwaitedId(("acme",), "99")], [])
    directory.take_first_lists(cast(Message, {"awaited": [], "settled": ["acme"]}))
    assert (directory.settled, directory.first_lists("acme")) == (True, FirstLists.SETTLED)
    assert directory.owners("99", "acme") == ()
    assert missed == [("profile", "99", "acme")]


def test_why_a_list_failed_is_known() -> None:
    """The reason is known as long as the supervisor reports it."""
    directory = DirectoryCopy(lambda *_: None, _nobody_asks)
    directory.take_failures([["acme", "na", "Amazon refuses.", 5.0, True, True]])
    assert directory.failure("acme", "na") == ListingFailure("acme", "na", "Amazon refuses.", 5.0, True, True)
    directory.take_failures([])
    assert directory.failure("acme", "na") is None


def test_news_of_requests_are_told_once() -> None:
    """What ended since the last time, and which keys were used; nothing where nothing is new."""
    uses = KeyUses()
    news = RequestReporter(uses, lambda: 7.0)
    assert news.collect({}) == {}
    news.observe(replace(ENDED, status=200))
    news.observe(replace(ENDED, status=403, refusal="client-refused", detail="Not yours."))
    uses.note("digest", 6.0)
    told_ = json.loads(json.dumps(news.collect({})))
    requests = [read_request(said) for said in told_["requests"]]
    assert [(request.status, request.refusal, request.detail, request.at) for request in requests] == [
        (200, "", "", 7.0),
        (403, "client-refused", "Not yours.", 7.0),
    ]
    assert told_["used"] == {"digest": 6.0}
    assert news.collect({}) == {}


def test_connections_that_closed_after_the_last_request_are_news() -> None:
    """Otherwise `/status` shows them until the next request."""
    news = RequestReporter(KeyUses(), lambda: 7.0)
    assert news.collect({"host:443": 2})["pools"] == {"host:443": 2}
    assert news.collect({"host:443": 2}) == {}
    assert news.collect({"host:443": 0}) == {"requests": [], "used": {}, "pools": {"host:443": 0}}


def test_news_are_bounded() -> None:
    """The newest so many, and as many failures."""
    news = RequestReporter(KeyUses(), lambda: 7.0)
    for _ in range(LIMIT):
        news.observe(replace(ENDED, status=500))
    for _ in range(2 * LIMIT):
        news.observe(replace(ENDED, status=200))
    statuses = [request.status for request in news.collect({})["requests"]]
    assert statuses == [500] * LIMIT + [200] * LIMIT
