"""What the supervisor gives its workers, and what it does with what they say: the frames, and who gets them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from proxy.access.client_keys import KeyUses
from proxy.access.signing_keys import read_key
from proxy.access.token_verification import ProviderKeys
from proxy.admin.history import RequestHistory
from proxy.app.jwks_keeper import write_known
from proxy.app.server_tls import ServerTls
from proxy.app.shared_news import FLEET, News, Origin, SharedNews
from proxy.app.workers.channel import FrameReader, Message
from proxy.app.workers.shared_counts import BudgetMemory, SharedBudgets
from proxy.app.workers.span_forwarder import write_span
from proxy.app.workers.supervisor_hub import HubDependencies, SupervisorHub
from proxy.app.workers.worker_approvals import WorkersApprovals
from proxy.app.workers.worker_spend import WorkersLedger
from proxy.app.workers.worker_tokens import write_token
from proxy.config import Config, load
from proxy.config.serialization import from_document, from_pieces
from proxy.errors import NoUsableToken
from proxy.events import (
    ConsentEnded,
    ProfilesListed,
    RefreshCause,
    SpendAmount,
    SpendJudgement,
    SpendMode,
    SpendRule,
    SpendVerdict,
    TokenRefreshed,
)
from proxy.mcp.hints import ToolHints
from proxy.mcp.sessions import McpSessions
from proxy.observability.metrics import Metrics
from proxy.observability.number_memory import make_memory_file
from proxy.profiles.first_lists import AwaitedId, FirstLists
from proxy.profiles.index import ListingFailure, ProfileListing
from proxy.routing.mcp_session import McpSession
from proxy.secret import Secret
from proxy.spend.approval_questions import AbsentApprovals
from proxy.spend.freezes import FreezeEntry, Freezes
from proxy.spend.ledger import StoreLedger
from proxy.spend.observations import ObservedWrite, judged_write, write_judged
from proxy.tokens.store import MemoryStore
from proxy.tokens.values import AccessToken
from proxy.upstream.throttles import ThrottleKey, Throttles
from tests.observability.test_metrics import finished
from tests.observability.test_traces import ATTEMPT, SERVED
from tests.support.issuers import Signer

TOKEN = AccessToken("acme", Secret("canary-token"), 1, 100.0, "amzn1.x")
KEY = ThrottleKey("sp", "123", "na", "amzn1.x")
LISTING = ProfileListing("o", (), "", 1.0)
VARIABLES = {
    "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.x",
    "AMAZON_ADS_CLIENT_SECRET": "canary-secret-of-some-length",
    "ADS_PROXY_WORKERS": "3",
    "ADS_PROXY_CLIENTS": '[{"name": "tool", "key_sha256": "' + "ab" * 32 + '"}]',
    "ADS_PROXY_STATE__URL": "memory:",
}


class SentMessages:
    """The workers: what each was told, and by whom not."""

    def __init__(self) -> None:
        self.frames: list[tuple[Message, int | None]] = []

    def send_all(self, packed: bytes, but: int | None = None) -> None:
        self.frames += [(message, but) for message in FrameReader().feed(packed)]

    def kinds(self) -> list[tuple[str, int | None]]:
        return [(message["kind"], but) for message, but in self.frames]


class Tokens:
    """The program's tokens: one account has one."""

    watchful = True

    def __init__(self) -> None:
        self.accepted_uses: list[Any] = []

    def current(self, account: str) -> AccessToken | None:
        return TOKEN if account == "acme" else None

    def problem(self, account: str) -> str:
        return f"{account} is well"

    async def get(self, account: str) -> AccessToken:
        if account != "acme":
            raise NoUsableToken("Sign in.", retry_after=60, retryable=False)
        return TOKEN

    async def renewed(self, rejected: AccessToken, use: Any) -> AccessToken | None:
        return None

    def accepted(self, token: AccessToken, use: Any) -> None:
        self.accepted_uses.append((token, use))


