"""Answers and refusals as values, and the ways to make an answer. Nothing is written here."""

from __future__ import annotations

import gzip
import json
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.simulator.faults import Framing


MARK = ("X-Ads-Simulator", "pretend data, not Amazon")
"""Goes with every answer, so that pretend data is not taken for Amazon's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler decided. A `stream` replaces `body`; `length` makes a stream a counted one."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    framing: Framing = "chunked"
    stream: AsyncIterator[bytes] | None = None
    length: int | None = None

    def with_headers(self, *headers: tuple[str, str]) -> Answer:
        """This answer with more headers at its end."""
        return replace(self, headers=self.headers + headers)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused. `kind` is counted and `reason` noted; `code` and `words` go to the client. Without
    `words`, which are Amazon's own, the client gets the reason.
    """

    status: int
    kind: str
    code: str
    reason: str
    words: str | None = None

    @property
    def details(self) -> str:
        """The text for the client."""
        return self.reason if self.words is None else self.words


def json_answer(value: Any, status: int = 200, media_type: str = "application/json") -> Answer:
    """A chunked JSON answer, as the Ads API gives them."""
    return Answer(status, (("Content-Type", media_type),), json.dumps(value).encode())


def error_answer(status: int, code: str, details: str) -> Answer:
    """Amazon's usual error body."""
    return json_answer({"code": code, "details": details}, status)


UNIFIED_CODES = dict.fromkeys(("INVALID_ARGUMENT", "UNSUPPORTED_MEDIA_TYPE", "NOT_ACCEPTABLE"), "BAD_REQUEST")
"""What the unified API says for codes that it does not have."""


def error_at(path: str, status: int, code: str, text: str) -> Answer:
    """An error as the operations at `path` have it: the unified API, ads accounts and reports do not say `details`."""
    if path.startswith("/adsApi/"):
        return json_answer({"code": UNIFIED_CODES.get(code, code), "message": text}, status)
    if path.startswith("/adsAccounts"):
        return json_answer({"errors": [{"errorId": 0, "errorCode": code, "errorMessage": text}]}, status)
    if path.startswith("/reporting/") and code.isdecimal():
        return json_answer({"code": code, "detail": text}, status)
    return error_answer(status, code, text)


def as_error(path: str, refusal: Refusal) -> Answer:
    """What a client gets for a refusal at a path."""
    return error_at(path, refusal.status, refusal.code, refusal.details)


def request_ids() -> tuple[tuple[str, str], ...]:
    """The request ids of an answer of the Ads API."""
    rid = secrets.token_hex(10).upper()
    other = secrets.choice(("x-amz-request-id", "x-amzn-RequestId"))
    return (("x-amz-rid", rid), (other, secrets.token_hex(16)))


def compressed(answer: Answer, accept_encoding: str, smallest: int | None) -> Answer:
    """The answer in gzip where the request asks for it and the body is worth it."""
    names = {part.split(";")[0].strip().lower() for part in accept_encoding.split(",")}
    if smallest is None or answer.stream is not None or len(answer.body) < smallest or "gzip" not in names:
        return answer
    if any(name.lower() == "content-encoding" for name, _ in answer.headers):
        return answer
    packed = replace(answer, body=gzip.compress(answer.body, 1))
    return packed.with_headers(("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
