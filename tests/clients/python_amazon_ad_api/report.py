"""python-amazon-ad-api through the proxy: one report, from its order to its rows. Prints what came out as JSON."""

from __future__ import annotations

import json
import os
import time
from typing import Any
from urllib.parse import urlsplit

from ad_api.api import Reports
from ad_api.auth import AccessTokenClient
from ad_api.base import AdvertisingApiException, Marketplaces

PROXY = os.environ["PROXY_URL"]
AccessTokenClient.scheme, AccessTokenClient.host = f"{urlsplit(PROXY).scheme}://", urlsplit(PROXY).netloc
Marketplaces.NA.endpoint = PROXY

CREDENTIALS = {
    "client_id": os.environ["CLIENT_NAME"],
    "client_secret": os.environ["CLIENT_KEY"],
    "refresh_token": os.environ["ACCOUNT_NAME"],
    "profile_id": os.environ["PROFILE"],
}
ORDER = {
    "startDate": os.environ["START_DATE"],
    "endDate": os.environ["START_DATE"],
    "configuration": {
        "adProduct": "SPONSORED_PRODUCTS",
        "groupBy": ["campaign"],
        "columns": ["campaignId", "impressions", "clicks", "cost"],
        "reportTypeId": "spCampaigns",
        "timeUnit": "SUMMARY",
        "format": "GZIP_JSON",
    },
}


def rows() -> list[Any]:
    """The rows of the report."""
    reports = Reports(credentials=CREDENTIALS, marketplace=Marketplaces.NA)
    report_id = reports.post_report(body=ORDER).payload["reportId"]
    while (report := reports.get_report(reportId=report_id).payload)["status"] != "COMPLETED":
        time.sleep(0.2)
    found: list[Any] = reports.download_report(url=report["url"], format="data").payload
    return found


def main() -> None:
    """Orders, and tells a refusal by its status."""
    try:
        print(json.dumps({"records": len(rows()), "errors": []}))
    except AdvertisingApiException as error:
        print(json.dumps({"records": 0, "errors": [str(error.code)]}))


if __name__ == "__main__":
    main()