class Directory:
    """The program's lists: one is known."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.failed: tuple[ListingFailure, ...] = ()
        self.awaited: set[str] = set()
        self.waited: list[AwaitedId] = []

    def listing(self, account: str, region: str) -> ProfileListing | None:
        return LISTING if (account, region) == ("default", "na") else None

    def reading(self, account: str, region: str) -> None:
        return None

    def failures(self) -> tuple[ListingFailure, ...]:
        return self.failed

    def owners(self, profile: str, account: str = "") -> tuple[tuple[str, str], ...]:
        self.asked.append((profile, account))
        return ()

    ads_account_owners = owners

    def first_lists(self, account: str) -> FirstLists:
        return FirstLists.AWAITED if account in self.awaited else FirstLists.SETTLED

    async def wait_for_first_lists(self, awaited: AwaitedId) -> None:
        self.waited.append(awaited)


class Stream:
    """An audit stream with room for so many records."""

    def __init__(self) -> None:
        self.records: list[tuple[Any, bool]] = []
        self.room = 10

    def takes_writes(self) -> bool:
        return len(self.records) < self.room

    def put(self, record: Mapping[str, Any], *, write: bool = False) -> None:
        self.records.append((record, write))


class Bench:
    """A hub and what stands around it."""

    def __init__(self, descriptor: int) -> None:
        self.stream = Stream()
        self.uses, self.sessions, self.throttles = KeyUses(), McpSessions(), Throttles()
        self.hints = ToolHints()
        self.news = SharedNews(self.throttles, self.sessions, self.hints)
        self.history = RequestHistory(Metrics("1"))
        budgets = SharedBudgets(BudgetMemory(descriptor, 3))
        parts = (
            self.news,
            budgets,
            self.uses,
            self.history,
            self.stream,
            {"demo": False},
        )
        self.hub = SupervisorHub(HubDependencies(*parts))
        self.workers, self.tokens, self.directory = SentMessages(), Tokens(), Directory()
        self.hub.workers, self.hub.tls = self.workers, ServerTls()
        self.hub.tokens, self.hub.directory = cast(Any, self.tokens), cast(Any, self.directory)
        self.config: Config = load(None, VARIABLES)

    def welcomed(self) -> list[Message]:
        return FrameReader().feed(b"".join(self.hub.welcome(1, self.config)))


@pytest.fixture
def bench() -> Iterator[Bench]:
    descriptor = make_memory_file()
    os.ftruncate(descriptor, BudgetMemory.size(3))
    yield Bench(descriptor)
    os.close(descriptor)


async def test_a_new_worker_is_given_everything_before_it_serves(bench: Bench) -> None:
    """The configuration first, then what is known, and the word to serve last."""
    bench.throttles.pause(KEY, 30.0, asyncio.get_running_loop())
    bench.sessions.learn(b"\1\2", McpSession("tool", "default", "na"))
    bench.hints.take("default", "na", ("b", "a"))
    begin, *known, serve = bench.welcomed()
    audit, freezes, *known = known
    assert audit == {"kind": "audit", "takes_writes": True}
    assert freezes == {"kind": "freezes", "known": {"all": None, "clients": {}}, "unknown": ""}
    assert [message["kind"] for message in known] == [
        "token",
        "watch",
        "lists",
        "first-lists",
        "failures",
        "learned",
        "learned",
        "learned",
    ]
    assert (begin["kind"], serve["kind"]) == ("begin", "serve")
    assert (begin["number"], begin["audited"], begin["slots"]) == (1, True, {"tool": 0})
    assert from_document(begin["config"]) == bench.config
    assert (known[0]["account"], known[0]["token"], known[0]["trouble"]) == ("default", None, "default is well")
    pause, session, tools = (message["news"] for message in known[5:])
    assert pause["pause"] == list(KEY)
    assert 29 < pause["seconds"] <= 30
    assert session == {"session": "0102", "lives": ["tool", "default", "na"]}
    assert tools == {"tools": ["default", "na", ["a", "b"]]}


def test_news_of_places_reaches_the_other_workers(bench: Bench) -> None:
    """A worker that wants a place for a connection, or gave one back, reports it without details."""
    bench.hub.heard(1, {"kind": "places"})
    [(message, but)] = bench.workers.frames
    assert (message["kind"], but) == ("places", 1)


async def test_workers_are_told_what_is_frozen(bench: Bench) -> None:
    """With each change, as they are at their beginning."""
    freezes = Freezes()
    bench.hub.share_freezes(freezes)
    freezes.change("tool", FreezeEntry(True, "ann@desk", "Bids", 1_800_000_000.0))
    freezes.set_unknown("The store is away.")
    first, second = (message for message, _ in bench.workers.frames)
    assert first["known"]["clients"]["tool"]["frozen"]
    assert (first["unknown"], second["unknown"]) == ("", "The store is away.")
    assert bench.welcomed()[2] == second


async def test_workers_are_told_when_the_audit_stream_is_full(bench: Bench) -> None:
    """At once with the record that fills it, and at the next look when it takes records again; each once."""
    bench.stream.room = 2
    for _ in range(3):
        bench.hub.heard(1, {"kind": "audit", "record": {}, "write": True})
    told = {"kind": "audit", "takes_writes": False}
    assert bench.workers.frames == [(told, None)]
    assert bench.welcomed()[1] == told
    bench.stream.records.clear()
    bench.workers.frames.clear()
    bench.hub.look()
    bench.hub.look()
    audit = [message for message, _ in bench.workers.frames if message["kind"] == "audit"]
    assert audit == [{"kind": "audit", "takes_writes": True}]


def test_events_are_told_to_all(bench: Bench) -> None:
    """A new token with its account's trouble, and a list once, as long as it is the same."""
    bench.hub.observe(TokenRefreshed("acme", 1, 0.1, 5.0, RefreshCause.START))
    for _ in range(2):
        bench.hub.observe(ProfilesListed("default", "na", 3))
    (token, _), (lists, _) = bench.workers.frames
    assert (token["kind"], token["token"], token["trouble"]) == ("token", write_token(TOKEN), "acme is well")
    assert (lists["kind"], lists["account"], lists["region"]) == ("lists", "default", "na")
    bench.hub.look()
    assert len(bench.workers.frames) == 2
    bench.directory.failed = (ListingFailure("default", "eu", "No.", 1.0, True, True),)
    bench.hub.look()
    bench.hub.look()
    assert [message["failures"] for message, _ in bench.workers.frames[2:]] == [
        [["default", "eu", "No.", 1.0, True, True]]
    ]


