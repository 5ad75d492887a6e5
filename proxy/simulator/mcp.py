"""The hosted MCP endpoint: JSON-RPC over POST, answered as server-sent events, with sessions and without.

What is known of Amazon's: without Authorization it says 400 "no authorization", without WWW-Authenticate; a wrong
token gets 401, and one that is over shows as a JSON-RPC error; metadata name where its tokens come from (RFC 9728);
an account is named in headers in FIXED mode only, where it holds for the whole session. Whatever the arguments of a
tool could mean by another account there is refused, as strictly as can be.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from proxy.simulator.addressing import Addressed, check_account, check_scope, judge_account, judge_profile
from proxy.simulator.ads_account_api import MANAGER_ID
from proxy.simulator.answers import Answer, Refusal, as_error, error_answer, json_answer
from proxy.simulator.api import respond
from proxy.simulator.checks import ADS_CLIENT, SCOPE, Head, check_client, check_token, find_leak
from proxy.simulator.limits import Caller
from proxy.simulator.mcp_sessionless import (
    HEADER_MISMATCH,
    SERVER,
    VERSION,
    Wrong,
    ask_first,
    completed,
    discovered,
    find_wrong,
    is_sessionless,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from proxy.simulator.calls import Call
    from proxy.simulator.settings import McpHints, SimulatorSettings
    from proxy.simulator.state import SimulatorState


# --- The tools of the hosted MCP endpoint ----------------------------------------------------------------

JsonObject = dict[str, Any]

LITE_PATH = "/mcp/lite"


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool; `reads` tells that it changes nothing, `path` is the operation that it stands for."""

    name: str
    path: str
    reads: bool

    def as_json(self, hints: McpHints = "honest") -> JsonObject:
        """The tool as `tools/list` returns it; with `hints` that say whether it reads, the contrary, or nothing."""
        texts = {name: {"type": "string"} for name in ("profileId", "advertiserAccountId")}
        hint = self.reads if hints == "honest" else not self.reads
        return {
            "name": self.name,
            "description": f"POST {self.path}",
            "inputSchema": {"type": "object", "properties": {"body": {"type": "object"}, **texts}},
            **({} if hints == "none" else {"annotations": {"readOnlyHint": hint}}),
        }


OPERATIONS = {
    "account_management-query_advertiser_account": "query/advertiserAccounts",
    "campaign_management-query_campaign": "query/campaigns",
    "campaign_management-create_campaign": "create/campaigns",
    "campaign_management-update_campaign": "update/campaigns",
    "campaign_management-update_campaign_budget": "update/campaigns",
    "campaign_management-update_campaign_state": "update/campaigns",
    "campaign_management-delete_campaign": "delete/campaigns",
    "campaign_management-query_ad_group": "query/adGroups",
    "campaign_management-create_ad_group": "create/adGroups",
    "campaign_management-update_ad_group": "update/adGroups",
    "campaign_management-delete_ad_group": "delete/adGroups",
    "campaign_management-query_ad": "query/ads",
    "campaign_management-query_target": "query/targets",
    "campaign_management-create_target": "create/targets",
    "campaign_management-update_target": "update/targets",
    "campaign_management-update_target_bid": "update/targets",
    "campaign_management-delete_target": "delete/targets",
    "reporting-create_report": "create/reports",
    "reporting-retrieve_report": "retrieve/reports",
    "reporting-delete_report": "delete/reports",
}
CATALOGUE = {
    name: Tool(name, f"/adsApi/v1/{operation}", operation.startswith(("query/", "retrieve/")))
    for name, operation in OPERATIONS.items()
}

SEARCH, DESCRIBE, INVOKE = (f"amazon_ads_mcp-{verb}" for verb in ("search_tools", "describe_tools", "invoke_tool"))
"""All that the small endpoint lists: by these the others are found and called."""


