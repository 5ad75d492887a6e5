"""The quick exchange and the ordinary one, on the same bytes: nothing that can be seen from outside may differ."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http1.framing import whole_chunks
from tests.support.both_settings import KEYS, Ask, Change, Seen, Step, converse
from tests.support.proxy_bench import Running

LINES = (
    b"GET /v2/profiles HTTP/1.1",
    b"GET /v2/profiles?a=b HTTP/1.1",
    b"GET /v2/%s-1 HTTP/1.1",
    b"POST /sp/campaigns/list HTTP/1.1",
    b"PUT /sp/campaigns HTTP/1.1",
    b"DELETE /v2/x/1 HTTP/1.1",
    b"HEAD /v2/profiles HTTP/1.1",
    b"GET /@other/eu/v2/profiles HTTP/1.1",
    b"GET /@route/v2/profiles HTTP/1.1",
    b"GET /v2/reports/1 HTTP/1.1",
    b"GET /auth/x HTTP/1.1",
    b"GET /v2/a%2fb HTTP/1.1",
)
WORDS = (
    *(b"missing", b"odd", b"undated", b"varied", b"created", b"nothing", b"see", b"busy", b"broken", b"malformed"),
    *(b"chunked", b"interim", b"parts", b"split", b"more", b"close", b"ending", b"cut", b"die", b"death", b"denied"),
    b"large",
)
SECTIONS = (
    b"Host: 127.0.0.1\r\nUser-Agent: a\r\nAccept: */*\r\n",
    b"Host: 127.0.0.1\r\nUser-Agent: a\r\nAmazon-Advertising-API-Scope: 1\r\n",
    b"Host: 127.0.0.1\r\nUser-Agent: b\r\nAmazon-Advertising-API-Scope: 2\r\n",
    b"Host: 127.0.0.1\r\nAmazon-Advertising-API-Scope: 3\r\nX-Request-Id: mine\r\n",
    b"Host: 127.0.0.1\r\nX-Ads-Account: other\r\nAmazon-Ads-AccountId: a.1\r\n",
    b"Host: localhost\r\nX-Ads-Account: default\r\nConnection: keep-alive\r\nCookie: c=1\r\n",
    b"Host: elsewhere\r\n",
    b"Host: 127.0.0.1\r\nOrigin: null\r\n",
    b"Host: 127.0.0.1\r\nX-Ads-Account: default\r\nConnection: close\r\n",
    b"Host: 127.0.0.1\r\nX-Ads-Account:  default\r\nX_Odd: 1\r\n",
    b"Host: 127.0.0.1\r\nX-Ads-Account: default\r\nTransfer-Encoding: chunked\r\n",
)
USUAL = LINES[0] + b"\r\n" + SECTIONS[1] + b"\r\n"


def request(line: bytes, section: bytes, body: bytes = b"") -> bytes:
    """The bytes of one; a method with a body says its length, unless it comes in chunks."""
    if b"chunked" in section:
        return line + b"\r\n" + section + b"\r\n" + whole_chunks(body)
    length = b"Content-Length: %d\r\n" % len(body) if line[:3] in (b"POS", b"PUT") else b""
    return line + b"\r\n" + section + length + b"\r\n" + (body if length else b"")


REQUESTS = st.builds(
    lambda line, word, section, body: request(line.replace(b"%s", word) if b"%s" in line else line, section, body),
    st.one_of(st.just(LINES[2]), st.sampled_from(LINES)),
    st.sampled_from(WORDS),
    st.one_of(st.just(SECTIONS[1]), st.sampled_from(SECTIONS)),
    st.sampled_from((b"", b'{"a":1}', b"x" * 5000, b"ends\r\n\r\n")),
)
ASKS = st.builds(
    lambda data, cut: Ask((data,) if not cut else (data[:cut], data[cut:])),
    REQUESTS,
    st.one_of(st.just(0), st.integers(1, 60)),
)
AGAIN = st.tuples(ASKS, st.integers(1, 4)).map(lambda pair: [pair[0]] * pair[1])
CHANGES = st.sampled_from(("reload", "rotate", "profiles", "drop", "leave")).map(lambda what: [Change(what)])
CONVERSATIONS = st.lists(st.one_of(AGAIN, AGAIN, CHANGES), max_size=10).map(
    lambda parts: [step for part in parts for step in part]
)


async def both(running: Running, steps: list[Step], *, keyed: bool = False) -> Seen:
    """Run it twice and compare; gives what was seen with the fast path."""
    fast = await converse(running, steps, fast=True, keyed=keyed)
    slow = await converse(running, steps, fast=False, keyed=keyed)
    taken, fast.taken = fast.taken, 0
    for name, value in asdict(slow).items():
        assert getattr(fast, name) == value, name
    fast.taken = taken
    return fast


@settings(max_examples=40)
@given(CONVERSATIONS)
async def test_nothing_differs(running: Running, steps: list[Step]) -> None:
    """Whatever tools send, Amazon answers, and happens in between."""
    await both(running, steps)


@settings(max_examples=20)
@given(CONVERSATIONS, st.sampled_from(sorted(KEYS)))
async def test_nothing_differs_with_keys(running: Running, steps: list[Step], name: str) -> None:
    """With clients, budgets and policies too."""
    line = b"\r\nAuthorization: Bearer " + KEYS[name] + b"\r\n"
    keyed: list[Step] = [
        Ask(tuple(piece.replace(b"\r\n", line, 1) for piece in step.pieces)) if isinstance(step, Ask) else step
        for step in steps
    ]
    await both(running, keyed, keyed=True)


@pytest.mark.parametrize("word", WORDS)
async def test_an_unusual_answer_becomes_ordinary(running: Running, word: bytes) -> None:
    """In the midst of usual ones."""
    odd = request(LINES[2] % word, SECTIONS[1])
    steps = [Ask((USUAL,))] * 4 + [Ask((odd,))] * 3 + [Ask((USUAL,))] * 2
    assert (await both(running, list(steps))).taken >= 2


@pytest.mark.parametrize("change", ["reload", "rotate", "profiles", "drop", "leave"])
async def test_a_change_between_two_requests_holds_for_the_next(running: Running, change: str) -> None:
    """What was learned before it is not used behind it."""
    steps: list[Step] = [*[Ask((USUAL,))] * 4, Change(change), *[Ask((USUAL,))] * 4]
    assert (await both(running, steps)).taken >= 4
