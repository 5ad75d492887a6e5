"""python-amazon-ad-api, as its README uses it: credentials in the call, profiles, campaigns."""

from __future__ import annotations

import json
import os

from ad_api.api import Profiles, sponsored_products
from ad_api.base import Marketplaces

credentials = {
    "client_id": os.environ["LWA_CLIENT_ID"],
    "client_secret": os.environ["LWA_CLIENT_SECRET"],
    "refresh_token": os.environ["LWA_REFRESH_TOKEN"],
}
profiles = Profiles(credentials=credentials, marketplace=Marketplaces.NA, verify_additional_credentials=False)
found = profiles.list_profiles().payload
scoped = {**credentials, "profile_id": str(found[0]["profileId"])}
campaigns = (
    sponsored_products.CampaignsV3(credentials=scoped, marketplace=Marketplaces.NA).list_campaigns(body={}).payload
)
print(json.dumps({"profiles": len(found), "campaigns": len(campaigns["campaigns"])}))
