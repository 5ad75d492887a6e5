"""Which advertiser a request is for: the account id by the operation's rule, with or instead of a Scope."""

from __future__ import annotations

import pytest

from proxy.simulator.ads_accounts import account_id
from tests.simulator.conftest import Reply, SimulatorClient

JSON = "application/json"
NA, EU = "1110000000000001", "2220000000000001"
BOTH, ONLY_NA, EU_FE, DSP = (account_id("default", number) for number in (1, 2, 3, 4))
"""The accounts that each login has: in na and eu, in na, in eu and fe, and DSP advertisers in na and eu."""

ADVERTISER_OF_NA = "580000000000000001"
REQUIRED = "/adsApi/v1/query/adAssociations"
EITHER = "/adsApi/v1/query/campaigns"
OPTIONAL = "/adsApi/v1/query/adExtensions"
NEVER = "/adsApi/v1/query/publishers"
BODY = {"adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}}


async def ask(client: SimulatorClient, path: str, account: str | None = None, scope: str | None = None) -> Reply:
    """A request of the unified API for an account, a profile, both or neither."""
    named = {"Amazon_Ads_AccountId": account, "Amazon_Advertising_API_Scope": scope}
    return await client.ask("POST", path, BODY, Content_Type=JSON, **named)


@pytest.mark.parametrize(
    ("path", "account", "scope", "kind"),
    [
        (REQUIRED, BOTH, None, None),
        (REQUIRED, None, None, "account-missing"),
        (REQUIRED, "", None, "account-missing"),
        (EITHER, BOTH, None, None),
        (EITHER, None, NA, None),
        (EITHER, BOTH, NA, None),
        (EITHER, "", NA, None),
        (EITHER, BOTH, "", None),
        (EITHER, None, None, "advertiser-missing"),
        (EITHER, "", "", "advertiser-missing"),
        (OPTIONAL, None, None, None),
        (OPTIONAL, ONLY_NA, None, None),
        (NEVER, None, None, None),
        (NEVER, BOTH, None, "account-unwanted"),
        (NEVER, "", "", None),
        (EITHER, BOTH, EU, "scope-other-region"),
    ],
)
async def test_the_rule_of_the_operation_holds(
    client: SimulatorClient, path: str, account: str | None, scope: str | None, kind: str | None
) -> None:
    """Required, either it or a Scope, optional, or never; an empty header is none."""
    reply = await ask(client, path, account, scope)
    assert (reply.status < 300, client.kinds()) == (kind is None, [kind] if kind else [])


@pytest.mark.parametrize(
    ("account", "region", "kind"),
    [
        (BOTH, "na", None),
        (BOTH, "eu", None),
        (BOTH, "fe", "account-other-region"),
        (ONLY_NA, "eu", "account-other-region"),
        (EU_FE, "fe", None),
        (DSP, "eu", None),
        (ADVERTISER_OF_NA, "na", None),
        (ADVERTISER_OF_NA, "eu", "account-other-region"),
        ("amzn1.ads-account.g.nobody", "na", "account-unknown"),
        (account_id("other", 1), "na", "account-forbidden"),
        ("ENTITYSANDBOX", "na", "account-unknown"),
    ],
)
async def test_the_account_lives_here_and_is_the_users(
    client: SimulatorClient, account: str, region: str, kind: str | None
) -> None:
    """An account is taken by its id or a DSP advertiser's, where it lives, and by its own users; else 403."""
    client.simulator.state.add_user("other")
    client.region = region
    reply = await ask(client, REQUIRED, account)
    assert (reply.status, client.kinds()) == ((403, [kind]) if kind else (200, []))
    if kind:
        assert reply.json() == {"code": "FORBIDDEN", "message": f"Not authorized to access account {account}"}


@pytest.mark.parametrize(
    ("name", "kind"), [("Amazon_Ads_Account_ID", None), ("Amazon_Ads_AccountId", "account-unwanted")]
)
async def test_the_spelling_is_the_operations_own(client: SimulatorClient, name: str, kind: str | None) -> None:
    """Subscriptions to the stream of the demand side write the header in their own way."""
    reply = await client.ask("GET", "/dsp/streams/subscriptions", **{name: DSP})
    assert (reply.status, client.kinds()) == ((400, [kind]) if kind else (200, []))


async def test_an_operation_may_want_both(client: SimulatorClient) -> None:
    """One operation requires Scope and account id."""
    path = "/sp/global/targets/keywords/recommendations/list"
    kind = "application/vnd.spkeywordsrecommendation.v5+json"
    for account, scope in ((BOTH, NA), (BOTH, None), (None, NA)):
        named = {"Amazon_Ads_AccountId": account, "Amazon_Advertising_API_Scope": scope}
        await client.ask("POST", path, {}, Content_Type=kind, Accept="*/*", **named)
    assert client.kinds() == ["scope-missing", "account-missing"]


async def test_marketing_cloud_takes_its_own_accounts(client: SimulatorClient) -> None:
    """`/amc/*` takes the account of Amazon Marketing Cloud that it lists."""
    path = "/amc/reporting/amcsandbox/schedules"
    listed = (await client.ask("GET", "/amc/accounts")).json()["amcAccounts"][0]["accountId"]
    assert (await client.ask("GET", path, Amazon_Ads_AccountId=listed)).status == 200
    assert (await client.ask("GET", path, Amazon_Ads_AccountId="ENTITYOTHER")).status == 403


async def test_two_accounts_are_one_too_many(client: SimulatorClient) -> None:
    """A second value of the header is 400."""
    await client.sign_in()
    lines = (f"Amazon-Ads-AccountId: {BOTH}", f"amazon-ads-accountid: {ONLY_NA}", "Connection: close")
    answer = await client.raw(client.head("GET", "/adsApi/v1/locationIndexes", *lines))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert client.kinds() == ["duplicate-header"]


async def test_what_is_the_tools_to_send_is_the_tools_fault(client: SimulatorClient) -> None:
    """A client that sends no advertiser where one is needed breaks the rule itself."""
    await ask(client, REQUIRED)
    await ask(client, EITHER)
    await ask(client, REQUIRED, "amzn1.ads-account.g.nobody")
    assert [refusal.owner for refusal in client.simulator.state.refusals] == ["tool", "tool", "proxy"]
