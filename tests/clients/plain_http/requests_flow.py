"""The requests of a client built on requests: it knows the proxy's address and its own key, and nothing of Amazon's
login."""

from __future__ import annotations

import gzip
import json
import os
from typing import Any

import requests

BASE = os.environ["PROXY_URL"]
SP_CAMPAIGN = "application/vnd.spCampaign.v3+json"
ORDER: dict[str, Any] = {
    "name": "campaigns of a week",
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


def ask(session: Any, method: str, path: str, media_type: str = "application/json", body: Any = None) -> Any:
    """One request; what it answers."""
    headers = {"Content-Type": media_type, "Accept": media_type} if body is not None else {}
    answer = session.request(method, BASE + path, headers=headers, data=body and json.dumps(body), timeout=120)
    answer.raise_for_status()
    return answer.json()


def listed(session: Any) -> list[list[Any]]:
    """All campaigns, page by page."""
    pages, token = [], None
    while True:
        wanted = {"maxResults": 10, **({"nextToken": token} if token else {})}
        page = ask(session, "POST", "/sp/campaigns/list", SP_CAMPAIGN, wanted)
        pages.append(page["campaigns"])
        token = page.get("nextToken")
        if not token:
            return pages


def finished(session: Any, path: str, done: str) -> Any:
    """The order at `path`, once it is done."""
    while (order := ask(session, "GET", path))["status"] != done:
        pass
    return order


def main() -> None:
    """Profiles, pages, an update, a report of v3, and a snapshot of v2 by its location."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {os.environ['CLIENT_KEY']}"
    profiles = ask(session, "GET", "/v2/profiles")
    pages = listed(session)
    changed = {"campaignId": pages[0][0]["campaignId"], "name": "renamed by requests"}
    ask(session, "PUT", "/sp/campaigns", SP_CAMPAIGN, {"campaigns": [changed]})

    media_type = "application/vnd.createasyncreportrequest.v3+json"
    answer = session.post(f"{BASE}/reporting/reports", json=ORDER, headers={"Content-Type": media_type}, timeout=120)
    answer.raise_for_status()
    report = finished(session, f"/reporting/reports/{answer.json()['reportId']}", "COMPLETED")
    # The report's address is presigned: it wants no key, and gets none.
    report_rows = json.loads(gzip.decompress(requests.get(report["url"], timeout=120).content))

    order = ask(session, "POST", "/v2/sp/campaigns/snapshot", body={"stateFilter": "enabled"})
    snapshot = finished(session, f"/v2/sp/snapshots/{order['snapshotId']}", "SUCCESS")
    snapshot_rows = json.loads(gzip.decompress(session.get(snapshot["location"], timeout=120).content))
    said = {
        "profiles": len(profiles),
        "pages": [len(page) for page in pages],
        "renamed": listed(session)[0][0]["name"],
        "report_rows": len(report_rows),
        "location": snapshot["location"],
        "snapshot_rows": len(snapshot_rows),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
