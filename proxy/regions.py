"""Amazon's three regions: their names and addresses (docs/development/amazon.md, Regions). Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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
"""Region -> Amazon's addresses there, by configuration key. The configuration overrides single addresses."""


class HostUse(StrEnum):
    """What one of Amazon's hosts serves, named as the key of its address; all of them get tokens or credentials."""

    API = "api_url"
    TOKEN = "token_url"  # noqa: S105 - a key of the addresses, no secret
    MCP = "mcp_url"


REGION_NAMES: tuple[str, ...] = tuple(AMAZON_REGIONS)