def test_the_end_of_a_consent_is_a_trouble_that_workers_are_told(bench: Bench) -> None:
    """At once: the explanations of Amazon's errors name it, and the next token may come an hour later, or never."""
    bench.hub.observe(ConsentEnded("acme", 5.0, "Sign in."))
    [(token, _)] = bench.workers.frames
    assert (token["kind"], token["account"], token["trouble"]) == ("token", "acme", "acme is well")


async def test_what_one_saw_is_told_to_the_others(bench: Bench) -> None:
    """Pauses, sessions and hints, but not to who told them; a fleet hears them, too, and its pauses reach all."""
    told: list[tuple[News, Origin]] = []
    bench.news.listeners.append(lambda news, origin: told.append((news, origin)))
    learned: list[News] = [
        {"pause": list(KEY), "seconds": 30.0},
        {"session": "0102", "lives": ["tool", "acme", "na"]},
        {"tools": ["acme", "na", ["a"]]},
    ]
    for news in learned:
        bench.hub.heard(2, {"kind": "learned", "news": news})
    assert bench.workers.kinds() == [("learned", 2)] * 3
    assert [message["news"] for message, _ in bench.workers.frames] == learned
    assert told == [(news, 2) for news in learned]
    assert bench.hints.writers("acme", "na") == {"a"}
    assert [limit.key for limit in bench.throttles.snapshot(asyncio.get_running_loop().time())] == [KEY]
    assert dict(bench.sessions.known()) == {b"\1\2": McpSession("tool", "acme", "na")}
    bench.news.hear({"pause": list(KEY), "seconds": 5.0}, FLEET, 1.0)
    assert bench.workers.frames[3:] == [({"kind": "learned", "news": {"pause": list(KEY), "seconds": 4.0}}, FLEET)]


