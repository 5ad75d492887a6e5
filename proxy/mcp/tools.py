"""Which tools of the hosted MCP endpoint a client may call, and which it is shown. Pure.

A tool does what the operation of the unified API does whose verb and resource its name has: for
`campaign_management-query_campaign` that is `POST /adsApi/v1/query/campaigns`, which reads. What has no such operation
counts as a write (docs/reference/permissions.md, Tools of MCP), and so does what the server itself says
is not read-only. Messages are read in the second half.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from proxy.access.json_body import find_odd_form
from proxy.errors import ToolNotPermitted
from proxy.mcp.foreign_members import TooManyTexts, find_foreign_member
from proxy.mcp.protocol import HEADER_MISMATCH, find_mismatch, judged_content
from proxy.routing.mcp_session import FixedAccount
from proxy.routing.operations import (
    PUBLISHED,
    Access,
    AccountRule,
    Administered,
    Effect,
    ScopeRule,
    may_administer,
)
from proxy.strict_json import AlikeNames, NotUtf8, TooCostly, differ_clearly
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.access.own_accounts import OwnAccounts
    from proxy.access.paths import PathPattern
    from proxy.access.policy import Policy
    from proxy.errors import Refused
    from proxy.http1.message import Request
    from proxy.http1.request_fields import RequestFields
    from proxy.mcp.foreign_members import ForeignMember
    from proxy.routing.operations import Operation, Operations
    from proxy.strict_json import JsonBody


# --- Messages of MCP as a tool sends them ----------------------------------------------------------------

LITE: Final = "amazon_ads_mcp-"
SEARCH, DESCRIBE, INVOKE = (f"{LITE}{verb}" for verb in ("search_tools", "describe_tools", "invoke_tool"))
"""The tools of `/mcp/lite`: by them the others are found and called (docs/development/amazon.md, MCP)."""
CALL: Final = "tools/call"
LISTEN: Final = "subscriptions/listen"
_BY_ADDRESS: Final = frozenset(("resources/read", "resources/subscribe"))
"""What they reach is told by an address that can mean anything."""

_MEMBERS: Final = frozenset(("jsonrpc", "id", "method", "params", "result", "error"))
INVOKED: Final = ("name", "tool_name", "toolName", "tool")
"""What the name of the tool that `INVOKE` calls may be called."""
GIVEN: Final = frozenset(("arguments", "args", "parameters", "params", "input"))
"""What the arguments of `invoke_tool` may be called; which of them Amazon's server reads is not written down."""
_TOOL: Final = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_PARAM_HEADER: Final = b"mcp-param-"
_MAX_MESSAGES: Final = 64
UNTOLD: Final = "?"
"""The name in a record for an MCP tool of unknown name; no tool has it."""
MAX_NAMED: Final = 16


class UnclearMessage(ValueError):
    """What is wrong with a body, in words."""


class HeaderMismatch(UnclearMessage):
    """A header that contradicts the message with this JSON-RPC id, or is missing."""

    def __init__(self, flaw: str, identifier: object) -> None:
        super().__init__(flaw)
        self.identifier = identifier


@dataclass(frozen=True, slots=True)
class McpMessage:
    """One message. `identifier` is its JSON-RPC id, and `asks` whether it has one: otherwise it gets no answer.

    `method` is empty for an answer to the server. `tool` is the one that it calls, itself or by `invoke_tool`; else
    empty. What of it names an account that is not the client's own is `foreign`. `is_ungoverned` tells that
    it may ask for resources, of whatever account. Both are told only where the client's accounts are known.
    """

    identifier: str | int | float | None
    asks: bool
    method: str
    tool: str = ""
    foreign: ForeignMember | None = None
    is_ungoverned: bool = False


@dataclass(frozen=True, slots=True)
class McpBody:
    """The messages of a body; `batch` tells that they came in a list."""

    messages: tuple[McpMessage, ...]
    batch: bool


class McpCalls(NamedTuple):
    """What a body calls: `tools` as `name_tools` has them, and the `effect` that they have at most."""

    tools: tuple[str, ...]
    effect: Effect


