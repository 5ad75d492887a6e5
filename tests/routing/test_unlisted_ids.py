"""Ids that no account lists: those that a request sent, and those that were added to it."""

from __future__ import annotations

import pytest

from proxy.app.rules import make_routing_table
from proxy.routing.api import ADS_API
from proxy.routing.route import Route
from proxy.routing.table import ANYBODY
from proxy.routing.unlisted_ids import UnlistedIds, find_missed, is_listed, misses_default
from tests.support.deciding import Listed, config, fields, request, summary

LISTED = Listed({"11": (("acme", "na"),)}, ads_accounts={"amzn1.a": (("acme", "na"),)})
ADS_ACCOUNT = b"Amazon-Ads-AccountId: "


@pytest.mark.parametrize(
    ("target", "scope", "ads_account", "missed"),
    [
        (b"/x", b"", b"", None),
        (b"/x", b"11", b"amzn1.a", None),
        (b"/x", b"99", b"", UnlistedIds("99", "", "")),
        (b"/x", b"11", b"amzn1.b", UnlistedIds("", "amzn1.b", "")),
        (b"/@acme/x", b"99", b"amzn1.b", UnlistedIds("99", "amzn1.b", "acme")),
    ],
)
def test_the_sent_ids_that_no_account_lists_are_found(
    target: bytes, scope: bytes, ads_account: bytes, missed: UnlistedIds | None
) -> None:
    """With the account that the request chose, if it chose one."""
    table = make_routing_table(config({"acme": {}, "zeta": {}}), LISTED)
    lines = (ADS_ACCOUNT + ads_account,) if ads_account else ()
    asked = summary(request(b"GET", target, fields(*lines, scopes=(scope,) if scope else ())))
    assert find_missed(asked, ANYBODY, table) == missed


@pytest.mark.parametrize(
    ("scope", "profile", "ads_account", "missed"),
    [
        (b"", b"", b"", False),
        (b"", b"11", b"", False),
        (b"", b"99", b"", True),
        (b"99", b"99", b"", False),
        (b"", b"", b"amzn1.a", False),
        (b"", b"", b"amzn1.b", True),
    ],
)
def test_an_added_default_may_be_unlisted(scope: bytes, profile: bytes, ads_account: bytes, missed: bool) -> None:
    """An id that the client sent itself is no default."""
    header = b"Amazon-Ads-AccountId" if ads_account else b""
    route = Route("acme", "na", ADS_API, profile, b"", ads_account, header)
    assert misses_default(fields(scopes=(scope,) if scope else ()), route, LISTED) is missed


@pytest.mark.parametrize(
    ("missed", "listed"),
    [
        (UnlistedIds("99", "", ""), False),
        (UnlistedIds("11", "", ""), True),
        (UnlistedIds("99", "amzn1.b", ""), False),
        (UnlistedIds("99", "amzn1.a", ""), True),
        (UnlistedIds("11", "amzn1.b", ""), True),
    ],
)
def test_one_id_that_is_listed_by_now_is_enough(missed: UnlistedIds, listed: bool) -> None:
    """The request may go elsewhere then, and is decided again."""
    assert is_listed(missed, LISTED) is listed
