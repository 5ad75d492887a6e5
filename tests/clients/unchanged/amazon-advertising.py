"""amazon-advertising: a token by its class Auth, and then requests that its class Client sends."""

from __future__ import annotations

import json
import os

from advertising import Client
from advertising.auth import Auth
from advertising.resources.profiles import ListProfilesRequest
from advertising.resources.sp.campaigns import ListCampaignsRequest
from advertising.resources.sp.suggested_keywords import GetAdGroupSuggestedKeywords

client_id = os.environ["LWA_CLIENT_ID"]
auth = Auth(client_id, os.environ["LWA_CLIENT_SECRET"], "https://example.com/")
token = auth.get_token("refresh_token", os.environ["LWA_REFRESH_TOKEN"])["access_token"]
profiles = Client(client_id, token).send(ListProfilesRequest()).json()
client = Client(client_id, token, str(profiles[0]["profileId"]), raise_for_status=False)
said = {
    "profiles": len(profiles),
    "keywords": client.send(GetAdGroupSuggestedKeywords("1")).status_code,
    "/v2/sp/campaigns": client.send(ListCampaignsRequest()).status_code,
}
print(json.dumps(said))
