"""amazon-ad: its token client, its profile client, and an order of a report with its service client."""

from __future__ import annotations

import json
import os

from amazon_ad.client.auth import ZADAuthClient
from amazon_ad.client.service import ZADProfileClient, ZADServiceClient

client_id = os.environ["LWA_CLIENT_ID"]
login = ZADAuthClient(client_id, os.environ["LWA_CLIENT_SECRET"])
token = login.token.refresh_token(os.environ["LWA_REFRESH_TOKEN"])["access_token"]
profiles = ZADProfileClient(client_id, token).profiles.list()
service = ZADServiceClient(client_id, token, str(profiles[0]["profileId"]))
report = service.sp_report.campaigns("20250101")
said = {"profiles": len(profiles), "report": bool(service.report_get.get_report(report["reportId"])["status"])}
print(json.dumps(said))
