"""What the Ads API refuses: tokens, client ids, Scope, media types, and headers that must never get there."""

from __future__ import annotations

from unittest import TestCase

import pytest

from proxy.simulator import SimulatorState
from tests.simulator.conftest import SimulatorClient

NA, EU = "1110000000000001", "2220000000000001"
SP = "application/vnd.spCampaign.v3+json"


async def test_good_request_is_answered_with_request_ids(client: SimulatorClient) -> None:
    """A right request passes, and the answer has the ids that Amazon gives."""
    reply = await client.ask("GET", "/v2/profiles")
    assert reply.status == 200
    assert reply.header("x-amz-rid")
    assert reply.header("x-amz-request-id") or reply.header("x-amzn-RequestId")
    assert reply.header("Transfer-Encoding") == "chunked"
    assert client.kinds() == []


@pytest.mark.parametrize(
    ("authorization", "kind"),
    [
        (None, "authorization-missing"),
        ("Atza|bare", "authorization-malformed"),
        ("bearer {token}", "authorization-malformed"),
        ("Bearer  {token}", "authorization-malformed"),
        ("Bearer {token} ", None),
        ("Bearer Atza|unknown", "token-unknown"),
        ("Basic e30=", "authorization-malformed"),
    ],
)
async def test_authorization_is_exactly_bearer_and_a_known_token(
    client: SimulatorClient, authorization: str | None, kind: str | None
) -> None:
    """Anything but one Bearer and a token of ours is 401 (white space at the end is HTTP's, not the value's)."""
    token = await client.sign_in()
    value = authorization and authorization.replace("{token}", token)
    reply = await client.ask("GET", "/v2/profiles", Authorization=value)
    assert (reply.status, client.kinds()) == ((401, [kind]) if kind else (200, []))


async def test_nobody_is_told_what_is_wrong_with_a_token(client: SimulatorClient) -> None:
    """An unknown token and one that expired get the same words; the ledger tells them apart."""
    client.simulator.state.change(access_token_lifetime=60)
    await client.sign_in()
    client.simulator.state.advance(60)
    expired = await client.ask("GET", "/v2/profiles")
    client.token = "Atza|unknown"
    unknown = await client.ask("GET", "/v2/profiles")
    assert expired.json() == unknown.json() == {"code": "UNAUTHORIZED", "details": "HTTP 401 Unauthorized"}
    assert client.kinds() == ["token-expired", "token-unknown"]


async def test_expired_token_is_refused(client: SimulatorClient) -> None:
    """A token dies when its lifetime is over, not before."""
    client.simulator.state.change(access_token_lifetime=60)
    await client.sign_in()
    client.simulator.state.advance(59)
    assert (await client.ask("GET", "/v2/profiles")).status == 200
    client.simulator.state.advance(1)
    assert (await client.ask("GET", "/v2/profiles")).status == 401
    assert client.kinds() == ["token-expired"]


async def test_token_of_another_app_is_refused(client: SimulatorClient) -> None:
    """The client id must be that of the app for which the token was made."""
    state = client.simulator.state
    grant = state.credentials.add_grant(state.credentials.add_app("second").client_id, "default")
    client.token = state.credentials.mint(grant).token
    assert (await client.ask("GET", "/v2/profiles")).status == 401
    assert client.kinds() == ["client-id-wrong"]


@pytest.mark.parametrize(
    ("path", "needed"),
    [("/v2/profiles", "Amazon_Advertising_API_ClientId"), ("/adsApi/v1/query/campaigns", "Amazon_Ads_ClientId")],
)
@pytest.mark.parametrize(("value", "kind"), [(None, "client-id-missing"), ("other", "client-id-wrong")])
async def test_client_id_header_of_the_operation_is_needed(
    client: SimulatorClient, path: str, needed: str, value: str | None, kind: str
) -> None:
    """Most operations need Amazon-Advertising-API-ClientId, /adsApi/v1 Amazon-Ads-ClientId; both must be right."""
    method = "GET" if path == "/v2/profiles" else "POST"
    reply = await client.ask(method, path, Content_Type="application/json", **{needed: value})
    assert (reply.status, client.kinds()) == (401, [kind])