def _own(name: str, description: str, required: list[str], properties: JsonObject) -> JsonObject:
    """A tool that is none of Amazon's operations."""
    schema = {"type": "object", "properties": properties, "required": required}
    return {"name": name, "description": description, "inputSchema": schema}


TEXT, NUMBER, INTEGER, OBJECT = ({"type": kind} for kind in ("string", "number", "integer", "object"))
COUNT = "Counts to a number and reports progress as it goes."
PRETEND = (
    _own("count", COUNT, ["to"], {"to": INTEGER, "interval": NUMBER}),
    _own("list_profiles", "Lists the advertising profiles of the region.", [], {}),
)
LITE = (
    _own(SEARCH, "Finds tools by words of their names.", ["query"], {"query": TEXT}),
    _own(DESCRIBE, "Describes tools by name.", ["names"], {"names": {"type": "array", "items": TEXT}}),
    _own(INVOKE, "Calls a tool by name.", ["name"], {"name": TEXT, "arguments": OBJECT}),
)


def listed(path: str, settings: SimulatorSettings) -> list[JsonObject]:
    """What `tools/list` shows at a path: Amazon's tools, or the simulator's own."""
    if settings.mcp_tools != "amazon":
        return list(PRETEND)
    return list(LITE) if path == LITE_PATH else [tool.as_json(settings.mcp_hints) for tool in CATALOGUE.values()]


def find_called(name: Any, arguments: JsonObject) -> tuple[Tool | None, JsonObject]:
    """Which of Amazon's tools a call is for in the end, and with which arguments."""
    if name == INVOKE:
        name, arguments = arguments.get("name"), _object(arguments.get("arguments"))
    return CATALOGUE.get(str(name)), arguments


def call_tool(call: Call, name: Any, arguments: JsonObject) -> JsonObject | None:
    """The result of a tool, None where there is none of this name. All can be called, whichever are listed."""
    if name == "count":
        return _tool_result("counted")
    if name == "list_profiles":
        profiles = call.state.profiles.listed(call.region, call.caller.user)
        return _tool_result(json.dumps([each.as_json() for each in profiles]))
    if name == SEARCH:
        words = str(arguments.get("query", "")).lower().split()
        found = [tool for tool in CATALOGUE if all(word in tool for word in words)]
        return _tool_result(json.dumps({"tools": found}))
    if name == DESCRIBE:
        described = [CATALOGUE[tool].as_json() for tool in map(str, arguments.get("names") or ()) if tool in CATALOGUE]
        return _tool_result(json.dumps({"tools": described}))
    tool, arguments = find_called(name, arguments)
    if tool is None:
        return None
    answer = _ask_operation(call, tool.path, arguments)
    return _tool_result(answer.body.decode(), failed=answer.status >= 400)


def _ask_operation(call: Call, path: str, arguments: JsonObject) -> Answer:
    """What the unified API says to a tool that stands for one of its operations.

    The advertiser is the one of the arguments, else, in FIXED mode, the one of the headers.
    """
    operation = call.state.operations.find("POST", path)
    names = ("profileId", "advertiserAccountId")
    scope, account = (str(arguments[name]) if arguments.get(name) else None for name in names)
    if scope is None and account is None:
        scope, account = call.caller.scope, call.caller.account
    if operation is None or operation.account == "never":
        scope = account = None
    asked = Addressed(call.region, path, call.caller.user, operation, scope, account, ACCOUNT)
    caller = replace(call.caller, scope=scope, account=account)
    body = json.dumps(_object(arguments.get("body"))).encode()
    wrong = check_scope(call.state, asked) or check_account(call.state, asked)
    answer = wrong or respond(replace(call, path=path, operation=operation, caller=caller, body=body))
    return as_error(path, answer) if isinstance(answer, Refusal) else answer


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _tool_result(text: str, *, failed: bool = False) -> JsonObject:
    return {"content": [{"type": "text", "text": text}], "isError": failed}