def read_messages(fields: RequestFields, body: JsonBody, own: OwnAccounts | None = None) -> McpBody:
    """Read a POST's body. `own` are the accounts that its client may name, None where it may name any. Raises
    `UnclearMessage`."""
    odd = find_odd_form(fields)
    if odd:
        raise UnclearMessage(odd)
    if own is not None and _has_parameters(fields):
        raise UnclearMessage("a limited client sends no Mcp-Param headers")
    try:
        content = body.read(strictly=own is not None)
    except (TooCostly, AlikeNames, NotUtf8) as error:
        raise UnclearMessage(str(error)) from None
    except (ValueError, RecursionError):
        raise UnclearMessage("the body is not plain JSON in UTF-8, or has a name twice") from None
    batch = isinstance(content, list)
    entries = content if batch else [content]
    found = tuple(_message(entry, fields, own) for entry in entries[:_MAX_MESSAGES])
    if not found or (batch and len(content) > _MAX_MESSAGES):
        raise UnclearMessage(f"a list holds 1 to {_MAX_MESSAGES} messages")
    mismatch = find_mismatch(fields, entries)
    if mismatch:
        raise HeaderMismatch(mismatch, None if batch else found[0].identifier)
    return McpBody(found, batch)


def name_tools(body: JsonBody) -> tuple[str, ...]:
    """The tools that a body calls as far as it can be told, each once: itself, or by `invoke_tool`. Whatever it holds,
    there are at most `MAX_NAMED`, of letters, digits, and `_-./`; `UNTOLD` stands for all others."""
    if not body.raw:
        return ()
    try:
        content = body.read(strictly=False)
    except (ValueError, RecursionError):
        return (UNTOLD,)
    messages = content if isinstance(content, list) else [content]
    calls = [each for each in messages if isinstance(each, dict) and each.get("method") == CALL]
    named = tuple(dict.fromkeys(_name_told(call.get("params")) for call in calls))
    return named if len(named) <= MAX_NAMED else (*named[: MAX_NAMED - 1], UNTOLD)


def _name_told(params: Any) -> str:
    """The tool of one call, read as any server might."""
    name = params.get("name") if isinstance(params, dict) else None
    if name == INVOKE:
        arguments = params.get("arguments")
        given = [arguments[key] for key in INVOKED if key in arguments] if isinstance(arguments, dict) else []
        name = given[0] if len(given) == 1 else None
    return name if isinstance(name, str) and _TOOL.fullmatch(name) else UNTOLD


def _message(content: Any, fields: RequestFields, own: OwnAccounts | None) -> McpMessage:
    if not isinstance(content, dict) or not content.keys() <= _MEMBERS:
        raise UnclearMessage("a message is an object with the members of JSON-RPC 2.0, and no others")
    identifier, method, params = content.get("id"), content.get("method", ""), content.get("params")
    if isinstance(identifier, bool) or not isinstance(identifier, str | int | float | None):
        raise UnclearMessage("an id is a text or a number")
    if not isinstance(method, str) or not isinstance(params, dict | None):
        raise UnclearMessage("a method is a text, and params are an object")
    if not method and not content.keys() & {"result", "error"}:
        raise UnclearMessage("a message has a method, or is an answer")
    tool = _called(params or {}, fields) if method == CALL else ""
    asks = "id" in content and bool(method)
    if own is None:
        return McpMessage(identifier, asks, method, tool)
    is_ungoverned = method in _BY_ADDRESS or (method == LISTEN and not _hears_of_lists_alone(params or {}))
    try:
        foreign = find_foreign_member(own, judged_content(content))
    except TooManyTexts as error:
        raise UnclearMessage(str(error)) from None
    return McpMessage(identifier, asks, method, tool, foreign, is_ungoverned)


def _hears_of_lists_alone(params: dict[str, Any]) -> bool:
    """Whether a client that listens asks only to hear that lists have changed: all else that it may name are addresses
    of resources."""
    asked = params.get("notifications")
    known = params.keys() <= {"notifications", "_meta"}
    return known and isinstance(asked, dict | None) and all(isinstance(each, bool) for each in (asked or {}).values())


def _called(params: dict[str, Any], fields: RequestFields) -> str:
    """The tool that a call is for."""
    if not differ_clearly(params):
        raise UnclearMessage("the names in params are too much alike")
    tool = _tool_name(params.get("name"))
    return _invoked(params.get("arguments"), fields) if tool == INVOKE else tool


