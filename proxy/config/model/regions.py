"""Amazon's own addresses in its three regions (docs/amazon.md, Regions), built in so that nobody has to write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.config.model.expected import Expected, WrongValue, shape_of

AMAZON_REGIONS: Mapping[str, Mapping[str, str]] = {
    "na": {
        "api_url": "https://advertising-api.amazon.com",
        "token_url": "https://api.amazon.com/auth/o2/token",
        "auth_grant_url": "https://www.amazon.com/ap/oa",
        "mcp_url": "https://advertising-ai.amazon.com/mcp",
    },
    "eu": {
        "api_url": "https://advertising-api-eu.amazon.com",
        "token_url": "https://api.amazon.co.uk/auth/o2/token",
        "auth_grant_url": "https://eu.account.amazon.com/ap/oa",
        "mcp_url": "https://advertising-ai-eu.amazon.com/mcp",
    },
    "fe": {
        "api_url": "https://advertising-api-fe.amazon.com",
        "token_url": "https://api.amazon.co.jp/auth/o2/token",
        "auth_grant_url": "https://apac.account.amazon.com/ap/oa",
        "mcp_url": "https://advertising-ai-fe.amazon.com/mcp",
    },
}
"""docs/amazon.md, Regions. Tests and simulators override single addresses."""


def with_amazon(value: Any) -> Any:
    """Amazon's own addresses, under those that are given."""
    given = {} if value is None else value
    if not isinstance(given, Mapping):
        raise WrongValue(Expected.KEYS, found=shape_of(given))
    merged: dict[Any, Any] = {name: {**own} for name, own in AMAZON_REGIONS.items()}
    for name, region in given.items():
        if isinstance(region, Mapping) and isinstance(name, str) and name in merged:
            merged[name].update(region)
        elif region is not None or name not in merged:
            merged[name] = region
    return merged
