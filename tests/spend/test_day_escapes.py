"""No answer of Amazon's, and no way of leaving, gives a client back what a write may have spent of its day.

The upstream carries each write out, and then answers as it likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.spend.escape import Write
from tests.spend.test_escapes import attacked, plain_request
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import Wire

LIMIT = 2
KEYWORD = {"campaignId": "1", "adGroupId": "2", "keywordText": "k", "state": "PAUSED", "bid": 1}
CREATE = Write(b"POST", b"/sp/keywords", b"application/vnd.spKeyword.v3+json", None)


def create(count: int = 1) -> bytes:
    """A request that creates so many keywords."""
    return plain_request(CREATE, {"keywords": [KEYWORD] * count})[0]


def answer(status: int, content: Any = None, *lines: bytes) -> bytes:
    """A response in JSON."""
    body = b"" if content is None else json.dumps(content).encode()
    head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % (status, len(body))
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


@dataclass(slots=True)
class Doing:
    """An upstream that carries out each write, and then answers with `response`, or hangs up if that is empty."""

    response: bytes
    created: int = 0
    waiting: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def __call__(self, wire: Wire) -> None:
        while True:
            _, body = await wire.request()
            if body:
                self.created += count_created(json.loads(body))
            wire.send(self.response)
            if not self.response or b"Content-Length: 999" in self.response:
                return


def count_created(content: Any) -> int:
    """How many objects a body creates."""
    if isinstance(content, list):
        return sum(map(count_created, content))
    if "method" in content:
        name, arguments = content["params"]["name"], content["params"]["arguments"]
        return len(arguments["body"]["campaigns"]) if name.endswith("create_campaign") else 0
    return len(content["keywords"])


async def ask_often(bench: ProxyBench, request: bytes) -> None:
    """Send a request again and again, each time on a connection of its own."""
    for _ in range(LIMIT + 3):
        wire = await bench.client(request)
        with contextlib.suppress(EOFError):
            await wire.head()
        wire.abort()


ANSWERS = {
    "a success": answer(207, {"keywords": {"success": [{"index": 0, "keywordId": "1"}], "error": []}}),
    "nothing": answer(207),
    "an empty success": answer(200, {}),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "another place": answer(302, {}, b"Location: /x"),
    "not acceptable": answer(406, {"code": "406", "details": "no such format"}),
    "timeout": answer(408, {"code": "408"}),
    "conflict": answer(409, {"code": "409"}),
    "not satisfiable": answer(416, {"code": "416"}),
    "client gone": answer(499, {"code": "499"}),
    "error": answer(500, {"code": "500"}),
    "bad gateway": answer(502),
    "away": answer(503, {"code": "503"}, b"Retry-After: 0"),
    "late": answer(504),
    "no answer": b"",
    "half an answer": b"HTTP/1.1 207 Multi-Status\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{",
    "an unreadable coding": answer(207, {"keywords": {"error": [{"index": 0}]}}, b"Content-Encoding: br"),
    "no JSON": answer(207).replace(b"application/json", b"text/html"),
    "a failed item that succeeded": answer(
        207, {"keywords": {"success": [{"index": 0, "keywordId": "1"}], "error": [{"index": 0, "errors": []}]}}
    ),
    "a failed item of another list": answer(
        207, {"keywords": {"success": [{"index": 0}]}, "others": {"error": [{"index": 0}]}}
    ),
    "items that failed in part": answer(207, {"partialSuccess": [{"index": 0}], "error": [], "success": []}),
    "a failed item of another number": answer(207, {"keywords": {"success": [], "error": [{"index": 7}]}}),
}


@pytest.mark.parametrize("response", ANSWERS.values(), ids=ANSWERS)
async def test_no_answer_gives_back_what_was_done(response: bytes, running: Running) -> None:
    """Whatever the answer to a write that was carried out, the day's limit holds."""
    upstream = Doing(response)
    async with attacked(running, upstream, new_per_day=LIMIT) as attack:
        await ask_often(attack.bench, create())
        assert 0 < upstream.created <= LIMIT


FAILED_OF_THREE = {
    "one failed, and nothing is said of the others": {"keywords": {"error": [{"index": 1}]}},
    "one failed, and one is said twice": {"keywords": {"error": [{"index": 1}, {"index": 1}, {"index": 1}]}},
    "one failed, and numbers are beyond the list": {"keywords": {"error": [{"index": 1}, {"index": 3}, {"index": -1}]}},
    "two failed, and another way to count": {"keywords": {"error": [{"index": "0"}, {"index": 1.0}]}},
}


