"""airbyte-agent-amazon-ads in its open-source mode, as its README uses it."""

from __future__ import annotations

import asyncio
import json
import os

from airbyte_agent_amazon_ads import AmazonAdsConnector
from airbyte_agent_amazon_ads.models import AmazonAdsAuthConfig


async def main() -> None:
    connector = AmazonAdsConnector(
        auth_config=AmazonAdsAuthConfig(
            client_id=os.environ["LWA_CLIENT_ID"],
            client_secret=os.environ["LWA_CLIENT_SECRET"],
            refresh_token=os.environ["LWA_REFRESH_TOKEN"],
        )
    )
    profiles = (await connector.execute("profiles", "list", {})).data
    campaigns = await connector.execute(
        "sponsored_product_campaigns", "list", {"Amazon-Advertising-API-Scope": str(profiles[0]["profileId"])}
    )
    print(json.dumps({"profiles": len(profiles), "campaigns": len(campaigns.data["campaigns"])}))


asyncio.run(main())
