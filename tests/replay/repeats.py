"""The requests that a warm program and a cold one are compared by: most come again, byte for byte, with others between.

They are those of the recorded session's kinds: of a dozen clients with different rights, in pieces and pipelined, on
many connections. Some come again with one byte changed. Nothing is sent here, and nothing is judged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from tests.replay.amazon import Reply, whole
from tests.replay.corpus import HARMLESS, Case, Change, Corpus
from tests.replay.settings import KEY_DAYS, KEYS

_UNDER_WAY = 120
"""Requests that are still to come again, at any time."""
_NAME = re.compile(rb"X-Request-Id:[ \t]*case-([0-9]+)\r\n")
_KEPT = re.compile(rb"(?i)(?:^[A-Z]+ )|\r\n(?:X-Case|Content-Length|Transfer-Encoding|Expect)[^\r]*|\r|\n")
"""Bytes that do not change: what says where a request ends, how it is answered, and that it is HEAD."""
_INSTEAD = {"throttled": Reply("throttled, for no time", (whole(b"429 Too Many Requests", b"Retry-After: 0\r\n"),))}
"""Replies instead of those that hold up later requests: how long a limit holds is for chance."""


@dataclass(slots=True)
class Repeats(Corpus):
    """A seeded stream of requests of which each comes three to ten times."""

    _left: list[list[Case]] = field(init=False, default_factory=lambda: [[], []])
    """For both kinds, lasting ones last: each request as often as it is still to come."""

    def _change(self, block: int) -> Change:
        """Rules that are taken anew, and then days after which a key has expired: requests come again after both."""
        return Change(variant=block // 2 % 3) if block % 2 == 0 else Change(days=KEY_DAYS + 1)

    def _case(self, *, lasting: bool) -> Case:
        random, left = self._random, self._left[lasting]
        if len(left) < _UNDER_WAY or random.random() < 0.1:
            case = self._new(lasting=lasting)
            left += [case] * random.randint(2, 9)
            return case
        case = left.pop(random.randrange(len(left)))
        if random.random() < 0.1:
            case = replace(case, data=self._changed(case.data))
        number = self._number
        self._number += 1
        return replace(case, number=number)

    def _new(self, *, lasting: bool) -> Case:
        """A request that did not come yet: one of two is served as most are, the other one is any. Four fifths have no
        names of their own."""
        case = Corpus._case(self, lasting=lasting)
        data = case.data if self._random.random() < 0.2 else _NAME.sub(b"", case.data)
        if self._random.random() < 0.5:
            data, case = self._usual(case.number), replace(case, to_head=False)
        first, *further = case.replies
        return replace(case, data=data, replies=(_INSTEAD.get(first.name, first), *further[:lasting]))

    def _usual(self, number: int) -> bytes:
        """A request to read something, without a body, of a client that may do that."""
        random = self._random
        target = random.choice([path for method, path in self.operations if method == "GET"]).encode()
        target = re.sub(rb"\{[^/]*", b"%d" % random.choice((7, 123456789)), target)
        prefix = random.choice((b"", b"", b"", b"/@acme", b"/na", b"/@acme/na"))
        query = random.choice((b"", b"", b"?count=7&startIndex=8"))
        key = KEYS[random.choice(("all", "all", "expiring", "expiring", "limited", "reader"))]
        fields = [random.choice((b"Authorization: Bearer ", b"X-Ads-Proxy-Key: ")) + key]
        fields.append(random.choice((b"Amazon-Advertising-API-Scope: 11", b"X-Ads-Account: acme")))
        fields += [b"%b: %b" % field for field in random.sample(HARMLESS, random.choice((0, 1, 3)))]
        fields.append(b"X-Case: %d" % number)
        random.shuffle(fields)
        return b"\r\n".join((b"GET %b%b%b HTTP/1.1" % (prefix, target, query), b"Host: 127.0.0.1", *fields, b"", b""))

    def _changed(self, data: bytes) -> bytes:
        """The same with one byte of its head changed."""
        end = data.index(b"\r\n\r\n")
        kept = {at for found in _KEPT.finditer(data, 0, end) for at in range(*found.span())}
        at = self._random.choice([at for at in range(end) if at not in kept])
        return data[:at] + bytes([data[at] ^ self._random.choice((1, 2, 32))]) + data[at + 1 :]