@pytest.mark.parametrize("content", FAILED_OF_THREE.values(), ids=FAILED_OF_THREE)
async def test_no_answer_gives_back_more_than_what_failed(content: Any, running: Running) -> None:
    """One of three objects failed at most: no more than one is given back."""
    upstream = Doing(answer(207, content))
    async with attacked(running, upstream, new_per_day=4) as attack:
        first = await attack.bench.ask(create(3))
        assert first.status == 207
        assert (await attack.bench.ask(create(3))).status == 403
        assert upstream.created == 3


TOOL = "campaign_management-create_campaign"
QUERY = "campaign_management-query_campaign"


def call(tool: str, arguments: Any, **others: Any) -> dict[str, Any]:
    """A message that calls a tool."""
    return {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": tool, "arguments": arguments}, **others}


def post(content: Any) -> bytes:
    """A request with messages for the MCP endpoint."""
    return plain_request(Write(b"POST", b"/mcp", b"application/json", None), content)[0]


CAMPAIGN = {"body": {"campaigns": [{"name": "c", "state": "PAUSED"}]}}
REFUSED = {"jsonrpc": "2.0", "id": 1, "result": {"isError": True, "content": [{"type": "text", "text": "no"}]}}
BROKEN = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "Internal error"}}
MESSAGES: dict[str, tuple[Any, Any]] = {
    "a notification": (call(TOOL, CAMPAIGN), REFUSED),
    "a notification with a query that fails": ([call(TOOL, CAMPAIGN), call(QUERY, {}, id=1)], [REFUSED]),
    "a call and a query that fails": ([call(TOOL, CAMPAIGN, id=2), call(QUERY, {}, id=1)], [REFUSED]),
    "a call with an internal error": (call(TOOL, CAMPAIGN, id=1), BROKEN),
    "a call of a tool that fails": (call(TOOL, CAMPAIGN, id=1), REFUSED),
    "a call answered as another": (call(TOOL, CAMPAIGN, id=2), REFUSED),
}


@pytest.mark.parametrize("case", MESSAGES.values(), ids=MESSAGES)
async def test_no_answer_to_a_message_gives_back_what_was_done(case: tuple[Any, Any], running: Running) -> None:
    """A call whose failure nothing shows stays counted."""
    sent, said = case
    upstream = Doing(answer(200, said))
    async with attacked(running, upstream, new_per_day=LIMIT) as attack:
        await ask_often(attack.bench, post(sent))
        assert 0 < upstream.created <= LIMIT


async def test_clients_that_leave_get_nothing_back(running: Running) -> None:
    """A client that hangs up once its write has left has spent it."""
    created = 0

    async def script(wire: Wire) -> None:
        nonlocal created
        while True:
            _, body = await wire.request()
            created += bool(body)
            leaving[-1].drop()
            await wire.end()

    leaving: list[Wire] = []
    async with attacked(running, script, new_per_day=LIMIT) as attack:
        for _ in range(LIMIT + 3):
            leaving.append(await attack.bench.client(create()))
            wire = leaving[-1]
            with contextlib.suppress(EOFError):
                await wire.head()
            await attack.bench.settled(lambda: not attack.bench.accounting.in_flight)
        assert created == LIMIT


async def test_many_at_once_do_not_exceed_the_day(running: Running) -> None:
    """Writes that come at once from many connections, some of which fail, never create more than the limit."""
    succeeded = created = 0
    failure = answer(207, {"keywords": {"success": [], "error": [{"index": 0, "errors": []}]}})

    async def script(wire: Wire) -> None:
        nonlocal succeeded, created
        while True:
            await wire.request()
            created += 1
            if created % 3:
                wire.send(failure)
            else:
                succeeded += 1
                wire.send(ANSWERS["a success"])

    async with attacked(running, script, new_per_day=5) as attack:
        answers = await asyncio.gather(*(attack.bench.ask(create()) for _ in range(60)))
        assert succeeded <= 5
        assert {each.status for each in answers} <= {207, 403, 503}
        for _ in range(30):
            await attack.bench.ask(create())
        assert succeeded == 5
        assert (await attack.bench.ask(create())).status == 403
