"""Segments of a path that are numbers: which paths differ in nothing else, and what could tell one number from another.

Amazon's ids are numbers, and so there are ever new paths of few kinds. Nothing here or in `access` reads a number of a
path, unless a template or a pattern holds one. Pure.
"""

from __future__ import annotations

import re

from proxy.http1.target import split_query

_NUMBER = re.compile(rb"/[0-9]+(?![^/])")
_NUMBER_IN_LINE = re.compile(rb"/[0-9]++(?=[/ ]|\Z)")
_HELD = re.compile(rb"(?:\A|/)[0-9]+(?:/|\Z)")


def without_numbers(path: bytes) -> bytes:
    """A path, or what ends in one, with `0` for each segment that is a number: `/v2/campaigns/0`."""
    return _NUMBER.sub(b"/0", path)


def line_without_numbers(line: bytes) -> bytes:
    """The same of a request line. Its query stays as it is: what looks like a number of a path there is none."""
    path, query = split_query(line)
    return _NUMBER_IN_LINE.sub(b"/0", path) + query


def may_tell_numbers_apart(part: bytes) -> bool:
    """Whether a path, or a literal piece of a pattern for paths, holds what may be the whole or an end of a segment
    that is a number: `/v2/campaigns/7` and `7/` do, `/v2/` does not."""
    return _HELD.search(part) is not None
