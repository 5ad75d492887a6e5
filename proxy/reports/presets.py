"""The report types of version 3 that a named report can order by name, and the columns of each. Pure.

Source: Amazon's guide to version 3 reporting, report types, as of September 2025
(https://advertising.amazon.com/API/docs/en-us/guides/reporting/v3/report-types/overview), and what a copy of 2026 adds.
Amazon's specification lacks the columns.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RANGE: Final = 31
"""Days that one order can cover."""
MAX_RETENTION: Final = 95
"""Days for which Amazon keeps the rows of any of these report types."""
DAILY, SUMMARY = "DAILY", "SUMMARY"
_DAILY_ONLY, _SUMMARY_ONLY = ("date",), ("startDate", "endDate")


@dataclass(frozen=True, slots=True)
class Preset:
    """A report type. `columns` are all that it can have with this `group_by`, `usual` those of an order without
    columns; `retention` is in days."""

    name: str
    ad_product: str
    group_by: str
    retention: int
    usual: tuple[str, ...]
    columns: tuple[str, ...]


def make_configuration(name: str, time_unit: str, columns: tuple[str, ...]) -> Mapping[str, Any]:
    """The `configuration` of an order; without columns, with the usual ones. See `find_problems` first."""
    preset = PRESETS[name]
    return {
        "adProduct": preset.ad_product,
        "groupBy": [preset.group_by],
        "columns": list(columns or _usual(preset, time_unit)),
        "reportTypeId": name,
        "timeUnit": time_unit,
        "format": "GZIP_JSON",
    }


def find_problems(name: str, time_unit: str, columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """What is wrong with an order: the key, `preset` or `columns`, and a sentence that says what to write."""
    preset = PRESETS.get(name)
    if preset is None:
        return (
            ("preset", f"unknown preset '{name}'{_guess(name, tuple(PRESETS))}; write one of: {', '.join(PRESETS)}"),
        )
    problems = []
    for column in columns:
        if column not in preset.columns:
            listed = f"{name} has: {', '.join(sorted(preset.columns))}"
            problems.append(("columns", f"unknown column '{column}'{_guess(column, preset.columns)}; {listed}"))
        elif column in (_SUMMARY_ONLY if time_unit == DAILY else _DAILY_ONLY):
            other = "date" if time_unit == DAILY else "startDate and endDate"
            problems.append(("columns", f"'{column}' is not for time_unit: {time_unit}; write {other}"))
        elif columns.count(column) > 1:
            problems.append(("columns", f"'{column}' is listed twice; remove one"))
    return tuple(dict.fromkeys(problems))


def _usual(preset: Preset, time_unit: str) -> tuple[str, ...]:
    if time_unit == DAILY:
        return preset.usual
    return (*_SUMMARY_ONLY, *(column for column in preset.usual if column not in _DAILY_ONLY))


def _guess(word: str, known: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(word, known, n=1)
    return f", did you mean '{found[0]}'?" if found else ""


_TABLE: Final = (
    (
        "spCampaigns",
        "SPONSORED_PRODUCTS",
        "campaign",
        95,
        """
        date campaignId campaignName campaignStatus campaignBudgetAmount impressions clicks cost purchases7d
        sales7d unitsSoldClicks7d
        """,
        """
        impressions addToList qualifiedBorrows royaltyQualifiedBorrows clicks cost purchases1d purchases7d
        purchases14d purchases30d purchasesSameSku1d purchasesSameSku7d purchasesSameSku14d
        purchasesSameSku30d unitsSoldClicks1d unitsSoldClicks7d unitsSoldClicks14d unitsSoldClicks30d
        sales1d sales7d sales14d sales30d attributedSalesSameSku1d attributedSalesSameSku7d
        attributedSalesSameSku14d attributedSalesSameSku30d unitsSoldSameSku1d unitsSoldSameSku7d
        unitsSoldSameSku14d unitsSoldSameSku30d kindleEditionNormalizedPagesRead14d
        kindleEditionNormalizedPagesRoyalties14d date startDate endDate campaignBiddingStrategy costPerClick
        clickThroughRate spend campaignName campaignId campaignStatus campaignBudgetAmount
        campaignBudgetType campaignRuleBasedBudgetAmount campaignApplicableBudgetRuleId
        campaignApplicableBudgetRuleName campaignBudgetCurrencyCode topOfSearchImpressionShare
        """,
    ),
    (
        "spAdvertisedProduct",
        "SPONSORED_PRODUCTS",
        "advertiser",
        95,
        """
        date campaignId campaignName adGroupId adGroupName advertisedAsin advertisedSku impressions clicks
        cost purchases7d sales7d unitsSoldClicks7d
        """,
        """
        date startDate endDate campaignName campaignId adGroupName adGroupId adId addToList qualifiedBorrows
        royaltyQualifiedBorrows portfolioId impressions clicks costPerClick clickThroughRate cost spend
        campaignBudgetCurrencyCode campaignBudgetAmount campaignBudgetType campaignStatus advertisedAsin
        advertisedSku purchases1d purchases7d purchases14d purchases30d purchasesSameSku1d
        purchasesSameSku7d purchasesSameSku14d purchasesSameSku30d unitsSoldClicks1d unitsSoldClicks7d
        unitsSoldClicks14d unitsSoldClicks30d sales1d sales7d sales14d sales30d attributedSalesSameSku1d
        attributedSalesSameSku7d attributedSalesSameSku14d attributedSalesSameSku30d salesOtherSku7d
        unitsSoldSameSku1d unitsSoldSameSku7d unitsSoldSameSku14d unitsSoldSameSku30d unitsSoldOtherSku7d
        kindleEditionNormalizedPagesRead14d kindleEditionNormalizedPagesRoyalties14d acosClicks7d
        acosClicks14d roasClicks7d roasClicks14d
        """,
    ),
    (
        "spSearchTerm",
        "SPONSORED_PRODUCTS",
        "searchTerm",
        95,
        """
        date campaignId campaignName adGroupId adGroupName keywordId keyword matchType searchTerm
        impressions clicks cost purchases7d sales7d unitsSoldClicks7d
        """,
        """
        impressions addToList qualifiedBorrows royaltyQualifiedBorrows clicks costPerClick clickThroughRate
        cost purchases1d purchases7d purchases14d purchases30d purchasesSameSku1d purchasesSameSku7d
        purchasesSameSku14d purchasesSameSku30d unitsSoldClicks1d unitsSoldClicks7d unitsSoldClicks14d
        unitsSoldClicks30d sales1d sales7d sales14d sales30d attributedSalesSameSku1d
        attributedSalesSameSku7d attributedSalesSameSku14d attributedSalesSameSku30d unitsSoldSameSku1d
        unitsSoldSameSku7d unitsSoldSameSku14d unitsSoldSameSku30d kindleEditionNormalizedPagesRead14d
        kindleEditionNormalizedPagesRoyalties14d salesOtherSku7d unitsSoldOtherSku7d acosClicks7d
        acosClicks14d roasClicks7d roasClicks14d keywordId keyword campaignBudgetCurrencyCode date startDate
        endDate portfolioId searchTerm campaignName campaignId campaignBudgetType campaignBudgetAmount
        campaignStatus keywordBid adGroupName adGroupId keywordType matchType targeting adKeywordStatus
        """,
    ),
    (
        "spTargeting",
        "SPONSORED_PRODUCTS",
        "targeting",
        95,
        """
        date campaignId campaignName adGroupId adGroupName keywordId keyword keywordType matchType targeting
        impressions clicks cost purchases7d sales7d unitsSoldClicks7d
        """,
        """
        impressions addToList qualifiedBorrows royaltyQualifiedBorrows clicks costPerClick clickThroughRate
        cost purchases1d purchases7d purchases14d purchases30d purchasesSameSku1d purchasesSameSku7d
        purchasesSameSku14d purchasesSameSku30d unitsSoldClicks1d unitsSoldClicks7d unitsSoldClicks14d
        unitsSoldClicks30d sales1d sales7d sales14d sales30d attributedSalesSameSku1d
        attributedSalesSameSku7d attributedSalesSameSku14d attributedSalesSameSku30d unitsSoldSameSku1d
        unitsSoldSameSku7d unitsSoldSameSku14d unitsSoldSameSku30d kindleEditionNormalizedPagesRead14d
        kindleEditionNormalizedPagesRoyalties14d salesOtherSku7d unitsSoldOtherSku7d acosClicks7d
        acosClicks14d roasClicks7d roasClicks14d keywordId keyword campaignBudgetCurrencyCode date startDate
        endDate portfolioId campaignName campaignId campaignBudgetType campaignBudgetAmount campaignStatus
        keywordBid adGroupName adGroupId keywordType matchType targeting topOfSearchImpressionShare
        adKeywordStatus
        """,
    ),
    (
        "spPurchasedProduct",
        "SPONSORED_PRODUCTS",
        "asin",
        95,
        """
        date campaignId campaignName adGroupId adGroupName advertisedAsin advertisedSku purchasedAsin
        purchases7d sales7d unitsSoldClicks7d
        """,
        """
        date startDate endDate addToList addToListFromClicks qualifiedBorrows qualifiedBorrowsFromClicks
        royaltyQualifiedBorrows royaltyQualifiedBorrowsFromClicks portfolioId campaignName campaignId
        adGroupName adGroupId keywordId keyword keywordType advertisedAsin purchasedAsin advertisedSku
        campaignBudgetCurrencyCode matchType unitsSoldClicks1d unitsSoldClicks7d unitsSoldClicks14d
        unitsSoldClicks30d sales1d sales7d sales14d sales30d purchases1d purchases7d purchases14d
        purchases30d unitsSoldOtherSku1d unitsSoldOtherSku7d unitsSoldOtherSku14d unitsSoldOtherSku30d
        salesOtherSku1d salesOtherSku7d salesOtherSku14d salesOtherSku30d purchasesOtherSku1d
        purchasesOtherSku7d purchasesOtherSku14d purchasesOtherSku30d kindleEditionNormalizedPagesRead14d
        kindleEditionNormalizedPagesRoyalties14d
        """,
    ),
    (
        "sbCampaigns",
        "SPONSORED_BRANDS",
        "campaign",
        60,
        """
        date campaignId campaignName campaignStatus impressions clicks cost purchases sales unitsSold
        """,
        """
        addToCart addToCartClicks addToCartRate addToList addToListFromClicks qualifiedBorrows
        qualifiedBorrowsFromClicks royaltyQualifiedBorrows royaltyQualifiedBorrowsFromClicks brandedSearches
        brandedSearchesClicks campaignBudgetAmount campaignBudgetCurrencyCode campaignBudgetType campaignId
        campaignName campaignStatus clicks cost costType date detailPageViews detailPageViewsClicks
        eCPAddToCart endDate impressions kindleEditionNormalizedPagesRead14d
        kindleEditionNormalizedPagesRoyalties14d newToBrandDetailPageViewRate newToBrandDetailPageViews
        newToBrandDetailPageViewsClicks newToBrandECPDetailPageView newToBrandPurchases
        newToBrandPurchasesClicks newToBrandPurchasesPercentage newToBrandPurchasesRate newToBrandSales
        newToBrandSalesClicks newToBrandSalesPercentage newToBrandUnitsSold newToBrandUnitsSoldClicks
        newToBrandUnitsSoldPercentage purchases purchasesClicks purchasesPromoted sales salesClicks
        salesPromoted startDate topOfSearchImpressionShare unitsSold unitsSoldClicks video5SecondViewRate
        video5SecondViews videoCompleteViews videoFirstQuartileViews videoMidpointViews
        videoThirdQuartileViews videoUnmutes viewabilityRate viewableImpressions viewClickThroughRate
        longTermSales longTermROAS brandStorePageView
        """,
    ),
    (
        "sbSearchTerm",
        "SPONSORED_BRANDS",
        "searchTerm",
        60,
        """
        date campaignId campaignName adGroupId adGroupName keywordId keywordText matchType searchTerm
        impressions clicks cost purchases sales unitsSold
        """,
        """
        adGroupId adGroupName addToList addToListFromClicks qualifiedBorrows qualifiedBorrowsFromClicks
        royaltyQualifiedBorrows royaltyQualifiedBorrowsFromClicks campaignBudgetAmount
        campaignBudgetCurrencyCode campaignBudgetType campaignId campaignName campaignStatus clicks cost
        costType date endDate impressions keywordBid keywordId keywordText
        kindleEditionNormalizedPagesRead14d kindleEditionNormalizedPagesRoyalties14d matchType purchases
        purchasesClicks sales salesClicks searchTerm startDate unitsSold video5SecondViewRate
        video5SecondViews videoCompleteViews videoFirstQuartileViews videoMidpointViews
        videoThirdQuartileViews videoUnmutes viewabilityRate viewableImpressions viewClickThroughRate
        adKeywordStatus
        """,
    ),
    (
        "sdCampaigns",
        "SPONSORED_DISPLAY",
        "campaign",
        65,
        """
        date campaignId campaignName campaignStatus impressions clicks cost purchases sales unitsSold
        """,
        """
        addToCart addToCartClicks addToCartRate addToCartViews addToList addToListFromClicks
        addToListFromViews qualifiedBorrows qualifiedBorrowsFromClicks qualifiedBorrowsFromViews
        royaltyQualifiedBorrows royaltyQualifiedBorrowsFromClicks royaltyQualifiedBorrowsFromViews
        brandedSearches brandedSearchesClicks brandedSearchesViews brandedSearchRate
        campaignBudgetCurrencyCode campaignId campaignName clicks cost date detailPageViews
        detailPageViewsClicks eCPAddToCart eCPBrandSearch endDate impressions impressionsViews
        newToBrandPurchases newToBrandPurchasesClicks newToBrandSalesClicks newToBrandUnitsSold
        newToBrandUnitsSoldClicks purchases purchasesClicks purchasesPromotedClicks sales salesClicks
        salesPromotedClicks startDate unitsSold unitsSoldClicks videoCompleteViews videoFirstQuartileViews
        videoMidpointViews videoThirdQuartileViews videoUnmutes viewabilityRate viewClickThroughRate
        campaignBudgetAmount campaignStatus costType cumulativeReach impressionsFrequencyAverage
        longTermSales longTermROAS newToBrandDetailPageViewClicks newToBrandDetailPageViewRate
        newToBrandDetailPageViews newToBrandDetailPageViewViews newToBrandECPDetailPageView newToBrandSales
        kindleEditionNormalizedPagesRead kindleEditionNormalizedPagesReadFromClicks
        kindleEditionNormalizedPagesReadFromViews kindleEditionNormalizedPagesRoyalties
        kindleEditionNormalizedPagesRoyaltiesFromClicks kindleEditionNormalizedPagesRoyaltiesFromViews
        leadFormOpens leads linkOuts
        """,
    ),
    (
        "sdAdvertisedProduct",
        "SPONSORED_DISPLAY",
        "advertiser",
        65,
        """
        date campaignId campaignName adGroupId adGroupName promotedAsin promotedSku impressions clicks cost
        purchases sales unitsSold
        """,
        """
        addToCart addToCartRate addToCartViews addToCartClicks adGroupId adGroupName adId addToList
        addToListFromClicks qualifiedBorrows royaltyQualifiedBorrows addToListFromViews
        qualifiedBorrowsFromClicks qualifiedBorrowsFromViews royaltyQualifiedBorrowsFromClicks
        royaltyQualifiedBorrowsFromViews bidOptimization brandedSearches brandedSearchesClicks
        brandedSearchesViews brandedSearchRate campaignBudgetCurrencyCode campaignId campaignName clicks
        cost cumulativeReach date detailPageViews detailPageViewsClicks eCPAddToCart eCPBrandSearch endDate
        impressions impressionsFrequencyAverage impressionsViews newToBrandDetailPageViewClicks
        newToBrandDetailPageViewRate newToBrandDetailPageViews newToBrandDetailPageViewViews
        newToBrandECPDetailPageView newToBrandPurchases newToBrandPurchasesClicks newToBrandSales
        newToBrandSalesClicks newToBrandUnitsSold newToBrandUnitsSoldClicks promotedAsin promotedSku
        purchases purchasesClicks purchasesPromotedClicks sales salesClicks salesPromotedClicks startDate
        unitsSold unitsSoldClicks videoCompleteViews videoFirstQuartileViews videoMidpointViews
        videoThirdQuartileViews videoUnmutes viewabilityRate viewClickThroughRate
        kindleEditionNormalizedPagesRead kindleEditionNormalizedPagesReadFromClicks
        kindleEditionNormalizedPagesReadFromViews kindleEditionNormalizedPagesRoyalties
        kindleEditionNormalizedPagesRoyaltiesFromClicks kindleEditionNormalizedPagesRoyaltiesFromViews
        leadFormOpens leads linkOuts
        """,
    ),
)
PRESETS: Final[Mapping[str, Preset]] = {
    name: Preset(name, ad_product, group_by, retention, tuple(usual.split()), tuple(columns.split()))
    for name, ad_product, group_by, retention, usual, columns in _TABLE
}
"""The presets by name."""