# --- Accounts that a message names, as the most careless reader could find them ------------------------------

_NAMES = ("accountid", "advertiserid", "entityid", "manageraccount", "instanceid", "profileid", "marketplaceid")
_MORE_NAMES = ("requestedaccount", "managerid", "apiscope")


class _Pairs(list[tuple[str, Any]]):
    """An object with every member that was written, also those of one name."""


def find_foreign_account(body: bytes, fixed: frozenset[str]) -> str:
    """The first account in a message that is none of the `fixed` ones, empty where nothing is fixed."""
    if not fixed:
        return ""
    named = _named(json.loads(body, object_pairs_hook=_Pairs), "", within=False)
    return next((account for account in named if account not in fixed), "")


def _named(value: Any, above: str, *, within: bool) -> Iterator[str]:
    """Every text and number below a member that names an account, in texts that hold JSON too."""
    if isinstance(value, _Pairs):
        for name, each in value:
            plain = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))
            names = any(word in joined for joined in (plain, above + plain) for word in (*_NAMES, *_MORE_NAMES))
            yield from _named(each, plain, within=within or names)
    elif isinstance(value, list):
        for each in value:
            yield from _named(each, above, within=within)
    elif within and value not in (None, ""):
        yield str(value)
    elif isinstance(value, str) and value.strip()[:1] in ("{", "[", '"'):
        with contextlib.suppress(ValueError, RecursionError):
            yield from _named(json.loads(value, object_pairs_hook=_Pairs), above, within=within)


# --- The hosted MCP endpoint -----------------------------------------------------------------------------

PATHS = ("/mcp", LITE_PATH)
PROTOCOL_VERSION = "2025-06-18"
SESSION = "Mcp-Session-Id"
MODE = "amazon-ads-ai-account-selection-mode"
ACCOUNT, MANAGER = "amazon-ads-accountid", "amazon-ads-manager-accountid"
EVENT_STREAM = (("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache, no-transform"))
METADATA = {
    "authorization_servers": ["https://lwa.amazon.com"],
    "scopes_supported": ["advertising::campaign_management"],
}
"""The protected resource metadata, which Amazon publishes without the member `resource`."""
METADATA_PATHS = frozenset(f"/.well-known/oauth-protected-resource{path}" for path in ("", *PATHS))
NO_AUTHORIZATION = b"no authorization"
TOKEN_IS_OVER = "client initialization failed"  # noqa: S105 - what is said of a token, not one


def fixed_accounts(head: Head) -> frozenset[str]:
    """The accounts in force in FIXED mode, empty in any other."""
    if head.first(MODE) != "FIXED":
        return frozenset()
    return frozenset(value for name in (SCOPE, ACCOUNT, MANAGER) if (value := head.first(name)))


def examine_mcp(state: SimulatorState, region: str, head: Head) -> Caller | Refusal:
    """The checks of the MCP endpoint: token, client id, and the account, which is in headers in FIXED mode only."""
    leak = find_leak(head)
    if leak is not None:
        return leak
    if head.first("authorization") is None:
        return Refusal(400, "authorization-missing", "BAD_REQUEST", "there is no Authorization header")
    token = check_token(state, head)
    if isinstance(token, Refusal):
        return token
    wrong = check_client(head, token, ads_client=True) or check_selection(state, region, token.user, head)
    return wrong or Caller(token.user, head.first(ADS_CLIENT) or "", head.first(SCOPE), head.first(ACCOUNT))


