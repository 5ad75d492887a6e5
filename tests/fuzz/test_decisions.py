"""Where a request goes and whether it may: no spelling opens a door that the configuration keeps shut."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote_to_bytes

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.access.admission import admit, check_host
from proxy.access.policy import Policy
from proxy.app.rules import make_policy, make_routing_table
from proxy.config.model.clients import Client
from proxy.errors import Refused
from proxy.forwarding.injection import REQUEST_FIELDS
from proxy.http1.message import Request
from proxy.http1.request_fields import read_request_fields
from proxy.http1.target import parse_target, path_segments
from proxy.routing.ads_account import NAMES_ACCOUNT
from proxy.routing.api import ADS_API, MCP
from proxy.routing.operations import PUBLISHED, Access, ScopeRule
from proxy.routing.overrides import may_override
from proxy.routing.route import Route, route
from proxy.routing.table import ClientScope, RoutingTable
from proxy.routing.target import TargetKind, find_destination
from tests.fuzz.depth import at_length, briefly
from tests.fuzz.making import ACCOUNTS, METHODS, TRAPS, spelled, values
from tests.support.deciding import Listed, config, judged, region, summary

SAME = region()
TABLE = make_routing_table(
    config(
        {"acme": {"region": "na", "default_profile": "first"}, "globex": {"region": "eu", "default_profile": "22"}},
        routes={"brand": {"account": "acme", "region": "eu", "profile": "11"}},
        regions={"na": SAME, "eu": region(api_url="http://127.0.0.1:9002"), "fe": SAME},
    ),
    Listed(
        {"11": (("acme", "eu"),), "22": (("globex", "eu"), ("acme", "na"))},
        {("acme", "na"): "11", ("acme", "eu"): "33"},
    ),
)
PERMITTED = ("11", "22")

_PARTS = (
    *(b"auth", b"ap", b"oa", b"o2", b"token", b"mcp", b"lite", b"v2", b"v4", b"profiles", b"sp", b"campaigns", b"list"),
    *(
        b"accounts",
        b"managerAccounts",
        b"reporting",
        b"reports",
        b"@acme",
        b"@globex",
        b"@brand",
        b"%40acme",
        b"na",
        b"eu",
    ),
    *(
        b"..",
        b".",
        b"",
        b"%2e%2e",
        b"%2E.",
        b"..;",
        b"%252e%252e",
        b"\\",
        b"%5c",
        b"%2f",
        b"%00",
        b";x",
        b".json",
        b"%20",
    ),
    *(
        b"AUTH",
        b"%61uth",
        b"a%75th",
        b"%2561p",
        b"Profiles",
        b"PROFILES",
        b"?",
        b"?x=/../",
        b"%3f",
        b"*",
        b"1",
        b"\xc0\xae",
    ),
)
scattered = st.lists(
    st.tuples(st.sampled_from((b"/", b"/", b"/", b"//", b"%2f", b"", b"/./", b"/x/../")), st.sampled_from(_PARTS)),
    max_size=7,
).map(lambda parts: b"/" + b"".join(slash + part for slash, part in parts).lstrip(b"/"))
hosts = st.sampled_from(
    (b"127.0.0.1:8080", b"localhost", b"advertising-api-eu.amazon.com", b"127.0.0.1:9002", b"evil.test")
)
_ENTRANCES = (
    b"/",
    b"//",
    b"/./",
    b"/x/../",
    b"/\\",
    b"/;a/",
    b"/%2e/",
    b"/%2E%2e/",
    b"/%5c",
    b"/%2f",
    b"/@acme/",
    b"/eu/",
)
_PLAIN_PATHS = (b"/sp/campaigns/list", b"/v2/profiles", b"/reporting/reports", b"/sim/x", b"/accounts/1/dsp/x", b"/mcp")


@st.composite
def disguised(draw: st.DrawFn) -> bytes:
    """A path that must stay shut, in odd spelling: letters encoded up to three times, either case, behind anything."""
    path = draw(st.sampled_from((b"auth", b"ap", b"v2/profiles", b"accounts/1/x", b"mcp", b"managerAccounts")))
    spelling = b""
    for number in path:
        letter = bytes([number])
        letter = draw(st.sampled_from((letter, letter, letter.swapcase())))
        if draw(st.integers(0, 7)) == 0:
            letter = b"%" + b"25" * draw(st.integers(0, 2)) + b"%02x" % letter[0]
        spelling += letter
    ending = draw(
        st.sampled_from((b"", b"/", b"/o2", b";x", b".json", b"%20", b"%00", b"%3f", b"%23", b"?x", b"%2fx", b".."))
    )
    return draw(st.sampled_from(_ENTRANCES)) + spelling + ending


targets = st.one_of(scattered, disguised(), st.sampled_from(_PLAIN_PATHS))
any_targets = st.one_of(targets, hosts.flatmap(lambda host: targets.map(lambda target: b"http://" + host + target)))
scopes = st.sampled_from((b"11", b"11", b"33", b"22", b"33", b"", b"11,22", b" 11", b"11 ", b"1 1", b"\xb911", b"999"))
fields = st.lists(
    st.one_of(
        st.tuples(st.just(b"Amazon-Advertising-API-Scope"), scopes),
        st.tuples(spelled(b"Amazon-Advertising-API-Scope"), scopes),
        st.tuples(spelled(b"X-Ads-Account"), st.sampled_from((b"acme", b"globex", b"x"))),
        st.tuples(spelled(b"X-Ads-Region"), st.sampled_from((b"na", b"EU", b"x"))),
        st.tuples(st.sampled_from(ACCOUNTS + TRAPS).flatmap(spelled), values),
    ),
    max_size=5,
)
policies = st.builds(
    Client,
    name=st.just("tool"),
    key_sha256=st.just("0" * 64),
    accounts=st.sampled_from((None, ("acme",), ("globex",), ("acme", "globex"))),
    profiles=st.sampled_from((None, ("11",), PERMITTED)),
    methods=st.sampled_from((None, ("GET",), ("GET", "POST"))),
    paths=st.sampled_from((None, ("/sp/*",), ("/v2/profiles", "/sp/*"), ("*",), ("/reporting/*",))),
    unscoped_paths=st.sampled_from(((), ("/v2/profiles", "/mcp"))),
    access=st.sampled_from(("read", "report", "write")),
).map(make_policy)
questions = st.tuples(st.sampled_from(METHODS), any_targets, hosts, fields)
Question = tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]]]


def asked(question: Question, scope: ClientScope = ClientScope()) -> tuple[Request, Route] | None:  # noqa: B008 - frozen
    """The route of a question, None where the proxy answers it itself."""
    method, target, host, lines = question
    section = b"Host: %b\r\n" % host + b"".join(b"%b: %b\r\n" % line for line in lines)
    try:
        fields = read_request_fields(section, 1, 128, REQUEST_FIELDS)
        request = Request(method, parse_target(target), 1, fields, "id-1")
        admit(request, TABLE)
        check_host(request, TABLE)
        destination = find_destination(request.target)
        if destination.kind is TargetKind.TOKEN:
            return None
        return request, route(summary(request, TABLE.operations), TABLE, scope)
    except Refused:
        return None


def readings(target: bytes) -> set[bytes]:
    """The paths that some server might make of a target: decoded again and again, dot segments walked."""
    path = target.partition(b"?")[0]
    found = set()
    for _ in range(4):
        walked: list[bytes] = []
        for segment in path.lower().replace(b"\\", b"/").split(b"/"):
            name = segment.partition(b";")[0].strip(b" \t\0")
            if name == b"..":
                del walked[-1:]
            elif name not in (b"", b"."):
                walked.append(name)
        found.add(b"/" + b"/".join(walked))
        path = unquote_to_bytes(path)
    return found


def signing_in_is_never_forwarded(question: Question) -> None:
    """No reading of what leaves begins with /auth or /ap."""
    found = asked(question)
    if found is None:
        return
    request, chosen = found
    target = chosen.target(find_destination(request.target))
    assert target.startswith(b"/")
    assert b" " not in target and b"#" not in target
    assert not [path for path in readings(target) if path.split(b"/")[1] in (b"auth", b"ap")], chosen
    assert chosen.account in TABLE.accounts and chosen.region in ("na", "eu", "fe")


def a_limited_client_stays_in_its_limits(question: Question, policy: Policy) -> None:
    """What a policy permits has its account, its method and, with `profiles`, one of its profiles, or a named path."""
    found = asked(question, ClientScope("", policy.accounts))
    if found is None:
        return
    request, chosen = found
    if judged(policy, request, chosen).refusal is not None:
        return
    assert policy.accounts is None or chosen.account in policy.accounts
    assert policy.methods is None or question[0] in policy.methods
    if policy.methods is not None or policy.paths is not None or policy.profiles is not None:
        assert not any(may_override(name) for name, _ in request.fields.every)
    if policy.profiles is not None:
        check_profile(policy, request, chosen)


def check_profile(policy: Policy, request: Request, chosen: Route) -> None:
    """No Scope that is not on the list, and where no path was opened by name, one that governs what is reached."""
    assert policy.profiles is not None
    assert not chosen.profile or chosen.profile in policy.profiles
    destination = find_destination(request.target)
    if destination.path in policy.unscoped_paths:
        return
    if chosen.api is MCP:
        assert judged(policy, request, chosen).is_fixed  # `fix_account` and each message decide what of it leaves
        return
    assert chosen.profile
    assert chosen.api is ADS_API
    assert not [name for name, value in request.fields.every if name in NAMES_ACCOUNT and value.strip(b", \t")]
    for path in readings(chosen.target(destination)):
        operation = PUBLISHED.find(request.method, path_segments(path))
        assert operation is None or operation.scope not in (ScopeRule.NEVER, ScopeRule.UNKNOWN)
        assert not path.startswith((b"/accounts/", b"/mcp", b"/v2/profiles", b"/manageraccounts"))


def stricter_never_permits_more(question: Question, policy: Policy) -> None:
    """Taking a limit away, or a profile more on the list, refuses nothing that was permitted."""
    found = asked(question, ClientScope("", policy.accounts))
    if found is None or judged(policy, *found).refusal is not None:
        return
    looser = [
        *(replace(policy, accounts=None), replace(policy, methods=None), replace(policy, paths=None)),
        *(replace(policy, access=access) for access in list(Access)[list(Access).index(policy.access) :]),
    ]
    if policy.profiles is not None:
        looser.append(replace(policy, profiles=policy.profiles | {b"33", b"999"}))
    for laxer in looser:
        assert judged(laxer, *found).refusal is None, laxer


def check_all(question: Question, policy: Policy) -> None:
    signing_in_is_never_forwarded(question)
    a_limited_client_stays_in_its_limits(question, policy)
    stricter_never_permits_more(question, policy)


PROFILES_ONLY = make_policy(Client(name="tool", key_sha256="0" * 64, profiles=("11",)))
READ_ONLY = make_policy(Client(name="tool", key_sha256="0" * 64, methods=("GET",)))


def found_before(target: bytes, *lines: tuple[bytes, bytes]) -> Question:
    """A question with the Scope 11, as an attacker would put it."""
    return (b"GET", target, b"localhost", [(b"Amazon-Advertising-API-Scope", b"11"), *lines])


@briefly
@given(questions, policies)
@example(found_before(b"/v2/profiles.json"), PROFILES_ONLY)
@example(found_before(b"/v2/profiles%20"), PROFILES_ONLY)
@example(found_before(b"/v4/profiles"), PROFILES_ONLY)
@example(found_before(b"/Accounts/1/dsp/x"), PROFILES_ONLY)
@example(found_before(b"/MCP/x"), PROFILES_ONLY)
@example(found_before(b"/mcp"), PROFILES_ONLY)
@example(found_before(b"/auth%00/o2"), PROFILES_ONLY)
@example(found_before(b"/%252561uth/o2"), PROFILES_ONLY)
@example(found_before(b"/sp/x", (b"X_HTTP_Method_Override", b"DELETE")), READ_ONLY)
def test_no_spelling_opens_a_closed_door(question: Question, policy: Policy) -> None:
    """Sign-in paths, profiles, accounts, methods and paths, with all that was once found to open one."""
    check_all(question, policy)


@at_length
@given(questions, policies)
def test_no_spelling_opens_a_closed_door_at_length(question: Question, policy: Policy) -> None:
    """No spelling opens a closed door with many more examples."""
    check_all(question, policy)


def test_the_table_is_what_the_properties_are_about() -> None:
    """Both accounts, the route and a plain question are really there."""
    assert isinstance(TABLE, RoutingTable)
    found = asked((b"POST", b"/@brand/sp/campaigns/list", b"localhost", []))
    assert found is not None
    assert (found[1].account, found[1].region, found[1].profile) == ("acme", "eu", b"11")
    assert judged(PROFILES_ONLY, *found).refusal is None
