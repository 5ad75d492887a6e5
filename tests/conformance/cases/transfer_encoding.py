"""Cases on Transfer-Encoding in requests, the classic ways to make two readers disagree (RFC 9112, 6 and 11.2)."""

from __future__ import annotations

from tests.conformance.case import AnswerLooks, Refused, Relayed, RequestLooks
from tests.conformance.cases.build import (
    BAD,
    CHUNKED,
    CODING,
    HOST,
    case,
    counted,
    family,
    get,
    message,
    passed,
    post,
    slug,
    streamed,
)

CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
CODING_SILENT = Refused((400, 415, 422, 501), silent=True)
BY_CHUNKS = passed(body=b"hello", lacks=(b"content-length",))
BY_CHUNKS_COUNTED = passed(body=b"hello", not_raw=(b"transfer-encoding",))
DECHUNKED = (CODING_SILENT, BY_CHUNKS, BY_CHUNKS_COUNTED)
BY_LENGTH = (CODING_SILENT, passed(body=CHUNKS, framing="length"))
UNKNOWN = (
    b"gzip, chunked",
    b"deflate, chunked",
    b"identity, chunked",
    b"cow, chunked",
    b"xchunked",
    b"chunkedx",
    b"chunk",
    b"cow",
    b"identity",
    b"gzip",
    b"chunked, identity",
    b"chunked, gzip",
    b"chunked, cow",
    b"chunked chunked",
    b"chunked cow",
    b"cow chunked",
    b'"chunked"',
    b"'chunked'",
    b"chunked;q=1",
    b"chunked;",
    b'chunked; x="y"',
    b";chunked",
    b"chunked\x0b",
    b"\x0bchunked",
    b"\x0cchunked",
    b"chunked\x00",
    b"\x00chunked",
    b"ch\x00unked",
    b"chunked\xa0",
    b"\xa0chunked",
    b"chun\xffked",
    b"chunked/1",
    b"=chunked",
    b"chunked,chunked",
    b"chunked, chunked",
    b"chunked, chunked, chunked",
    b"chu nked",
    b"c",
    b"*",
    b"null",
    b"trailers",
    b"chunked=1",
    b"\xffchunked",
    b"chunKed\x1f",
)
EMPTY_MEMBERS = (b",chunked", b"chunked,", b", chunked", b"chunked , ,", b",,chunked,,")
PLAIN = (
    b"chunked",
    b"Chunked",
    b"CHUNKED",
    b"cHuNkEd",
    b" chunked",
    b"\tchunked",
    b"chunked ",
    b"chunked\t",
    b"  chunked \t ",
)


def both(field: bytes, length: int = len(CHUNKS)) -> bytes:
    """A doubtful coding before a length that frames the same bytes."""
    return post(CHUNKS, field, b"Content-Length: %d" % length)


