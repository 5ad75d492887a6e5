"""Short words in which the cases are written: messages, usual outcomes, one constructor. No cases."""

from __future__ import annotations

from collections.abc import Iterable

from tests.conformance.case import (
    PLAIN_REPLY,
    AnswerLooks,
    Case,
    Outcome,
    Reach,
    Refused,
    Relayed,
    Reply,
    RequestLooks,
    Step,
)

HOST = b"Host: 127.0.0.1"
CHUNKED = b"Transfer-Encoding: chunked"
BODY_LIMIT_STATUSES = (400, 413, 431)

PASSED = Relayed()
BAD = Refused((400,))
BAD_OR_CLOSED = Refused((400,), silent=True)
CODING = Refused((400, 501))
"""An unknown or doubtful transfer coding."""
BAD_BODY = Refused((400,), silent=True, reach=Reach.PART)
"""A fault that shows in the body only, when the head may be gone already."""
FAULT = Refused((500, 502, 503, 504), silent=True, reach=Reach.WHOLE, closes=False)
"""The upstream's answer could not be understood, in any proxy's words."""
RETRIED = Relayed(requests=(RequestLooks(), RequestLooks()))
"""A GET that got no answer may be sent once more."""
GATEWAY = Refused((502,), reach=Reach.WHOLE, closes=False)
"""The upstream's answer could not be understood, in this proxy's words."""


def message(start: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """A message from its start line, field lines and body."""
    return b"\r\n".join((start, *fields, b"", b"")) + body


def get(target: bytes, *fields: bytes, host: bytes = HOST) -> bytes:
    """A GET request."""
    return message(b"GET " + target + b" HTTP/1.1", host, *fields)


def post(body: bytes, *fields: bytes, target: bytes = b"/case") -> bytes:
    """A POST request whose framing is left to `fields`."""
    return message(b"POST " + target + b" HTTP/1.1", HOST, *fields, body=body)


def counted(body: bytes, *fields: bytes, target: bytes = b"/case") -> bytes:
    """A POST request with Content-Length."""
    return post(body, b"Content-Length: %d" % len(body), *fields, target=target)


def streamed(chunks: bytes, *fields: bytes, target: bytes = b"/case") -> bytes:
    """A POST request with chunked framing, the chunks given raw."""
    return post(chunks, CHUNKED, *fields, target=target)


def answer(*fields: bytes, body: bytes = b"", start: bytes = b"HTTP/1.1 200 OK") -> Reply:
    """A reply of one answer in one write."""
    return Reply((message(start, *fields, body=body),))


def passed(body: bytes | None = None, target: bytes | None = None, **looks: object) -> Relayed:
    """One request that passes, with properties of the request."""
    return Relayed(requests=(RequestLooks(body=body, target=target, **looks),))  # type: ignore[arg-type]  # each of its own type


def delivered(body: bytes | None = None, status: int = 200, **looks: object) -> Relayed:
    """One request that passes, with properties of the answer."""
    return Relayed(answers=(AnswerLooks(status=status, body=body, **looks),))  # type: ignore[arg-type]  # each of its own type


def case(
    case_id: str,
    rfc: str,
    why: str,
    send: bytes | tuple[Step, ...],
    allowed: Outcome | tuple[Outcome, ...] = (),
    promised: Outcome | tuple[Outcome, ...] = (),
    replies: Reply | tuple[Reply, ...] = PLAIN_REPLY,
    **more: object,
) -> Case:
    """A case; single values stand for tuples of one."""
    return Case(
        case_id,
        rfc,
        why,
        (send,) if isinstance(send, bytes) else send,
        allowed if isinstance(allowed, tuple) else (allowed,),
        promised if isinstance(promised, tuple) else (promised,),
        (replies,) if isinstance(replies, Reply) else replies,
        **more,  # type: ignore[arg-type]  # each of its own type
    )


def slug(raw: bytes) -> str:
    """Bytes as a part of an id."""
    text = raw.decode("latin-1")
    return (
        "".join(c if c.isascii() and (c.isalnum() or c in "+-.,;=") else f"~{ord(c):02x}" for c in text)[:40] or "empty"
    )


def family(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Generated cases, in order."""
    return tuple(cases)
