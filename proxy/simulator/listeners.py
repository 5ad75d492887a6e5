"""What each listener serves: the Ads API with Login with Amazon and MCP, and S3."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from proxy.simulator import lwa, mcp, s3
from proxy.simulator.addressing import Addressed, check_account, check_scope
from proxy.simulator.answers import Answer, Refusal, as_error, error_answer, error_at, json_answer, request_ids
from proxy.simulator.api import respond
from proxy.simulator.calls import Call
from proxy.simulator.checks import (
    Head,
    check_client,
    check_host,
    check_media,
    check_token,
    find_leak,
    has_body,
)
from proxy.simulator.exchange import CallContext, arrive, carry_out
from proxy.simulator.limits import Caller, LimitedRequest, family_of
from proxy.simulator.named_faults import OPENRESTY
from proxy.simulator.writing import send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import web

    from proxy.simulator.operations import Operation
    from proxy.simulator.state import SimulatorState


SPEND_PATH = "/_sim/spend"
"""Also at the control port; here without the checks of the API."""


@dataclass(frozen=True, slots=True)
class ListenerAddresses:
    """What a handler knows of the addresses. `s3_host` None: the host name by which the API was addressed."""

    scheme: str
    s3_host: str | None
    s3_port: int

    def s3_url(self, api_host: str) -> str:
        """S3 as seen from a client that reached the API at `api_host`."""
        name = self.s3_host or (api_host if api_host.endswith("]") else api_host.rpartition(":")[0] or api_host)
        return f"http://{name}:{self.s3_port}"


async def serve_api(
    state: SimulatorState, region: str, around: ListenerAddresses, request: web.BaseRequest
) -> web.StreamResponse:
    """Any request to one of the API's ports."""
    path = request.raw_path.partition("?")[0]
    if path == SPEND_PATH:
        return await send(request, json_answer(state.spend()), None)
    if path in mcp.METADATA_PATHS and request.method in ("GET", "HEAD"):
        return await send(request, json_answer(mcp.METADATA), None)
    if path in lwa.ANSWERS:
        listener, answer = lwa.ANSWERS[path]
        return await serve_login(arrive(state, listener, region, request), answer)
    if path in mcp.PATHS:
        return await serve_mcp(arrive(state, "mcp", region, request), around)
    context = arrive(state, "api", region, request)
    operation = state.operations.find(request.method, context.path)
    caller = wrong_host(context) or examine(state, region, context.path, context.head, operation)

    async def decide() -> Answer:
        answer = caller if isinstance(caller, Refusal) else await answer_api(context, around, caller, operation)
        if isinstance(answer, Refusal):
            answer = as_error(context.path, answer)
        return answer.with_headers(*request_ids())

    return await carry_out(context, decide, operation.template if operation else context.path, caller)


async def serve_login(context: CallContext, answer: Callable[[CallContext, bytes], Answer]) -> web.StreamResponse:
    """A request to Login with Amazon."""

    async def decide() -> Answer:
        return answer(context, await context.body())

    return await carry_out(context, decide, context.path)


async def answer_api(
    context: CallContext, around: ListenerAddresses, caller: Caller, operation: Operation | None
) -> Answer | Refusal:
    """The API's own answer to a request that passed the checks."""
    counted = operation.template if operation else context.path
    if context.path.startswith("/sim/"):
        return throttle(context, caller, counted) or await play(context.request, context.path, context.query)
    body = await context.body()
    answer = throttle(context, caller, counted, body) or respond(open_call(context, around, caller, operation, body))
    if isinstance(answer, Refusal):
        context.refuse(answer)
    return answer


def open_call(
    context: CallContext, around: ListenerAddresses, caller: Caller, operation: Operation | None, body: bytes
) -> Call:
    """The call that a visit makes."""
    return Call(
        state=context.state,
        region=context.region or "",
        method=context.request.method,
        path=context.path,
        query=context.query,
        head=context.head,
        operation=operation,
        caller=caller,
        body=body,
        api_url=f"{around.scheme}://{context.host()}",
        s3_url=around.s3_url(context.host()),
        note=context.refuse,
    )


def wrong_host(context: CallContext) -> Refusal | None:
    """The refusal of a Host that is not this listener's."""
    transport = context.request.transport
    if transport is None or not context.state.settings.strict_host:
        return None
    return check_host(context.head, transport.get_extra_info("sockname")[1])


async def serve_mcp(context: CallContext, around: ListenerAddresses) -> web.StreamResponse:
    """The hosted MCP endpoint."""
    state = context.state
    caller = wrong_host(context) or mcp.examine_mcp(state, context.region or "", context.head)

    async def decide() -> Answer:
        body = await context.body()
        if isinstance(caller, Refusal):
            return mcp.refuse_mcp(state, caller, body)
        throttled = throttle(context, caller, context.path)
        return throttled or mcp.answer_mcp(open_call(context, around, caller, None, body))

    return await carry_out(context, decide, context.path, caller)


