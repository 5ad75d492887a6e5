"""New targets meet remembered decisions: none gets what a decision made for it alone would not say.

Thousands of random requests of clients with different rights go to one memory of decisions and to a new one each.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from itertools import count
from random import Random
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy, Verdict
from proxy.downstream.ports import ClientPort
from proxy.errors import Refused
from proxy.forwarding.decision import RequestContext
from proxy.forwarding.decisions import Decisions
from proxy.forwarding.forwarder import Forwarder
from proxy.http1.message import Request, RequestReader
from proxy.routing.locations import hands_out_locations
from proxy.routing.operations import PUBLISHED, Access, family
from proxy.routing.table import AccountEntry, Selection
from tests.support.deciding import Listed, screened
from tests.support.memory_bench import MemoryBench
from tests.support.proxy_bench import Running
from tests.support.warm_and_cold import KEYED, ask, clients
from tests.support.wire import HELLO, answering

OWN: Final = frozenset((b"7", b"11"))
IDS: Final = frozenset((b"amzn1.x", b"77"))
POLICIES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"accounts": frozenset(("acme",))},
    {"methods": frozenset((b"GET", b"HEAD"))},
    {"paths": tuple(map(PathPattern.read, ("/v2/profiles/7", "/sp/*", "/v2/*/7", "/x/1*")))},
    {"paths": (PathPattern.read("/*"),), "methods": frozenset((b"GET", b"POST")), "requests_per_minute": 9**9},
    {"access": Access.READ},
    {"access": Access.REPORT, "paths": (PathPattern.read("/reporting/*"), PathPattern.read("/v2/profiles*"))},
    {"profiles": OWN},
    {"profiles": OWN, "unscoped_paths": frozenset((b"/v2/profiles/7", b"/x/1", b"/sp/campaigns/"))},
    {"account_ids": IDS, "accounts": frozenset(("acme",))},
    {"profiles": OWN, "account_ids": IDS, "access": Access.READ, "paths": (PathPattern.read("/*7*"),)},
    {"mcp_tools": (PathPattern.read("read*"),)},
)  # fmt: skip
"""What each client may do, but for one without a policy."""
FAVOURITES: Final = ("listProfiles", "getProfileById", "ListSponsoredProductsCampaigns")
VALUES: Final = ("7", "8", "11", "77", "amzn1.x", "1", "%37", "7;a", "..", "a%2Fb", "7%2537", "reports")
QUERIES: Final = (
    *(
        "",
        "",
        "",
        "?",
        *["?a=%d"] * 9,
        "?profileId=7",
        "?profileId=8",
        "?profileId=7,8",
        "?%70rofileId=8",
        "?advertiserId=77",
    ),
    *("?_method=PUT", "?x-http-method-override=PUT", "?a=%d&amazon-advertising-api-scope=8", "?" + "a&" * 90),
)
PREFIXES: Final = (
    *(*["/@acme"] * 20, "", "/@acme/eu", "/@globex", "/@brand", "/eu", "/@nobody"),
    *(*["http://api.test:81"] * 4, "https://api.test:81"),
)
SECTIONS: Final = (
    b"",
    *[b"Amazon-Advertising-API-Scope: 7\r\n"] * 9,
    b"Amazon-Advertising-API-Scope: 8\r\n",
    b"Amazon-Ads-AccountId: amzn1.x\r\n",
    b"Amazon-Ads-AccountId: other\r\n",
    b"X-Ads-Account: globex\r\n",
    b"X-Ads-Region: eu\r\nContent-Length: 2\r\n",
    b"X-HTTP-Method-Override: PUT\r\n",
    b"Amazon-Advertising-API-AdvertiserId: 58\r\n",
    b"Sec-Fetch-Site: cross-site\r\n",
)
UNKNOWN: Final = ("/x", "/sp/x", "/sp/reports/x", "/v2/reports/x/y")
"""The beginnings of paths without an operation: of several families, and with locations in their responses."""
Answer = tuple[object, ...]


def key_of(number: int) -> bytes:
    return b"key-of-client-%d" % number


def many_clients() -> Clients:
    """One client for each of the policies."""
    digests = (hashlib.sha256(key_of(number)).hexdigest() for number in range(len(POLICIES)))
    found = zip(digests, POLICIES, strict=True)
    policies = [
        Policy(f"client-{number}", (ClientKey(digest),), **limits) for number, (digest, limits) in enumerate(found)
    ]
    return Clients(policies, Placeholders(b"key"), Budgets())


def bench(known: Clients | None) -> MemoryBench:
    """A proxy with two accounts, a route and lists of profiles, for these clients."""
    found = MemoryBench()
    accounts = {"acme": AccountEntry("acme", "na", "7", "amzn1.x"), "globex": AccountEntry("globex", "eu", "22", "")}
    names = {name: Selection(entry) for name, entry in accounts.items()}
    names["brand"] = Selection(accounts["acme"], "eu", "11")
    listed = {"7": (("acme", "na"),), "8": (("acme", "eu"),), "11": (("acme", "eu"),), "22": (("globex", "eu"),)}
    directory = Listed(listed, ads_accounts={"amzn1.x": (("acme", "na"),)})
    table = replace(found.rules.table, accounts=accounts, names=names, directory=directory)
    found.apply(replace(found.rules, table=table, clients=known or found.rules.clients))
    return found


def random_head(random: Random, known: bool) -> bytes:
    """A request whose target is nearly always new; few header sections, so that decisions repeat."""
    row = random.choice(_ROWS)
    if random.random() < 0.1:
        path, method = f"{random.choice(UNKNOWN)}/{random.randrange(30)}", random.choice(("GET", "POST"))
    else:
        path, method = row.template, random.choice((row.method, row.method, row.method, "HEAD", "GET", "PUT"))
    for name in row.placeholders:
        path = path.replace(f"{{{name}}}", random.choice((*VALUES, *[str(random.randrange(10**6))] * 12)))
    path += random.choice(("",) * 30 + ("/", "//x", "/%2e"))
    query = random.choice(QUERIES).replace("%d", str(random.randrange(10**6)))
    section = b"Host: 127.0.0.1\r\n" + random.choice(SECTIONS)
    if path and known:
        section += b"Authorization: Bearer " + key_of(random.randrange(len(POLICIES))) + b"\r\n"
    prefix = random.choice(PREFIXES)
    if prefix.startswith("http"):
        section = section.replace(b"127.0.0.1", b"api.test:81")
    return f"{method} {prefix}{path}{query} HTTP/1.1\r\n".encode() + section + b"\r\n"


_ROWS: Final = [row for row in PUBLISHED if row.name in FAVOURITES] * 400 + list(PUBLISHED)


class Decided:
    """The decisions of one forwarder, which serves nothing. `found` counts those that were remembered."""

    def __init__(self, forwarder: Forwarder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found = 0
        self._forwarder = forwarder
        self._client = cast("ClientPort", SimpleNamespace(head_done=0.0, address="127.0.0.1"))
        monkeypatch.setattr(forwarder, "_serve", lambda context, client: context)

    def forget(self) -> None:
        rules = self._forwarder.rules
        self._forwarder._decisions = Decisions(rules)

    def ask(self, request: Request) -> Answer:
        """What is decided about a request, or why it is refused and how that is told."""
        forwarder = self._forwarder
        admission = forwarder._decisions.find(request)
        self.found += admission is not None
        try:
            if admission is not None:
                return self._described(RequestContext(admission, request.id, 0.0))
            return self._described(cast("RequestContext", forwarder.accept_new(request, self._client)))
        except Refused as error:
            known = forwarder._undecided
            return type(error), error.detail, error.close, known.kind if known.request is request else None

    def _described(self, context: RequestContext) -> Answer:
        decision = context.decision
        policy = decision.identity.policy
        fresh = screened(policy, context.request) if policy is not None else Verdict("", "")
        assert fresh.refusal is None
        self._forwarder.rules.clients.check_route(decision.identity, fresh, decision.route)
        assert decision.by_body == fresh.by_body
        asked, segments = decision.asked, context.destination.segments
        assert context.family == family(asked.operation, asked.method, segments)
        if asked.operation is None:
            assert decision.hands_out_locations == hands_out_locations(asked.method, segments)
        plugs = [[getattr(each, "func", each).__name__ for each in plugs] for plugs in (decision.gates, decision.taps)]
        return (
            *(decision.client, decision.route, context.target, context.path, context.effect, context.is_write, plugs),
            *(context.family, decision.hands_out_locations, decision.budgeted, decision.is_plain, decision.reads),
            *(decision.missed, decision.by_body, decision.asked.overrides),
        )


@pytest.mark.parametrize("keyed", [True, False], ids=["clients", "nobody's"])
@pytest.mark.parametrize(
    ("seed", "requests"), [(1, 3000), *(pytest.param(seed, 6000, marks=pytest.mark.fuzz) for seed in range(2, 8))]
)
async def test_a_remembered_decision_says_what_one_made_now_would_say(
    seed: int, requests: int, keyed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict, the refusal with its account, and the route; whatever was asked before."""
    random = Random(seed)
    worlds = [bench(many_clients() if keyed else None) for _ in range(2)]
    warm, cold = (Decided(world.forwarder, monkeypatch) for world in worlds)
    reader, numbers, told = worlds[0].forwarder.reader, count(), Counter[object]()
    for _ in range(requests):
        request = _read(reader, random_head(random, keyed), next(numbers))
        cold.forget()
        expected = cold.ask(request)
        assert warm.ask(request) == expected, request
        told[expected[0] if isinstance(expected[0], type) else "passed"] += 1
    assert cold.found == 0
    assert warm.found > requests / 15
    assert told["passed"] > requests / 5
    assert len(told) >= (8 if keyed else 5)
    for world in worlds:
        world.pools.close()
        world.deadlines.stop()


