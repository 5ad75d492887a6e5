"""The tools of the hosted MCP endpoint: which are listed, what each takes, and what a call of one does.

Names follow Amazon's pattern, `campaign_management-query_campaign`; which tools it really has is not written down
anywhere. Each stands for an operation of the unified API: `body` is that operation's body, and the advertiser is named
among the arguments. `count` and `list_profiles` are the simulator's own, for tests of streams.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.simulator.answers import Answer

Given = dict[str, Any]
Ask = Callable[[str, Given, Given], Answer]
"""Asks an operation of the unified API: its path, its body, and the arguments that name the advertiser."""

LITE_PATH = "/mcp/lite"


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool; `reads` tells that it changes nothing, `path` is the operation that it stands for."""

    name: str
    path: str
    reads: bool

    def as_json(self) -> Given:
        """As `tools/list` has it."""
        texts = {name: {"type": "string"} for name in ("profileId", "advertiserAccountId")}
        return {
            "name": self.name,
            "description": f"POST {self.path}",
            "inputSchema": {"type": "object", "properties": {"body": {"type": "object"}, **texts}},
            "annotations": {"readOnlyHint": self.reads},
        }


def _tool(name: str, operation: str) -> Tool:
    return Tool(name, f"/adsApi/v1/{operation}", operation.startswith(("query/", "retrieve/")))


CATALOGUE = (
    _tool("account_management-query_advertiser_account", "query/advertiserAccounts"),
    _tool("campaign_management-query_campaign", "query/campaigns"),
    _tool("campaign_management-create_campaign", "create/campaigns"),
    _tool("campaign_management-update_campaign", "update/campaigns"),
    _tool("campaign_management-delete_campaign", "delete/campaigns"),
    _tool("campaign_management-query_ad_group", "query/adGroups"),
    _tool("campaign_management-create_ad_group", "create/adGroups"),
    _tool("campaign_management-query_ad", "query/ads"),
    _tool("campaign_management-query_target", "query/targets"),
    _tool("reporting-create_report", "create/reports"),
    _tool("reporting-retrieve_report", "retrieve/reports"),
    _tool("reporting-delete_report", "delete/reports"),
)

SEARCH, DESCRIBE, INVOKE = (f"amazon_ads_mcp-{verb}" for verb in ("search_tools", "describe_tools", "invoke_tool"))
"""All that the small endpoint lists: by these the others are found and called."""


def _own(name: str, description: str, properties: Given, required: list[str]) -> Given:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"name": name, "description": description, "inputSchema": schema}


PRETEND = (
    _own(
        "count",
        "Counts to a number and reports progress as it goes.",
        {"to": {"type": "integer"}, "interval": {"type": "number"}},
        ["to"],
    ),
    _own("list_profiles", "Lists the advertising profiles of the region.", {}, []),
)
LITE = (
    _own(SEARCH, "Finds tools by words of their names.", {"query": {"type": "string"}}, ["query"]),
    _own(DESCRIBE, "Describes tools by name.", {"names": {"type": "array", "items": {"type": "string"}}}, ["names"]),
    _own(
        INVOKE,
        "Calls a tool by name.",
        {"name": {"type": "string"}, "arguments": {"type": "object"}},
        ["name"],
    ),
)


def listed(path: str, amazons: bool) -> list[Given]:
    """What `tools/list` shows at a path: Amazon's tools, or the simulator's own."""
    if not amazons:
        return list(PRETEND)
    return list(LITE) if path == LITE_PATH else [tool.as_json() for tool in CATALOGUE]


def find_tool(name: Any) -> Tool | None:
    """The tool of this name."""
    return next((tool for tool in CATALOGUE if tool.name == name), None)


def call_tool(name: Any, arguments: Given, ask: Ask) -> Given | None:
    """The result of a call of one of Amazon's tools; None where there is none of this name."""
    if name == SEARCH:
        words = str(arguments.get("query", "")).lower().split()
        found = [tool.name for tool in CATALOGUE if all(word in tool.name for word in words)]
        return _result(json.dumps({"tools": found}))
    if name == DESCRIBE:
        described = [tool.as_json() for tool in map(find_tool, arguments.get("names") or ()) if tool is not None]
        return _result(json.dumps({"tools": described}))
    if name == INVOKE:
        name, arguments = arguments.get("name"), _object(arguments.get("arguments"))
    tool = find_tool(name)
    if tool is None:
        return None
    answer = ask(tool.path, _object(arguments.get("body")), arguments)
    return _result(answer.body.decode(), failed=answer.status >= 400)


def _object(value: Any) -> Given:
    return value if isinstance(value, dict) else {}


def _result(text: str, *, failed: bool = False) -> Given:
    return {"content": [{"type": "text", "text": text}], "isError": failed}