def check_selection(state: SimulatorState, region: str, user: str, head: Head) -> Refusal | None:
    """FIXED needs a profile, an ads account or a manager account that is the user's; otherwise there must be none."""
    mode = head.first(MODE)
    scope, account, manager = (head.first(name) or None for name in (SCOPE, ACCOUNT, MANAGER))
    if mode not in (None, "FIXED", "DYNAMIC"):
        return Refusal(400, "selection", "BAD_REQUEST", f"there is no account selection mode {mode}")
    if mode != "FIXED":
        if scope is not None:
            return Refusal(400, "scope-unwanted", "INVALID_ARGUMENT", "Scope is for FIXED account selection only")
        if account or manager:
            return Refusal(400, "account-unwanted", "BAD_REQUEST", "account ids are for FIXED account selection only")
        return None
    if not (scope or account or manager):
        return Refusal(400, "selection", "BAD_REQUEST", "FIXED account selection needs Scope or an account id")
    foreign = judge_profile(state, region, user, scope) if scope else None
    foreign = foreign or (judge_account(state, region, user, account) if account else None)
    if foreign is None and manager not in (None, MANAGER_ID):
        return Refusal(403, "account-unknown", "FORBIDDEN", f"there is no manager account {manager}")
    return foreign


def refuse_mcp(state: SimulatorState, refusal: Refusal, body: bytes) -> Answer:
    """A refusal as Amazon's endpoint words it; of an unknown token it is not told from one that is over."""
    if refusal.kind.startswith("authorization-"):
        return Answer(400, (("Content-Type", "text/plain"),), NO_AUTHORIZATION, "counted")
    if refusal.kind.startswith("token-"):
        try:
            sent = json.loads(body)
        except (ValueError, RecursionError):
            sent = None
        message_id = sent.get("id") if isinstance(sent, dict) else None
        return json_answer(_failure(message_id, -32000, TOKEN_IS_OVER), state.settings.mcp_token_status)
    return error_answer(refusal.status, refusal.code, refusal.details)


def answer_mcp(call: Call) -> Answer:
    """One message of a client, in whichever version it is written."""
    spoken = call.state.settings.mcp_versions
    if call.method != "POST":
        has_sessions = spoken != "sessionless" and (spoken == "sessions" or not is_sessionless(call.head))
        if call.method == "DELETE" and has_sessions:
            call.state.sessions.pop(call.head.first(SESSION.lower()) or "", None)
            return Answer(204)
        allowed = "POST, DELETE" if has_sessions else "POST"
        refused = error_answer(405, "METHOD_NOT_ALLOWED", f"this endpoint takes {allowed}")
        return refused.with_headers(("Allow", allowed))
    accepted = ",".join(call.head.all("accept"))
    if "text/event-stream" not in accepted or "application/json" not in accepted:
        return error_answer(406, "NOT_ACCEPTABLE", "Accept must name application/json and text/event-stream")
    try:
        message = json.loads(call.body)
    except (ValueError, RecursionError):
        return json_answer(_failure(None, -32700, "Parse error"), 400)
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return json_answer(_failure(None, -32600, "Invalid Request"), 400)
    if spoken == "sessionless" or (spoken == "both" and is_sessionless(call.head, message)):
        return _answer_sessionless(call, message)
    return _answer_in_session(call, message)


def _answer_in_session(call: Call, message: JsonObject) -> Answer:
    """The answer of the versions with sessions: all of it as events."""
    sessions, owner = call.state.sessions, (call.region, call.caller.user, fixed_accounts(call.head))
    session = call.head.first(SESSION.lower())
    if message.get("method") == "initialize":
        session = secrets.token_hex(16)
        sessions[session] = owner
    elif session is None:
        return json_answer(_failure(message.get("id"), -32600, "Bad Request: Missing session ID"), 400)
    elif sessions.get(session) != owner:
        begun = sessions.get(session)
        if begun is not None and begun[:2] == owner[:2]:
            reason = f"the session began with {sorted(begun[2]) or 'no account'}"
            call.note(Refusal(404, "session-account", "NOT_FOUND", reason))
        return json_answer(_failure(message.get("id"), -32001, "Session not found"), 404)
    if "id" not in message or "method" not in message:
        return Answer(202, ((SESSION, session),), b"", "counted")
    return Answer(200, (*EVENT_STREAM, (SESSION, session)), stream=_events(call, message))


