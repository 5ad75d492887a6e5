"""Which requests are admitted: web pages, host names, methods and forms of the target."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import pytest

from proxy.access.admission import admit, check_host, identify
from proxy.access.clients import Budgets, Clients
from proxy.app.rules import make_clients, make_routing_table
from proxy.config import Client
from proxy.errors import (
    ClientUnknown,
    CrossOrigin,
    MalformedRequest,
    MethodNotAllowed,
    MisdirectedHost,
    Refused,
    UnknownRoute,
)
from proxy.http1.target import parse_target
from proxy.routing.route import read_host
from proxy.routing.table import EmptyDirectory, RoutingTable
from proxy.routing.target import find_destination
from tests.support.deciding import config, fields, region, request

TABLE = make_routing_table(
    config(
        {"acme": {}},
        allowed_hosts=("proxy.internal",),
        regions={
            "na": region(api_url="http://127.0.0.1:9001"),
            "eu": region(api_url="http://sim:9002"),
            "fe": region(api_url="http://[::1]:9003"),
        },
    ),
    EmptyDirectory(),
)


@pytest.mark.parametrize(
    "host",
    [
        b"127.0.0.1",
        b"127.0.0.1:8080",
        b"127.0.0.1:",
        b"10.1.2.3:99",
        b"[::1]:8080",
        b"[::1]",
        b"localhost",
        b"LocalHost:1",
        b"localhost.",
        b"proxy.internal:80",
        b"Proxy.Internal",
        b"advertising-api.amazon.com",
        b"advertising-api-eu.amazon.com:443",
        b"sim:9002",
        b"sim",
        b"",
    ],
)
def test_hosts_that_are_served(host: bytes) -> None:
    """IP literals, localhost, Amazon's and configured names; the port does not count, HTTP/1.0 may have none."""
    check_host(request(b"GET", b"/x", fields(host=host)), TABLE)
    assert not host or read_host(host).name == read_host(host).name.lower()


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"evil.example:8080",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"foo.localhost",
        b"2130706433",
        b"0x7f.1",
        b"127.1",
        b"api.amazon.com",
        b"advertising-api.amazon.com.evil.example",
        b"amazon.com",
    ],
)
def test_other_hosts_are_misdirected(host: bytes) -> None:
    """A host name that an attacker controls is refused: the defence against DNS rebinding."""
    with pytest.raises(MisdirectedHost, match="allowed_hosts"):
        check_host(request(b"GET", b"/x", fields(host=host)), TABLE)


@pytest.mark.parametrize(
    "host",
    [b"a b", b"user@localhost", b"localhost/x", b"localhost:80:80", b"[::1", b"::1", b"a,b", b"localhost:x", b":80"],
)
def test_what_is_no_host_is_malformed(host: bytes) -> None:
    """A Host that two readers could understand differently."""
    with pytest.raises(MalformedRequest) as refused:
        check_host(request(b"GET", b"/x", fields(host=host)), TABLE)
    assert refused.value.close


def test_the_listen_address_is_served_by_its_name() -> None:
    """A proxy that listens on a name answers for it."""
    from proxy.config.model.values import Address

    table = make_routing_table(config({"acme": {}}, listen=Address("proxy.lan", 80)), EmptyDirectory())
    check_host(request(b"GET", b"/x", fields(host=b"proxy.lan:80")), table)
    with pytest.raises(MisdirectedHost):
        check_host(request(b"GET", b"/x", fields(host=b"proxy.internal")), table)


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://advertising-api-eu.amazon.com/v2/x", b"advertising-api-eu.amazon.com"),
        (b"http://Advertising-API.amazon.com:80/v2/x", b"advertising-api.amazon.com:80"),
        (b"http://advertising-api.amazon.com/v2/x", b""),
        (b"http://127.0.0.1:9001/v2/x", b"127.0.0.1:9001"),
        (b"http://sim:9002/x", b"SIM:9002"),
        (b"http://[::1]:9003/x", b"[::1]:9003"),
    ],
)
def test_absolute_targets_of_api_hosts_pass(target: bytes, host: bytes) -> None:
    """With them, http_proxy can lead here."""
    asked = request(b"GET", target, fields(host=host))
    admit(asked, TABLE)
    check_host(asked, TABLE)
    assert read_host(b"[::1]:9003").authority == "::1:9003"