async def serve_s3(state: SimulatorState, request: web.BaseRequest) -> web.StreamResponse:
    """Any request to S3."""
    context = arrive(state, "s3", None, request)
    refusal = s3.check(state, request.method, request.raw_path, context.head)

    async def decide() -> Answer:
        if refusal is not None:
            return s3.xml_error(refusal)
        return await s3.store(request) if request.method == "PUT" else s3.fetch(state, context.path)

    return await carry_out(context, decide, "s3 object", refusal)


# --- All checks of a request to the Ads API, in Amazon's order -------------------------------------------


def examine(state: SimulatorState, region: str, path: str, head: Head, operation: Operation | None) -> Caller | Refusal:
    """The client, if the request passes."""
    leak = find_leak(head)
    if leak is not None:
        return leak
    token = check_token(state, head)
    if isinstance(token, Refusal):
        return token
    ads_client = path.startswith("/adsApi/v1/") or bool(operation and operation.ads_client)
    wrong = check_client(head, token, ads_client)
    if wrong is None and state.settings.strict_media_types:
        wrong = check_media(head, operation, has_body(head))
    asked = Addressed.read(head, region, path, (token.user, operation))
    wrong = wrong or check_scope(state, asked) or check_account(state, asked)
    return wrong or Caller(token.user, token.client_id, asked.scope, asked.account)


# --- What a request beyond a limit is answered -----------------------------------------------------------

REPORTS = "/reporting/reports"


def throttle(context: CallContext, caller: Caller, counted: str, body: bytes = b"") -> Answer | None:
    """429 if the request is beyond a limit. `counted` is the operation's template or the path."""
    state = context.state
    if not state.limits.rules:
        return None
    method, agent = context.request.method, context.head.first("user-agent") or ""
    family = family_of(counted, report_type(body) if (method, counted) == ("POST", REPORTS) else "")
    who = caller.account or caller.scope or "", caller.client_id, agent
    asking = LimitedRequest(context.listener, method, context.path, context.region or "", family, *who)
    limit = state.limits.meet(asking, state.now())
    if limit is None:
        return None
    wait = state.limits.wait_of(limit, asking, state.now())
    answer = Answer(429, (("Content-Type", "text/html"),), OPENRESTY, "counted")  # the page of MCP's gateway
    if context.listener != "mcp":
        code = "TOO_MANY_REQUESTS" if context.path.startswith("/ads") else "429"
        answer = error_at(context.path, 429, code, "Too Many Requests")
    return answer if wait is None else answer.with_headers(("Retry-After", str(wait)))


def report_type(body: bytes) -> str:
    """The type of the report that an order is for, empty if the body does not say."""
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(body).get("configuration", {}).get("reportTypeId", ""))
    return ""


# --- `/sim/*` --------------------------------------------------------------------------------------------

PERIOD = 251
BLOCK = bytes(range(PERIOD)) * 261
"""Byte number i of a generated body is i modulo 251, a prime: a lost or repeated block is seen at once."""

BYTES = (("Content-Type", "application/octet-stream"),)


async def generated(total: int, block: int = 65_536, interval: float = 0.0) -> AsyncIterator[bytes]:
    """`total` bytes of the pattern, in blocks, with a pause after each but the last."""
    written = 0
    while written < total:
        size = min(block, total - written)
        start = written % PERIOD
        yield (BLOCK * (size // len(BLOCK) + 2))[start : start + size]
        written += size
        if interval and written < total:
            await asyncio.sleep(interval)


async def events(count: int, interval: float) -> AsyncIterator[bytes]:
    """Server-sent events, numbered from 1."""
    for number in range(1, count + 1):
        if number > 1 and interval:
            await asyncio.sleep(interval)
        yield f'id: {number}\ndata: {{"number": {number}}}\n\n'.encode()


async def echoed(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """The request's body, as it arrives."""
    async for piece in request.content.iter_any():
        yield piece


async def play(request: web.BaseRequest, path: str, query: str) -> Answer:
    """The answer of one of the endpoints; numbers come from the path and the query."""
    given = dict(parse_qsl(query))
    name, _, rest = path.removeprefix("/sim/").partition("/")
    try:
        number = int(rest) if rest else 0
        interval = float(given.get("interval", 0))
        pieces, size = int(given.get("pieces", 1)), int(given.get("size", 1024))
        head = float(given.get("head", 0))
        count = int(given.get("events", 10))
    except ValueError:
        return error_answer(400, "INVALID_ARGUMENT", "a number in the path or query is none")
    if name == "bytes":
        return Answer(200, BYTES, stream=generated(number), length=number if "length" in given else None)
    if name == "echo":
        media_type = request.headers.get("Content-Type", "application/octet-stream")
        counted = request.content_length if "length" in given else None
        return Answer(200, (("Content-Type", media_type),), stream=echoed(request), length=counted)
    if name == "slow":
        await asyncio.sleep(head)
        length = pieces * size if "length" in given else None
        return Answer(200, BYTES, stream=generated(pieces * size, size, interval), length=length)
    if name == "events":
        headers = (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"))
        return Answer(200, headers, stream=events(count, interval))
    if name == "status" and 200 <= number <= 599:
        return json_answer({"code": str(number), "details": "as you wished"}, number)
    return error_answer(404, "NOT_FOUND", "there are /sim/bytes/N, echo, slow, events and status/N")
