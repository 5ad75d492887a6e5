"""What lives long says its state in a log line, and nothing secret: the objects that no other test looks at so."""

from __future__ import annotations

import ast
import re
from typing import Any, cast

from proxy.downstream.connection import DiscardedBody
from proxy.net.names import Names
from proxy.tokens.token_rejections import TokenRejections, TokenUse
from proxy.upstream.hedging import HedgedConnection
from tests.support.modules import MODULES, nodes_of
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Wire, answering

TOKEN_REQUEST = (
    b"POST /auth/o2/token HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: id-9\r\nContent-Length: 9\r\n\r\nsecret"
)


async def test_what_serves_a_token_request_names_it(running: Running) -> None:
    """By its id, never by what is in the form."""
    async with running(answering(HELLO)) as bench:
        await bench.client(TOKEN_REQUEST)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        assert repr(bench.connection()._handler) == "<LocalTokenRequest id-9: open>"


async def test_what_is_sent_again_and_what_sends_it_say_how_far_they_are(running: Running) -> None:
    """Numbers of attempts, and whether the request has left whole."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.end()

    async with running(script) as bench:
        await bench.client(GET)
        await bench.settled(lambda: bool(bench.upstream.wires and bench.upstream.wires[0].received))
        exchange = cast(Any, bench.connection()._handler)
        assert repr(exchange.replays) == "<Replays: 1 attempts, 0 for 401, 0 cut, 0 s waited>"
        (connection,) = bench.pools.find("api", "na")._all
        assert repr(connection._writer) == "<RequestWriter: complete>"
        connection._writer.refuse()
        assert repr(connection._writer) == "<RequestWriter: refused>"


async def test_small_ones_count_what_they_hold() -> None:
    """Names, rejected tokens, a connection that is hedged, and a body's remainder."""
    assert repr(Names()) == "<Names: none>"
    rejections = TokenRejections(0.0)
    rejections.accepted(TokenUse("secret-client", "secret-profile"))
    assert repr(rejections) == "<TokenRejections: 0 uses rejected, 1 accepted>"
    hedged = HedgedConnection(cast(Any, None), cast(Any, "the first"), 1.0, cast(Any, None))
    assert repr(hedged) == "<HedgedConnection: 'the first'>"
    assert repr(DiscardedBody(cast(Any, None))) == "<DiscardedBody>"


def test_each_says_first_of_what_class_it_is() -> None:
    """A secret alone says nothing at all."""
    unnamed = {
        found.name
        for module in MODULES
        for found in nodes_of(module.path)
        if isinstance(found, ast.ClassDef)
        for method in found.body
        if isinstance(method, ast.FunctionDef) and method.name == "__repr__"
        if not re.search(rf"[<'\"]({found.name}\b|{{type\(self\))", ast.unparse(method))
    }
    assert unnamed == {"Secret"}