@pytest.mark.parametrize(
    "line",
    [
        "Cookie: a=b",
        "Via: 1.1 x",
        "Forwarded: for=x",
        "X-Forwarded-For: 10.0.0.1",
        "X-Ads-Account: acme",
        "X-Ads-Proxy-Key: secret",
        "X_Ads_Region: eu",
        "Proxy-Authorization: Basic x",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Keep-Alive: timeout=5",
        "Upgrade: h2c",
        "Connection: X-Private",
        "amazon_advertising_api_scope: 1110000000000001",
        "Amazon-Ads_ClientId: x",
    ],
)
async def test_header_that_must_not_reach_amazon_is_refused(client: SimulatorClient, line: str) -> None:
    """Selectors, cookies, proxies' headers, hop-by-hop headers and odd spellings are 400 and counted as leaks."""
    await client.sign_in()
    answer = await client.raw(client.head("GET", "/v2/profiles", "Connection: close", line))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert client.kinds() == ["leaked-header"]


@pytest.mark.parametrize(
    "line",
    ["authorization: Bearer x", "AMAZON-ADS-CLIENTID: x", "Amazon-Advertising-API-ClientId: x"],
)
async def test_injected_header_may_come_only_once(client: SimulatorClient, line: str) -> None:
    """A second value of an injected header, in whatever case, is 400."""
    await client.sign_in()
    answer = await client.raw(client.head("GET", "/v2/profiles", "Connection: close", line))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert client.kinds() == ["duplicate-header"]


@pytest.mark.parametrize(
    ("method", "path", "scope", "status", "kind"),
    [
        ("GET", "/sd/campaigns", NA, 200, None),
        ("GET", "/sd/campaigns", None, 401, "scope-missing"),
        ("GET", "/sd/campaigns", "", 401, "scope-missing"),
        ("GET", "/sd/campaigns", EU, 401, "scope-other-region"),
        ("GET", "/sd/campaigns", "42", 401, "scope-unknown"),
        ("GET", "/managerAccounts", NA, 400, "scope-unwanted"),
        ("GET", "/v2/profiles", NA, 200, None),
        ("GET", "/v2/profiles", EU, 200, None),
        ("GET", f"/v2/profiles/{NA}", "42", 200, None),
        ("GET", "/v2/profiles", None, 200, None),
        ("GET", "/sb/targets/1", NA, 404, None),
        ("GET", "/v2/stores", None, 200, None),
        ("GET", "/v2/stores", NA, 200, None),
        ("GET", "/v2/stores", EU, 401, "scope-other-region"),
    ],
)
async def test_scope_follows_the_operation(
    client: SimulatorClient, method: str, path: str, scope: str | None, status: int, kind: str | None
) -> None:
    """Scope is required, optional or unwanted by operation, and must be a profile of this region and user."""
    reply = await client.ask(method, path, Amazon_Advertising_API_Scope=scope)
    assert (reply.status, client.kinds()) == (status, [kind] if kind else [])


async def test_scope_of_another_user_is_refused(client: SimulatorClient) -> None:
    """A profile that exists, but not for the token's user, is 401."""
    state = client.simulator.state
    state.add_user("other")
    theirs = state.profiles.listed("na", "other")[0].profile_id
    reply = await client.ask("GET", "/sd/campaigns", Amazon_Advertising_API_Scope=theirs)
    assert (reply.status, client.kinds()) == (401, ["scope-forbidden"])
    assert reply.json() == {"code": "UNAUTHORIZED", "details": f"Not authorized to access scope {theirs}"}


@pytest.mark.parametrize(
    ("scope", "details"),
    [
        (None, "Scope header is missing"),
        ("", "Scope header is missing"),
        ("42", "No matching advertiser found for scope"),
        (EU, "No matching advertiser found for scope"),
    ],
)
async def test_scope_is_refused_in_the_words_of_amazon(
    client: SimulatorClient, scope: str | None, details: str
) -> None:
    """A 401 about Scope has Amazon's words; a host knows no profile of another region."""
    reply = await client.ask("GET", "/sd/campaigns", Amazon_Advertising_API_Scope=scope)
    assert (reply.status, reply.json()) == (401, {"code": "UNAUTHORIZED", "details": details})


