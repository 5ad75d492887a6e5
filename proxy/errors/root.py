"""The root of all failures that have a name; nothing else stands here."""

from __future__ import annotations


class AdsProxyError(Exception):
    """The root of all failures that have a name."""
