"""Cases on connections, hop-by-hop fields and fields that the proxy owns (RFC 9110, 7.6 and 7.8; RFC 9112, 9)."""

from __future__ import annotations

from tests.conformance.case import AnswerLooks, Refused, Relayed, RequestLooks
from tests.conformance.cases.build import BAD, CODING, PASSED, answer, case, counted, family, get, passed, slug

HOP_BY_HOP = (
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"TE: trailers",
    b"Upgrade: websocket",
    b"Proxy-Authorization: Basic eDp5",
)
LISTED = (b"X-Hop", b"x-hop", b"close, X-Hop", b"X-Hop, close", b"keep-alive,X-Hop", b", X-Hop ,", b"X-Hop\t,\tX-Other")
OWN = (b"Authorization", b"Amazon-Advertising-API-ClientId", b"Amazon-Ads-ClientId", b"Host")
INJECTED = (
    b"Authorization: Bearer evil",
    b"AUTHORIZATION: Bearer evil",
    b"authorization: Bearer evil",
    b"Amazon-Advertising-API-ClientId: evil",
    b"amazon-advertising-api-clientid: evil",
    b"amazon_advertising_api_clientid: evil",
    b"Amazon_Advertising-API_ClientId: evil",
    b"Amazon-Ads-ClientId: evil",
    b"AMAZON_ADS_CLIENTID: evil",
)
PRIVATE = (
    b"Cookie: evil=1",
    b"X-Ads-Account: acme",
    b"X-Ads-Region: na",
    b"X-Forwarded-For: 6.6.6.6",
    b"X-Forwarded-Host: evil.example",
    b"X-Forwarded-Proto: https",
    b"Via: 1.1 evil",
)
OWNED = ((b"authorization", b"Bearer Atza|x"),)


