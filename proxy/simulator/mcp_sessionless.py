"""MCP of version 2026-07-28, as the simulated endpoint speaks it: requests without a session. Pure.

Each request names its version and its client's capabilities in `_meta`, and repeats version, method and name in
headers. Tools that change something can ask first: the call is then sent again, with the answer.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxy.simulator.checks import Head

JsonObject = dict[str, Any]

VERSION = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
VERSION_KEY, CAPABILITIES_KEY, SERVER_KEY = (
    f"{PREFIX}{name}" for name in ("protocolVersion", "clientCapabilities", "serverInfo")
)
VERSION_HEADER, METHOD_HEADER, NAME_HEADER = "mcp-protocol-version", "mcp-method", "mcp-name"
METHODS = ("server/discover", "tools/list", "tools/call")
NAMES = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""What of a method's params the header repeats."""
SERVER = {"name": "ads-simulator", "version": "1"}
TTL_MS = 60_000
HEADER_MISMATCH = -32020


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a request has no result, as JSON-RPC tells it with this status of HTTP."""

    status: int
    code: int
    text: str
    data: JsonObject | None = None

    def as_json(self, message_id: Any) -> JsonObject:
        """The whole message."""
        data = {} if self.data is None else {"data": self.data}
        return {"jsonrpc": "2.0", "id": message_id, "error": {"code": self.code, "message": self.text, **data}}


def is_sessionless(head: Head, message: Any = None) -> bool:
    """Whether a request is of a version without sessions, by its header or its body."""
    named = head.all(VERSION_HEADER)
    return any(version >= VERSION for version in named) or VERSION_KEY in _meta(message)


def find_wrong(head: Head, message: JsonObject) -> Wrong | None:
    """What of a request's form is wrong: metadata, then headers, then the version, then the method."""
    if not isinstance(message.get("method"), str):
        return Wrong(400, -32600, "a body is one request or notification")
    if "id" not in message:
        return None
    meta = _meta(message)
    if VERSION_KEY not in meta or not isinstance(meta.get(CAPABILITIES_KEY), dict):
        return Wrong(400, -32602, f"params._meta has {VERSION_KEY}, and {CAPABILITIES_KEY} as an object")
    mismatch = _find_mismatch(head, message, meta[VERSION_KEY])
    if mismatch:
        return Wrong(400, HEADER_MISMATCH, f"Header mismatch: {mismatch}")
    if meta[VERSION_KEY] != VERSION:
        data = {"supported": [VERSION], "requested": meta[VERSION_KEY]}
        return Wrong(400, -32022, "Unsupported protocol version", data)
    if message["method"] not in METHODS:
        return Wrong(404, -32601, "Method not found")
    return None


def _find_mismatch(head: Head, message: JsonObject, version: Any) -> str:
    """The first header that is not there just once, with what the body says."""
    wanted = [(VERSION_HEADER, version), (METHOD_HEADER, message["method"])]
    if message["method"] in NAMES:
        wanted.append((NAME_HEADER, message["params"].get(NAMES[message["method"]])))
    for name, value in wanted:
        sent = head.all(name)
        plain = _decoded(sent[0]) if len(sent) == 1 and name == NAME_HEADER else "".join(sent)
        if len(sent) != 1 or plain != value:
            return f"{name} is {', '.join(sent) or 'missing'}, and the body says {value}"
    return ""


def _decoded(value: str) -> str:
    """A name that its sender may have written in Base64."""
    found = re.fullmatch(r"=\?base64\?([A-Za-z0-9+/]*={0,2})\?=", value)
    if found is None:
        return value
    try:
        return b64decode(found[1]).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _meta(message: Any) -> JsonObject:
    params = message.get("params") if isinstance(message, dict) else None
    meta = params.get("_meta") if isinstance(params, dict) else None
    return meta if isinstance(meta, dict) else {}


def completed(result: JsonObject) -> JsonObject:
    """A result with what all results of this version have, and lists in particular."""
    cached = {"ttlMs": TTL_MS, "cacheScope": "public"} if "tools" in result or "supportedVersions" in result else {}
    return {"resultType": "complete", **result, **cached, "_meta": {SERVER_KEY: SERVER}}


def discovered() -> JsonObject:
    """What `server/discover` finds."""
    return {"supportedVersions": [VERSION], "capabilities": {"tools": {}}}


# --- Tools that ask before they change something -------------------------------------------------------------

QUESTION = "confirm"


def ask_first(message: JsonObject, caller: tuple[str, ...]) -> JsonObject | Wrong | None:
    """The question that a call has to answer before it is carried out; None for one that answered yes.

    `caller` has the user, the region and the accounts: a `requestState` is good for one call of theirs.
    """
    params = message["params"]
    call = [*caller, params.get("name"), params.get("arguments")]
    state = hashlib.blake2b(json.dumps(call, sort_keys=True).encode(), key=b"pretend-mcp-key").hexdigest()
    if params.get("requestState") not in (None, state):
        return Wrong(400, -32602, "requestState is not that of this call")
    answers = params.get("inputResponses")
    answer = answers.get(QUESTION) if isinstance(answers, dict) and "requestState" in params else None
    if isinstance(answer, dict) and answer.get("action") in ("accept", "decline", "cancel"):
        content = answer.get("content")
        agreed = answer["action"] == "accept" and isinstance(content, dict) and content.get(QUESTION) is True
        return None if agreed else {"content": [{"type": "text", "text": "Not confirmed."}], "isError": True}
    if "elicitation" not in _meta(message)[CAPABILITIES_KEY]:
        return Wrong(400, -32021, "this tool asks first", {"requiredCapabilities": {"elicitation": {"form": {}}}})
    schema = {"type": "object", "properties": {QUESTION: {"type": "boolean"}}, "required": [QUESTION]}
    asked = {"mode": "form", "message": f"Let {params.get('name')} change something?", "requestedSchema": schema}
    return {
        "resultType": "input_required",
        "inputRequests": {QUESTION: {"method": "elicitation/create", "params": asked}},
        "requestState": state,
    }
