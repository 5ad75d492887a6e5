"""What a client may do: each limit at its boundaries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proxy.access.policy import Policy, Verdict, evaluate_request, evaluate_run
from proxy.app.rules import make_policy
from proxy.config.model.clients import Client
from proxy.config.model.spend import SpendSection
from proxy.errors import NotPermitted, Refused, UnacceptablePath
from proxy.http1.target import parse_target
from proxy.routing.api import ADS_API, MCP
from proxy.routing.operations import PUBLISHED, Access, Effect
from proxy.routing.overrides import OVERRIDES
from proxy.routing.route import Route
from proxy.routing.target import find_destination, summarise
from tests.support.deciding import OVERRIDING, fields, judged, request

ROUTE = Route("acme", "na", ADS_API, b"", b"")
OWN, OTHER = "amzn1.ads-account.g.own", "amzn1.ads-account.g.other"
LIST = b"/sp/campaigns/list"
"""Scope required, no account id."""
EITHER = b"/reporting/reports"
"""Scope and account id optional."""
STREAMS = b"/dsp/streams/subscriptions"
"""Account id required, spelled Amazon-Ads-Account-ID; no Scope."""
BOTH = b"/sp/global/targets/keywords/recommendations/list"


def policy(**limits: Any) -> Policy:
    return make_policy(Client(name="tool", key_sha256="0" * 64, **limits))


def decided(
    limits: dict[str, Any], method: bytes, target: bytes, *lines: bytes, scope: bytes = b"", default: bytes = b""
) -> Verdict:
    """The verdict on a request with these lines; `scope` is sent, `default` comes from its route or account."""
    api = MCP if target.startswith(b"/mcp") and target.count(b"/") == 1 else ADS_API
    read = fields(*lines, scopes=(scope,) if scope else ())
    chosen = replace(ROUTE, api=api, profile=scope or default)
    return judged(policy(**limits), request(method, target, read), chosen)


def account(value: str, name: str = "Amazon-Ads-AccountId") -> bytes:
    return f"{name}: {value}".encode()


# --- methods, paths, accounts


@pytest.mark.parametrize(
    ("limits", "method", "target", "rule"),
    [
        ({}, b"GET", b"/v2/campaigns", ""),
        ({}, b"GET", b"/a/../b%2Fc", ""),
        ({"accounts": ("acme",)}, b"GET", b"/v2/campaigns", "accounts"),
        ({"accounts": ("acme",)}, b"GET", b"/a/../b%2Fc", "accounts"),
        ({"methods": ("GET", "POST")}, b"GET", b"/v2/campaigns", "methods"),
        ({"methods": ("GET", "POST")}, b"GET", b"/a/../b", "methods"),
        ({"paths": ("/v2/*",)}, b"GET", b"/v2/campaigns", "paths"),
        ({"paths": ("/x", "/v2/*")}, b"GET", b"/%76%32/campaigns", "paths"),
        ({"accounts": ("acme",), "methods": ("GET",), "paths": ("/v2/*",)}, b"GET", b"/v2/campaigns", "paths"),
        ({"accounts": ("acme",)}, b"GET", b"/mcp", "accounts"),
        ({"spend": SpendSection()}, b"POST", b"/sp/campaigns", ""),
        ({"spend": SpendSection(mode="observe")}, b"POST", b"/stores/..%2fsp%2fcampaigns%23/insights", ""),
    ],
)
def test_what_the_limits_allow(limits: dict[str, Any], method: bytes, target: bytes, rule: str) -> None:
    """Each limit permits what it names, and the verdict says which one had the last word."""
    verdict = decided(limits, method, target)
    assert (verdict.refusal, verdict.rule) == (None, rule)
    assert "may send this request" in verdict.reason


@pytest.mark.parametrize(
    ("limits", "method", "target", "rule", "refusal"),
    [
        ({"accounts": ("zeta",)}, b"GET", b"/v2/campaigns", "accounts", NotPermitted),
        ({"methods": ("POST",)}, b"GET", b"/v2/campaigns", "methods", NotPermitted),
        ({"methods": ("GET",)}, b"HEAD", b"/v2/campaigns", "methods", NotPermitted),
        ({"paths": ("/reporting/*",)}, b"GET", b"/v2/campaigns", "paths", NotPermitted),
        ({"paths": ("/v2/*",)}, b"GET", b"//v2/x", "paths", UnacceptablePath),
        ({"paths": ("/v2/*",)}, b"GET", b"/v2/../x", "paths", UnacceptablePath),
        ({"paths": ("/v2/*",)}, b"GET", b"/v2/%2e%2e/x", "paths", UnacceptablePath),
        ({"paths": ("/v2/*",)}, b"GET", b"/v2/a%2fb", "paths", UnacceptablePath),
        ({"paths": ("/v2/*",), "methods": ("POST",)}, b"GET", b"/v2/../x", "paths", UnacceptablePath),
        ({"profiles": ("123",)}, b"GET", b"/v2/../x", "profiles", UnacceptablePath),
        ({"account_ids": (OWN,)}, b"GET", b"/v2/%2570rofiles", "account_ids", UnacceptablePath),
        ({"access": "read"}, b"GET", b"/v2/profiles;x", "access", UnacceptablePath),
        ({"access": "report"}, b"GET", b"//v2/profiles", "access", UnacceptablePath),
        ({"spend": SpendSection()}, b"POST", b"/stores/..%2fsp%2fcampaigns%23/insights", "spend", UnacceptablePath),
    ],
)
def test_what_the_limits_forbid(
    limits: dict[str, Any], method: bytes, target: bytes, rule: str, refusal: type[Refused]
) -> None:
    """403 names the rule; a path that cannot be judged is 400 before anything else."""
    verdict = decided(limits, method, target, scope=b"123")
    assert verdict.rule == rule
    assert type(verdict.refusal) is refusal


@pytest.mark.parametrize(
    ("limits", "reads"),
    [
        ({}, True),
        ({"reports": ("sp-daily",)}, True),
        ({"reports": ("sp-*",)}, True),
        ({"reports": ("x", "*y")}, True),
        ({"reports": ("sp",)}, False),
        ({"reports": ("SP-*",)}, False),
        ({"accounts": ("acme",)}, True),
        ({"accounts": ("zeta",)}, False),
        ({"accounts": ("zeta",), "reports": ("*",)}, False),
        ({"profiles": ("123",)}, False),
        ({"account_ids": (OWN,)}, False),
        ({"profiles": ("123",), "reports": ("sp-*",)}, True),
        ({"access": "read"}, True),
    ],
)
def test_named_reports_that_a_client_may_read(limits: dict[str, Any], reads: bool) -> None:
    """All but those of other accounts; none for a limited client, unless it lists some."""
    assert policy(**limits).reads_report("sp-daily", "acme") is reads


@pytest.mark.parametrize(
    ("limits", "method", "target", "refusal"),
    [
        ({"profiles": ("123",)}, b"GET", b"/-/reports/sp.csv", None),
        ({"account_ids": (OWN,)}, b"HEAD", b"/-/reports/sp.csv", None),
        ({"access": "read"}, b"GET", b"/-/reports/sp.csv?refresh=1", None),
        ({"paths": ("/-/reports/*",)}, b"GET", b"/-/reports/sp.csv", None),
        ({"paths": ("/v2/*",)}, b"GET", b"/-/reports/sp.csv", NotPermitted),
        ({"methods": ("POST",)}, b"GET", b"/-/reports/sp.csv", NotPermitted),
        ({"access": "read"}, b"GET", b"/-/reports/sp%2ecsv.", UnacceptablePath),
        ({"profiles": ("123",)}, b"GET", b"/-//reports/sp.csv", UnacceptablePath),
    ],
)
def test_requests_for_named_reports_are_reads(
    limits: dict[str, Any], method: bytes, target: bytes, refusal: type[Refused] | None
) -> None:
    """Methods and paths are limited as for all requests; what governs Amazon's operations does not count."""
    destination = find_destination(parse_target(target), with_own_paths=True)
    asked = summarise(method, fields(), destination, PUBLISHED)
    found = evaluate_request(policy(**limits), asked, destination).refusal
    assert refusal is None if found is None else type(found) is refusal


