"""Bodies that are checked before they are sent: how they must come, and what they hold. Pure.

What two readers could understand differently is refused rather than checked; what is checked are the bytes that are
sent.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.http1.request_fields import RequestFields

_JSON = re.compile(rb"application/(?:[a-z0-9.+-]+\+)?json(?:[ \t]*;[ \t]*charset=(?:utf-8|\"utf-8\"))?")
_BETWEEN = "\n"
_PUNCTUATION = re.compile(r"[^a-z0-9\n]")
_MARK = "\ufeff"


class UnclearBody(ValueError):
    """Another reader may find something else in it."""


def find_odd_form(fields: RequestFields) -> str:
    """What of the header fields that leave makes a doubt how the body is to be read; empty for nothing."""
    lines = [line.lower().partition(b":") for line in fields.passing.split(b"\r\n")]
    sent = [(name.replace(b"_", b"-"), value.strip(b" \t")) for name, _, value in lines]
    kinds = [value for name, value in sent if name == b"content-type"]
    if len(kinds) != 1 or not _JSON.fullmatch(kinds[0]):
        return "the body must be sent as Content-Type: application/json, in UTF-8"
    if any(name == b"content-encoding" and value not in (b"", b"identity") for name, value in sent):
        return "the body must be sent without Content-Encoding"
    return ""


def read_json(body: bytes, *, strictly: bool) -> Any:
    """The value of a body, if every reader of JSON must find the same. Raises `ValueError` or `RecursionError`.

    No object has a name twice; `strictly`, every name is plain, and differs from the others also for who takes no
    notice of case and punctuation.
    """
    text = body.decode("utf-8")
    if text.startswith(_MARK):
        raise UnclearBody
    hook = _strict_object if strictly else _object
    return json.loads(text, object_pairs_hook=hook, parse_constant=_constant)


def differ_clearly(names: Iterable[str]) -> bool:
    """Whether names are plain, and differ also for who takes no notice of case and punctuation."""
    given = tuple(names)
    if not given:
        return True
    text = _BETWEEN.join(given)
    if not text.isascii() or "\\" in text or text.count(_BETWEEN) >= len(given):
        return False
    return len(given) == 1 or len(set(_PUNCTUATION.sub("", text.lower()).split(_BETWEEN))) == len(given)


def _strict_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = _object(pairs)
    if not differ_clearly(found):
        raise UnclearBody
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnclearBody
    return found


def _constant(_name: str) -> None:
    """NaN and Infinity are no JSON (RFC 8259, 6)."""
    raise UnclearBody
