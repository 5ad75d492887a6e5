"""What a request is answered with follows everything that it depends on, however often the same bytes came before.

Each `Input` is something that an answer, the bytes to Amazon or the account of a request depend on. A proxy that has
served the same requests many times meets its change; it then does what a proxy does that has served none.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from typing import Any
from unittest.mock import patch

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Holder, Placeholders
from proxy.access.policy import Policy
from proxy.bounded_cache import BoundedCache
from proxy.downstream.ports import Availability
from proxy.errors import NoUsableToken
from proxy.forwarding.tracing import Tracing
from proxy.reports.sharing import ReportRules
from proxy.routing.operations import PUBLISHED, Access, family
from proxy.routing.table import AccountEntry, Selection
from proxy.secret import Secret
from proxy.upstream.throttles import ThrottleKey
from tests.support.accounted_bench import AccountedBench, masked
from tests.support.independent_readers import Message
from tests.support.memory_bench import End, usual_rules
from tests.support.warm_and_cold import AskedDirectory

pytestmark = pytest.mark.usefixtures("still_ages")
BEGINNING = 1_800_000_000.0
"""The wall-clock time of all rows but those in which time passes."""
DAY = 86_400.0
ENDS_AT = BEGINNING + 10 * DAY
NAMES = ("reader", "writer", "limited", "ending")
KEYS = {name: f"key-of-{name}".encode() for name in NAMES}
WARM = 4
"""How often each request came before."""


class Clock:
    """The time of day for the program's modules."""

    now = BEGINNING

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def _time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program reads `CLOCK`, however it has imported the clock."""
    real = time.time
    monkeypatch.setattr(time, "time", CLOCK)
    for name, module in list(sys.modules.items()):
        if name.startswith("proxy.") and getattr(module, "time", None) is real:
            monkeypatch.setattr(module, "time", CLOCK)


# --- the world before the change


def directory() -> AskedDirectory:
    """Profile 1 is of one account, 2 of the other one."""
    found = AskedDirectory()
    found._first = {("default", "na"): "1", ("other", "eu"): "2"}
    found._ads_accounts = {"amzn1.a": (("default", "na"),)}
    return found


def routes(**changed: Any) -> dict[str, Any]:
    """A routing table with two accounts and a route; or one that is changed so."""
    entries = {name: AccountEntry(name, region, "") for name, region in (("default", "na"), ("other", "eu"))}
    names = {name: Selection(entry) for name, entry in entries.items()}
    names["route"] = Selection(entries["other"], "na", "9")
    values = {"accounts": entries, "names": names, "directory": directory(), **changed}
    return {"table": replace(usual_rules().table, **values)}


def clients(left_out: str = "", keys: Mapping[str, bytes] = KEYS, **changed: dict[str, Any]) -> dict[str, Any]:
    """Four clients, without the one that is `left_out`; `changed` has further limits of clients by their names."""
    limits: dict[str, dict[str, Any]] = {
        "reader": {"methods": frozenset((b"GET",)), "paths": (PathPattern.read("/v2/*"),)},
        "writer": {"max_in_flight": 64},
        "limited": {"profiles": frozenset((b"1", b"2"))},
        "ending": {},
    }
    policies = [
        Policy(
            name,
            (ClientKey(hashlib.sha256(keys[name]).hexdigest(), ENDS_AT if name == "ending" else None),),
            **{**limits[name], **changed.get(name, {})},
        )
        for name in NAMES
        if name != left_out
    ]
    return {"clients": Clients(policies, Placeholders(b"key"), Budgets())}


def amazon(message: Message) -> list[bytes | None]:
    """An answer whose varying parts are those of the request."""
    name = hashlib.sha256(repr(message).encode()).hexdigest()[:12].encode()
    body = b'{"location":"http://api.test:81/v1/reports/7/download"}'
    if message.first[1] == b"/reporting/reports":
        body = b'{"reportId":"%b","status":"PENDING"}' % name
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-amz-rid: %b\r\nContent-Length: %d\r\n\r\n"
    return [head % (name, len(body)) + (b"" if message.first[0] == b"HEAD" else body)]


def head(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """A request of HTTP/1.1."""
    lines = [line + b" HTTP/1.1", b"Host: 127.0.0.1", *fields]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join((*lines, b"", body))


SCOPED = b"Amazon-Advertising-API-Scope: %d"
SELECTED = b"X-Ads-Account: default"
ORDERS = b"Content-Type: application/vnd.createasyncreportrequest.v3+json"
ORDER = b'{"name":"x","startDate":"2026-11-01","endDate":"2026-11-07","configuration":{"reportTypeId":"spCampaigns"}}'
OPEN = (
    head(b"GET /v2/profiles", SELECTED),
    head(b"GET /v2/profiles?a=1", SCOPED % 1),
    head(b"GET /v2/stores", SCOPED % 2),
    head(b"GET /sd/campaigns/7", SELECTED),
    head(b"GET /sd/campaigns/7", SCOPED % 3),
    head(b"GET /sd/campaigns/7", SCOPED % 3, SELECTED),
    head(b"GET /v2/stores", b"Amazon-Ads-AccountId: amzn1.a"),
    head(b"POST /adsApi/v1/query/campaigns", SELECTED, body=b"{}"),
    head(b"POST /mcp", SELECTED, body=b'{"jsonrpc":"2.0","id":1,"method":"ping"}'),
    head(b"GET /@other/eu/v2/profiles", b"User-Agent: x", b"traceparent: 00-%b-%b-01" % (b"1" * 32, b"2" * 16)),
    head(b"GET /@route/sd/campaigns/7"),
    head(b"GET /v2/reports/1", SCOPED % 1, b"X-Request-Id: mine"),
    head(b"HEAD /v2/profiles", SELECTED),
    head(b"GET http://api.test:81/v2/profiles", SELECTED, b"Connection: close"),
    head(b"PUT /sp/campaigns", SCOPED % 1, body=b'{"campaigns":[]}'),
    head(b"POST /reporting/reports", SCOPED % 1, ORDERS, body=ORDER),
    head(b"GET /v2/profiles", SELECTED).replace(b"127.0.0.1", b"proxy.example"),
    head(b"GET /v2/reports/1", SELECTED).replace(b"Host: 127.0.0.1\r\n", b"").replace(b"/1.1", b"/1.0"),
)
PLACEHOLDER = Placeholders(b"key").issue_access(
    Holder("writer", hashlib.sha256(KEYS["writer"]).hexdigest()), "default", BEGINNING
)
KEYED = tuple(
    head(line, b"Authorization: Bearer " + credential, scope, body=b"{}" if line[:3] == b"PUT" else b"")
    for credential in (*KEYS.values(), PLACEHOLDER.encode())
    for scope in (SCOPED % 1, SCOPED % 2)
    for line in (b"GET /v2/profiles", b"GET /sd/campaigns/7", b"PUT /sp/campaigns")
)


# --- the inputs


Change = Callable[[AccountedBench], object]


@dataclass(frozen=True)
class Input:
    """Something that requests depend on, and its change. Clients have keys if it is `keyed`; `default_profile` is that
    of an account before the change."""

    name: str
    change: Change
    keyed: bool = False
    default_profile: str = ""


def reload(**changed: Any) -> Change:
    """A change of the rules."""
    return lambda bench: bench.reload(**changed)


def table(**changed: Any) -> Change:
    """Another routing table, with the same directory."""
    return lambda bench: bench.reload(**routes(**{"directory": bench.rules.table.directory, **changed}))


def listing(change: Callable[[AskedDirectory], object], *, tells: bool = True) -> Change:
    """A change of the lists of profiles; their version tells of it."""

    def make(bench: AccountedBench) -> None:
        known = bench.rules.table.directory
        assert isinstance(known, AskedDirectory)
        change(known)
        known.version += tells

    return make


def configured(**changed: Any) -> Change:
    """Other clients, see `clients`."""
    return lambda bench: bench.reload(**clients(**changed))


def policy(name: str, **limits: Any) -> Change:
    """Other limits of one client."""
    return configured(**{name: limits})


def trusted(bench: AccountedBench) -> None:
    """No clients are configured."""
    bench.reload(clients=Clients((), Placeholders(b"key"), Budgets()))


ENTRIES = {"default": AccountEntry("default", "na", ""), "other": AccountEntry("other", "eu", "")}
ONE = {name: Selection(ENTRIES["default"]) for name in ("default", "other")}
RENAMED = {"default": AccountEntry("new", "na", ""), "new": AccountEntry("new", "na", ""), "other": ENTRIES["other"]}


def with_default(**changed: Any) -> dict[str, Any]:
    """Members of a table in which the account `default` is changed so."""
    entries = {**ENTRIES, "default": replace(ENTRIES["default"], **changed)}
    names = {name: Selection(entry) for name, entry in entries.items()}
    return {"accounts": entries, "names": {**names, "route": Selection(entries["other"], "na", "9")}}


def route_to(entry: str, region: str, profile: str) -> dict[str, Any]:
    names = {name: Selection(entry) for name, entry in ENTRIES.items()}
    return {"names": {**names, "route": Selection(ENTRIES[entry], region, profile)}}


def leave_and_come_back(bench: AccountedBench) -> None:
    """Other rules are in force while the access token changes; then the same ones as before."""
    known = bench.rules
    table(names={})(bench)
    bench.tokens.rotate()
    bench.rules = known
    bench.reload()


def renew_twice(bench: AccountedBench) -> None:
    bench.tokens.rotate()
    bench.tokens.rotate()


RULES = [
    Input("an account is removed", table(accounts={"other": ENTRIES["other"]}, names={})),
    Input("an account has another name", table(accounts=RENAMED, names={k: Selection(v) for k, v in RENAMED.items()})),
    Input("a name leads to another account", table(names={**ONE, "route": Selection(ENTRIES["default"], "na", "9")})),
    Input("an account has another region", table(**with_default(region="eu"))),
    Input("an account has a default profile", table(**with_default(default_profile="1"))),
    Input("an account has a default ads account", table(**with_default(default_ads_account="amzn1.a"))),
    Input("a route leads to another profile", table(**route_to("other", "na", "8"))),
    Input("a route leads to another account", table(**route_to("default", "na", "9"))),
    Input("a route leads to another region", table(**route_to("other", "eu", "9"))),
    Input("a route is removed", table(names={name: Selection(entry) for name, entry in ENTRIES.items()})),
    Input("a region has another address", reload(api_urls={"na": "http://api2.test:82"})),
    Input("an MCP endpoint has another path", table(api_paths={("mcp", "na"): b"/base"})),
    Input("a host name is served", table(served_hosts=frozenset(("proxy.example",)))),
    Input("the listener has another address", reload(listen=b"0.0.0.0:9")),
    Input("locations are left alone", reload(rewrite_locations=False)),
    Input("responses have a line more", reload(response_lines=b"X-Ads-Proxy-Demo: yes\r\n")),
    Input("a body is too large", reload(max_body_bytes=3)),
    Input("a target is too long", reload(max_target_bytes=14)),
    Input("a head is too large", reload(max_header_bytes=80)),
    Input("a head has too many fields", reload(max_header_fields=2)),
    Input("values of writes are recorded", reload(recorded_values=frozenset(("name",)))),
    Input("orders of reports are shared", reload(reports=ReportRules(True, 60.0, False, 0.0, adopts=False))),
    Input("rules come back", leave_and_come_back),
    Input("a key is needed", configured()),
]
SWAPPED = {**KEYS, "reader": KEYS["writer"], "writer": KEYS["reader"]}
CLIENTS = [
    Input("no key is needed", trusted, keyed=True),
    Input("a client is removed", configured(left_out="writer"), keyed=True),
    Input("a key is replaced", configured(keys={**KEYS, "reader": b"another"}), keyed=True),
    Input("two clients swap their keys", configured(keys=SWAPPED), keyed=True),
    Input("a policy has other methods", policy("reader", methods=frozenset((b"PUT",))), keyed=True),
    Input("a policy has other paths", policy("reader", paths=(PathPattern.read("/sd/*"),)), keyed=True),
    Input("a policy permits less", policy("writer", access=Access.READ), keyed=True),
    Input("a policy has other accounts", policy("writer", accounts=frozenset(("other",))), keyed=True),
    Input("a policy has other profiles", policy("limited", profiles=frozenset((b"2",))), keyed=True),
    Input("a policy has ads accounts", policy("limited", profiles=None, account_ids=frozenset((b"a",))), keyed=True),
    Input("a client has a budget", policy("writer", requests_per_minute=20), keyed=True),
    Input("a client may have nothing in flight", policy("writer", max_in_flight=0), keyed=True),
]


def own(profile: str, *owners: tuple[str, str]) -> Callable[[AskedDirectory], None]:
    """From now on these accounts list the profile."""
    return lambda known: known._owners.update({profile: owners})


def ads_account_moves(known: AskedDirectory) -> None:
    known._ads_accounts["amzn1.a"] = (("other", "eu"),)


def first_profile_changes(known: AskedDirectory) -> None:
    known._first["default", "na"] = "7"


LISTS = [
    Input("profiles change hands", listing(AskedDirectory.change)),
    Input("profiles of limited clients change hands", listing(AskedDirectory.change), keyed=True),
    Input("a profile is listed", listing(own("3", ("default", "na")))),
    Input("a profile is listed elsewhere", listing(own("3", ("other", "eu")))),
    Input("a profile is listed twice", listing(own("1", ("default", "na"), ("other", "eu")))),
    Input("a profile is not listed any longer", listing(own("2"))),
    Input("a profile is listed before the version tells", listing(own("3", ("default", "eu")), tells=False)),
    Input("an ads account changes hands", listing(ads_account_moves)),
    Input("the first profile is another one", listing(first_profile_changes), default_profile="first"),
]


def sign_out(bench: AccountedBench) -> None:
    """No access token can be had."""

    async def get(account: str) -> Any:
        raise NoUsableToken(f"The login of {account} is over.")

    bench.tokens.cold = True
    bench.tokens.get = get  # type: ignore[method-assign]  # of this one object


def expire(bench: AccountedBench) -> None:
    """The access token is too old: the next one has to be awaited."""
    bench.tokens.rotate()
    bench.tokens.cold = True


def have_client_id(bench: AccountedBench) -> None:
    """The same access token is another application's."""
    bench.tokens._token = replace(bench.tokens._token, client_id="amzn1.another")