async def test_unified_api_says_message_for_details(client: SimulatorClient) -> None:
    """The words are the same, in the shape of the unified API's errors."""
    kind = "application/json"
    reply = await client.ask("GET", "/adsApi/v1/brandStoreEditions?brandStoreId=1", Content_Type=kind)
    assert (reply.status, reply.json()) == (401, {"code": "UNAUTHORIZED", "message": "Scope header is missing"})


async def test_empty_scope_is_none_where_it_is_optional(client: SimulatorClient) -> None:
    """An empty header counts as absent: Amazon's own collection sends such."""
    path = "/adsApi/v1/query/adExtensions"
    reply = await client.ask("POST", path, {}, Content_Type="application/json", Amazon_Advertising_API_Scope="")
    assert (reply.status, client.kinds()) == (200, [])


async def test_v3_report_takes_scope_or_account_but_not_both(client: SimulatorClient) -> None:
    """`/reporting/reports` with both headers is refused."""
    kind = "application/vnd.createasyncreportrequest.v3+json"
    both = {"Amazon_Advertising_API_Scope": NA, "Amazon_Ads_AccountId": "x"}
    reply = await client.ask("POST", "/reporting/reports", {}, Content_Type=kind, **both)
    assert (reply.status, client.kinds()) == (400, ["scope-and-account"])


@pytest.mark.parametrize(
    ("content_type", "accept", "status", "kind"),
    [
        (SP, SP, 200, None),
        (SP.lower(), "*/*", 200, None),
        (SP, "text/html, application/*;q=0.1", 200, None),
        ("application/json", SP, 415, "content-type"),
        (None, SP, 415, "content-type"),
        (SP, "application/vnd.spCampaign.v2+json", 406, "accept"),
    ],
)
async def test_media_types_are_those_of_the_specification(
    client: SimulatorClient, content_type: str | None, accept: str, status: int, kind: str | None
) -> None:
    """If the specification has vendor media types, others are 415 or 406, and counted as the client's fault."""
    reply = await client.ask(
        "POST",
        "/sp/campaigns/list",
        {"maxResults": 1},
        Content_Type=content_type,
        Accept=accept,
        Amazon_Advertising_API_Scope=NA,
    )
    assert (reply.status, client.kinds()) == (status, [kind] if kind else [])
    assert {refusal.owner for refusal in client.simulator.state.refusals} <= {"tool"}


async def test_answer_has_the_vendor_media_type_as_the_specification_spells_it(client: SimulatorClient) -> None:
    """The media type of the answer keeps its mixed case."""
    reply = await client.ask(
        "POST", "/sp/campaigns/list", {}, Content_Type=SP, Accept=SP.lower(), Amazon_Advertising_API_Scope=NA
    )
    assert reply.header("Content-Type") == SP


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "api", "advertising-api.amazon.com"])
async def test_a_foreign_host_is_refused(client: SimulatorClient, host: str) -> None:
    """A Host without this listener's port is 400, unless hosts are not strict."""
    refused = await client.ask("GET", "/v2/profiles", Host=host)
    client.simulator.state.change(strict_host=False)
    taken = await client.ask("GET", "/v2/profiles", Host=host)
    assert (refused.status, taken.status, client.kinds()) == (400, 200, ["host-wrong"])


async def test_refusal_is_logged_with_its_reason(client: SimulatorClient) -> None:
    """What was refused, and why, is in the log."""
    with TestCase().assertLogs("proxy.simulator") as logged:
        await client.ask("GET", "/v2/profiles", Authorization=None)
    assert "authorization-missing" in "\n".join(logged.output)


def test_every_operation_has_a_rule(simulator_state: SimulatorState) -> None:
    """The tables hold the 556 operations of the wheel and 187 that are documented elsewhere, each found by its own
    template."""
    table = simulator_state.operations
    assert len(table.operations) == 743
    for operation in table.operations:
        found = table.find(operation.method, operation.template.replace("{}", "1"))
        assert found is not None
        assert found.template.count("{}") <= operation.template.count("{}")