def _read(reader: RequestReader, head: bytes, number: int) -> Request:
    return reader.read(head, lambda: f"id-{number}")


async def test_new_targets_of_a_client_whose_paths_are_checked_share_a_decision(running: Running) -> None:
    """The policy is asked about each, the route is chosen once; what a pattern does not match is refused among them."""
    known = clients(paths=(PathPattern.read("/v2/profiles/*"),))
    async with running(answering(HELLO), clients=known) as found:
        client, decisions = await found.client(), found.forwarder._decisions
        for number in range(6):
            assert await ask(client, KEYED.replace(b"profiles", b"profiles/%d?a=%d" % (number, number))) == [200]
            assert await ask(client, KEYED.replace(b"profiles", b"stores/%d" % number)) == [403]
        assert len(decisions._made) == 1


async def test_a_refused_new_target_costs_its_client_one_request(running: Running) -> None:
    """A client beyond its budget is told so, although its policy was asked before that."""
    known = clients(paths=(PathPattern.read("/v2/profiles/*"),), requests_per_minute=5)
    async with running(answering(HELLO), clients=known) as found:
        client = await found.client()
        paths = (b"profiles/1", b"stores/1", b"profiles/2", b"stores/2", b"profiles/3", b"profiles/4", b"stores/3")
        statuses = [await ask(client, KEYED.replace(b"profiles", path)) for path in paths]
        assert statuses == [[200], [403], [200], [403], [200], [429], [429]]
