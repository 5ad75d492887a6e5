"""async-amazon-ads-api-v1, as its README uses it: a configuration with a refresh token, profiles, the unified list."""

from __future__ import annotations

import asyncio
import json
import os

from ads_api import AdsClient, AmazonAdsConfig, Region
from ads_api.models.v1.campaigns.sp import SPQueryCampaignRequest


async def main() -> None:
    config = AmazonAdsConfig(
        client_id=os.environ["LWA_CLIENT_ID"],
        client_secret=os.environ["LWA_CLIENT_SECRET"],
        refresh_token=os.environ["LWA_REFRESH_TOKEN"],
        region=Region.NA,
    )
    wanted = SPQueryCampaignRequest.model_validate({"adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}})
    async with AdsClient(config) as ads:
        profiles = await ads.v0.accounts.profiles.list_profiles()
    async with AdsClient(config.model_copy(update={"profile_id": str(profiles[0]["profileId"])})) as ads:
        answer = await ads.v1.sp.campaigns.query_campaign(wanted)
    print(json.dumps({"profiles": len(profiles), "campaigns": len(answer["campaigns"])}))


asyncio.run(main())
