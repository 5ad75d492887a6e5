"""The rate limiter: what is counted together, when a request is refused, and how the client learns of it."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.simulator import Fault, Limit, Match
from proxy.simulator.limits import Bucket, LimitedRequest, Limits, family_of
from tests.simulator.conftest import Reply, SimulatorClient

NA, SECOND = "1110000000000001", "1110000000000002"
REPORT = "application/vnd.createasyncreportrequest.v3+json"


def request(**changed: str) -> LimitedRequest:
    """A request to list campaigns."""
    right = {
        "target": "api",
        "method": "POST",
        "path": "/sp/campaigns/list",
        "region": "na",
        "family": "/sp/campaigns",
        "advertiser": "1",
        "client": "app",
        "agent": "tool",
    }
    return LimitedRequest(**{**right, **changed})


def passed(limits: Limits, now: float, *askings: LimitedRequest) -> list[bool]:
    """Which of several requests at one moment pass."""
    return [limits.meet(each, now) is None for each in askings]


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    """Two at once, then one each half second; what is not used does not add up beyond the burst."""
    limit, bucket = Limit(rate=2, burst=2), Bucket(2, 0.0)
    assert [bucket.draw(limit, now) for now in (0, 0, 0)] == [0, 0, 0.5]
    assert [bucket.draw(limit, now) for now in (0.5, 0.75)] == [0, 0.25]
    assert [bucket.draw(limit, now) for now in (100, 100, 100)] == [0, 0, 0.5]


@pytest.mark.parametrize("aspect", ["family", "advertiser", "region", "client"])
def test_what_differs_in_one_aspect_has_a_bucket_of_its_own(aspect: str) -> None:
    """Each of the four aspects tells requests apart, unless the limit does not count by it."""
    other = request(**{aspect: "other"})
    assert passed(Limits([Limit(rate=1)]), 0, request(), other, request()) == [True, True, False]
    rest: Any = tuple(name for name in ("family", "advertiser", "region", "client") if name != aspect)
    assert passed(Limits([Limit(rate=1, per=rest)]), 0, request(), other) == [True, False]


def test_a_limit_is_for_what_it_matches() -> None:
    """Paths, methods, regions and listeners that it does not match are not limited."""
    limits = Limits([Limit(rate=0, burst=1, match=Match(path="/sp/*", method="POST"))])
    assert passed(limits, 0, request(), request(), request(path="/sd/campaigns"), request(target="mcp")) == [
        True,
        False,
        True,
        True,
    ]


def test_a_request_that_one_limit_refuses_draws_from_no_other() -> None:
    """The wide limit of two keeps what the narrow one refuses."""
    limits = Limits([Limit(rate=1, burst=2, per=()), Limit(rate=1)])
    assert passed(limits, 0, request(), request(), request(family="/sd/campaigns")) == [True, False, True]


@pytest.mark.parametrize(("retry_after", "waits"), [("exact", [2, 2, 1]), (7, [7, 7, 7]), (None, [None, None, None])])
def test_the_wait_is_told_as_the_limit_has_it(retry_after: Any, waits: list[int | None]) -> None:
    """Exactly, in whole seconds, at least one; as a number; or not at all."""
    limits = Limits([Limit(rate=0.5, retry_after=retry_after)])
    limits.meet(request(), 0)
    told = []
    for now in (0, 0.5, 1.8):
        limit = limits.meet(request(), now)
        assert limit is not None
        told.append(limits.wait_of(limit, request(), now))
    assert told == waits


def test_a_request_that_did_not_wait_is_counted_by_itself() -> None:
    """The first refusal is bad luck; what comes before the time that it told is too early."""
    limits = Limits([Limit(rate=0.1)])
    passed(limits, 0, request(), request(), request(), request(agent="greedy"))
    assert limits.counts() == {"granted": 1, "refused": 3, "too_early": 2}
    assert {name: dict(counts) for name, counts in limits.agents.items()} == {
        "tool": {"granted": 1, "refused": 2},
        "greedy": {"refused": 1},
    }
    assert dict(limits.families["/sp/campaigns"]) == {"granted": 1, "refused": 3}
    assert passed(limits, 10, request()) == [True]


def test_nobody_is_too_early_who_was_told_nothing() -> None:
    """Without Retry-After every refusal is bad luck."""
    limits = Limits([Limit(rate=0.1, retry_after=None)])
    passed(limits, 0, request(), request(), request())
    assert limits.counts() == {"granted": 1, "refused": 2, "too_early": 0}


def test_a_limit_of_nothing_never_lets_pass() -> None:
    """With a rate of 0 the wait has no end, and Retry-After says a minute."""
    limits = Limits([Limit(rate=0, burst=1)])
    limits.meet(request(), 0)
    limit = limits.meet(request(), 1e9)
    assert limit is not None
    assert limits.wait_of(limit, request(), 1e9) == 60


@pytest.mark.parametrize(
    ("path", "report_type", "family"),
    [
        ("/sp/campaigns/list", "", "/sp/campaigns"),
        ("/sp/campaigns", "", "/sp/campaigns"),
        ("/v2/profiles/{}", "", "/v2/profiles"),
        ("/adsApi/v1/query/campaigns", "", "/adsApi/v1/campaigns"),
        ("/adsApi/v1/create/campaigns", "", "/adsApi/v1/campaigns"),
        ("/adsApi/v1/create/commitments/dsp", "", "/adsApi/v1/commitments/dsp"),
        ("/reporting/reports", "sbTargeting", "/reporting/reports/sbTargeting"),
        ("/", "", "/"),
    ],
)
def test_operations_are_of_a_family(path: str, report_type: str, family: str) -> None:
    """Reading and writing one resource are one family; each type of report is one."""
    assert family_of(path, report_type) == family


async def campaigns(client: SimulatorClient, scope: str = NA) -> Reply:
    """A request of the family `/sd/campaigns`."""
    return await client.ask("GET", "/sd/campaigns", Amazon_Advertising_API_Scope=scope)


async def test_limited_requests_get_429_with_retry_after(client: SimulatorClient) -> None:
    """By profile: one is over its limit while the other is served; after the time that was told it passes again."""
    await client.control("POST", "/limits", {"rate": 0.25, "burst": 1})
    replies = [await campaigns(client), await campaigns(client), await campaigns(client, SECOND)]
    assert [reply.status for reply in replies] == [200, 429, 200]
    assert (replies[1].header("Retry-After"), replies[1].json()["code"]) == ("4", "429")
    client.simulator.state.advance(4)
    assert (await campaigns(client)).status == 200


async def test_limited_requests_are_counted(client: SimulatorClient) -> None:
    """The control API shows each bucket, and each client's refused requests, told apart by User-Agent."""
    await client.control("POST", "/limits", {"rate": 0.25, "match": {"path": "/sd/*"}, "per": ["advertiser"]})
    for agent in ("a", "a", "b"):
        await client.ask("GET", "/sd/campaigns", Amazon_Advertising_API_Scope=NA, User_Agent=agent)
    shown = (await client.control("GET", "/limits")).json()
    assert shown["by_agent"] == {"a": {"granted": 1, "refused": 1}, "b": {"refused": 1}}
    assert shown["limits"][0]["buckets"] == [{"advertiser": NA, "granted": 1, "refused": 2, "too_early": 1}]
    assert (await client.control("GET", "/counts")).json()["limited"] == {"granted": 1, "refused": 2, "too_early": 1}
    assert (await client.control("DELETE", "/limits")).json() == {"limits": 0}
    assert (await campaigns(client)).status == 200


