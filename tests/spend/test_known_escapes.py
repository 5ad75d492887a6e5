"""Writes that once passed under a budget and may spend beyond it, and some that were refused without need: by the judge
alone, and through real sockets.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final, NamedTuple

import pytest

from proxy.routing.operations import PUBLISHED
from proxy.spend.findings import Payer
from proxy.spend.judge import judge
from proxy.spend.limits import SpendLimits
from proxy.spend.reading import read_rest, read_tool
from proxy.strict_json import JsonBody
from tests.spend.test_capability import CREATED, FIXED, NOON, PROFILE, call, limited, write
from tests.support.proxy_bench import Running
from tests.support.wire import answering

LIMITS: Final = SpendLimits(budget={"USD": Decimal(200)}, bid={"USD": Decimal(2)}, bid_adjustment=Decimal(50))
PAYER: Final = Payer("USD", "America/Los_Angeles")
JSON, PORTFOLIOS = "application/json", "application/vnd.spPortfolio.v3+json"
SP, SB = "application/vnd.spCampaign.v3+json", "application/vnd.sbcampaignresource.v4+json"
AMOUNT: Final = {"budgetValue": {"monetaryBudgetValue": {"monetaryBudget": {"value": 100}}}}


class Try(NamedTuple):
    """A write: its method and path, or `MCP` and a tool, its media type, its body, and what the limits say of it."""

    target: str
    media_type: str
    body: Any
    verdict: str


def deal(**terms: Any) -> Any:
    return {"supplierProposedDeals": [{"name": "a", "terms": {"price": {"value": 10, "currencyCode": "USD"}, **terms}}]}


def rule(percent: float, name: str = "a") -> Any:
    return {"name": name, "ruleType": "SCHEDULE", "budgetIncreaseBy": {"type": "PERCENT", "value": percent}}


def placed(*percents: tuple[str, float]) -> Any:
    bids = [{"placement": placement, "percentage": percent} for placement, percent in percents]
    return {"campaigns": [{"campaignId": "1", "dynamicBidding": {"placementBidding": bids}}]}


def sb(**members: Any) -> Any:
    return {"campaigns": [{"name": "a", "state": "PAUSED", "budget": 10, "budgetType": "DAILY", **members}]}


def portfolio(**budget: Any) -> Any:
    return {"portfolios": [{"portfolioId": "1", "budget": budget}]}


def unified(**members: Any) -> Any:
    return {"campaigns": [{"campaignId": "1", **members}]}


def optimization(*percents: float) -> Any:
    details = ({"actionOperator": "INCREMENT", "actionUnit": "PERCENT", "value": each} for each in percents)
    return {"optimizationRules": [{"ruleCategory": "BID", "action": {"actionDetails": each}} for each in details]}


def factors(*factors: float) -> Any:
    terms = [{"actions": {"bidAdjustment": {"adjustmentValue": each}}} for each in factors]
    return {"body": {"rule": {"name": "a", "expression": terms}}}


DEALS, CAMPAIGNS = "POST /adsApi/v1/create/supplierProposedDeals/dsp", "POST /adsApi/v1/update/campaigns"
MCP_PORTFOLIO: Final = "MCP campaign_management-update_portfolio"
MCP_FACTORS: Final = "MCP campaign_management-create_bid_adjustment_rule"
BID_RULES: Final = "application/vnd.spoptimizationrules.v1+json"
TRIES: Final = {
    "impressions of a deal": Try(DEALS, JSON, deal(impressions=1_000_000_000), "unreadable"),
    "a guaranteed deal": Try(DEALS, JSON, deal(guaranteed=True), "unreadable"),
    "a deal for a share of voice": Try(DEALS, JSON, deal(shareOfVoicePercentage=90), "unreadable"),
    "a deal without a commitment": Try(DEALS, JSON, deal(guaranteed=False), "within"),
    "an approved deal": Try(DEALS, JSON, {"supplierProposedDeals": [{"dealStatus": "APPROVED"}]}, "unreadable"),
    "a guaranteed deal of the seller's": Try(
        "POST /adsApi/v1/update/advertisingDeals",
        JSON,
        {"advertisingDeals": [{"advertisingDealId": "1", "dealType": "PROGRAMMATIC_GUARANTEED"}]},
        "unreadable",
    ),
    "a proposal of deals": Try(
        "POST /adsApi/v1/create/supplierProposals/dsp",
        JSON,
        {"supplierProposals": [{"name": "a", "supplierProposedDealIds": ["1"]}]},
        "unreadable",
    ),
    "a campaign that Amazon manages": Try("POST /sp/campaigns", SP, sb(autoManageCampaign=True), "unreadable"),
    "campaigns for a rule": Try(
        "PUT /sp/rules/campaignOptimization",
        "application/vnd.optimizationrules.v1+json",
        {"campaignOptimizationId": "1", "campaignIds": ["2"], "ruleAction": "ADOPT"},
        "unreadable",
    ),
    "rules that raise bids": Try("POST /sp/rules/optimization", BID_RULES, optimization(30, 30), "over"),
    "a rule that raises bids": Try("POST /sp/rules/optimization", BID_RULES, optimization(30, -30), "within"),
    "factors that multiply": Try(MCP_FACTORS, "", factors(1.25, 1.25), "over"),
    "factors that lower bids": Try(MCP_FACTORS, "", factors(1.25, 0.5, 1), "within"),
    "a portfolio's policy": Try("PUT /portfolios", PORTFOLIOS, portfolio(policy="MONTHLY_RECURRING"), "unreadable"),
    "a portfolio's end": Try("PUT /portfolios", PORTFOLIOS, portfolio(endDate="2027-01-01"), "unreadable"),
    "a portfolio's start": Try("PUT /portfolios", PORTFOLIOS, portfolio(startDate="2027-01-01"), "unreadable"),
    "a portfolio's policy with its amount": Try(
        "PUT /portfolios",
        PORTFOLIOS,
        portfolio(policy="DATE_RANGE", amount=100, currencyCode="USD", startDate="2027-01-01", endDate="2027-02-01"),
        "within",
    ),
    "a unified portfolio": Try(
        "POST /adsApi/v1/update/portfolios", JSON, portfolio(recurrenceTimePeriod="MONTHLY"), "unreadable"
    ),
    "a portfolio's period by MCP": Try(
        MCP_PORTFOLIO, "", {"body": portfolio(recurrenceTimePeriod="MONTHLY")}, "unreadable"
    ),
    "a portfolio's dates by MCP": Try(
        MCP_PORTFOLIO, "", {"body": {"portfolios": [{"portfolioId": "1", "endDateTime": "2027"}]}}, "unreadable"
    ),
    "a portfolio's amount by MCP": Try(
        MCP_PORTFOLIO, "", {"body": portfolio(budgetType="MONETARY", **AMOUNT)}, "within"
    ),
    "many budget rules": Try("POST /sp/budgetRules", JSON, {"budgetRulesDetails": [rule(50)] * 250}, "over"),
    "two budget rules": Try("POST /sd/budgetRules", JSON, {"budgetRulesDetails": [rule(25)] * 2}, "within"),
    "changed budget rules": Try(
        "PUT /sb/budgetRules", JSON, {"budgetRulesDetails": [{"ruleId": "1", "ruleDetails": rule(26)}] * 2}, "over"
    ),
    "a budget rule with a day in its name": Try(
        "POST /sp/budgetRules", JSON, {"budgetRulesDetails": [rule(50, "Dec 25")]}, "within"
    ),
    "a placement twice": Try("PUT /sp/campaigns", SP, placed(("PLACEMENT_TOP", 50), ("placement-top", 50)), "over"),
    "two placements": Try(
        "PUT /sp/campaigns", SP, placed(("PLACEMENT_TOP", 50), ("PLACEMENT_PRODUCT_PAGE", 50)), "within"
    ),
    "two audiences": Try(
        "POST /sb/v4/campaigns",
        SB,
        sb(bidding={"shopperCohortBidAdjustments": [{"percentage": 30}, {"percentage": 30}]}),
        "over",
    ),
    "no flights": Try(CAMPAIGNS, JSON, unified(flights=[]), "unreadable"),
    "a flight without a budget": Try(CAMPAIGNS, JSON, unified(flights=[{}]), "unreadable"),
    "a flight": Try(CAMPAIGNS, JSON, unified(flights=[{"name": "Dec 25", "budget": AMOUNT}]), "within"),
    "a rule-based budget": Try("PUT /sb/v4/campaigns", SB, sb(ruleBasedBudget={"isProcessing": True}), "unreadable"),
    "a goal": Try("POST /sb/v4/campaigns", SB, sb(goal="PAGE_VISIT"), "unreadable"),
    "targets of Amazon's": Try("POST /sb/v4/campaigns", SB, sb(smartDefault=["TARGETING"]), "unreadable"),
    "own targets": Try("POST /sb/v4/campaigns", SB, sb(smartDefault=["MANUAL"]), "within"),
    "a bid for views": Try("PUT /sd/adGroups", JSON, [{"adGroupId": 1, "bidOptimization": "reach"}], "unreadable"),
    "a bid for clicks": Try("PUT /sd/adGroups", JSON, [{"adGroupId": 1, "bidOptimization": "clicks"}], "within"),
}
"""By what they try."""


@pytest.mark.parametrize("tried", TRIES.values(), ids=TRIES)
def test_the_judge_says_so(tried: Try) -> None:
    """Over or unreadable is what may spend more than its amounts say; what cannot is within."""
    method, _, path = tried.target.partition(" ")
    body = JsonBody(json.dumps(tried.body).encode()).exact()
    if method == "MCP":
        found = read_tool(path, body, PAYER, PUBLISHED)
    else:
        operation = PUBLISHED.find(method.encode(), tuple(part.encode() for part in path.split("/") if part))
        found = read_rest(operation, method, path, tried.media_type.encode(), body, PAYER)
    assert judge(found, LIMITS, PAYER, NOON).verdict == tried.verdict, found


@pytest.mark.parametrize("tried", TRIES.values(), ids=TRIES)
async def test_only_what_is_within_leaves(running: Running, tried: Try) -> None:
    """The same writes as requests: of REST, and as messages of MCP."""
    method, _, path = tried.target.partition(" ")
    if method == "MCP":
        request = call(path, tried.body, FIXED)
    else:
        sent = write(tried.body, target=path.encode(), kind=tried.media_type.encode(), lines=PROFILE)
        request = method.encode() + sent.removeprefix(b"POST")
    async with limited(running, answering(CREATED), LIMITS) as opened:
        await opened.bench.ask(request)
        judged = (await opened.last()).spend
        assert judged is not None
        assert (judged.verdict, opened.arrived) == (tried.verdict, 1 if tried.verdict == "within" else 0)