async def test_questions_are_answered_with_a_token_or_the_reason_for_none(bench: Bench) -> None:
    """The answer after a 401 is one of them."""
    assert await bench.hub.asked({"question": "token", "account": "acme"}) == {
        "account": "acme",
        "token": write_token(TOKEN),
    }
    refused = await bench.hub.asked({"question": "token", "account": "other"})
    assert refused["refused"] == {"detail": "Sign in.", "retry_after": 60, "retryable": False}
    question = {"question": "renew", "account": "acme", "rejected": write_token(TOKEN), "use": ["tool", "123"]}
    assert (await bench.hub.asked(question))["token"] is None


def test_records_misses_uses_and_requests_end_where_they_belong(bench: Bench) -> None:
    """The audit stream, the lists, the suspicion of tokens, the keys, and the console."""
    hub = bench.hub
    hub.heard(1, {"kind": "audit", "record": {"a": 1}, "write": True})
    hub.heard(1, {"kind": "missed", "of": "profile", "identifier": "7", "account": "acme"})
    hub.heard(1, {"kind": "missed", "of": "ads account", "identifier": "x", "account": ""})
    hub.heard(1, {"kind": "accepted", "token": write_token(TOKEN), "use": ["tool", ""]})
    request = [5.0, ["tool", "acme", "na", "", "", "GET", "x", "read"], 403, 0, "/x", "a-1", "", 0.1, 0, "r", "d", ""]
    news = {"requests": [request], "used": {"digest": 4.0}, "pools": {"host:443": 2}}
    hub.heard(1, {"kind": "news", **news})
    assert bench.stream.records == [({"a": 1}, True)]
    assert bench.directory.asked == [("7", "acme"), ("x", "")]
    assert bench.tokens.accepted_uses[0][0] == TOKEN
    assert [(each.status, each.path) for each in bench.history.failures()] == [(403, "/x")]
    assert [each.detail for each in bench.history.refused()] == ["d"]
    assert (bench.uses.last("digest"), hub.pools) == (4.0, {1: {"host:443": 2}})


def test_spans_go_to_their_sender(bench: Bench) -> None:
    """The spans carry the moment when each was over; without traces there is no sender."""
    assert ATTEMPT.span is not None
    message = {"kind": "spans", "spans": [write_span(ATTEMPT, ATTEMPT.span, 12), write_span(SERVED, ATTEMPT.span, 13)]}
    bench.hub.heard(1, message)
    taken: list[Any] = []
    bench.hub.spans = lambda event, ended_at: taken.append((event, ended_at))
    bench.hub.heard(1, message)
    assert taken == [(ATTEMPT, 12), (replace(SERVED, span=ATTEMPT.span), 13)]


def test_judged_writes_are_taken(bench: Bench) -> None:
    """Each as the worker observed it."""
    taken: list[ObservedWrite] = []
    bench.hub.judged = taken.append
    judged = SpendJudgement(SpendMode.ENFORCE, SpendVerdict.FROZEN)
    write = judged_write(finished(client="agent"), judged, 12.5)
    bench.hub.heard(1, {"kind": "judged", "write": json.loads(json.dumps(write_judged(write)))})
    assert taken == [write]


