"""python-amazon-ad-api through the proxy: its token address and its endpoint are the proxy's, its credentials too."""

from __future__ import annotations

import gzip
import json
import os
from typing import Any
from urllib.parse import urlsplit

import requests
from ad_api.api import Profiles, Reports
from ad_api.api import sponsored_display as sd
from ad_api.api import sponsored_products as sp
from ad_api.auth import AccessTokenClient
from ad_api.base import Marketplaces

PROXY = os.environ["PROXY_URL"]

# The one change: where it asks for tokens, and where it sends requests.
AccessTokenClient.scheme, AccessTokenClient.host = f"{urlsplit(PROXY).scheme}://", urlsplit(PROXY).netloc
Marketplaces.NA.endpoint = PROXY

CREDENTIALS = {
    "client_id": os.environ["CLIENT_NAME"],
    "client_secret": os.environ["CLIENT_KEY"],
    "refresh_token": os.environ["ACCOUNT_NAME"],
}
ORDER = {
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


def finished(ask: Any, order_id: str, done: str) -> Any:
    """The order, once it is done."""
    while (order := ask(order_id).payload)["status"] != done:
        pass
    return order


def listed(campaigns: Any) -> list[list[Any]]:
    """All campaigns, page by page."""
    pages: list[list[Any]] = []
    token = None
    while token or not pages:
        wanted = {"maxResults": 10, **({"nextToken": token} if token else {})}
        page = campaigns.list_campaigns(body=json.dumps(wanted)).payload
        pages.append(page["campaigns"])
        token = page.get("nextToken")
    return pages


def main() -> None:
    """Profiles, pages, an update, a report of v3, and a snapshot of v2 by its location."""
    profiles = Profiles(credentials=CREDENTIALS, marketplace=Marketplaces.NA, verify_additional_credentials=False)
    found = profiles.list_profiles().payload
    use = {
        "credentials": {**CREDENTIALS, "profile_id": str(found[0]["profileId"])},
        "marketplace": Marketplaces.NA,
    }
    campaigns = sp.CampaignsV3(**use)
    pages = listed(campaigns)
    changed = {"campaigns": [{"campaignId": pages[0][0]["campaignId"], "name": "renamed by python-amazon-ad-api"}]}
    campaigns.edit_campaigns(body=json.dumps(changed))

    reports = Reports(**use)
    report_id = reports.post_report(body=ORDER).payload["reportId"]
    report = finished(lambda order: reports.get_report(reportId=order), report_id, "COMPLETED")
    report_rows = reports.download_report(url=report["url"], format="data").payload

    snapshots = sd.Snapshots(**use)
    snapshot_id = snapshots.post_snapshot("campaigns", body={"stateFilter": "enabled"}).payload["snapshotId"]
    snapshot = finished(lambda order: snapshots.get_snapshot(snapshotId=order), snapshot_id, "SUCCESS")
    # "url" gives the presigned address to which the location redirects.
    presigned = snapshots.download_snapshot(url=snapshot["location"], format="url").payload
    rows = json.loads(gzip.decompress(requests.get(presigned, timeout=120).content))
    said = {
        "profiles": len(found),
        "pages": [len(page) for page in pages],
        "renamed": listed(campaigns)[0][0]["name"],
        "report_rows": len(report_rows),
        "location": snapshot["location"],
        "snapshot_rows": len(rows),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
