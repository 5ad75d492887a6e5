"""The head that leaves, and the lines of an account in it."""

from __future__ import annotations

from dataclasses import replace

from proxy.forwarding.injection import AccountLines, account_lines, render_section, request_line
from proxy.routing.api import ADS_API
from proxy.routing.route import Route
from proxy.secret import Secret
from proxy.tokens.values import AccessToken
from tests.support.deciding import fields

ROUTE = Route("acme", "na", ADS_API, b"42", b"")


def test_a_request_head_is_joined_from_its_parts() -> None:
    """Request line, Host, the account's lines, the profile, the passing lines, and the framing if it is chunked."""
    lines = account_lines("Atza|t", "amzn1.x")
    assert request_line(b"POST", b"/a") == b"POST /a HTTP/1.1\r\n"
    read = fields(b"Transfer-Encoding: chunked", b"A: b")
    assert render_section(read, ROUTE, b"Host: amazon\r\n", lines) == (
        b"Host: amazon\r\nAuthorization: Bearer Atza|t\r\n"
        b"Amazon-Advertising-API-ClientId: amzn1.x\r\nAmazon-Ads-ClientId: amzn1.x\r\n"
        b"Amazon-Advertising-API-Scope: 42\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert b"Scope" not in render_section(fields(), replace(ROUTE, profile=b""), b"", lines)


def test_a_default_ads_account_is_written_under_its_operations_name() -> None:
    """Before what passes; one of the client's own is among that, and is not written twice."""
    default = replace(ROUTE, profile=b"", ads_account=b"amzn1.a", ads_account_header=b"Amazon-Ads-Account-ID")
    section = render_section(fields(b"A: b"), default, b"", b"")
    assert section == b"Amazon-Ads-Account-ID: amzn1.a\r\nA: b\r\n\r\n"
    own = fields(b"amazon-ads-ACCOUNTID: amzn1.a")
    section = render_section(own, replace(ROUTE, profile=b"", ads_account=b"amzn1.a"), b"", b"")
    assert section == b"amazon-ads-ACCOUNTID: amzn1.a\r\n\r\n"


def test_the_lines_are_made_once_for_each_token() -> None:
    """Another token of the account makes them anew; each carries the client id that it was minted for."""
    made = AccountLines()
    first = AccessToken("acme", Secret("Atza|1"), 1, 0.0, "amzn1.x")
    lines = made.of(first)
    assert b"Atza|1" in lines and made.of(first) is lines
    second = made.of(replace(first, value=Secret("Atza|2"), client_id="amzn1.z"))
    assert b"Atza|2" in second and b"ClientId: amzn1.z\r\n" in second and b"amzn1.x" not in second
    made.forget()
    assert repr(made) == "<AccountLines of no account>"
    assert made.of(first) == lines
    assert "Atza" not in repr(made) and "acme" in repr(made)
