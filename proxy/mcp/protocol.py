"""Rules that version 2026-07-28 of MCP adds for messages without a session (docs/reference/mcp-versions.md). Pure.

Each request names its version in `_meta`, and repeats version, method and name in headers. A server's network may go by
the headers and its tools by the body, so both must say the same. Older versions have the version's header alone.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields

SESSIONLESS: Final = "2026-07-28"
"""The first version without sessions. Versions are dates, and later ones compare as greater."""
HEADER_MISMATCH: Final = -32020
"""The error code of MCP for headers that contradict the body, or are missing; its status is 400."""

_VERSION, _METHOD, _NAME = b"mcp-protocol-version", b"mcp-method", b"mcp-name"
_META: Final = "io.modelcontextprotocol/protocolVersion"
_NAMED_BY: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""The methods that have a name to repeat, and the member of `params` that holds it."""
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=")


def find_mismatch(fields: RequestFields, messages: list[dict[str, Any]]) -> str:
    """What of a request's headers contradicts its messages, or is missing; empty for nothing.

    `messages` are those of its body, whose `method` is a text and whose `params` are an object, if they are there.
    """
    versions, methods, names = (_values(fields, name) for name in (_VERSION, _METHOD, _NAME))
    (message, *others) = messages
    if others:
        return _of_list(versions, methods + names)
    method, said = message.get("method", ""), _said_version(message)
    member = _NAMED_BY.get(method)
    name = (message.get("params") or {}).get(member) if member else None
    if any(value != method for value in methods):
        return "Mcp-Method names another method than the body"
    if any(name is None or _decoded(value) != name for value in names):
        return "Mcp-Name names something else than the body"
    if not any(map(is_sessionless, (said, *versions))):
        return ""
    if "id" not in message and (said is None or not versions):
        return ""  # whether a notification repeats anything is left open
    if not versions or any(value != said for value in versions):
        return f"MCP-Protocol-Version and {_META} in the body's _meta must both be there, and the same"
    if "id" not in message:
        return ""
    if not methods:
        return "Mcp-Method is missing; it repeats the body's method"
    if member and not names:
        return f"Mcp-Name is missing; it repeats `{member}` of the body's params"
    return ""


def is_sessionless(version: object) -> bool:
    """Whether a version is one without sessions."""
    return isinstance(version, str) and version >= SESSIONLESS


def _of_list(versions: list[str], others: list[str]) -> str:
    """What contradicts the headers of a list of messages, which the version without sessions does not have."""
    if others:
        return "a list of messages is sent without Mcp-Method and Mcp-Name"
    if any(map(is_sessionless, versions)):
        return "this MCP-Protocol-Version has no lists of messages; send one at a time"
    return ""


def _values(fields: RequestFields, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in fields.every if name == wanted]


def _said_version(message: dict[str, Any]) -> object:
    """The version in the body of a message, None if it is missing."""
    meta = (message.get("params") or {}).get("_meta")
    return meta.get(_META) if isinstance(meta, dict) else None


def _decoded(value: str) -> str | None:
    """The name in a header, which is Base64 where plain ASCII cannot hold it; None where that cannot be read."""
    found = _ENCODED.fullmatch(value)
    if found is None:
        return value
    try:
        decoded = base64.b64decode(found[1], validate=True)
        is_canonical = base64.b64encode(decoded).decode() == found[1]
        return decoded.decode() if is_canonical else None
    except ValueError:
        return None


# --- Answers to questions of the server ----------------------------------------------------------------------

_ACTIONS: Final = ("accept", "decline", "cancel")


def judged_content(message: dict[str, Any]) -> dict[str, Any]:
    """The part of a message in which a name can stand for an account: all of it but its id and one word.

    The server chooses the names below `inputResponses`, such as `account`. The word there that says whether a person
    answered is no account's.
    """
    content = {name: value for name, value in message.items() if name != "id"}
    params = content.get("params") or {}
    answers = params.get("inputResponses")
    if isinstance(answers, dict):
        content["params"] = {**params, "inputResponses": {key: _without_action(each) for key, each in answers.items()}}
    return content


def _without_action(answer: Any) -> Any:
    if not isinstance(answer, dict) or answer.get("action") not in _ACTIONS:
        return answer
    return {name: value for name, value in answer.items() if name != "action"}


# --- Results ------------------------------------------------------------------------------------------------


def make_private(result: dict[str, Any]) -> bool:
    """Let caches keep a result for its client alone, where its server allows any. Tells whether that changed it."""
    if result.get("cacheScope", "private") == "private":
        return False
    result["cacheScope"] = "private"
    return True
