"""amazon-ads-mcp as an MCP server over standard input and output: its requests to Amazon go through the proxy.

It sends tokens to Amazon's hosts only, so that it keeps their names and uses the proxy as its HTTP proxy.
"""

from __future__ import annotations

import os

HOST = "advertising-api.amazon.com"

os.environ.update(
    HTTP_PROXY=os.environ["PROXY_URL"],
    AUTH_METHOD="direct",
    AMAZON_AD_API_CLIENT_ID=os.environ["CLIENT_NAME"],
    AMAZON_AD_API_CLIENT_SECRET=os.environ["CLIENT_KEY"],
    AMAZON_AD_API_REFRESH_TOKEN=os.environ["ACCOUNT_NAME"],
    AMAZON_AD_API_PACKAGES="profiles,ads-api-v1-sp",
    CODE_MODE="false",
)

from amazon_ads_mcp.server.mcp_server import main  # noqa: E402 - it reads the environment when it is imported
from amazon_ads_mcp.utils.region_config import RegionConfig  # noqa: E402 - as above

# The one change: plain HTTP, which the proxy turns into HTTPS.
RegionConfig.API_ENDPOINTS["na"] = f"http://{HOST}"
RegionConfig.OAUTH_ENDPOINTS["na"] = f"http://{HOST}/auth/o2/token"

if __name__ == "__main__":
    main()