def watch(bench: AccountedBench) -> None:
    bench.tokens.watchful = True


TOKENS = [
    Input("the access token is renewed", lambda bench: bench.tokens.rotate()),
    Input("the access token is renewed twice", renew_twice),
    Input("the access token has expired", expire),
    Input("the access token is another application's", have_client_id),
    Input("the account is signed out", sign_out),
    Input("uses of access tokens are watched", watch),
]


def pause(bench: AccountedBench) -> None:
    """Amazon asked for a pause of the lists of profiles."""
    throttles = bench.forwarder._dependencies.throttles
    for segments in ((b"v2", b"profiles"), (b"v2", b"stores")):
        limited = family(PUBLISHED.find(b"GET", segments), b"GET", segments)
        throttles.pause(ThrottleKey(limited, "", "na", "amzn1.test"), 600.0, asyncio.get_running_loop())


def refuse_writes(bench: AccountedBench) -> None:
    bench.accounting.write_gate.takes_writes = lambda: False


def trace(bench: AccountedBench) -> None:
    """Requests have spans, with other ids each second. The program decides about that at its start."""
    bench.accounting.tracing = Tracing(bench.events, trusts=True, random=lambda bits: int(CLOCK.now))
    bench.reload()


def become(availability: Availability) -> Change:
    def change(bench: AccountedBench) -> None:
        bench.forwarder.availability = availability

    return change


