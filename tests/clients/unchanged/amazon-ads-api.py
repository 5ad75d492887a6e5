"""amazon-ads-api, by the names in its README; its calls are coroutines, which the README does not say."""

from __future__ import annotations

import asyncio
import json
import os

from amazon_ads_api import AdsRegion, AmazonAdsClient


async def main() -> None:
    client = AmazonAdsClient(
        client_id=os.environ["LWA_CLIENT_ID"],
        client_secret=os.environ["LWA_CLIENT_SECRET"],
        refresh_token=os.environ["LWA_REFRESH_TOKEN"],
        region=AdsRegion.NA,
    )
    profiles = await client.accounts.profiles.list_profiles()
    client.with_profile(str(profiles[0]["profileId"]))
    campaigns = await client.sp.campaigns.list_campaigns()
    print(json.dumps({"profiles": len(profiles), "campaigns": len(campaigns["campaigns"])}))


asyncio.run(main())
