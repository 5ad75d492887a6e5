"""A remembered head is read as `read_response` reads it, whatever varies in it, and usual heads are remembered."""

from __future__ import annotations

from random import Random

import pytest

from proxy.errors import Refused
from proxy.http1 import response_forms
from proxy.http1.message import Response, read_response
from proxy.http1.response_forms import Recalled, ResponseReader

REQUEST_IDS = (b"x-amz-rid", b"x-amz-request-id", b"x-amzn-requestid")
NGINX = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 01 Dec 2026 09:34:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %b\r\nConnection: keep-alive\r\nx-amz-rid: %b\r\nx-amz-request-id: %b\r\n\r\n"
)
CHUNKED = NGINX.replace(b"Content-Length: %b", b"Transfer-Encoding: chunked")


def recall(reader: ResponseReader, data: bytes) -> Recalled | None:
    return reader.recall(data, data.find(b"\r\n\r\n"))


def reading(data: bytes, request_ids: tuple[bytes, ...] = REQUEST_IDS) -> tuple[Response, bytes] | None:
    """What the head says and its lines for a client, without a memory; None if it is refused."""
    try:
        response = read_response(data[: data.find(b"\r\n\r\n") + 2], request_ids)
    except Refused:
        return None
    return response, b"HTTP/1.1 %d %b\r\n" % (response.status, response.reason) + response.fields.passing


def check(reader: ResponseReader, data: bytes, request_ids: tuple[bytes, ...] = REQUEST_IDS) -> Recalled | None:
    """What is recalled of the head, which has to be what the reading without a memory says."""
    recalled = recall(reader, data)
    if recalled is not None:
        form, length, request_id, lines = recalled
        response = form.response(length, request_id, lines)
        assert (response, lines) == reading(data, request_ids), data
        fields = response.fields
        assert (form.status, form.chunked, form.has_date) == (response.status, fields.chunked, fields.has_date)
    return recalled