@pytest.mark.parametrize(("access", "permitted"), [("read", False), ("report", True), ("write", True), ("admin", True)])
def test_runs_of_named_reports_that_a_client_may_ask_for(access: str, permitted: bool) -> None:
    """The runs order reports at Amazon."""
    verdict = evaluate_run(policy(access=access))
    assert (verdict.refusal is None) is permitted
    assert verdict.rule == ("" if access == "admin" else "access")


def test_a_long_method_is_not_said_back_whole() -> None:
    """The first 32 bytes are enough to know it by."""
    verdict = decided({"methods": ("GET",)}, b"M" * 33, b"/v2/campaigns")
    assert f" {'M' * 32}." in verdict.reason


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        ({"methods": ("GET",)}, "methods"),
        ({"paths": ("*",)}, "paths"),
        ({"profiles": ("123",)}, "profiles"),
        ({"account_ids": (OWN,)}, "account_ids"),
        ({"access": "read"}, "access"),
        ({"methods": ("GET",), "paths": ("*",), "profiles": ("123",)}, "methods"),
        ({"accounts": ("acme",)}, ""),
        ({"spend": SpendSection()}, ""),
        ({"spend": SpendSection(), "methods": ("GET",)}, "methods"),
        ({}, ""),
    ],
)
def test_a_limited_client_may_not_send_another_method_or_path_in_a_header(limits: dict[str, Any], rule: str) -> None:
    """Some servers obey X-HTTP-Method-Override and X-Original-URL; of other clients they pass, and count as writes."""
    verdict = decided(limits, b"GET", b"/v2/campaigns", OVERRIDING, scope=b"123")
    assert (verdict.refusal is not None) is (rule != "")
    if rule:
        assert verdict.rule == rule


