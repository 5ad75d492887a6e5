"""python-amazon-advertising-api: a token by its class Auth, profiles, display campaigns, and a path of version 2."""

from __future__ import annotations

import json
import os

from ad_api import Auth
from ad_api.common.profiles import Profiles
from ad_api.sp_display.campaigns import Campaigns as DisplayCampaigns
from ad_api.sp_products.campaigns import Campaigns

client_id = os.environ["LWA_CLIENT_ID"]
auth = Auth(client_id, os.environ["LWA_CLIENT_SECRET"], "https://example.com/", "NA")
token = auth.get_new_access_token(os.environ["LWA_REFRESH_TOKEN"]).json()["access_token"]
profiles = Profiles(token, "NA", client_id).get_profiles().json()
scoped = (token, str(profiles[0]["profileId"]), "NA", client_id)
said = {
    "profiles": len(profiles),
    "display_campaigns": len(DisplayCampaigns(*scoped).get_campaigns().json()),
    "/v2/sp/campaigns": Campaigns(*scoped).get_campaigns().status_code,
}
print(json.dumps(said))