INTERCEPTING = make_routing_table(config({"acme": {}}, intercept={"enabled": True, "ca_dir": "ca"}), EmptyDirectory())


@pytest.mark.parametrize(
    "target",
    [
        b"https://advertising-api-eu.amazon.com/v2/x",
        b"https://API.amazon.com:443/auth/o2/token",
        b"http://api.amazon.co.uk/auth/o2/token",
        b"https://advertising-ai.amazon.com/mcp",
    ],
)
def test_with_interception_absolute_targets_have_amazons_hosts(target: bytes) -> None:
    """Some clients send https:// targets to a proxy, where others send CONNECT first."""
    asked = request(b"GET", target, fields(host=b""))
    admit(asked, INTERCEPTING)
    check_host(asked, INTERCEPTING)
    with pytest.raises(Refused):
        admit(asked, TABLE)
        check_host(asked, TABLE)


@pytest.mark.parametrize(
    "target",
    [
        b"https://api.amazon.com/user/profile",
        b"http://api.amazon.co.uk/v2/profiles",
        b"https://api.amazon.com:443/",
        b"https://advertising-ai.amazon.com/v2/profiles",
        b"http://advertising-ai-eu.amazon.com/x/mcp",
    ],
)
def test_absolute_targets_have_what_amazon_has_at_their_host(target: bytes) -> None:
    """What is at no token or MCP host is not sent to an API host instead."""
    asked = request(b"GET", target, fields(host=b""))
    admit(asked, INTERCEPTING)
    with pytest.raises(UnknownRoute, match="alone; send this to another host"):
        check_host(asked, INTERCEPTING)


@pytest.mark.parametrize("target", [b"https://example.com/", b"https://127.0.0.1/x", b"https://www.amazon.com/ap/oa"])
def test_with_interception_no_other_https_target_passes(target: bytes) -> None:
    """The message names NO_PROXY, and no setting that is on already."""
    with pytest.raises(MalformedRequest, match=r"^(?!.*intercept\.enabled).*NO_PROXY"):
        admit(request(b"GET", target, fields()), INTERCEPTING)


@pytest.mark.parametrize(
    "target",
    [
        b"http://example.com/",
        b"http://127.0.0.1:8080/v2/profiles",
        b"http://127.0.0.1/x",
        b"http://localhost/x",
        b"http://proxy.internal/x",
        b"http://169.254.169.254/latest/meta-data",
        b"http://api.amazon.com/auth/o2/token",
        b"http://sim:9001/x",
    ],
)
def test_other_absolute_targets_are_refused_and_told_why(target: bytes) -> None:
    """The proxy is no general proxy."""
    authority = target.split(b"/")[2]
    with pytest.raises(MisdirectedHost, match="no general proxy") as refused:
        check_host(request(b"GET", target, fields(host=authority)), TABLE)
    assert refused.value.close


def test_a_key_exempts_from_which_host_it_is_and_from_nothing_else() -> None:
    """A malformed Host and a foreign absolute target are refused with a valid key, too."""
    check_host(request(b"GET", b"/x", fields(host=b"proxy.lan:80")), TABLE, has_key=True)
    with pytest.raises(MalformedRequest):
        check_host(request(b"GET", b"/x", fields(host=b"\xff")), TABLE, has_key=True)
    with pytest.raises(MisdirectedHost, match="no general proxy"):
        check_host(request(b"GET", b"http://example.com/", fields(host=b"example.com")), TABLE, has_key=True)


def test_host_must_equal_an_absolute_target() -> None:
    """Two hosts in one request are a doubt (RFC 9112, 3.2)."""
    with pytest.raises(MalformedRequest):
        check_host(request(b"GET", b"http://advertising-api.amazon.com/", fields(host=b"127.0.0.1:8080")), TABLE)


