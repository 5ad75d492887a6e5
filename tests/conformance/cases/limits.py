"""Cases on size and time (RFC 9110, 15.5; RFC 6585, 5): too much is refused, what is much but right passes.

The target under test is set to 16 KiB of head and one second for it to arrive.
"""

from __future__ import annotations

from tests.conformance.case import Refused, UntilClientSaw
from tests.conformance.cases.build import HOST, case, counted, get, message, passed

FIELDS = Refused((400, 431), silent=True)
TARGET = Refused((400, 414, 431), silent=True)
SLOW = Refused((408,), silent=True)

CASES = (
    case(
        "limit-target",
        "9110 15.5.15",
        "A target of 100,000 bytes is too long.",
        get(b"/" + b"a" * 100_000),
        TARGET,
        Refused((414,)),
    ),
    case(
        "limit-query", "9110 15.5.15", "So is such a query.", get(b"/case?" + b"a" * 100_000), TARGET, Refused((414,))
    ),
    case(
        "limit-target-no-end",
        "9110 15.5.15",
        "A target that never ends is cut by its length.",
        b"GET /" + b"a" * 100_000,
        TARGET,
    ),
    case(
        "limit-method-no-end",
        "9112 3",
        "So is a method.",
        b"A" * 100_000,
        Refused((400, 405, 414, 431, 501), silent=True),
    ),
    case(
        "limit-value",
        "6585 5",
        "A value of 100,000 bytes is too large.",
        get(b"/case", b"X-A: " + b"a" * 100_000),
        FIELDS,
        Refused((431,)),
    ),
    case("limit-name", "6585 5", "So is such a name.", get(b"/case", b"a" * 100_000 + b": 1"), FIELDS, Refused((431,))),
    case(
        "limit-fields",
        "6585 5",
        "5,000 fields are too many.",
        get(b"/case", *(b"X-%d: 1" % n for n in range(5000))),
        FIELDS,
        Refused((431,)),
    ),
    case(
        "limit-no-end",
        "6585 5",
        "A value that never ends is cut by its length.",
        message(b"GET /case HTTP/1.1", HOST)[:-2] + b"X-A: " + b"a" * 100_000,
        FIELDS,
        Refused((431,)),
    ),
    case(
        "limit-name-no-end",
        "6585 5",
        "So is a name without a colon.",
        message(b"GET /case HTTP/1.1", HOST)[:-2] + b"a" * 100_000,
        FIELDS,
        Refused((431,)),
    ),
    case(
        "limit-host",
        "6585 5",
        "A Host of 100,000 bytes is too large.",
        get(b"/case", host=b"Host: " + b"a" * 100_000),
        FIELDS,
        Refused((400, 431)),
    ),
    case(
        "limit-cookie",
        "6585 5",
        "So is such a Cookie, though it would not pass.",
        get(b"/case", b"Cookie: a=" + b"a" * 100_000),
        FIELDS,
        Refused((431,)),
    ),
    case(
        "limit-empty-lines",
        "9112 2.2",
        "Empty lines without end are no request.",
        b"\r\n" * 60_000,
        Refused((400, 408, 431), silent=True),
    ),
    case(
        "limit-slow-line",
        "9110 15.5.9",
        "A request line that does not arrive is given up.",
        b"GET /ca",
        SLOW,
        Refused((408,)),
    ),
    case(
        "limit-slow-head",
        "9110 15.5.9",
        "A head that does not arrive is given up.",
        message(b"GET /case HTTP/1.1", HOST)[:-2] + b"X-A: 1\r\n",
        SLOW,
        Refused((408,)),
    ),
    case(
        "limit-slow-second",
        "9110 15.5.9",
        "So is a second head on the connection.",
        (get(b"/case"), UntilClientSaw(b"ok"), b"GET /second HT"),
        Refused((408,), silent=True, after=1),
        Refused((408,), silent=True, after=1),
        answers=2,
    ),
    case(
        "limit-ok-value",
        "9110 5.4",
        "A value of 7,000 bytes passes.",
        get(b"/case", b"X-A: " + b"a" * 7000),
        passed(has=((b"x-a", b"a" * 7000),)),
    ),
    case(
        "limit-ok-token",
        "9110 5.4",
        "So do 2,048 bytes of a token.",
        get(b"/case", b"X-Token: " + b"|" * 2048),
        passed(has=((b"x-token", b"|" * 2048),)),
    ),
    case(
        "limit-ok-query",
        "9112 3",
        "So does a query of 7,000 bytes.",
        get(b"/case?" + b"a" * 7000),
        passed(target=b"/case?" + b"a" * 7000),
    ),
    case("limit-ok-body", "9110 8.6", "Four megabytes pass.", counted(b"z" * 4_194_304), passed(body=b"z" * 4_194_304)),
    case(
        "limit-ok-name",
        "9110 5.1",
        "So does a name of 200 bytes.",
        get(b"/case", b"X" * 200 + b": 1"),
        passed(has=((b"x" * 200, b"1"),)),
    ),
)
