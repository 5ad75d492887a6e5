"""The control API: the same things as in `SimulatorState`, by HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import Tool


async def test_overview_names_addresses_credentials_and_actions(tool: Tool) -> None:
    """GET /control tells a stranger all that there is."""
    about = (await tool.control("GET", "")).json()
    assert about["api_urls"] == tool.simulator.api_urls
    assert about["refresh_token"] == tool.simulator.refresh_token
    assert "POST /control/faults" in about["actions"]


async def test_counts_tell_requests_by_kind_path_and_status(tool: Tool) -> None:
    """Token requests, API requests by region, status and path, and refusals are counted."""
    await tool.ask("GET", "/v2/profiles")
    await tool.ask("GET", "/v2/profiles/1")
    await tool.ask("GET", "/sd/campaigns")
    counts = (await tool.control("GET", "/counts")).json()
    assert (counts["token_requests"], counts["token_by_result"]) == (1, {"ok": 1})
    assert (counts["api_requests"], counts["api_by_region"]) == (3, {"na": 3})
    assert counts["api_by_status"] == {"200": 1, "404": 1, "401": 1}
    assert counts["paths"]["GET /v2/profiles/{}"] == {"404": 1}
    assert counts["refusals_by_kind"] == {"scope-missing": 1}


async def test_requests_are_shown_as_received(tool: Tool) -> None:
    """Header names keep case, order and repetition; the target keeps every byte."""
    await tool.sign_in()
    await tool.raw(tool.head("GET", "/a//b?x=%2f&u=https://y", "x-oDD: 1", "X-Odd: \xe9", "Connection: close"))
    shown = (await tool.control("GET", "/requests?listener=api&last=1")).json()
    assert shown[0]["target"] == "/a//b?x=%2f&u=https://y"
    assert shown[0]["host"] == tool.host
    assert shown[0]["headers"][-3:] == [["x-oDD", "1"], ["X-Odd", "\xe9"], ["Connection", "close"]]
    assert shown[0]["status"] == 404


async def test_refusals_are_shown_with_reason_and_owner(tool: Tool) -> None:
    """A refusal tells what was wrong and whose header it is."""
    await tool.ask("GET", "/v2/profiles", Cookie="a=b")
    shown = (await tool.control("GET", "/refusals?owner=proxy")).json()
    assert (shown["total"], shown["by_kind"]) == (1, {"leaked-header": 1})
    assert shown["by_owner"] == {"proxy": 1, "tool": 0}
    assert (shown["refusals"][0]["kind"], shown["refusals"][0]["owner"]) == ("leaked-header", "proxy")
    assert "cookie" in shown["refusals"][0]["reason"]
    assert (await tool.control("GET", "/refusals?owner=tool")).json()["refusals"] == []


async def test_faults_are_planned_shown_and_cleared(tool: Tool) -> None:
    """A fault posted as JSON happens, shows how often, and goes away."""
    match = {"target": "api", "path": "/v2/profiles"}
    planned = await tool.control("POST", "/faults", {"match": match, "times": 1, "fault": {"status": 429}})
    assert planned.json()["left"] == 1
    assert (await tool.ask("GET", "/v2/profiles")).status == 429
    assert (await tool.control("GET", "/faults")).json()[0]["happened"] == 1
    assert (await tool.control("DELETE", "/faults")).json() == {"faults": 0}
    assert (await tool.control("GET", "/faults")).json() == []


async def test_access_tokens_can_all_die(tool: Tool) -> None:
    """After `tokens/expire` the token in hand is unknown, and a new one is good."""
    await tool.sign_in()
    assert (await tool.control("POST", "/tokens/expire")).json() == {"expired": 1}
    assert (await tool.ask("GET", "/v2/profiles")).status == 401
    await tool.sign_in()
    assert (await tool.ask("GET", "/v2/profiles")).status == 200


async def test_credentials_can_be_revoked_and_restored(tool: Tool) -> None:
    """Revoked with their access tokens, nothing works; restored, the refresh token does again."""
    await tool.sign_in()
    assert (await tool.control("POST", "/credentials/revoke", {"access_tokens": True})).json() == {"revoked": 1}
    assert (await tool.ask("GET", "/v2/profiles")).status == 401
    assert (await tool.refresh()).json()["error"] == "invalid_grant"
    assert (await tool.control("POST", "/credentials/restore")).json() == {"restored": 1}
    assert (await tool.refresh()).status == 200


async def test_changed_secret_makes_the_old_one_invalid(tool: Tool) -> None:
    """After `app/secret` the old secret is invalid_client and the new one is good."""
    old = tool.simulator.app.client_secret
    await tool.control("POST", "/app/secret", {"client_secret": "new"})
    assert (await tool.refresh(client_secret=old)).json()["error"] == "invalid_client"
    assert (await tool.refresh(client_secret="new")).status == 200
    await tool.control("POST", "/app", {"authorized": False})
    assert (await tool.refresh(client_secret="new")).json()["error"] == "unauthorized_client"


async def test_profiles_come_and_go(tool: Tool) -> None:
    """A profile that was added is listed, and gone after it was removed."""
    await tool.control("POST", "/profiles", {"action": "add", "region": "na", "profile_id": "77"})
    assert 77 in [profile["profileId"] for profile in (await tool.ask("GET", "/v2/profiles")).json()]
    gone = await tool.control("POST", "/profiles", {"action": "remove", "region": "na", "profile_id": "77"})
    assert gone.json() == {"removed": True}
    assert 77 not in [profile["profileId"] for profile in (await tool.ask("GET", "/v2/profiles")).json()]


async def test_further_users_and_apps_have_their_own_tokens(tool: Tool) -> None:
    """A second user sees profiles of its own; a second app has its own credentials."""
    user = (await tool.control("POST", "/users", {"user": "other", "profiles_per_region": 2})).json()
    tool.token = (await tool.refresh(refresh_token=user["refresh_token"])).json()["access_token"]
    listed = (await tool.ask("GET", "/v2/profiles")).json()
    assert [str(profile["profileId"]) for profile in listed] == user["profiles"]["na"]
    app = (await tool.control("POST", "/apps", {"name": "second"})).json()
    assert (await tool.refresh(**app)).status == 200


async def test_clock_and_settings_change_at_run_time(tool: Tool) -> None:
    """A shorter lifetime and a clock moved on end a token."""
    await tool.control("POST", "/settings", {"access_token_lifetime": 5})
    await tool.sign_in()
    await tool.control("POST", "/clock", {"advance": 5})
    assert (await tool.ask("GET", "/v2/profiles")).status == 401


async def test_connections_can_be_closed(tool: Tool) -> None:
    """`connections/close` says how many it closed."""
    await tool.ask("GET", "/v2/profiles")
    assert (await tool.control("POST", "/connections/close")).json()["closed"] >= 1


async def test_reset_brings_back_the_start(tool: Tool) -> None:
    """Counts, faults, tokens and profiles are as at the start; the credentials are good."""
    await tool.control("POST", "/credentials/revoke")
    await tool.control("POST", "/profiles", {"region": "na"})
    await tool.control("POST", "/faults", {"fault": {"status": 500}})
    assert (await tool.control("POST", "/reset")).json() == {"reset": True}
    assert (await tool.control("GET", "/counts")).json()["api_requests"] == 0
    assert len((await tool.ask("GET", "/v2/profiles")).json()) == 3


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("PUT", "/faults", None, 404),
        ("POST", "/faults", {}, 400),
        ("POST", "/faults", [], 400),
        ("POST", "/faults", {"fault": {"satus": 1}}, 400),
        ("POST", "/faults", {"fault": {}, "times": 0}, 400),
        ("POST", "/app/secret", {}, 400),
        ("POST", "/profiles", {"region": "us"}, 400),
        ("POST", "/profiles", {"region": "na", "action": "remove"}, 400),
        ("POST", "/settings", {"host": "x"}, 400),
        ("POST", "/settings", {"rotation": "sometimes"}, 400),
        ("POST", "/settings", {"mcp_tools": "all"}, 400),
        ("POST", "/settings", {"require_pkce": 1}, 400),
        ("POST", "/settings", {"report_polls": "two"}, 400),
        ("POST", "/settings", {"access_token_lifetime": -1}, 400),
        ("GET", "/requests?last=x", None, 400),
    ],
)
async def test_control_request_without_sense_is_refused(
    tool: Tool, method: str, path: str, body: Any, status: int
) -> None:
    """What there is not is 404, what is not understood 400, each with a sentence."""
    reply = await tool.control(method, path, body)
    assert reply.status == status
    assert len(reply.json()["error"]) > 10
