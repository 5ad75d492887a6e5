"""The control API: the same things as in `SimulatorState`, by HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import SimulatorClient


async def test_overview_names_addresses_credentials_and_actions(client: SimulatorClient) -> None:
    """GET /control tells a stranger all that there is."""
    about = (await client.control("GET", "")).json()
    assert about["api_urls"] == client.simulator.api_urls
    assert about["refresh_token"] == client.simulator.refresh_token
    assert "POST /control/faults" in about["actions"]


async def test_counts_tell_requests_by_kind_path_and_status(client: SimulatorClient) -> None:
    """Token requests, API requests by region, status and path, and refusals are counted."""
    await client.ask("GET", "/v2/profiles")
    await client.ask("GET", "/v2/profiles/1")
    await client.ask("GET", "/sd/campaigns")
    counts = (await client.control("GET", "/counts")).json()
    assert (counts["token_requests"], counts["token_by_result"]) == (1, {"ok": 1})
    assert (counts["api_requests"], counts["api_by_region"]) == (3, {"na": 3})
    assert counts["api_by_status"] == {"200": 1, "404": 1, "401": 1}
    assert counts["paths"]["GET /v2/profiles/{}"] == {"404": 1}
    assert counts["refusals_by_kind"] == {"scope-missing": 1}


async def test_requests_are_shown_as_received(client: SimulatorClient) -> None:
    """Header names keep case, order and repetition; the target keeps every byte."""
    await client.sign_in()
    await client.raw(client.head("GET", "/a//b?x=%2f&u=https://y", "x-oDD: 1", "X-Odd: \xe9", "Connection: close"))
    shown = (await client.control("GET", "/requests?listener=api&last=1")).json()
    assert shown[0]["target"] == "/a//b?x=%2f&u=https://y"
    assert shown[0]["host"] == client.host
    assert shown[0]["headers"][-3:] == [["x-oDD", "1"], ["X-Odd", "\xe9"], ["Connection", "close"]]
    assert shown[0]["status"] == 404


async def test_refusals_are_shown_with_reason_and_owner(client: SimulatorClient) -> None:
    """A refusal tells what was wrong and whose header it is."""
    await client.ask("GET", "/v2/profiles", Cookie="a=b")
    shown = (await client.control("GET", "/refusals?owner=proxy")).json()
    assert (shown["total"], shown["by_kind"]) == (1, {"leaked-header": 1})
    assert shown["by_owner"] == {"proxy": 1, "tool": 0}
    assert (shown["refusals"][0]["kind"], shown["refusals"][0]["owner"]) == ("leaked-header", "proxy")
    assert "cookie" in shown["refusals"][0]["reason"]
    assert (await client.control("GET", "/refusals?owner=tool")).json()["refusals"] == []


async def test_faults_are_planned_shown_and_cleared(client: SimulatorClient) -> None:
    """A fault posted as JSON happens, shows how often, and goes away."""
    match = {"target": "api", "path": "/v2/profiles"}
    planned = await client.control("POST", "/faults", {"match": match, "times": 1, "fault": {"status": 429}})
    assert planned.json()["left"] == 1
    assert (await client.ask("GET", "/v2/profiles")).status == 429
    assert (await client.control("GET", "/faults")).json()[0]["happened"] == 1
    assert (await client.control("DELETE", "/faults")).json() == {"faults": 0}
    assert (await client.control("GET", "/faults")).json() == []


async def test_access_tokens_can_all_die(client: SimulatorClient) -> None:
    """After `tokens/expire` the cached token is unknown, and a new one is good."""
    await client.sign_in()
    assert (await client.control("POST", "/tokens/expire")).json() == {"expired": 1}
    assert (await client.ask("GET", "/v2/profiles")).status == 401
    await client.sign_in()
    assert (await client.ask("GET", "/v2/profiles")).status == 200


async def test_credentials_can_be_revoked_and_restored(client: SimulatorClient) -> None:
    """Revoked with their access tokens, nothing works; restored, the refresh token does again."""
    await client.sign_in()
    assert (await client.control("POST", "/credentials/revoke", {"access_tokens": True})).json() == {"revoked": 1}
    assert (await client.ask("GET", "/v2/profiles")).status == 401
    assert (await client.refresh()).json()["error"] == "invalid_grant"
    assert (await client.control("POST", "/credentials/restore")).json() == {"restored": 1}
    assert (await client.refresh()).status == 200


async def test_changed_secret_makes_the_old_one_invalid(client: SimulatorClient) -> None:
    """After `app/secret` the old secret is invalid_client and the new one is good."""
    old = client.simulator.app.client_secret
    await client.control("POST", "/app/secret", {"client_secret": "new"})
    assert (await client.refresh(client_secret=old)).json()["error"] == "invalid_client"
    assert (await client.refresh(client_secret="new")).status == 200
    await client.control("POST", "/app", {"authorized": False})
    assert (await client.refresh(client_secret="new")).json()["error"] == "unauthorized_client"


async def test_profiles_come_and_go(client: SimulatorClient) -> None:
    """A profile that was added is listed, and gone after it was removed."""
    await client.control("POST", "/profiles", {"action": "add", "region": "na", "profile_id": "77"})
    assert 77 in [profile["profileId"] for profile in (await client.ask("GET", "/v2/profiles")).json()]
    gone = await client.control("POST", "/profiles", {"action": "remove", "region": "na", "profile_id": "77"})
    assert gone.json() == {"removed": True}
    assert 77 not in [profile["profileId"] for profile in (await client.ask("GET", "/v2/profiles")).json()]


async def test_further_users_and_apps_have_their_own_tokens(client: SimulatorClient) -> None:
    """A second user sees profiles of its own; a second app has its own credentials."""
    user = (await client.control("POST", "/users", {"user": "other", "profiles_per_region": 2})).json()
    client.token = (await client.refresh(refresh_token=user["refresh_token"])).json()["access_token"]
    listed = (await client.ask("GET", "/v2/profiles")).json()
    assert [str(profile["profileId"]) for profile in listed] == user["profiles"]["na"]
    app = (await client.control("POST", "/apps", {"name": "second"})).json()
    assert (await client.refresh(**app)).status == 200


async def test_clock_and_settings_change_at_run_time(client: SimulatorClient) -> None:
    """A shorter lifetime and a clock moved on end a token."""
    await client.control("POST", "/settings", {"access_token_lifetime": 5})
    await client.sign_in()
    await client.control("POST", "/clock", {"advance": 5})
    assert (await client.ask("GET", "/v2/profiles")).status == 401


async def test_connections_can_be_closed(client: SimulatorClient) -> None:
    """`connections/close` says how many it closed."""
    await client.ask("GET", "/v2/profiles")
    assert (await client.control("POST", "/connections/close")).json()["closed"] >= 1


async def test_reset_brings_back_the_start(client: SimulatorClient) -> None:
    """Counts, faults, tokens and profiles are as at the start; the credentials are good."""
    await client.control("POST", "/credentials/revoke")
    await client.control("POST", "/profiles", {"region": "na"})
    await client.control("POST", "/faults", {"fault": {"status": 500}})
    assert (await client.control("POST", "/reset")).json() == {"reset": True}
    assert (await client.control("GET", "/counts")).json()["api_requests"] == 0
    assert len((await client.ask("GET", "/v2/profiles")).json()) == 3


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
    client: SimulatorClient, method: str, path: str, body: Any, status: int
) -> None:
    """What there is not is 404, what is not understood 400, each with a sentence."""
    reply = await client.control(method, path, body)
    assert reply.status == status
    assert len(reply.json()["error"]) > 10
