"""How log and metrics call a request, routed or refused before."""

from __future__ import annotations

import pytest

from proxy.events import UNKNOWN, RequestKind
from proxy.routing.api import ADS_API
from proxy.routing.request_kind import MAX_NAMED, kind_of_route, kind_of_summary, method_name
from proxy.routing.route import Route
from tests.support.deciding import fields, request, summary


@pytest.mark.parametrize(("method", "name"), [(b"GET", "GET"), (b"TRACE", "TRACE"), (b"get", "other"), (b"X", "other")])
def test_a_method_is_one_of_a_small_set(method: bytes, name: str) -> None:
    """A client may send any token as a method, and labels of metrics must be few."""
    assert method_name(method) == name


def test_of_a_long_profile_or_ads_account_the_beginning_is_told() -> None:
    """What a client sends as one may be anything, and is kept for each kind of request."""
    asked = summary(request(b"GET", b"/x"))
    kind = kind_of_route("tool", asked, Route("acme", "na", ADS_API, b"7" * 50_000, b"", b"a" * 50_000), "read")
    assert (kind.profile, kind.ads_account) == ("7" * MAX_NAMED, "a" * MAX_NAMED)
    assert (kind.client, kind.account, kind.region, kind.operation) == ("tool", "acme", "na", UNKNOWN)


@pytest.mark.parametrize(
    ("target", "operation", "effect"),
    [
        (b"/sp/campaigns", "CreateSponsoredProductsCampaigns", "write"),
        (b"/x/y", UNKNOWN, UNKNOWN),
    ],
)
def test_a_refused_request_is_called_by_what_it_sent(target: bytes, operation: str, effect: str) -> None:
    """Without account and region, which nothing has chosen."""
    sent = fields(b"Amazon-Ads-AccountId: " + b"a" * 100, scopes=(b"", b"7" * 100))
    kind = kind_of_summary("tool", summary(request(b"POST", target, sent)))
    assert kind == RequestKind("tool", "", "", "7" * MAX_NAMED, "a" * MAX_NAMED, "POST", operation, effect)