@pytest.mark.parametrize("name", [*sorted(OVERRIDES), b"x-method", b"x-override-method", b"x-goog-method-override"])
def test_every_overriding_header_is_known(name: bytes) -> None:
    """In any case, and with underscores."""
    for spelling in (name, name.upper(), name.replace(b"-", b"_")):
        verdict = decided({"access": "read"}, b"GET", b"/v2/profiles", spelling + b": DELETE")
        assert verdict.rule == "access" and verdict.refusal is not None


@pytest.mark.parametrize(
    "query",
    [
        *(b"_method=DELETE", b"a=1&_METHOD=x", b"a=1;%5Fmethod=x", b"_method", b"X-HTTP-Method-Override=PUT"),
        *(
            b"%255fmethod=DELETE",
            b"%25255fmethod=x",
            b"_method[]=DELETE",
            b"_method%5B0%5D=x",
            b".method=x",
            b"+_method=x",
        ),
        *(b"__method=x", b"%5Bmethod=x", b"x_http_method=x"),
    ],
)
def test_a_query_may_not_override_the_method_either(query: bytes) -> None:
    """Frameworks for forms read the method from such a parameter."""
    assert decided({"access": "read"}, b"GET", b"/v2/profiles?" + query).refusal is not None
    assert decided({}, b"GET", b"/v2/profiles?" + query).refusal is None
    assert decided({"access": "read"}, b"GET", b"/v2/profiles?method=x&a_method=y").refusal is None


# --- access


@pytest.mark.parametrize(
    ("method", "target", "least"),
    [
        (b"GET", b"/v2/profiles", Access.READ),
        (b"HEAD", b"/v2/profiles", Access.READ),
        (b"POST", LIST, Access.READ),
        (b"POST", b"/sp/%63ampaigns/list", Access.READ),
        (b"POST", EITHER, Access.REPORT),
        (b"POST", b"/adsApi/v1/create/reports", Access.REPORT),
        (b"GET", b"/reporting/reports/1", Access.READ),
        (b"DELETE", b"/reporting/reports/1", Access.WRITE),
        (b"POST", b"/sp/campaigns", Access.WRITE),
        (b"PUT", b"/sp/campaigns", Access.WRITE),
        (b"DELETE", LIST, Access.WRITE),
        (b"OPTIONS", b"/v2/profiles", Access.WRITE),
        (b"get", b"/v2/profiles", Access.WRITE),
        (b"GET", b"/unheard/of", Access.READ),
        (b"HEAD", b"/unheard/of", Access.READ),
        (b"GET", b"/V2/profiles", Access.READ),
        (b"GET", b"/", Access.READ),
        (b"POST", b"/unheard/of", Access.WRITE),
        (b"PUT", b"/unheard/of", Access.WRITE),
        (b"PATCH", b"/unheard/of", Access.WRITE),
        (b"DELETE", b"/unheard/of", Access.WRITE),
        (b"POST", b"/unheard/of/list", Access.WRITE),
        (b"POST", b"/adsApi/v1/query/unheardThings", Access.READ),
        (b"POST", b"/adsApi/v1/retrieve/unheardThings/dsp", Access.READ),
        (b"PUT", b"/adsApi/v1/query/unheardThings", Access.WRITE),
        (b"PUT", b"/mcp", Access.ADMIN),
        (b"POST", b"/mcp/x", Access.WRITE),
        (b"POST", b"/amc/audiences/query", Access.WRITE),
        (b"POST", b"/user-invitations", Access.ADMIN),
        (b"PUT", b"/user%2Dinvitations/redeem", Access.ADMIN),
        (b"POST", b"/User-Invitations", Access.ADMIN),
        (b"POST", b"/unheardUsers", Access.ADMIN),
        (b"PATCH", b"/unheard/billing_things", Access.ADMIN),
        (b"POST", b"/users/list", Access.READ),
        (b"GET", b"/unheardUsers", Access.READ),
        (b"POST", b"/managerAccounts", Access.ADMIN),
        (b"POST", b"/managerAccounts/1/associate", Access.ADMIN),
        (b"PUT", b"/amc/audiences/connections", Access.ADMIN),
        (b"POST", b"/AMC/audiences/connections/1", Access.ADMIN),
        (b"POST", b"/adsApi/v1/create/accountCombinationInvitations", Access.ADMIN),
        (b"POST", b"/adsApi/v1/query/accountCombinationInvitations", Access.READ),
        (b"POST", b"/billing/invoices/pay", Access.ADMIN),
        (b"POST", b"/termsTokens", Access.ADMIN),
        (b"POST", b"/dsp/measurement/studies/brandLift", Access.ADMIN),
        (b"POST", b"/measurement/studies/surveys", Access.ADMIN),
        (b"POST", b"/sp/unheard/searchTerms", Access.WRITE),
    ],
)
def test_access_permits_what_does_no_more(method: bytes, target: bytes, least: Access) -> None:
    """Whatever neither the table nor Amazon's scheme knows counts as a write."""
    ladder = [Access.READ, Access.REPORT, Access.WRITE, Access.ADMIN]
    for access in ladder:
        verdict = decided({"access": access.value}, method, target)
        assert (verdict.refusal is None) is (ladder.index(access) >= ladder.index(least))
        if access is not Access.ADMIN:
            assert verdict.rule == "access"


