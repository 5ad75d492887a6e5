"""What becomes of a request at the quick exchange: the words of `ads_proxy_fast_path_total`."""

from __future__ import annotations

from enum import StrEnum


class QuickOutcome(StrEnum):
    """TAKEN, or why a request was, or became, an ordinary exchange."""

    __hash__ = str.__hash__  # that of an Enum is written in Python

    TAKEN = "taken"
    UNSEEN = "unseen"
    """No request of its kind was decided before."""
    INCOMPLETE = "incomplete"
    """It came in pieces, or with more behind it, or is larger than may be."""
    PAUSED = "paused"
    """The answers of its kind have no shape lately."""
    KEY = "key"
    """Its key or placeholder is to be looked at anew."""
    PROFILE = "profile"
    """Its profile or ads account was known to nobody, and may be by now."""
    TOKEN = "token"  # noqa: S105 - a word of a metric
    """There is no access token at hand."""
    THROTTLED = "throttled"
    """Amazon limits something lately."""
    BUDGET = "budget"
    """Its client has nothing left."""
    CONNECTION = "connection"
    """There was room for another connection, none that was in use a moment ago, or in the end none at all."""
    AUDIT = "audit"
    """It may change something, and its audit record could not be kept."""
    DRAINING = "draining"
    RESPONSE = "response"
    """It was sent, and its response is none of a known shape."""
    FAILED = "failed"
    """It was sent, and something happened before there was a response."""
