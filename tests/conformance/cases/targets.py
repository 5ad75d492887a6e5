"""Cases on request targets (RFC 9112, 3.2): what passes untouched, what is refused, and whose authority counts."""

from __future__ import annotations

from tests.conformance.case import AnswerLooks, Refused, Relayed, RequestLooks
from tests.conformance.cases.build import BAD, BAD_OR_CLOSED, HOST, PASSED, case, family, get, message, passed, slug

AMAZON = b"advertising-api.amazon.com"
SELF = Refused((400, 421))

RAW = (
    (b"/a//b///c", "empty path segments"),
    (b"/a%2Fb%2fc", "encoded slashes of either case"),
    (b"/a%20b", "an encoded space"),
    (b"/case?", "an empty query"),
    (b"/case?a=https://example.org/x?y=z", "an address in the query"),
    (b"/case?a=1&a=2&&b", "odd separators in the query"),
    (b"/case;v=1,2", "parameters in the path"),
    (b"/case?a=%0d%0aX-Evil:%201", "an encoded line end"),
    (b"/case?a=%00", "an encoded NUL"),
    (b"/case?q=%c0%af%ff", "encoded bytes that are not UTF-8"),
    (b"/case?q=a+b~c!$'()*@:", "sub-delimiters"),
    (b"/case?q=%zz%", "percent signs that encode nothing"),
    (b"/%7euser/%41", "encoded letters"),
    (b"/case?x=" + b"/?" * 20, "slashes and question marks in the query"),
    (b"/:80/case", "a colon first"),
)
DOTS = (b"/a/../b", b"/a/./b", b"/a/%2e%2e/b", b"/..;/b")
UNWISE = (b'/case?q="quoted"', b"/case?q=<x>", b"/case?q={a|b}", b"/case?q=a^b`c", b"/case?q=a\\b", b"/c[0]")
RAW_BYTES = (b"/case?q=\xc3\xa9", b"/caf\xe9", b"/case?q=\xff\xfe")
NO_FORM = (
    (b"case", "a path without its slash"),
    (b"?q=1", "a query alone"),
    (b"*", "the asterisk form with GET"),
    (b"127.0.0.1:80", "the authority form with GET"),
    (b"http:/case", "a scheme with a single slash"),
    (b"http:///case", "an absolute form without a host"),
    (b"://127.0.0.1/", "an absolute form without a scheme"),
)


def absolute(target: bytes, host: bytes) -> bytes:
    """A GET in absolute form."""
    return get(target, host=b"Host: " + host)


def at_home(target: bytes = b"/case") -> Relayed:
    """An absolute form of one of Amazon's hosts arrives in origin form."""
    return Relayed(requests=(RequestLooks(target=target, not_raw=(b"amazon.com",)),))


