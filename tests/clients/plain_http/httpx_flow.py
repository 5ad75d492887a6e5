"""The requests of a client built on httpx, several at a time: it knows the proxy's address and its own key alone."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from typing import Any

import httpx

SP_CAMPAIGN = "application/vnd.spCampaign.v3+json"
ORDER_TYPE = "application/vnd.createasyncreportrequest.v3+json"
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


async def ask(client: Any, method: str, path: str, media_type: str = "", body: Any = None) -> Any:
    """One request; what it answers."""
    headers = {"Content-Type": media_type, "Accept": media_type} if media_type else {}
    answer = await client.request(method, path, headers=headers, json=body)
    answer.raise_for_status()
    return answer.json()


async def listed(client: Any) -> list[list[Any]]:
    """All campaigns, page by page."""
    pages: list[list[Any]] = []
    token = None
    while token or not pages:
        wanted = {"maxResults": 10, **({"nextToken": token} if token else {})}
        page = await ask(client, "POST", "/sp/campaigns/list", SP_CAMPAIGN, wanted)
        pages.append(page["campaigns"])
        token = page.get("nextToken")
    return pages


async def finished(client: Any, path: str, done: str) -> Any:
    """The order at `path`, once it is done."""
    while (order := await ask(client, "GET", path))["status"] != done:
        pass
    return order


async def report(client: Any) -> list[Any]:
    """The rows of a v3 report."""
    answer = await client.post("/reporting/reports", json=ORDER, headers={"Content-Type": ORDER_TYPE})
    answer.raise_for_status()
    done = await finished(client, f"/reporting/reports/{answer.json()['reportId']}", "COMPLETED")
    # The report's address is presigned: it wants no key, and gets none.
    async with httpx.AsyncClient() as stranger:
        download = await stranger.get(done["url"])
    rows: list[Any] = json.loads(gzip.decompress(download.content))
    return rows


async def snapshot(client: Any) -> tuple[str, list[Any]]:
    """The location of a v2 snapshot, and its rows."""
    order = await ask(client, "POST", "/v2/sp/campaigns/snapshot", body={"stateFilter": "enabled"})
    done = await finished(client, f"/v2/sp/snapshots/{order['snapshotId']}", "SUCCESS")
    download = await client.get(done["location"], follow_redirects=True)
    return done["location"], json.loads(gzip.decompress(download.content))


async def main() -> None:
    """Profiles, pages, an update, and a report and a snapshot at once."""
    headers = {"Authorization": f"Bearer {os.environ['CLIENT_KEY']}"}
    async with httpx.AsyncClient(base_url=os.environ["PROXY_URL"], headers=headers, timeout=120) as client:
        profiles, pages = await asyncio.gather(ask(client, "GET", "/v2/profiles"), listed(client))
        changed = {"campaignId": pages[0][0]["campaignId"], "name": "renamed by httpx"}
        await ask(client, "PUT", "/sp/campaigns", SP_CAMPAIGN, {"campaigns": [changed]})
        report_rows, (location, snapshot_rows) = await asyncio.gather(report(client), snapshot(client))
        renamed = (await listed(client))[0][0]["name"]
    said = {
        "profiles": len(profiles),
        "pages": [len(page) for page in pages],
        "renamed": renamed,
        "report_rows": len(report_rows),
        "location": location,
        "snapshot_rows": len(snapshot_rows),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main())