def _invoked(arguments: Any, fields: RequestFields) -> str:
    """The tool that `invoke_tool` is to call. What it might take for another name than we do is refused."""
    if not isinstance(arguments, dict) or not differ_clearly(arguments):
        raise UnclearMessage(f"the arguments of {INVOKE} are an object with names that differ")
    names = [key for key in INVOKED if key in arguments]
    if len(names) != 1 or not arguments.keys() <= GIVEN | {names[0]}:
        raise UnclearMessage(f"the arguments of {INVOKE} are the tool's name and its arguments, and nothing else")
    tool = _tool_name(arguments[names[0]])
    if tool.startswith(LITE):
        raise UnclearMessage(f"{INVOKE} may not call {tool}")
    if _has_parameters(fields):
        raise UnclearMessage(f"a call of {INVOKE} is sent without Mcp-Param headers")
    return tool


def _has_parameters(fields: RequestFields) -> bool:
    """Whether headers repeat arguments, under names that only the server knows."""
    return any(name.startswith(_PARAM_HEADER) for name, _ in fields.every)


def _tool_name(name: Any) -> str:
    if not isinstance(name, str) or not _TOOL.fullmatch(name):
        raise UnclearMessage("a tool's name has 1 to 128 letters, digits, '_', '-', '.' or '/'")
    return name


# --- Which tools of the hosted MCP endpoint a client may call, and which it is shown ---------------------

METHODS: Final = frozenset(
    (
        *("initialize", "ping", "server/discover", "tools/list", CALL, "prompts/list", "prompts/get"),
        *("resources/list", "resources/read", "resources/templates/list", "resources/subscribe"),
        *("resources/unsubscribe", LISTEN, "completion/complete", "logging/setLevel"),
    )
)
"""The methods for a client whose MCP tools are limited, in addition to notifications and answers: no other calls a
tool."""
NOTIFICATIONS: Final = frozenset(f"notifications/{what}" for what in ("initialized", "cancelled", "progress")) | {
    "notifications/roots/list_changed"
}
_LIMITS: Final = "Call a tool that works for one advertiser, or ask the operator for a key without these limits."
_FOR_WRITES: Final = "ask the operator for a key with `access: write`."
_ALIKE: Final = 0.9
"""How much alike a misspelt name and a tool are, as `difflib` measures it; tools with other verbs are less so."""
_REPORTS: Final = b"reports"
_ABOVE_ACCOUNTS: Final = (LITE, "account_management-")
_EVERYBODYS: Final = frozenset((SEARCH, DESCRIBE, INVOKE))
_READING: Final = re.compile(r"(?:query|retrieve|list|get|search|describe)_")
_VERBS: Final = frozenset(("query", "retrieve", "create", "update", "delete"))
_NOT_PERMITTED, _UNCLEAR, _NOT_SENT = -32010, -32600, -32011


class Objection(NamedTuple):
    """Why a message may not be sent, and what its sender can do instead: sentences for people and language models."""

    reason: str
    remedy: str

    @property
    def text(self) -> str:
        """All of it. An agent that is not told otherwise tries the same again."""
        return f"{self.reason} {self.remedy} Do not retry."