def choose_members(bench: AccountedBench) -> None:
    """A line of the log has other members, by a reload."""
    bench.output.adjust(level="info", access=True, access_fields=("status", "client"))
    bench.reload()


def write_no_lines(bench: AccountedBench) -> None:
    bench.output.adjust(level="info", access=False)
    bench.reload()


def wait(seconds: float) -> Change:
    """So much time passes."""

    def change(bench: AccountedBench) -> None:
        CLOCK.now += seconds

    return change


STATES = [
    Input("a placeholder expires", wait(2 * 3600.0), keyed=True),
    Input("a key expires", wait(11 * DAY), keyed=True),
    Input("a key expires at this moment", wait(10 * DAY), keyed=True),
    Input("Amazon asked for a pause", pause),
    Input("writes cannot be recorded", refuse_writes),
    Input("requests are traced", trace),
    Input("the proxy drains", become(Availability.DRAINING)),
    Input("the proxy is closing", become(Availability.CLOSING)),
    Input("the log has other members", choose_members),
    Input("the log has no lines", write_no_lines),
    Input("the log masks another secret", lambda bench: bench.output.redact([Secret("profiles")])),
    Input("writes cannot be recorded, of clients", refuse_writes, keyed=True),
]
INPUTS = [*RULES, *CLIENTS, *LISTS, *TOKENS, *STATES]


