"""amazon-ad-sdk: its token client, its profile client, a report of version 3, and a path that Amazon removed."""

from __future__ import annotations

import json
import os

from amazon_ad.client.auth import ZADAuthClient
from amazon_ad.client.service import ZADProfileClient, ZADServiceClient, ZADServiceClientV3
from amazon_ad.core.exceptions import ZADClientException

client_id = os.environ["LWA_CLIENT_ID"]
login = ZADAuthClient(client_id, os.environ["LWA_CLIENT_SECRET"])
token = login.token.refresh_token(os.environ["LWA_REFRESH_TOKEN"])["access_token"]
profiles = ZADProfileClient(client_id, token).profiles.list()
service = ZADServiceClientV3(client_id, token, str(profiles[0]["profileId"]))
report_id = service.sp_report.campaign_summary("2025-01-01", "2025-01-07")["reportId"]
while (report := service.report_get.get_report(report_id))["status"] != "COMPLETED":
    pass
said = {"profiles": len(profiles), "report": report["status"]}
try:
    service.report_download.download_report(report["url"])
except ZADClientException as error:
    said["download"] = error.response.status_code
try:
    ZADServiceClient(client_id, token, str(profiles[0]["profileId"])).sb_campaigns.get_campaigns()
except ZADClientException as error:
    said["/sb/campaigns"] = error.response.status_code
print(json.dumps(said))