def _answer_sessionless(call: Call, message: JsonObject) -> Answer:
    """The counting tool and results of tools come as events, all else as JSON; errors have a status of their own."""
    wrong = find_wrong(call.head, message)
    if wrong is not None:
        if wrong.code == HEADER_MISMATCH:
            call.note(Refusal(400, "header-mismatch", "BAD_REQUEST", wrong.text))
        return json_answer(wrong.as_json(message.get("id")), wrong.status)
    if "id" not in message:
        return Answer(202, (), b"", "counted")
    method, params = message["method"], message["params"]
    if method == "server/discover":
        return json_answer(_success(message, completed(discovered())))
    if method == "tools/list":
        return json_answer(_success(message, completed({"tools": listed(call.path, call.state.settings)})))
    first = _ask_first(call, message) if isinstance(params.get("arguments") or {}, dict) else None
    if isinstance(first, Wrong):
        return json_answer(first.as_json(message["id"]), first.status)
    if first is not None:
        return json_answer(_success(message, completed(first)))
    return Answer(200, EVENT_STREAM, stream=_events(call, message, completed))


def _ask_first(call: Call, message: JsonObject) -> JsonObject | Wrong | None:
    """What a call that changes something is answered instead, until it is confirmed."""
    params = message["params"]
    tool, _ = find_called(params.get("name"), _object(params.get("arguments")))
    asks = call.state.settings.mcp_confirms and tool is not None and not tool.reads
    if not asks or find_foreign_account(call.body, fixed_accounts(call.head)):
        return None
    return ask_first(message, (call.caller.user, call.region, *sorted(fixed_accounts(call.head))))


async def _events(
    call: Call, message: JsonObject, complete: Callable[[JsonObject], JsonObject] = dict
) -> AsyncIterator[bytes]:
    """The messages that answer a request, each as one event; `complete` gives its result what the version wants."""
    params = message.get("params") or {}
    if not isinstance(params, dict) or not isinstance(params.get("arguments") or {}, dict):
        yield _event(_failure(message["id"], -32602, "Invalid params"))
        return
    called = params.get("name") if message["method"] == "tools/call" else None
    if called == "count":
        arguments = params.get("arguments") or {}
        goal, token = int(arguments.get("to", 1)), (params.get("_meta") or {}).get("progressToken", 0)
        for number in range(1, goal + 1):
            progress = {"progressToken": token, "progress": number, "total": goal}
            yield _event({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress})
            await asyncio.sleep(float(arguments.get("interval", 0)))
    last = _result(call, message, params)
    yield _event({**last, "result": complete(last["result"])} if "result" in last else last)


def _result(call: Call, message: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """The last message: the result of a request, or why there is none."""
    method = message["method"]
    if method == "initialize":
        version = params.get("protocolVersion")
        version = version if isinstance(version, str) and version < VERSION else PROTOCOL_VERSION
        begun = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": SERVER}
        return _success(message, begun)
    if method == "ping":
        return _success(message, {})
    if method == "tools/list":
        return _success(message, {"tools": listed(call.path, call.state.settings)})
    if method == "tools/call":
        foreign = find_foreign_account(call.body, fixed_accounts(call.head))
        if foreign:
            call.note(Refusal(200, "argument-account", "FORBIDDEN", f"{foreign} is not the account of this session"))
            return _success(message, _tool_result(f"Not authorized to access account {foreign}", failed=True))
        result = call_tool(call, params.get("name"), params.get("arguments") or {})
        unknown = _failure(message["id"], -32602, f"Unknown tool: {params.get('name')}")
        return unknown if result is None else _success(message, result)
    return _failure(message["id"], -32601, "Method not found")


def _success(message: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def _failure(message_id: Any, code: int, text: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": text}}


def _event(message: dict[str, Any]) -> bytes:
    return f"event: message\ndata: {json.dumps(message)}\n\n".encode()