# --- the property


async def asked(bench: AccountedBench, clients: dict[bytes, End]) -> list[bytes]:
    """What each of these requests gets a second later, all sent at once, on the connection that it has or, where it
    has ended, on a new one."""
    CLOCK.now += 1
    for request, client in clients.items():
        if client.pipe.ended:
            clients[request] = bench.client()
        clients[request].pipe.written.clear()
        clients[request].send(request)
    await bench.rest(*clients.values())
    return [masked(bytes(client.pipe.written)) for client in clients.values()]


async def observed(row: Input, *, warm: bool) -> dict[str, Any]:
    """What a proxy does after the change, on connections that were there before it and on others; `warm`: it has
    served all of the requests before."""
    CLOCK.now = BEGINNING
    world = {**routes(**with_default(default_profile=row.default_profile)), **(clients() if row.keyed else {})}
    bench = AccountedBench(**world, api_urls={"eu": "http://api.test:81"}, pool_limit=200)
    bench.answer = amazon
    requests = KEYED if row.keyed else OPEN
    old, new = ({request: bench.client() for request in requests} for _ in range(2))
    for _ in range(WARM if warm else 0):
        await asked(bench, old)
    CLOCK.now = BEGINNING
    row.change(bench)
    bench.begin()
    numbers = count()
    bench.forwarder.new_request_id = lambda: f"id-{next(numbers)}"  # type: ignore[method-assign]  # of this one object
    # Memories of what comes again are filled a second time, under what is changed.
    came = [await asked(bench, each) for each in (old, new, new, old)]
    seen = {"came": came, **bench.seen()}
    for client in (*old.values(), *new.values()):
        client.leave()
    await bench.rest()
    bench.end()
    return seen