CASES = (
    *family(
        case(
            f"coding-plain-{slug(value)}",
            "9112 7.1",
            "This is chunked, whatever its case and the blanks around it.",
            post(CHUNKS, b"Transfer-Encoding:" + value),
            passed(body=b"hello"),
        )
        for value in PLAIN
    ),
    *family(
        case(
            f"coding-other-{slug(value)}",
            "9112 6.1",
            f"Transfer-Encoding {value!r} is not chunked alone: not understood, or not framed.",
            post(CHUNKS, b"Transfer-Encoding: " + value),
            CODING_SILENT,
            CODING,
        )
        for value in UNKNOWN
    ),
    *family(
        case(
            f"coding-list-{slug(value)}",
            "9110 5.6.1",
            "Empty list members may be ignored; they may be refused, not read two ways.",
            post(CHUNKS, b"Transfer-Encoding: " + value),
            DECHUNKED,
            CODING,
        )
        for value in EMPTY_MEMBERS
    ),
    case(
        "coding-empty",
        "9112 6.1",
        "An empty Transfer-Encoding frames nothing: refused, or no body is read as a request.",
        post(CHUNKS, b"Transfer-Encoding:"),
        CODING_SILENT,
        CODING,
    ),
    case(
        "coding-empty-length",
        "9112 6.3",
        "An empty Transfer-Encoding beside a length is refused, or the length counts alone.",
        both(b"Transfer-Encoding:"),
        BY_LENGTH,
        CODING,
    ),
    case(
        "coding-twice",
        "9112 6.1",
        "Chunked twice must not be; in two fields neither.",
        post(CHUNKS, CHUNKED, CHUNKED),
        CODING_SILENT,
        BAD,
    ),
    case(
        "coding-two-fields",
        "9112 6.1",
        "Two fields make one list.",
        post(CHUNKS, b"Transfer-Encoding: gzip", CHUNKED),
        CODING_SILENT,
        CODING,
    ),
    case(
        "coding-two-fields-last",
        "9112 6.3",
        "Chunked that is not last frames nothing.",
        post(CHUNKS, CHUNKED, b"Transfer-Encoding: identity"),
        CODING_SILENT,
        CODING,
    ),
    case(
        "coding-two-fields-case",
        "9112 6.1",
        "Names of other case are the same field.",
        post(CHUNKS, CHUNKED, b"transfer-encoding: cow"),
        CODING_SILENT,
        CODING,
    ),
    case(
        "coding-space-colon",
        "9112 5.1",
        "Whitespace before this colon would hide chunked.",
        both(b"Transfer-Encoding : chunked"),
        BAD,
    ),
    case(
        "coding-tab-colon",
        "9112 5.1",
        "A tab before this colon would hide it too.",
        both(b"Transfer-Encoding\t: chunked"),
        BAD,
    ),
    case(
        "coding-space-name",
        "9110 5.1",
        "A space in the name makes no field.",
        both(b"Transfer Encoding: chunked"),
        BY_LENGTH,
        BAD,
    ),
    case(
        "coding-underscore",
        "9110 5.1",
        "Transfer_Encoding is another field and frames nothing.",
        both(b"Transfer_Encoding: chunked"),
        passed(body=CHUNKS, framing="length"),
    ),
    case(
        "coding-content-encoding",
        "9110 8.4",
        "Content-Encoding: chunked frames nothing.",
        both(b"Content-Encoding: chunked"),
        passed(body=CHUNKS, framing="length"),
    ),
    case(
        "coding-x-prefix",
        "9110 5.1",
        "X-Transfer-Encoding frames nothing.",
        both(b"X-Transfer-Encoding: chunked"),
        passed(body=CHUNKS, framing="length"),
    ),
    case(
        "coding-fold",
        "9112 5.2",
        "A folded coding is refused or unfolded.",
        post(CHUNKS, b"Transfer-Encoding:\r\n chunked"),
        DECHUNKED,
        CODING,
    ),
    case(
        "coding-fold-length",
        "9112 5.2",
        "A folded coding beside a length is refused, or both are seen.",
        both(b"Transfer-Encoding:\r\n chunked"),
        DECHUNKED,
        CODING,
    ),
    case(
        "coding-fold-before",
        "9112 5.2",
        "A fold that holds Transfer-Encoding is no such field.",
        both(b"X-A: 1\r\n Transfer-Encoding: chunked"),
        BY_LENGTH,
        BAD,
    ),
    case(
        "coding-lf-before",
        "9112 2.2",
        "Behind a bare LF it is refused, or is a field and then beside a length.",
        both(b"X-A: 1\nTransfer-Encoding: chunked"),
        DECHUNKED,
        BAD,
    ),
    case(
        "coding-lf-value",
        "9112 2.2",
        "A value behind a bare LF is a fold.",
        both(b"Transfer-Encoding:\n chunked"),
        DECHUNKED,
        CODING,
    ),
    case(
        "coding-old",
        "9112 6.1",
        "HTTP/1.0 has no transfer codings: the framing is faulty.",
        message(b"POST /case HTTP/1.0", HOST, CHUNKED, body=CHUNKS),
        (CODING_SILENT, Relayed(requests=(RequestLooks(body=b"hello"),), closes=True)),
        BAD,
    ),
    case(
        "coding-old-alive",
        "9112 6.1",
        "Keep-alive does not change that.",
        message(b"POST /case HTTP/1.0", HOST, CHUNKED, b"Connection: keep-alive", body=CHUNKS),
        (CODING_SILENT, Relayed(requests=(RequestLooks(body=b"hello"),), closes=True)),
        BAD,
    ),
    case(
        "coding-old-length",
        "9112 6.1",
        "With a length beside it neither.",
        message(b"POST /case HTTP/1.0", HOST, CHUNKED, b"Content-Length: 5", body=CHUNKS),
        (CODING_SILENT, Relayed(requests=(RequestLooks(body=b"hello"),), closes=True)),
        BAD,
    ),
    case(
        "coding-get",
        "9110 9.3.1",
        "A GET with chunks keeps the connection in step.",
        message(b"GET /case HTTP/1.1", HOST, CHUNKED, body=CHUNKS),
        (passed(body=b"hello"), Refused((400, 413))),
    ),
    case(
        "coding-connection-listed",
        "9110 7.6.1",
        "Connection does not take chunked away from a message.",
        streamed(CHUNKS, b"Connection: Transfer-Encoding"),
        (CODING_SILENT, passed(body=b"hello")),
    ),
    case(
        "coding-connection-length",
        "9110 7.6.1",
        "Nor the length, whose body must not become a request.",
        counted(get(b"/smuggled"), b"Connection: Content-Length"),
        (CODING_SILENT, passed(body=get(b"/smuggled"))),
    ),
    case(
        "coding-pipelined",
        "9112 9.3.2",
        "What follows the last chunk is the next request.",
        streamed(CHUNKS) + get(b"/second"),
        Relayed(
            requests=(RequestLooks(body=b"hello"), RequestLooks(target=b"/second")),
            answers=(AnswerLooks(), AnswerLooks()),
        ),
        answers=2,
    ),
)