CASES = (
    *family(
        case(
            f"target-raw-{slug(target)}",
            "9110 7.7",
            f"A target with {what} passes byte for byte.",
            get(target),
            passed(target=target),
        )
        for target, what in RAW
    ),
    *family(
        case(
            f"target-dots-{slug(target)}",
            "9110 7.7",
            "Dot segments are the origin's to read.",
            get(target),
            (),
            passed(target=target),
        )
        for target in DOTS
    ),
    *family(
        case(
            f"target-unwise-{slug(target)}",
            "9112 3.2",
            "Characters outside the grammar that tools send are refused or passed as they are.",
            get(target),
            (BAD_OR_CLOSED, PASSED),
            passed(target=target),
        )
        for target in UNWISE
    ),
    *family(
        case(
            f"target-bytes-{slug(target)}",
            "9112 3.2",
            "Bytes beyond ASCII are refused or passed, encoded or as they are.",
            get(target),
            (BAD_OR_CLOSED, PASSED),
            passed(target=target),
        )
        for target in RAW_BYTES
    ),
    *family(
        case(
            f"target-form-{slug(target)}",
            "9112 3.2",
            f"A target with {what} has none of the four forms that fit.",
            get(target),
            Refused((400, 404, 405, 421, 501), silent=True),
            Refused((400, 405, 421)),
        )
        for target, what in NO_FORM
    ),
    case(
        "target-fragment",
        "9112 3.2",
        "A fragment is never sent; one that comes is refused or cut off.",
        get(b"/case#part"),
        (BAD_OR_CLOSED, passed(target=b"/case")),
        BAD,
    ),
    case(
        "target-fragment-in-query",
        "9112 3.2",
        "A fragment after a query is refused or cut off.",
        get(b"/case?a=1#part"),
        (BAD_OR_CLOSED, passed(target=b"/case?a=1")),
        BAD,
    ),
    case(
        "target-options-star",
        "9112 3.2.4",
        "OPTIONS * is about this server and goes no further.",
        message(b"OPTIONS * HTTP/1.1", HOST),
        (),
        Refused((400, 405)),
    ),
    case(
        "target-absolute-self",
        "9112 3.2.2",
        "Absolute form is accepted by servers; ours serves it for Amazon's API hosts alone.",
        absolute(b"http://127.0.0.1/case", b"127.0.0.1"),
        (
            Relayed(requests=(RequestLooks(target=b"/case"),)),
            Relayed(requests=(RequestLooks(target=b"http://127.0.0.1/case"),)),
        ),
        SELF,
    ),
    case(
        "target-absolute-amazon",
        "9112 3.2.2",
        "An absolute form of an API host is forwarded in origin form.",
        absolute(b"http://" + AMAZON + b"/case?x=1", AMAZON),
        (),
        at_home(b"/case?x=1"),
    ),
    case(
        "target-absolute-eu",
        "9112 3.2.2",
        "So is one of another region.",
        absolute(b"http://advertising-api-eu.amazon.com/case", b"advertising-api-eu.amazon.com"),
        (),
        at_home(),
    ),
    case(
        "target-absolute-case",
        "9110 4.2.3",
        "Scheme and host have no case.",
        absolute(b"HTTP://Advertising-API.Amazon.com/case", b"advertising-api.amazon.com"),
        (),
        at_home(),
    ),
    case(
        "target-absolute-port",
        "9110 4.2.3",
        "The default port is the same authority.",
        absolute(b"http://" + AMAZON + b":80/case", AMAZON + b":80"),
        (),
        at_home(),
    ),
    case(
        "target-absolute-no-path",
        "9112 3.2.1",
        "An absolute form without a path asks for the root.",
        absolute(b"http://" + AMAZON, AMAZON),
        (),
        at_home(b"/"),
    ),
    case(
        "target-absolute-query-no-path",
        "9112 3.2.1",
        "An absolute form with a query and no path asks for the root.",
        absolute(b"http://" + AMAZON + b"?x=1", AMAZON),
        (),
        at_home(b"/?x=1"),
    ),
    case(
        "target-absolute-other",
        "9112 3.2.2",
        "This is no open proxy.",
        absolute(b"http://evil.example/case", b"evil.example"),
        (),
        SELF,
    ),
    case(
        "target-absolute-other-hidden",
        "9112 3.2.2",
        "A good Host does not excuse a foreign target.",
        absolute(b"http://evil.example/case", b"127.0.0.1"),
        (),
        SELF,
    ),
    case(
        "target-absolute-differs",
        "9112 3.2.2",
        "A Host that differs from the target must not win.",
        absolute(b"http://" + AMAZON + b"/case", b"evil.example"),
        (),
        SELF,
    ),
    case(
        "target-absolute-differs-region",
        "9112 3.2.2",
        "Two regions in one request are one too many.",
        absolute(b"http://" + AMAZON + b"/case", b"advertising-api-eu.amazon.com"),
        (),
        SELF,
    ),
    case(
        "target-absolute-userinfo",
        "9110 4.2.4",
        "User information in a target is an old trick.",
        absolute(b"http://user:pw@" + AMAZON + b"/case", AMAZON),
        (),
        SELF,
    ),
    case(
        "target-absolute-userinfo-trick",
        "9110 4.2.4",
        "An API host as user information is not the host.",
        absolute(b"http://" + AMAZON + b"@evil.example/case", AMAZON),
        (),
        SELF,
    ),
    case(
        "target-absolute-suffix",
        "9112 3.2.2",
        "A host that only begins like an API host is foreign.",
        absolute(b"http://" + AMAZON + b".evil.example/case", AMAZON),
        (),
        SELF,
    ),
    case(
        "target-absolute-scheme",
        "9112 3.2.2",
        "Schemes but http are not served here.",
        absolute(b"ftp://" + AMAZON + b"/case", AMAZON),
        (),
        SELF,
    ),
    case(
        "target-double-slash-host",
        "9112 3.2.1",
        "A path that begins with two slashes is a path, not an authority.",
        get(b"//evil.example/case"),
        Relayed(requests=(RequestLooks(target=b"//evil.example/case"),), answers=(AnswerLooks(),)),
    ),
    case(
        "target-connect",
        "9110 9.3.6",
        "Tunnels are not made.",
        message(b"CONNECT evil.example:443 HTTP/1.1", b"Host: evil.example:443"),
        (),
        Refused((405,)),
    ),
    case(
        "target-connect-amazon",
        "9110 9.3.6",
        "Not to an API host either: inside a tunnel nothing could be added.",
        message(b"CONNECT advertising-api.amazon.com:443 HTTP/1.1", b"Host: advertising-api.amazon.com:443"),
        (),
        Refused((405,)),
    ),
    case(
        "target-auth-token-path",
        "9110 7.4",
        "Sign-in paths are never forwarded.",
        get(b"/ap/oa?client_id=x"),
        (),
        Refused((400, 403, 404, 405), closes=False),
    ),
)