def forgetful(row: Input) -> dict[str, Any]:
    """What a proxy does that serves none of the requests before the change, and looks nothing up in a cache."""
    with patch.object(BoundedCache, "get", lambda _self, _key, default=None: default):
        return asyncio.run(observed(row, warm=False))


@cache
def unchanged(*, keyed: bool, default_profile: str) -> dict[str, Any]:
    """What a proxy does where nothing changes."""
    return forgetful(Input("nothing", lambda bench: None, keyed, default_profile))


@pytest.mark.parametrize("row", INPUTS, ids=[row.name for row in INPUTS])
def test_a_change_holds_for_requests_that_came_before(row: Input) -> None:
    """The same bytes get what a proxy gives that has not seen them; and that is not what they got before."""
    warm, fresh = asyncio.run(observed(row, warm=True)), forgetful(row)
    for part, value in fresh.items():
        assert warm[part] == value, part
    assert fresh != unchanged(keyed=row.keyed, default_profile=row.default_profile)


# --- each byte of a head

AT_ONCE = 60
BODY = b'{"campaigns":[]}'
HEADS = {
    "plain": head(b"GET /v2/profiles", SELECTED),
    "keyed": head(b"GET /v2/profiles?count=1", b"Authorization: Bearer " + KEYS["reader"], SCOPED % 1),
    "routed": head(b"GET /@route/sd/campaigns/7", b"X-Request-Id: mine", b"Accept: */*"),
    "region": head(b"GET /@other/eu/v2/profiles", b"X-Ads-Proxy-Key: " + KEYS["limited"], SCOPED % 2),
    "placeholder": head(b"GET /v2/reports/1", b"Authorization: Bearer " + PLACEHOLDER.encode()),
    "body": head(b"PUT /sp/campaigns", b"Content-Type: application/json", SCOPED % 1, body=BODY),
    "chunked": head(b"POST /sp/campaigns/list", SCOPED % 1, b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
    "absolute": head(b"GET http://api.test:81/v2/profiles", SELECTED, b"Connection: close"),
    "old": head(b"HEAD /v2/profiles", SELECTED, b"Connection: keep-alive").replace(b"/1.1", b"/1.0"),
}


def mutants(request: bytes) -> list[bytes]:
    """The request with one byte of its head changed in two ways, left out, or put in before it."""
    found = []
    for at in range(request.index(b"\r\n\r\n") + 4):
        before, byte, behind = request[:at], request[at], request[at + 1 :]
        found += [before + bytes([each]) + behind for each in (byte ^ 1, byte ^ 32)]
        found += [before + behind, before + b"0" + request[at:]]
    return found


async def served(requests: list[bytes], *, cold: bool, keyed: bool) -> dict[str, Any]:
    """What a proxy does with these requests, many of them at once, each on a connection of its own; `cold`: it takes
    its rules again before each."""
    CLOCK.now = BEGINNING
    bench = AccountedBench(**routes(), **(clients() if keyed else {}), api_urls={"eu": "http://api.test:81"})
    bench.answer = amazon
    bench.begin()
    numbers, came = count(), []
    bench.forwarder.new_request_id = lambda: f"id-{next(numbers)}"  # type: ignore[method-assign]  # of this one object
    for begin in range(0, len(requests), AT_ONCE):
        batch = [bench.client() for _ in requests[begin : begin + AT_ONCE]]
        for client, request in zip(batch, requests[begin:], strict=False):
            if cold:
                bench.reload(**(clients() if keyed else {}))
            client.send(request)
        await bench.rest(*batch)
        came += [masked(bytes(client.pipe.written)) + b"(ended)" * client.pipe.ended for client in batch]
        for client in batch:
            client.leave()
        await bench.rest()
    seen = {"came": came, **bench.seen()}
    bench.end()
    return seen


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "plain" else pytest.mark.long) for name in HEADS]
)
def test_each_byte_of_a_head_counts(name: str) -> None:
    """Whatever byte differs from a request that came before, and however often."""
    request = HEADS[name]
    requests = [request] * WARM
    for mutant in mutants(request):
        requests += [mutant, request, mutant]
    keyed = b"key-of" in request or PLACEHOLDER.encode() in request
    warm, cold = (asyncio.run(served(requests, cold=cold, keyed=keyed)) for cold in (False, True))
    for at, request in enumerate(requests):
        assert (request, warm["came"][at]) == (request, cold["came"][at])
    assert warm == cold