CASES = (
    case(
        "hop-close",
        "9112 9.6",
        "Connection: close ends the connection after the answer.",
        get(b"/case", b"Connection: close"),
        Relayed(closes=True),
    ),
    case(
        "hop-close-case",
        "9110 7.6.1",
        "Connection options have no case.",
        get(b"/case", b"Connection: CLOSE"),
        Relayed(closes=True),
    ),
    case(
        "hop-close-listed",
        "9110 7.6.1",
        "close may stand in a list.",
        get(b"/case", b"Connection: keep-alive, close"),
        Relayed(closes=True),
    ),
    case(
        "hop-close-second",
        "9110 7.6.1",
        "close may stand in a second field.",
        get(b"/case", b"Connection: x-nothing", b"Connection: close"),
        Relayed(closes=True),
    ),
    case(
        "hop-close-answered",
        "9112 9.6",
        "What follows a request with close is not served.",
        get(b"/case", b"Connection: close") + get(b"/second"),
        Relayed(closes=True),
    ),
    case(
        "hop-persistent",
        "9112 9.3",
        "HTTP/1.1 persists: a second request on the connection is served.",
        get(b"/case"),
        PASSED,
    ),
    *family(
        case(
            f"hop-field-{slug(field.split(b':')[0])}",
            "9110 7.6.1",
            "This field is of one hop and does not pass.",
            get(b"/case", field),
            (),
            passed(lacks=(field.split(b":")[0],)),
        )
        for field in HOP_BY_HOP
    ),
    *family(
        case(
            f"hop-listed-{slug(options)}",
            "9110 7.6.1",
            "A field that Connection lists does not pass.",
            get(b"/case", b"X-Hop: secret-of-the-hop", b"Connection: " + options),
            passed(not_raw=(b"secret-of-the-hop",)),
        )
        for options in LISTED
    ),
    case(
        "hop-listed-repeated",
        "9110 7.6.1",
        "Every field of a listed name goes.",
        get(b"/case", b"x-hop: secret-1", b"Connection: X-Hop", b"X-HOP: secret-2"),
        passed(not_raw=(b"secret-",)),
    ),
    case(
        "hop-listed-absent",
        "9110 7.6.1",
        "An option without its field is right.",
        get(b"/case", b"Connection: X-Absent"),
        PASSED,
    ),
    case(
        "hop-connection-itself",
        "9110 7.6.1",
        "Connection of the client's side does not pass.",
        get(b"/case", b"Connection: x-marker-option"),
        passed(not_raw=(b"x-marker-option",)),
    ),
    *family(
        case(
            f"hop-listed-own-{slug(name)}",
            "9110 7.6.1",
            "What the proxy adds cannot be taken away by Connection.",
            get(b"/case", b"Connection: " + name),
            (),
            passed(has=OWNED),
        )
        for name in OWN
    ),
    case(
        "hop-listed-cache-control",
        "9110 7.6.1",
        "A listed end-to-end field goes; the message stays whole.",
        counted(b"hello", b"Connection: Cache-Control", b"Cache-Control: no-store"),
        passed(body=b"hello"),
    ),
    case(
        "hop-listed-garbage",
        "9110 7.6.1",
        "Connection options that are no tokens list nothing.",
        get(b"/case", b"Connection: @(/), X-Hop", b"X-Hop: secret-of-the-hop"),
        (BAD, passed()),
        passed(not_raw=(b"secret-of-the-hop",)),
    ),
    case(
        "upgrade-websocket",
        "9110 7.8",
        "An upgrade is ignored and the request served.",
        get(
            b"/case",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Version: 13",
        ),
        Relayed(),
        passed(lacks=(b"upgrade",)),
    ),
    case(
        "upgrade-h2c",
        "9110 7.8",
        "An upgrade to HTTP/2 is ignored and its settings dropped.",
        get(b"/case", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
        Relayed(),
        passed(lacks=(b"upgrade", b"http2-settings")),
    ),
    case(
        "upgrade-h2c-body",
        "9110 7.8",
        "Nor with a body.",
        counted(b"hello", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
        passed(body=b"hello"),
        passed(body=b"hello", lacks=(b"upgrade", b"http2-settings")),
    ),
    case(
        "upgrade-no-option",
        "9110 7.8",
        "Upgrade without its connection option is ignored.",
        get(b"/case", b"Upgrade: websocket"),
        Relayed(),
        passed(lacks=(b"upgrade",)),
    ),
    *family(
        case(
            f"own-injected-{slug(field.split(b':')[0])}",
            "9110 11.6.2",
            "A client's own credentials and client ids never leave.",
            get(b"/case", field),
            (),
            passed(has=OWNED, not_raw=(b"evil",)),
        )
        for field in INJECTED
    ),
    *family(
        case(
            f"own-private-{slug(field.split(b':')[0])}",
            "9110 7.6",
            "This field is for the proxy or of the client's side and does not leave.",
            get(b"/case", field),
            (),
            passed(lacks=(field.split(b":")[0],)),
        )
        for field in PRIVATE
    ),
    case(
        "own-added-once",
        "9110 5.3",
        "Two credentials are refused, or both replaced by one.",
        get(b"/case", b"Authorization: a", b"authorization: b"),
        (),
        (passed(has=OWNED, not_raw=(b"authorization: a", b"authorization: b")), BAD),
    ),
    case(
        "own-nothing-about-client",
        "9110 7.6.3",
        "Via and X-Forwarded-* are not added.",
        get(b"/case"),
        (),
        passed(
            lacks=(b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"forwarded", b"x-real-ip")
        ),
    ),
    case(
        "own-scope-two",
        "9110 5.3",
        "Two Scopes are one too many.",
        get(b"/case", b"Amazon-Advertising-API-Scope: 1", b"Amazon-Advertising-API-Scope: 2"),
        (),
        Refused((400,), closes=False),
    ),
    case(
        "own-scope",
        "9110 5.1",
        "A client's Scope passes.",
        get(b"/case", b"Amazon-Advertising-API-Scope: 123"),
        (),
        passed(has=((b"amazon-advertising-api-scope", b"123"),)),
    ),
    case(
        "own-origin",
        "9110 7.4",
        "A page's request is refused by its Origin.",
        get(b"/case", b"Origin: http://evil.example"),
        (),
        Refused((403,)),
    ),
    case(
        "own-origin-null",
        "9110 7.4",
        "So is that of a page without an origin.",
        get(b"/case", b"Origin: null"),
        (),
        Refused((403,)),
    ),
    case(
        "own-origin-self",
        "9110 7.4",
        "Any Origin is a browser's.",
        get(b"/case", b"Origin: http://127.0.0.1"),
        (),
        Refused((403,)),
    ),
    case(
        "own-sec-fetch",
        "9110 7.4",
        "So is a cross-site fetch.",
        get(b"/case", b"Sec-Fetch-Site: cross-site"),
        (),
        Refused((403,)),
    ),
    case(
        "own-sec-fetch-none",
        "9110 7.4",
        "An address typed by hand is served.",
        get(b"/case", b"Sec-Fetch-Site: none"),
        (),
        PASSED,
    ),
    case(
        "own-request-id",
        "9110 5.1",
        "A client's request id passes and comes back.",
        get(b"/case", b"X-Request-Id: abc-123"),
        (),
        Relayed(
            requests=(RequestLooks(has=((b"x-request-id", b"abc-123"),)),),
            answers=(AnswerLooks(has=((b"x-request-id", b"abc-123"),)),),
        ),
    ),
    case(
        "own-request-id-made",
        "9110 5.1",
        "A request id that was made here stays here.",
        get(b"/case"),
        (),
        passed(lacks=(b"x-request-id",)),
    ),
    case(
        "answer-hop-listed",
        "9110 7.6.1",
        "A field that the answer's Connection lists does not pass.",
        get(b"/case"),
        Relayed(answers=(AnswerLooks(lacks=(b"x-hop",)),)),
        (),
        answer(b"Connection: X-Hop", b"X-Hop: 1", b"Content-Length: 0"),
    ),
    case(
        "answer-hop-keep-alive",
        "9110 7.6.1",
        "Keep-Alive of the upstream's side does not pass.",
        get(b"/case"),
        Relayed(answers=(AnswerLooks(lacks=(b"x-hop",)),)),
        Relayed(answers=(AnswerLooks(lacks=(b"keep-alive", b"proxy-connection")),)),
        answer(b"Keep-Alive: timeout=5", b"Proxy-Connection: x", b"Content-Length: 0"),
    ),
    case(
        "answer-hop-close",
        "9110 7.6.1",
        "The upstream's close is not the client's business.",
        get(b"/case"),
        PASSED,
        (),
        answer(b"Connection: close", b"Content-Length: 2", body=b"ok"),
    ),
    case(
        "answer-hop-close-listed-length",
        "9110 7.6.1",
        "An answer's Connection cannot take its own framing away.",
        get(b"/case"),
        (PASSED, Refused((502,), closes=False)),
        (),
        answer(b"Connection: Content-Length", b"Content-Length: 2", body=b"ok"),
    ),
    case(
        "answer-upgrade-field",
        "9110 7.8",
        "An Upgrade field in an answer is of one hop.",
        get(b"/case"),
        PASSED,
        Relayed(answers=(AnswerLooks(lacks=(b"upgrade",)),)),
        answer(b"Upgrade: h2c", b"Connection: Upgrade", b"Content-Length: 2", body=b"ok"),
    ),
    case(
        "answer-426",
        "9110 15.5.22",
        "426 passes as an answer.",
        get(b"/case"),
        Relayed(answers=(AnswerLooks(status=426),)),
        (),
        answer(
            b"Upgrade: TLS/1.0", b"Connection: Upgrade", b"Content-Length: 0", start=b"HTTP/1.1 426 Upgrade Required"
        ),
    ),
    case(
        "hop-trailer-field",
        "9110 6.6.2",
        "A Trailer field in a request without trailers does no harm.",
        get(b"/case", b"Trailer: X-T"),
        (PASSED, CODING),
    ),
)