async def test_reports_are_limited_by_their_type(client: SimulatorClient) -> None:
    """A second order of one type is too many while another type passes; without Retry-After where so wanted."""
    await client.control("POST", "/limits", {"rate": 0.01, "retry_after": None, "match": {"path": "/reporting/*"}})
    replies = []
    for kind in ("sbTargeting", "sbTargeting", "sbCampaigns"):
        body = {"name": kind, "configuration": {"reportTypeId": kind}}
        replies.append(
            await client.ask("POST", "/reporting/reports", body, Content_Type=REPORT, Amazon_Advertising_API_Scope=NA)
        )
    assert [reply.status for reply in replies] == [200, 429, 200]
    assert replies[1].header("Retry-After") is None


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("/adsApi/v1/query/publishers", "application/json", "TOO_MANY_REQUESTS"),
        ("/adsAccounts/list", "application/vnd.listaccountsresource.v1+json", "TOO_MANY_REQUESTS"),
        ("/mcp", "application/json", "openresty"),
        ("/sim/bytes/1", "application/json", "429"),
    ],
)
async def test_429_has_the_shape_of_its_place(client: SimulatorClient, path: str, kind: str, said: str) -> None:
    """The unified API, the ads accounts and the MCP gateway have their own; the playground is limited too."""
    await client.control("POST", "/limits", {"rate": 0, "burst": 1, "match": {"target": "any"}})
    await client.ask("POST", path, {}, Content_Type=kind)
    reply = await client.ask("POST", path, {}, Content_Type=kind)
    assert (reply.status, said in reply.body.decode()) == (429, True)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"rate": "fast"},
        {"rate": -1},
        {"rate": 1, "burst": 0.5},
        {"rate": 1, "per": ["tool"]},
        {"rate": 1, "retry_after": "soon"},
        {"rate": 1, "match": {"pth": "x"}},
        {"rate": 1, "brust": 2},
    ],
)
async def test_limit_without_sense_is_refused(client: SimulatorClient, given: dict[str, Any]) -> None:
    """What cannot be understood is 400 with a sentence, and limits nothing."""
    reply = await client.control("POST", "/limits", given)
    assert reply.status == 400
    assert len(reply.json()["error"]) > 10
    assert client.simulator.state.limits.rules == []


async def test_refused_request_may_have_been_carried_out(client: SimulatorClient) -> None:
    """With `carried_out` a report is made although the answer is 429: the same order again is a duplicate."""
    client.simulator.state.add_fault(Fault(status=429, carried_out=True), Match(method="POST"), times=1)
    headers = {"Content_Type": REPORT, "Amazon_Advertising_API_Scope": NA}
    statuses = [(await client.ask("POST", "/reporting/reports", {"name": "r"}, **headers)).status for _ in range(2)]
    assert statuses == [429, 425]
