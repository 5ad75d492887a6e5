"""Amazon's APIs as values: which one a request is for, and that their members decide."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.app.rules import make_routing_table
from proxy.errors import NeverForwarded
from proxy.http1.target import parse_target
from proxy.routing.api import ADS_API, MCP, Api
from proxy.routing.route import Route, route
from proxy.routing.table import EmptyDirectory
from proxy.routing.target import find_destination
from tests.support.deciding import config, fields, request, summary


@pytest.mark.parametrize(
    ("target", "api"),
    [
        (b"/v2/profiles", ADS_API),
        (b"/mcp/other", ADS_API),
        (b"/@acme/mcp", MCP),
        (b"/eu/mcp/lite/", MCP),
        (b"/auth/o2/token", None),
        (b"/ap/oa", None),
        (b"/register", None),
    ],
)
def test_the_path_of_a_request_tells_its_api(target: bytes, api: Api | None) -> None:
    """A path of the proxy's own, and one that is never forwarded, belong to none."""
    assert summary(request(b"GET", target)).api is api


@pytest.mark.parametrize("target", [b"/auth/o2/token", b"/ap/oa", b"/register"])
def test_a_request_for_no_api_has_no_route(target: bytes) -> None:
    """The refusal says that it is never forwarded."""
    with pytest.raises(NeverForwarded):
        route(summary(request(b"GET", target)), make_routing_table(config({"acme": {}}), EmptyDirectory()))


def test_the_route_has_the_path_of_the_apis_address() -> None:
    """Only an API with paths of its own has one; the other's targets are sent as they came."""
    table = make_routing_table(config({"acme": {}}), EmptyDirectory())
    found = {
        target: route(summary(request(b"POST", target)), table).api_path for target in (b"/mcp/lite", b"/sp/campaigns")
    }
    assert found == {b"/mcp/lite": b"/mcp", b"/sp/campaigns": b""}


def test_the_first_of_the_apis_paths_is_replaced() -> None:
    """Whatever its length."""
    destination = find_destination(parse_target(b"/tools/lite?a=1"))
    api = replace(MCP, name="tools", paths=(b"/tools", b"/tools/lite"))
    assert Route("acme", "na", api, b"", b"", api_path=b"/hosted/mcp").target(destination) == b"/hosted/mcp/lite?a=1"


def test_defaults_are_for_an_api_that_takes_them() -> None:
    """The account's default profile is added to a request of the Ads API, and to no message."""
    table = make_routing_table(config({"acme": {"default_profile": "7"}}), EmptyDirectory())
    profiles = {
        target: route(summary(request(b"POST", target, fields())), table).profile
        for target in (b"/mcp", b"/unknown/operation")
    }
    assert profiles == {b"/mcp": b"", b"/unknown/operation": b"7"}


def test_an_api_is_shown_by_its_name() -> None:
    """A log of a defect says which one it was."""
    assert repr(MCP) == "<Api mcp>"
