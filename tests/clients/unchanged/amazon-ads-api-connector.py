"""amazon-ads-api-connector, as its README uses it: it logs in when it is made; it has no call that lists profiles."""

from __future__ import annotations

import json
import os

from amazon_ads_api_connector import AmazonAdsAPIConnector, Region

api = AmazonAdsAPIConnector(
    {
        "refresh_token": os.environ["LWA_REFRESH_TOKEN"],
        "client_id": os.environ["LWA_CLIENT_ID"],
        "client_secret": os.environ["LWA_CLIENT_SECRET"],
        "profile_id": os.environ["PROFILE_ID"],
    },
    Region.NA,
)
campaigns = api.list_campaigns()
groups = api.list_ad_groups()
print(json.dumps({"campaigns": len(campaigns), "ad_groups": len(groups)}))
