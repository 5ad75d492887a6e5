"""amazon-ads-api-v1 through the proxy: its endpoints and its token address are the proxy's, its credentials too."""

from __future__ import annotations

import gzip
import json
import os
from typing import Any

import httpx
from ads_api import AdsClient, AmazonAdsConfig, Region
from ads_api.models.v0.reporting.reports import (
    CreateAsyncReportRequest,
)
from ads_api.models.v0.sp_v3 import campaigns as sp
from ads_api.models.v1.campaigns.sp import SPQueryCampaignRequest

PROXY = os.environ["PROXY_URL"]

# The one change: where it sends requests, and where it asks for tokens.
CONFIG = AmazonAdsConfig(
    endpoints={"na": PROXY},
    token_url=f"{PROXY}/auth/o2/token",
    client_id=os.environ["CLIENT_NAME"],
    client_secret=os.environ["CLIENT_KEY"],
    refresh_token=os.environ["ACCOUNT_NAME"],
    region=Region.NA,
)
ORDER = CreateAsyncReportRequest.model_validate(
    {
        "startDate": "2025-01-01",
        "endDate": "2025-01-07",
        "configuration": {
            "adProduct": "SPONSORED_PRODUCTS",
            "groupBy": ["campaign"],
            "columns": ["campaignId", "impressions", "clicks", "cost"],
            "reportTypeId": "spCampaigns",
            "timeUnit": "SUMMARY",
            "format": "GZIP_JSON",
        },
    }
)


def listed(campaigns: Any) -> list[list[Any]]:
    """All campaigns, page by page."""
    request = sp.SponsoredProductsListSponsoredProductsCampaignsRequestContent
    pages: list[list[Any]] = []
    token = None
    while token or not pages:
        wanted = {"maxResults": 10, **({"nextToken": token} if token else {})}
        page = campaigns.list_sponsored_products_campaigns(request.model_validate(wanted))
        pages.append(page["campaigns"])
        token = page.get("nextToken")
    return pages


def main() -> None:
    """Profiles, pages, an update, the unified list, and a report of v3."""
    with AdsClient(CONFIG) as ads:
        profiles = ads.v0.accounts.profiles.list_profiles()
        campaigns = ads.v0.sp_v3.campaigns
        pages = listed(campaigns)
        changed = {"campaignId": pages[0][0]["campaignId"], "name": "renamed by amazon-ads-api-v1"}
        update = sp.SponsoredProductsUpdateSponsoredProductsCampaignsRequestContent
        campaigns.update_sponsored_products_campaigns(update.model_validate({"campaigns": [changed]}))
        unified = SPQueryCampaignRequest.model_validate({"adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}})
        reports = ads.v0.reporting.reports
        report_id = reports.create_async_report(ORDER)["reportId"]
        while (report := reports.get_async_report(report_id))["status"] != "COMPLETED":
            pass
        said = {
            "profiles": len(profiles),
            "pages": [len(page) for page in pages],
            "renamed": listed(campaigns)[0][0]["name"],
            "unified": len(ads.v1.sp.campaigns.query_campaign(unified)["campaigns"]),
            "report_rows": len(json.loads(gzip.decompress(httpx.get(report["url"]).content))),
        }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