@pytest.mark.parametrize(
    ("head", "others"),
    [
        (NGINX % (b"1024", b"6854b985", b"0f"), NGINX % (b"7", b"a-b", b"")),
        (CHUNKED % (b"6854b985", b"0f"), CHUNKED % (b"A/b%b+c==", b"01")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (b"HTTP/1.1 404 \r\nCONTENT-LENGTH: 5\r\n\r\n", b"HTTP/1.1 404 \r\nCONTENT-LENGTH: 123456\r\n\r\n"),
        (
            b"HTTP/1.1 200 %b\r\nX-Amzn-RequestId: a\r\nX: %d\r\ncontent-length: 5\r\nX-AMZ-rid: b\r\n\r\n",
            b"HTTP/1.1 200 %b\r\nX-Amzn-RequestId: 77\r\nX: %d\r\ncontent-length: 999\r\nX-AMZ-rid: 8\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nX-Amz-Rid: a\r\ntransfer-encoding: CHUNKED\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nX-Amz-Rid: bc\r\ntransfer-encoding: CHUNKED\r\n\r\n",
        ),
    ],
)
def test_heads_that_differ_in_varying_values_have_one_form(head: bytes, others: bytes) -> None:
    """Whatever the order and the spelling of the names; the values are read anew."""
    reader = ResponseReader(REQUEST_IDS)
    first, second = check(reader, head), check(reader, others + b"Content-Length: 3\r\n\r\n")
    assert first is not None and second is not None
    assert first[0] is second[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *((b" 1024", value) for value in (b"", b" ", b"  5", b" 5 ", b" +5", b" 1_0", b" 0x5", b" \xb2")),
        (b" 1024", b" " + b"1" * 19),
        (b"-rid: 6854b985", b"-rid: a\rb"),
        (b"-rid: 6854b985", b"-rid: a\nContent-Length: 5"),
        (b"-rid: 6854b985", b"-rid: \x00"),
        (b"-rid: 6854b985", b"-rid: a b"),
        (b"-rid: 6854b985", b"-rid: \xff"),
        (b"-rid: 6854b985", b"-rid: a\r\nContent-Length: 5"),
        (b"-rid: 6854b985", b"-rid: a\r\ncontent-length: 1024"),
        (b"-rid: 6854b985", b"-rid: a\r\nX-Amz-Rid: b"),
        (b"-rid: 6854b985", b"-rid: a\r\nx_amz_rid: b\r\nLocation: /"),
        (b"nginx", b"nginx\r\nX-AMZ-RID: 6854b985"),
        (b"nginx", b"nginx\r\nRetry-After: 1"),
        (b"nginx", b"nginx\r\nOdd:1"),
        (b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK"),
        (b"HTTP/1.1 200 OK", b"HTTP/1.1 200"),
        (b"HTTP/1.1 200 OK", b"HTTP/1.1 099 OK"),
        (b"200 OK", b"204 No Content"),
        (b"200 OK", b"304 Not Modified"),
        (b"200 OK", b"100 Continue"),
        (b"200 OK", b"408 Request Timeout"),
        (b"keep-alive", b"close"),
        (b"keep-alive", b"keep-alive\r\nTransfer-Encoding: chunked"),
        (b"Content-Length: 1024\r\n", b""),
        (NGINX[17:-2] % (b"1024", b"6854b985", b"0f"), b"Transfer-Encoding: chunked\r\n"),
        (b"nginx", b"x" * 4097),
    ],
)
def test_what_is_not_usual_is_left_to_the_reading(old: bytes, new: bytes) -> None:
    """Next to a form that it resembles, and once more after it was seen."""
    usual = NGINX % (b"1024", b"6854b985", b"0f")
    odd = usual.replace(old, new, 1)
    assert odd != usual
    reader = ResponseReader(REQUEST_IDS, frozenset((408,)))
    for data in (usual, odd, odd):
        assert (recall(reader, data) is None) == (data is odd)


def test_the_first_configured_request_id_counts() -> None:
    """Readers of other names never share what they remember, nor does the order of the lines count."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nx-amz-request-id: b%d\r\nx-amz-rid: a%d\r\nId: c%d\r\n\r\n"
    names = REQUEST_IDS, (b"x-amz-request-id", b"x-amz-rid"), (b"id",), (), (b"x-amz-rid", b"id")
    readers = [ResponseReader(each) for each in names]
    for turn in range(3):
        data = head % (turn, turn, turn)
        seen = [check(reader, data, each) for reader, each in zip(readers, names, strict=True)]
        assert [one and one[2] for one in seen] == [f"a{turn}", f"b{turn}", f"c{turn}", "", f"a{turn}"]


def test_a_request_id_is_told_up_to_its_limit() -> None:
    """The line passes as it came."""
    reader = ResponseReader(REQUEST_IDS)
    for size in (5, 128, 129, 1000):
        recalled = check(reader, NGINX % (b"1", b"a" * size, b"0"))
        assert recalled is not None
        assert recalled[2] == "a" * min(size, 128)
        assert b"\r\nx-amz-rid: " + b"a" * size + b"\r\n" in recalled[3]


def test_a_flood_of_distinct_heads_is_bounded() -> None:
    """By entries and by bytes; spellings of the names, too."""
    reader = ResponseReader((b"x-amz-rid",))
    for number in range(1500):
        name = bytes(byte & (0xDF if number >> place & 1 else 0xFF) for place, byte in enumerate(b"x-amz-rid"))
        name = name.replace(b"\r", b"-")
        server = b"%d" % number * (number % 900)
        recall(reader, b"HTTP/1.1 200 OK\r\n%b: 1\r\nContent-Length: 1\r\nServer: s%b\r\n\r\n" % (name, server))
        recall(reader, b"HTTP/1.1 200 OK\r\nServer: s%b\r\nContent-Length: 1\r\n\r\n" % server)
        recall(reader, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nServer: s%b\r\n\r\n" % server)
        forms = reader._forms
        assert len(forms) <= response_forms._MAX_PREFIXES
        assert forms.bytes <= response_forms._MAX_CACHE_BYTES
    assert max(map(len, forms.values())) == response_forms._FORMS_OF_PREFIX
    assert len(reader._names) == response_forms._MAX_NAMES


# --- Random heads --------------------------------------------------------------------------------------------

STATUS_LINES = (
    *(b"HTTP/1.1 200 OK", b"HTTP/1.1 207 Multi-Status", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 429 "),
    b"HTTP/1.1 200 100%b \xfc",
)
ODD_STATUS_LINES = (
    *(b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 ", b"HTTP/1.1 100 Continue"),
    *(b"HTTP/1.1 408 Request Timeout", b"HTTP/1.2 200 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1 200 O\x00K", b"", b"A: b"),
)
ID_NAMES = b"x-amz-rid X-Amz-Rid x-amz-request-id x-amzn-RequestId x_amz_rid x-amz-ri x-amz-rid-b".split()
OTHER_LINES = (
    *(b"Server: Server", b"Date: Tue, 01 Dec 2026 09:34:00 GMT", b"date: ", b"Content-Type: application/json"),
    *(b"content-type: text/html; %d", b"Content-Encoding: gzip", b"Vary: Accept-Encoding", b"Connection: keep-alive"),
    *(b"connection: Keep-Alive", b"Set-Cookie: a\xff", b"Set-Cookie: b", b"X: Content-Length: 5", b"ETag: %b"),
)
RARE_LINES = (
    *(b"Connection: close", b"Connection: x-amz-rid", b"Location: /a", b"Retry-After: 1", b"X-Request-Id: 1"),
    *(b"Keep-Alive: timeout=5", b"Content_Length: 5", b"Odd:1", b"Odd : 1", b" folded", b"Transfer-Encoding: gzip"),
    *(b"Content-Length: 5", b"content-length: 5", b"X-Amz-Rid: other", b"a b: c", b"no colon", b"X: \x7f", b"X: a\nb"),
    *(b"Proxy-Status: a", b"X: " + b"x" * 4000, b"Date: 1", b"Transfer-Encoding : chunked"),
)
LENGTHS = (b"0", b"5", b"1024", b"0005", b"65536", b"9" * 18)
ODD_LENGTHS = (
    b"",
    b"+5",
    b"-5",
    b" 5",
    b"5 ",
    b"5\t",
    b"9" * 19,
    b"1_0",
    b"5, 5",
    b"5,",
    b"0x5",
    b"\xb2",
    b"5\r",
    b"5\x00",
)
ODD_IDS = (
    b"",
    b" a",
    b"a ",
    b"a b",
    b"\xff",
    b"a\x00",
    b"a\rb",
    b"a\nb",
    b"\t",
    b"\x7f",
    b"a\r\nContent-Length: 5",
    b"%b",
)


def template(random: Random) -> tuple[bool, list[bytes]]:
    """Lines of a head, with `$` for the length and `#` for a request id; and whether they hold nothing unusual."""
    lines = random.sample(OTHER_LINES, random.randrange(7))
    framing = random.choice((b"Content-Length: $", b"Content-Length: $", b"content-length: $", b"CONTENT-LENGTH: $"))
    if random.random() < 0.3:
        framing = random.choice((b"Transfer-Encoding: chunked", b"transfer-encoding: Chunked"))
    lines += [framing, *(name + b": #" for name in random.sample(ID_NAMES, random.randrange(4)))]
    if random.random() < 0.5:
        random.shuffle(lines)
    names = [line.partition(b":")[0].lower() for line in lines if not line.startswith(b"Set-Cookie")]
    varying = framing.endswith(b"$") or any(name in REQUEST_IDS for name in names)
    usual = varying and len(set(names)) == len(names) and b"x_amz_rid" not in names
    if random.random() < 0.2:
        usual = False
        odd = random.choice((*RARE_LINES, b""))
        lines[(at := random.randrange(len(lines))) : at + (not odd)] = [odd] if odd else []
    if random.random() < 0.1:
        return False, [random.choice(ODD_STATUS_LINES), *lines]
    return usual, [random.choice(STATUS_LINES), *lines]


def filled(random: Random, line: bytes, *, odd: bool) -> bytes:
    """A line with a value, which is an odd one on demand."""
    if line.endswith(b"$"):
        return line[:-1] + random.choice(ODD_LENGTHS if odd else LENGTHS)
    if line.endswith(b": #"):
        usual = b"%0*x" % (random.choice((1, 8, 32, 32, 128, 140)), random.getrandbits(random.choice((0, 60))))
        return line[:-1] + (random.choice(ODD_IDS) if odd else usual)
    return line


def mutated(random: Random, data: bytes) -> bytes:
    """A head with one byte or one line changed."""
    at = random.randrange(len(data))
    byte = bytes((random.choice(b"\x00\t\r\n :-_aA05%\x7f\x80\xff"),))
    choice = random.randrange(5)
    if choice < 3:
        return data[:at] + (byte if choice else b"") + data[at + (choice < 2) :]
    lines = data.split(b"\r\n")
    first, second = random.randrange(len(lines)), random.randrange(len(lines))
    lines[first] = lines[second].swapcase() if choice == 3 else lines[second]
    return b"\r\n".join(lines)


def compare_random_heads(seed: int, count: int) -> None:
    """Read so many random heads both ways; what is usual has to be recalled, and mostly by a known form."""
    random = Random(seed)
    reader = ResponseReader(REQUEST_IDS, frozenset((408,)))
    templates = [template(random) for _ in range(200)]
    recalled, known, forms = 0, 0, set()
    for _ in range(count):
        if random.random() < 0.01:
            templates[random.randrange(len(templates))] = template(random)
        usual, lines = random.choice(templates)
        odd, mutate = random.random() < 0.1, random.random() < 0.15
        data = b"\r\n".join([filled(random, line, odd=odd) for line in lines]) + b"\r\n\r\nbody\r\n\r\n"
        found = check(reader, mutated(random, data) if mutate else data)
        assert found is not None or odd or mutate or not usual, data
        if found is not None:
            recalled += 1
            known += found[0] in forms
            forms.add(found[0])
    assert recalled > count / 4
    assert known > recalled / 2


def test_random_heads_are_read_as_without_a_memory() -> None:
    """Warm memories, values and lines of all kinds, and heads that are one byte or one line beside a remembered one."""
    compare_random_heads(1, 5_000)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(10))
def test_many_random_heads_are_read_as_without_a_memory(seed: int) -> None:
    """Sixty times as many heads as `make test` has patience for, and others."""
    compare_random_heads(seed, 30_000)