@dataclass(frozen=True, slots=True)
class ToolRules:
    """What one client may call. `patterns` are those of `mcp_tools`, None for all tools; `access` is how much a tool
    may do. `own` are the accounts that messages may name, None where they may name any, and `fixed` is the one of them
    that the session is for. `writers` are the tools that read by their names, and that the server does not call
    read-only. `asked` is the body of a request that `check` let pass, and `paging` tells that it goes on with a list,
    of which the client has seen other pages."""

    client: str
    access: Access
    patterns: tuple[PathPattern, ...] | None
    operations: Operations
    own: OwnAccounts | None = None
    writers: frozenset[str] = frozenset()
    fixed: FixedAccount | None = None
    paging: bool = False
    asked_id: object = field(default=None, repr=False)

    def after(self, body: JsonBody) -> ToolRules:
        """The rules for the answer to a request with this body, which `check` let pass."""
        message = body.read(strictly=False) if body.raw else None
        asked_id = message.get("id") if isinstance(message, dict) else None
        return replace(self, asked_id=asked_id, paging=b"cursor" in body.raw)

    def find_objection(self, tool: str, listed: Sequence[str] = ()) -> Objection | None:
        """What forbids to call a tool, None where it may be called. `listed` are tools that the endpoint listed: of a
        misspelt name, the one of them that was meant is named, if the client may call it."""
        objection = self._find_objection(tool, reads=tool not in self.writers)
        if objection is None or operation_of(tool, self.operations) is not None:
            return objection
        near = difflib.get_close_matches(tool, listed, 3, _ALIKE)
        meant = next((name for name in near if self.find_objection(name) is None), None)
        return objection if meant is None else Objection(f"Unknown tool {tool}.", f"Did you mean {meant}?")

    def _find_objection(self, tool: str, *, reads: bool) -> Objection | None:
        """The same; `reads` is what the server says of it. What the tools of `/mcp/lite` call is checked by itself."""
        if tool in _EVERYBODYS:
            return None
        if self.patterns is not None and not any(pattern.matches(tool.encode()) for pattern in self.patterns):
            reason = f"Client {self.client} may not call {tool}: no pattern of its `mcp_tools` matches it."
            return Objection(reason, "Call a permitted tool, or ask the operator to add this one to `mcp_tools`.")
        has_access = f"Client {self.client} has `access: {self.access}`, and {tool}"
        effect, administers = effect_of(tool, self.operations), administers_by_name(tool, self.operations)
        if not self.access.permits(effect, administers=administers):
            if administers:
                return Objection(f"{has_access} may administer users, accounts or billing.", _ask_for(Access.ADMIN))
            if operation_of(tool, self.operations) is None:
                reason = (
                    f"Unknown tool {tool}. It counts as a write, and client {self.client} has `access: {self.access}`."
                )
                return Objection(reason, f"Call a tool that tools/list shows. If Amazon has this one: {_FOR_WRITES}")
            does = "orders a report" if effect is Effect.REPORT else "may change something"
            return Objection(f"{has_access} {does}.", _ask_for(Access(effect)))
        if effect is Effect.READ and not reads and not self.access.permits(Effect.WRITE):
            reason = f"{has_access} reads by its name, but the server says that it is not read-only (readOnlyHint)."
            return Objection(reason, _ask_for(Access.WRITE))
        if self.own is not None and _is_ungoverned(tool, self.operations):
            reason = f"Client {self.client} is limited, and no account governs what {tool} reaches."
            return Objection(reason, _LIMITS)
        return None

    def describe(self, tool: str) -> str:
        """What decides about a tool that is not forbidden, in a sentence or two."""
        operation = operation_of(tool, self.operations)
        if tool in _EVERYBODYS:
            return f"Every client may call {tool}. A running proxy checks the tool that {INVOKE} is to call."
        if operation is None:
            return f"No operation has the verb and the resource of the name {tool}, so that it counts as a write."
        does = f"By its name, {tool} does what {operation.method} {operation.template} does: `{operation.effect}`."
        if operation.effect is not Effect.READ or self.access.permits(Effect.WRITE):
            return does
        return f"{does} A running proxy refuses it if the server's list of tools says that it is not read-only."

    def shows(self, tool: object) -> bool:
        """Whether a tool of a list is one that the client may call."""
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(name, str) or not _TOOL.fullmatch(name):
            return False  # as no call of another name passes
        hint = read_only_hint(tool)
        reads = name not in self.writers if hint is None else hint
        return self._find_objection(name, reads=reads) is None

    def missing(self, count: int) -> dict[str, Any]:
        """The error of a client that may call none of the listed tools, of which there are `count`."""
        limits = {
            f"`access: {self.access}`": self.access is not Access.ADMIN,
            "`mcp_tools`": self.patterns is not None,
            "limits to accounts": self.own is not None,
        }
        named = " and its ".join(name for name, is_set in limits.items() if is_set)
        return {
            "code": _NOT_PERMITTED,
            "message": f"Client {self.client} may call none of the {count} tools here, because of its {named}. Change "
            "these in the proxy's configuration.",
        }

    def check(self, request: Request, body: JsonBody, listed: Sequence[str] = ()) -> None:
        """Raise what forbids a request to the endpoint, if anything does. `listed` as in `find_objection`: for the
        first refused message alone, as the comparison takes a millisecond."""
        if request.method != b"POST":
            if body.raw:
                raise _unclear("only a POST has a body here")
            return
        try:
            read = read_messages(request.fields, body, self.own)
        except UnclearMessage as error:
            raise refuse_unclear(error) from None
        objections = [self._judge(message) for message in read.messages]
        first = next((place for place, objection in enumerate(objections) if objection is not None), None)
        if first is not None and (misspelt := read.messages[first].tool):
            objections[first] = self.find_objection(misspelt, listed) or objections[first]
        texts = [objection.text if objection is not None else "" for objection in objections]
        why = next(filter(None, texts), "")
        if why:
            raise refuse_messages(ToolNotPermitted(why), read, texts)

    def _judge(self, message: McpMessage) -> Objection | None:
        objection = self.find_objection(message.tool) if message.method == CALL else self._object_to_method(message)
        if objection is None and message.foreign is not None:
            return self._object_to_account(message.foreign)
        return objection

    def _object_to_method(self, message: McpMessage) -> Objection | None:
        """What forbids a message that calls no tool, whatever it names."""
        method = message.method
        if message.is_ungoverned:
            return Objection(f"Client {self.client} is limited, and no account governs what {method} reaches.", _LIMITS)
        if not method or method in METHODS | NOTIFICATIONS:
            return None
        return Objection(f"Client {self.client} is limited, and may not use the method {method[:64]}.", _LIMITS)

    def _object_to_account(self, foreign: ForeignMember) -> Objection:
        """What names another account, and the one to name instead, if it can have a place there."""
        reason = f"Client {self.client} may only name accounts of its own, and {foreign} may name another."
        if foreign.is_text:
            return Objection(reason, f"Leave accounts out of {foreign}.")
        name, fixed = foreign.shown, self.fixed or FixedAccount()
        own = self.own.fitting_member(foreign.name) if self.own is not None else frozenset()
        if fixed.profile in own:
            return Objection(reason, f"Use profile {fixed.profile.decode('latin-1')}, or leave {name} out.")
        if fixed.ads_account in own:
            return Objection(reason, f"Use ads account {fixed.ads_account.decode('latin-1')}, or leave {name} out.")
        return Objection(reason, f"Leave {name} out.")


