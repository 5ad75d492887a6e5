"""Why there is no whole response, as the tool is told it."""

from __future__ import annotations

import pytest

from proxy.errors import Refused, UpstreamClosed, UpstreamMalformed
from proxy.upstream.endings import cut, late


@pytest.mark.parametrize(
    ("head", "told", "words"),
    [
        (b"", UpstreamClosed, "before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nDate", UpstreamClosed, "within the head"),
        (b"HTTP/1.1 200 OK\n\n", UpstreamMalformed, "ends without a CR"),
        (b"HTTP/1.1 200 OK\r\nA: b\n", UpstreamMalformed, "ends without a CR"),
    ],
)
def test_an_end_is_told_by_what_had_come(head: bytes, told: type[Refused], words: str) -> None:
    """Nothing, a part of a head, or lines of which none will end one."""
    ending = cut(head)
    assert type(ending) is told
    assert words in str(ending)


def test_a_time_out_says_what_did_not_happen_and_for_how_long() -> None:
    """In seconds, as they are configured."""
    assert "did not begin to answer within 2.5 s" in str(late("begin to answer", 2.5))
