"""Headers and query parameters that may stand for another method, path or operation than a request line's. Pure.

Amazon documents none. Many servers and frameworks obey some, so a request with one may do anything
(docs/reference/permissions.md, One reading of a path).
"""

from __future__ import annotations

import re
from functools import lru_cache

from proxy.http1.target import percent_decoded, query_parameters

OVERRIDES = frozenset(
    b"x-http-method-override x-http-method x-method-override x-original-method x-original-url x-original-uri "
    b"x-rewrite-url x-rewrite-uri x-override-url x-original-path x-original-request-uri x-envoy-original-path "
    b"x-request-uri x-waws-unencoded-url x-http-path-override method-override http-method-override x-amz-target".split()
)
"""The known headers. Parameters may have these names, too."""
_ALIKE = re.compile(rb"(?:x|https?|goog(?:le)?|amzn?|override|original|real|actual|requested)+method(?:override)?")
"""All of a name without punctuation. A bare `method` is a parameter like any other, and `Mcp-Method` is checked."""
_WITHIN = re.compile(
    rb"methodoverride|overridemethod|httpmethod|httpverb|verboverride|pathoverride|overridepath|unencodedurl"
    rb"|(?:original|rewrite|override|rewritten|overridden)(?:request)?(?:ur[il]|path)"
)
"""A part of such a name that suffices."""
_HINT = re.compile(rb"method|verb|path|ur[il]|target")
"""What each of these names has, without punctuation: almost no other name is looked at further."""
_PARAMETER = re.compile(rb"[^a-z0-9]+method(?:[^a-z0-9].*)?", re.DOTALL)
"""`_method` as frameworks for forms read it: PHP takes a dot, a blank and an opening bracket for `_`."""
PUNCTUATION = bytes(byte for byte in range(256) if not (byte < 128 and chr(byte).isalnum()))
_KNOWN = frozenset(name.translate(None, PUNCTUATION) for name in OVERRIDES)
_VALUE = re.compile(rb"=[^&;]*")
MAX_PARAMETERS = 80
"""How many parameters of a query are looked at, within ten times what a plain 401 costs."""
_DECODINGS = 3
_MAX_OVERRIDES = 1024
_MAX_REMEMBERED_BYTES = 128


def find_override(query: bytes) -> bool:
    """Whether a parameter of a query may stand for another request line.

    `query` may begin with its question mark. One of more than `MAX_PARAMETERS` may, if a name in it looks like it.
    """
    names = _VALUE.sub(b"", query)
    if b"%" not in names and _HINT.search(names.lower().translate(None, PUNCTUATION)) is None:
        return False
    if has_too_many(query):
        return True
    return any(may_override(name) for name, _ in query_parameters(query))


def has_too_many(query: bytes) -> bool:
    """Whether a query has more than `MAX_PARAMETERS`."""
    return query.count(b"&") + query.count(b";") >= MAX_PARAMETERS


def may_override(name: bytes) -> bool:
    """Whether a header or parameter of this name may stand for another request line."""
    return _remembered(name) if len(name) <= _MAX_REMEMBERED_BYTES else _find(name)


def _find(name: bytes) -> bool:
    for _ in range(_DECODINGS):
        lower = name.lower()
        plain = lower.translate(None, PUNCTUATION)
        if _HINT.search(plain) is None and b"%" not in name:
            return False
        if plain in _KNOWN or _ALIKE.fullmatch(plain) or _WITHIN.search(plain) or _PARAMETER.fullmatch(lower):
            return True
        decoded = percent_decoded(name)
        if decoded == name:
            return False
        name = decoded
    return False


_remembered = lru_cache(maxsize=_MAX_OVERRIDES)(_find)