@pytest.mark.parametrize("access", ["read", "report"])
def test_an_unknown_operation_is_called_unknown(access: str) -> None:
    """The refusal says why an unknown operation counts as a write, and how to allow it; that of a known one says what
    the operation does."""
    unknown = decided({"access": access}, b"POST", b"/v2/stores").reason
    assert "not in Amazon's specifications, and so count as a write" in unknown
    assert "`operations`" in unknown and "`effect: read`" in unknown and "Check the path" in unknown
    known = decided({"access": access}, b"DELETE", b"/reporting/reports/1").reason
    assert known == f"Client tool has `access: {access}`, and this operation may change something."


def test_a_limited_client_is_told_that_an_operation_is_unknown() -> None:
    """Nothing says what it reaches; the text has the way to open it."""
    reason = decided({"profiles": ("11",)}, b"POST", b"/v2/stores").reason
    assert "this method and path are not in Amazon's specifications" in reason and "`unscoped_paths`" in reason


@pytest.mark.parametrize("method", [b"POST", b"GET", b"DELETE"])
@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        ({"access": "read"}, "access"),
        ({"access": "report"}, "access"),
        ({"mcp_tools": ("a*",)}, "mcp_tools"),
        ({"mcp_tools": ("a*",), "access": "read"}, "mcp_tools"),
        ({"mcp_tools": ("a*",), "profiles": ("11",), "unscoped_paths": ("/mcp",)}, "mcp_tools"),
    ],
)
def test_what_an_mcp_client_calls_is_judged_by_its_body(limits: dict[str, Any], rule: str, method: bytes) -> None:
    """The body decides for clients with limits on what they do or on the tools that they call."""
    verdict = decided(limits, method, b"/mcp")
    assert (verdict.refusal, verdict.rule, verdict.by_body) == (None, rule, True)


def test_mcp_tools_open_nothing_that_is_closed() -> None:
    """A limited client's account is fixed nevertheless, and all other methods stay closed."""
    assert decided({"mcp_tools": ("*",), "profiles": ("11",)}, b"POST", b"/mcp").is_fixed
    assert decided({"mcp_tools": ("*",), "profiles": ("11",)}, b"POST", b"/mcp", scope=b"12").refusal is not None
    assert decided({"mcp_tools": ("*",)}, b"PUT", b"/mcp").refusal is not None
    assert not decided({"mcp_tools": ("*",)}, b"POST", b"/sp/campaigns").by_body
    assert not decided({}, b"POST", b"/mcp").by_body


def test_access_holds_for_every_published_operation() -> None:
    """Reading clients reach what the table says reads, reporting ones what makes reports, too; nothing else."""
    permitted: dict[str, set[str]] = {}
    for access in ("read", "report"):
        permitted[access] = {
            row.name
            for row in PUBLISHED
            if decided(
                {"access": access}, row.method.encode(), row.template.replace("{", "").replace("}", "").encode()
            ).refusal
            is None
        }
    reads = {row.name for row in PUBLISHED if row.effect is Effect.READ}
    assert permitted["read"] == reads
    assert permitted["report"] == reads | {row.name for row in PUBLISHED if row.effect is Effect.REPORT}


@pytest.mark.parametrize("limits", [{"requests_per_minute": 5}, {"max_in_flight": 1}, {"methods": ["GET"]}, {}])
def test_only_a_limited_number_of_requests_is_a_budget(limits: dict[str, Any]) -> None:
    """A budget limits the requests of a minute, or those under way."""
    assert policy(**limits).has_budget is bool(limits.keys() & {"requests_per_minute", "max_in_flight"})