def test_writes_within_their_limits_are_counted(bench: Bench) -> None:
    """By what counts of them."""
    taken: list[tuple[str, SpendJudgement, float]] = []
    bench.hub.judged_within = lambda *given: taken.append(given)
    bench.hub.heard(
        1,
        {"kind": "judged-within", "client": "a", "mode": "observe", "largest": [["bid", "USD", "1.5"]], "at": 12.5},
    )
    judged = SpendJudgement(SpendMode.OBSERVE, SpendVerdict.WITHIN, largest=(SpendAmount(SpendRule.BID, "USD", "1.5"),))
    assert taken == [("a", judged, 12.5)]


def first_lists(bench: Bench) -> list[tuple[list[str], list[str]]]:
    """The news to the workers about first lists: those that are awaited, and those that are settled."""
    told = [message for message, _ in bench.workers.frames if message["kind"] == "first-lists"]
    bench.workers.frames.clear()
    return [(message["awaited"], message["settled"]) for message in told]


async def test_workers_know_whose_first_lists_are_awaited(bench: Bench) -> None:
    """From their beginning on; its end is told behind the list or after the wait, and a reload tells new ones."""
    bench.directory.awaited = {"default"}
    welcomed = [message for message in bench.welcomed() if message["kind"] == "first-lists"]
    assert [(message["awaited"], message["settled"]) for message in welcomed] == [(["default"], [])]
    assert first_lists(bench) == [(["default"], [])]
    bench.hub.observe(ProfilesListed("default", "na", 3))
    bench.hub.look()
    assert first_lists(bench) == []
    bench.directory.awaited = set()
    bench.directory.listing = lambda account, region: None  # type: ignore[method-assign]  # another list
    bench.hub.observe(ProfilesListed("default", "na", 3))
    assert bench.workers.kinds() == [("lists", None), ("first-lists", None)]
    assert first_lists(bench) == [([], ["default"])]
    bench.directory.awaited = {"new"}
    await bench.hub.tell_all({"default": 1, "new": 1})
    assert first_lists(bench) == [(["new"], [])]
    bench.directory.awaited = set()
    bench.hub.look()
    assert first_lists(bench) == [([], ["new"])]


async def test_a_worker_is_answered_when_first_lists_are_settled(bench: Bench) -> None:
    """The worker has the lists then: they were sent before."""
    question = {"question": "first-lists", "accounts": ["acme"], "profile": "99", "ads_account": ""}
    assert await bench.hub.asked(question) == {}
    assert bench.directory.waited == [AwaitedId(("acme",), "99")]


async def test_a_reload_tells_everything_that_is_another(bench: Bench) -> None:
    """Tokens that were not told yet, and lists that are new or gone."""
    bench.hub.observe(ProfilesListed("default", "na", 3))
    bench.directory.listing = lambda account, region: None  # type: ignore[method-assign]  # a list that nobody has
    bench.workers.frames.clear()
    await bench.hub.tell_all({"default": 1})
    assert bench.workers.kinds() == [("token", None), ("lists", None)]


async def test_a_reload_takes_back_lists_that_only_a_welcome_gave(bench: Bench) -> None:
    """The store had them at the start, and their account left before Amazon listed anything."""
    assert [message for message in bench.welcomed() if message["kind"] == "lists"]
    bench.directory.listing = lambda account, region: None  # type: ignore[method-assign]  # a list that nobody has
    await bench.hub.tell_all({})
    [(gone, _)] = bench.workers.frames
    assert gone == {"kind": "lists", "account": "default", "region": "na", "listing": None, "reach": None}


async def test_a_reload_tells_no_token_twice(bench: Bench) -> None:
    """Another token is sent again, and so is one whose account was gone meanwhile: the workers have forgotten it."""
    bench.directory.listing = lambda account, region: None  # type: ignore[method-assign]  # there are tokens alone
    bench.hub.observe(TokenRefreshed("acme", 1, 0.1, 5.0, RefreshCause.START))

    async def told(*accounts: str) -> list[tuple[str, Any]]:
        bench.workers.frames.clear()
        await bench.hub.tell_all(dict.fromkeys(accounts))
        return [(message["account"], message["token"]) for message, _ in bench.workers.frames]

    assert await told("acme", "default") == [("default", None)]
    assert await told("default") == []
    assert await told("acme", "default") == [("acme", write_token(TOKEN))]
    bench.tokens.current = lambda account: None  # type: ignore[method-assign]  # it has ended
    assert await told("acme", "default") == [("acme", None)]


