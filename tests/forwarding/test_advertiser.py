"""For whom a request is made."""

from __future__ import annotations

import pytest

from proxy.forwarding.advertiser import find_advertiser
from proxy.routing.route import Route
from proxy.routing.target import TargetKind
from tests.support.deciding import fields, request

OWN = (b"Amazon-Ads-AccountId: a",)


@pytest.mark.parametrize(
    ("lines", "profile", "ads_account", "header", "advertiser"),
    [
        ((), b"", b"", b"", ""),
        ((), b"7", b"", b"", "7"),
        (OWN, b"", b"a", b"", "a"),
        (OWN, b"7", b"a", b"", "7 a"),
        ((), b"", b"d", b"Amazon-Ads-AccountId", "d"),
        ((), b"7", b"d", b"Amazon-Ads-AccountId", "7 d"),
    ],
)
def test_an_advertiser_is_profile_and_ads_account(
    lines: tuple[bytes, ...], profile: bytes, ads_account: bytes, header: bytes, advertiser: str
) -> None:
    """The tool's own or a default one; each once."""
    chosen = Route("acme", "na", TargetKind.API, profile, b"", ads_account, header)
    assert find_advertiser(request(read=fields(*lines)), chosen) == advertiser