def tool_rules(
    policy: Policy | None,
    operations: Operations = PUBLISHED,
    writers: frozenset[str] = frozenset(),
    fixed: FixedAccount | None = None,
) -> ToolRules | None:
    """The MCP tools that a client may call, and for which accounts, where its session is `fixed` to one; None for all.
    `writers` are those that the endpoint does not call read-only."""
    if policy is None or not (policy.checks_tools or fixed):
        return None
    rules = ToolRules(policy.name, policy.access, policy.mcp_tools, operations, writers=writers)
    return rules if fixed is None else replace(rules, own=policy.own, fixed=fixed)


def _ask_for(access: Access) -> str:
    return f"Ask the operator for a key with `access: {access}`."


def effect_of(tool: str, operations: Operations) -> Effect:
    """What a tool does, by its name; a write where nothing says that it does less."""
    operation = operation_of(tool, operations)
    return Effect.WRITE if operation is None else operation.effect


def administers_by_name(tool: str, operations: Operations) -> bool:
    """Whether a tool administers something, by its name. The words of a name without an operation decide, unless its
    verb reads. An unknown tool of `/mcp/lite` may call any other."""
    if tool.lower().startswith(LITE):
        return True
    operation = operation_of(tool, operations)
    if operation is not None:
        return operation.effect is Effect.WRITE and operation.administers is not Administered.NOTHING
    return _READING.match(tool.rpartition("-")[2]) is None and may_administer(tool)


def effect_of_body(fields: RequestFields, body: JsonBody, operations: Operations, writers: frozenset[str]) -> Effect:
    """What the messages of a POST do at most; a write where that is not clear. `writers` as in `ToolRules`."""
    try:
        messages = read_messages(fields, body).messages
    except UnclearMessage:
        return Effect.WRITE
    effects = {effect_of_message(message, operations, writers) for message in messages}
    return next(effect for effect in (Effect.WRITE, Effect.REPORT, Effect.READ) if effect in effects)


def read_calls(request: Request, body: JsonBody, operations: Operations, writers: frozenset[str]) -> McpCalls:
    """The calls of a request's body; a write where it is not a POST. `writers` as in `ToolRules`."""
    is_post = request.method == b"POST"
    effect = effect_of_body(request.fields, body, operations, writers) if is_post else Effect.WRITE
    return McpCalls(name_tools(body), effect)


def effect_of_message(message: McpMessage, operations: Operations, writers: frozenset[str]) -> Effect:
    """What one message does; a write where that is not known. `writers` as in `ToolRules`."""
    if message.method != CALL:
        return Effect.READ if not message.method or message.method in METHODS | NOTIFICATIONS else Effect.WRITE
    if message.tool in (SEARCH, DESCRIBE):
        return Effect.READ
    effect = effect_of(message.tool, operations)
    return Effect.WRITE if effect is Effect.READ and message.tool in writers else effect


def read_only_hint(tool: Any) -> bool | None:
    """Whether the server says that a listed tool only reads; None where it says nothing of it."""
    annotations = tool.get("annotations")
    hint = annotations.get("readOnlyHint") if isinstance(annotations, dict) else None
    return None if hint is None else hint is True