def reloaded(bench: Bench, region: str) -> tuple[Config, list[Message]]:
    """The configuration with the account in another region, and the news to workers about it."""
    config = load(None, {**VARIABLES, "AMAZON_ADS_REGION": region})
    return config, FrameReader().feed(b"".join(bench.hub.reload(config, 7)))


async def test_a_reload_tells_the_accounts_that_changed(bench: Bench) -> None:
    """Before all else of the configuration, which puts them in force."""
    bench.welcomed()
    config, (accounts, apply) = reloaded(bench, "eu")
    assert (accounts["kind"], apply["kind"], apply["generation"]) == ("accounts", "apply", 7)
    assert from_pieces((accounts["piece"], apply["rest"]), bench.config) == config
    _, (apply,) = reloaded(bench, "eu")
    assert from_pieces((apply["rest"],), config) == config


async def test_a_reload_reaches_a_worker_that_began_with_a_configuration_of_its_own(bench: Bench) -> None:
    """The worker began during a failed reload: its configuration differs from the others'."""
    bench.welcomed()
    first, bench.config = bench.config, load(None, {**VARIABLES, "AMAZON_ADS_REGION": "fe"})
    bench.welcomed()
    config, (accounts, apply) = reloaded(bench, "na")
    assert first.accounts == config.accounts
    for known in (first, bench.config):
        assert from_pieces((accounts["piece"], apply["rest"]), known) == config


async def test_what_workers_spend_is_counted_in_the_one_ledger(bench: Bench) -> None:
    """Questions get the ledger's answer, and messages give back."""
    ledger = StoreLedger(MemoryStore().counts)
    bench.hub.ledger = WorkersLedger(ledger)
    key, two = ("agent", "2099-01-15"), (2, ())
    question = {"question": "spend", "call": "reserve", "values": [key, two, [3, None]]}
    assert await bench.hub.asked(question) == {"result": (True, [0, {}])}
    bench.hub.heard(1, {"kind": "spend", "key": key, "back": (1, ())})
    assert await bench.hub.asked(question) == {"result": (True, [1, {}])}
    await ledger.stop()


async def test_what_workers_ask_persons_is_kept_by_the_program(bench: Bench) -> None:
    """Questions get the answer of the program's approvals, and messages give back."""
    given_back: list[tuple[str, str]] = []
    approvals = AbsentApprovals()
    approvals.give_back = lambda *of: given_back.append(of)  # type: ignore[method-assign]  # what the test sees
    bench.hub.approvals = WorkersApprovals(approvals)
    question = {"question": "approval", "call": "use", "values": ["agent", "a1"]}
    assert await bench.hub.asked(question) == {"result": False}
    bench.hub.heard(1, {"kind": "approval", "client": "agent", "back": "a1"})
    assert given_back == [("agent", "a1")]


async def test_workers_are_told_the_keys_of_identity_providers(bench: Bench) -> None:
    """At their beginning and with each change; a worker that misses one tells, and the keys are read again."""
    key = read_key(Signer("ES256").jwk)
    bench.hub.token_checks.keys["mesh"] = ProviderKeys((key,), 1.0, 2.0)
    missed: list[str] = []
    bench.hub.miss_key = missed.append
    keys = {"kind": "keys", "provider": "mesh", "known": write_known(ProviderKeys((key,), 1.0, 2.0))}
    assert bench.welcomed()[-2] == {**keys, "lost": False}
    bench.hub.give_keys("mesh", lost=True)
    assert bench.workers.frames == [({**keys, "lost": True}, None)]
    bench.hub.heard(1, {"kind": "missed-key", "provider": "mesh"})
    assert missed == ["mesh"]