@pytest.mark.parametrize("site", [b"", b"none", b"same-origin"])
def test_programs_and_the_address_bar_may_ask(site: bytes) -> None:
    """No Sec-Fetch-Site, or one that speaks of no other page."""
    admit(request(b"GET", b"/v2/profiles", fields(fetch_site=site)), TABLE)
    admit(request(b"GET", b"http://advertising-api.amazon.com/v2/profiles", fields(fetch_site=site)), TABLE)


@pytest.mark.parametrize("changed", [{"origin": b"null"}, {"fetch_site": b"cross-site"}, {"fetch_site": b"same-site"}])
def test_web_pages_may_not(changed: dict[str, Any]) -> None:
    """Any Origin, and any Sec-Fetch-Site but none and same-origin."""
    with pytest.raises(CrossOrigin) as refused:
        admit(request(b"GET", b"/v2/profiles", fields(**changed)), TABLE)
    assert refused.value.close


@pytest.mark.parametrize("fetch_site", [b"none,cross-site", b"none,none", b"nonsense"])
def test_a_strange_fetch_site_is_a_web_page(fetch_site: bytes) -> None:
    """What is not known to be harmless is refused."""
    with pytest.raises(CrossOrigin):
        admit(request(b"GET", b"/", fields(fetch_site=fetch_site)), TABLE)


@pytest.mark.parametrize(
    ("method", "target", "refusal"),
    [
        (b"CONNECT", b"advertising-api.amazon.com:443", MethodNotAllowed),
        (b"TRACE", b"/", MethodNotAllowed),
        (b"OPTIONS", b"*", MethodNotAllowed),
        (b"GET", b"x", MalformedRequest),
        (b"GET", b"*", MethodNotAllowed),
        (b"GET", b"example.com:443", MalformedRequest),
        (b"GET", b"v2/profiles", MalformedRequest),
        (b"GET", b"ftp://h/", MalformedRequest),
        (b"GET", b"ws://h/", MalformedRequest),
        (b"GET", b"https://advertising-api.amazon.com/", MalformedRequest),
        (b"GET", b"https://a:b/x", MalformedRequest),
        (b"GET", b"/#x", MalformedRequest),
    ],
)
def test_what_is_answered_to_nobody(method: bytes, target: bytes, refusal: type[Refused]) -> None:
    """Each closes the connection."""
    with pytest.raises(refusal) as refused:
        admit(request(method, target, fields()), TABLE)
    assert refused.value.close


KEYED = make_clients(
    config({"acme": {}}, clients=(Client(name="reporting", key_sha256=hashlib.sha256(b"key").hexdigest()),)),
    b"signing",
    Budgets(),
)


class Rules(NamedTuple):
    """Clients, and what they may ask for."""

    clients: Clients
    table: RoutingTable


RULES = Rules(KEYED, TABLE)


def test_a_foreign_host_is_told_before_a_missing_key() -> None:
    """A request whose key alone is missing gets the error about the key; the token endpoint expects it in the body."""
    api, token = (find_destination(parse_target(target)) for target in (b"/v2/profiles", b"/auth/o2/token"))
    with pytest.raises(MisdirectedHost):
        identify(request(b"GET", b"/v2/profiles", fields(host=b"evil.example")), api, RULES, 0.0)
    for destination in (api, None):
        with pytest.raises(ClientUnknown):
            identify(request(b"GET", b"/v2/profiles", fields()), destination, RULES, 0.0)
    assert identify(request(b"POST", b"/auth/o2/token", fields()), token, RULES, 0.0) is KEYED.nobody


def test_a_key_exempts_from_which_host_it_is() -> None:
    """A request without any host is still refused."""
    asked = fields(host=b"evil.example", proxy_key=b"key")
    assert identify(request(b"GET", b"/v2/profiles", asked), None, RULES, 0.0).name == "reporting"
    with pytest.raises(MalformedRequest):
        identify(request(b"GET", b"/v2/profiles", fields(host=b"a b", proxy_key=b"key")), None, RULES, 0.0)