def read_hints(tools: list[Any], operations: Operations) -> dict[str, bool]:
    """The hints of the listed tools whose names say that they read: no hint changes what the others do. A server may
    leave hints out for an old client, whose list then takes nothing back."""
    named = (tool for tool in tools if isinstance(tool, dict) and isinstance(tool.get("name"), str))
    hints = {tool["name"]: read_only_hint(tool) for tool in named if _reads_by_name(tool["name"], operations)}
    return {name: hint for name, hint in hints.items() if hint is not None}


def name_listed(tools: list[Any]) -> list[str]:
    """The names of listed tools, but for names that no call may have."""
    names = (tool.get("name") for tool in tools if isinstance(tool, dict))
    return [name for name in names if isinstance(name, str) and _TOOL.fullmatch(name)]


def _reads_by_name(tool: str, operations: Operations) -> bool:
    return bool(_TOOL.fullmatch(tool)) and effect_of(tool, operations) is Effect.READ


def operation_of(tool: str, operations: Operations) -> Operation | None:
    """The operation of the unified API that a tool's name has the verb and the resource of, None where none has."""
    verb, _, resource = tool.rpartition("-")[2].partition("_")
    if verb not in _VERBS or not resource:
        return None
    first, *others = resource.split("_")
    name = first + "".join(word.capitalize() for word in others)
    for plural in (f"{name}s", f"{name.removesuffix('y')}ies", name):
        operation = operations.find(b"POST", (b"adsApi", b"v1", verb.encode(), plural.encode()))
        if operation is not None:
            return operation
    return None


def _is_ungoverned(tool: str, operations: Operations) -> bool:
    """Whether a tool's operation takes neither Scope nor account id, or its name says that it is about accounts, or
    that it may call others. Reports are of the account that their session is for."""
    operation = operation_of(tool, operations)
    if tool.startswith(_ABOVE_ACCOUNTS):
        return True
    if operation is None or operation.segments[-1] == _REPORTS:
        return False
    return operation.scope is ScopeRule.NEVER and operation.account is AccountRule.NEVER


# --- refusals -----------------------------------------------------------------------------------------------


def tool_refusal(identifier: object, text: str) -> dict[str, Any]:
    """The result of a tool call that the proxy refuses. Agents stop at a JSON-RPC error, but hand a result with
    `isError` on to their language model: `text` tells it what to send instead, or whom to ask."""
    content = [{"type": "text", "text": text}]
    return {
        "jsonrpc": "2.0",
        "id": identifier,
        "result": {"content": content, "isError": True, "resultType": "complete"},
    }


def refuse_messages(error: Refused, read: McpBody, refused: Sequence[str]) -> Refused:
    """`error` with an answer to each message of a body of which nothing is sent. `refused` has a text for each message,
    empty for one that could have been sent alone; not all are empty.

    A call that asks is answered by the result of a tool, any other message by a JSON-RPC error.
    """
    why = next(filter(None, refused))
    answers = [
        _refused_message(message, text, why)
        for message, text in zip(read.messages, refused, strict=True)
        if message.asks
    ]
    if not answers:
        return error.answered(json.dumps(_error(None, _NOT_PERMITTED, why)).encode(), 403)
    return error.answered(json.dumps(answers if read.batch else answers[0]).encode(), 200)


def _refused_message(message: McpMessage, text: str, why: str) -> dict[str, Any]:
    said = text or f"Not sent, because another message of the same list was refused: {why}"
    if message.method == CALL:
        return tool_refusal(message.identifier, said)
    return _error(message.identifier, _NOT_PERMITTED if text else _NOT_SENT, said)


def refuse_unclear(error: UnclearMessage) -> ToolNotPermitted:
    """The refusal of a body that cannot be judged."""
    return _mismatched(error) if isinstance(error, HeaderMismatch) else _unclear(str(error))


def _unclear(flaw: str) -> ToolNotPermitted:
    detail = f"The client is limited, and this cannot be judged: {flaw}."
    return ToolNotPermitted(detail).answered(json.dumps(_error(None, _UNCLEAR, detail)).encode(), 400)


def _mismatched(error: HeaderMismatch) -> ToolNotPermitted:
    detail = f"Header mismatch: {error}."
    answer = json.dumps(_error(error.identifier, HEADER_MISMATCH, detail)).encode()
    return ToolNotPermitted(detail).answered(answer, 400)


def _error(identifier: object, code: int, text: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "error": {"code": code, "message": text}}
