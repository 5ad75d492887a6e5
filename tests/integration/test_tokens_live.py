"""Access tokens in the running program: none is ever missed, none is asked for twice, and trouble is told in time.

The expected numbers follow from the rules of `proxy.tokens.lifecycle`; they are derived here, not copied.
"""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import fetch
from tests.support.running import Load, Serving, SimulatedAmazon, burst, serving

pytestmark = pytest.mark.integration

LIFETIME = 16.0
"""Seconds. A quarter of them is left when a token is renewed, which a machine that stops for a moment does not miss."""
SHORTEST_INTERVAL = LIFETIME - LIFETIME / 4 * 1.2
"""A short-lived token is renewed a quarter of its life ahead, and by chance up to a fifth of that earlier."""
GIVEN_UP_AFTER = 5
"""Seconds without an answer of Login with Amazon."""


def short_lived(amazon: SimulatedAmazon, seconds: float = LIFETIME) -> None:
    amazon.control("settings", {"access_token_lifetime": seconds})


def answer_of(running: Serving, path: str = "/v2/profiles", **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and, of a problem document, its members."""
    status, body = running.get(path, headers)
    return status, json.loads(body) if status >= 400 else {}


@pytest.mark.parametrize("tokens", [3, pytest.param(6, marks=pytest.mark.soak)])
def test_short_lived_tokens_show_no_seam(amazon: SimulatedAmazon, tmp_path: Path, tokens: int) -> None:
    """Under steady load: only 200, one token request per token, and no more tokens than the lifetimes ask for."""
    short_lived(amazon)
    began = time.monotonic()
    with serving(tmp_path, amazon.configuration(log={"access": False})) as running:
        running.until_ready()
        with Load(running, paths=("/v2/profiles", "/eu/v2/profiles"), pause=0.03) as load:
            running.until(lambda: running.account()["generation"] >= tokens)
        short_lived(amazon, 3600)
        running.until(lambda: running.metric("token_expiry_timestamp_seconds") > time.time() + 1800)  # none follows it
        generation = running.account()["generation"]
        most = 2 + math.ceil((time.monotonic() - began) / SHORTEST_INTERVAL)
        counts = amazon.counts()
        assert set(load.statuses) == {200}
        assert not load.failures
        assert load.total > 0
        assert load.connections == load.workers
        assert counts["api_by_status"] == {"200": counts["api_requests"]}
        assert counts["token_requests"] == counts["token_by_result"]["ok"] == generation
        assert generation <= most
        assert running.metric("token_refreshes_total", result="success") == generation
        assert running.metric("replays_total") == 0
        triggers = [event["trigger"] for event in running.events("token_refreshed")]
        assert triggers == ["start", *["ahead"] * (len(triggers) - 1)]


def test_a_cold_burst_makes_one_token_request(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Fifty requests before there is any token wait for the one that is on its way."""
    amazon.fault({"delay": 60}, target="lwa")
    began = time.monotonic()
    settings = amazon.configuration(tokens={"request_wait": PATIENCE})
    with serving(tmp_path, settings) as running, ThreadPoolExecutor(1) as clients:
        asking = clients.submit(burst, running, ["/v2/profiles"] * 50)
        running.until(lambda: running.metric("requests_in_flight") == 50)
        amazon.heal()
        assert asking.result() == [200] * 50
        assert amazon.counts()["token_requests"] <= 1 + (time.monotonic() - began) / GIVEN_UP_AFTER


def test_a_burst_of_401_makes_one_token_request(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Every token dies early: fifty requests meet 401, one token is asked for, and all fifty are answered well."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        assert burst(running, ["/v2/profiles"] * 50) == [200] * 50
        before = amazon.counts()
        amazon.control("tokens/expire")
        assert burst(running, ["/v2/profiles"] * 50) == [200] * 50
        after = amazon.counts()
        assert after["token_requests"] - before["token_requests"] == 1
        assert after["refusals_by_kind"].get("token-unknown", 0) >= 1
        assert running.metric("replays_total", reason="unauthorized", outcome="recovered") >= 1
        assert running.metric("replays_total", reason="unauthorized", outcome="failed") == 0


def test_a_401_about_the_profile_is_handed_on(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Amazon answers a foreign Scope with 401, in its own words: no refresh and no replay; any other 401 causes one of
    each first."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        before = amazon.counts()["token_requests"]
        status, body = running.get("/sd/campaigns", {"Amazon-Advertising-API-Scope": "4711"})
        assert status == 401
        assert json.loads(body)["code"]
        assert amazon.counts()["token_requests"] == before
        assert running.metric("replays_total", reason="unauthorized") == 0
        unauthorized = {"status": 401, "body": '{"message":"Unauthorized"}', "before_checks": True}
        amazon.fault(unauthorized, path="/sd/campaigns")
        status, body = running.get("/sd/campaigns", {"Amazon-Advertising-API-Scope": "4711"})
        assert (status, json.loads(body)) == (401, {"message": "Unauthorized"})
        assert amazon.counts()["token_requests"] - before == 1
        assert running.metric("replays_total", reason="unauthorized", outcome="failed") == 1


def test_an_outage_is_told_while_the_token_lives_and_ends_by_itself(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Degraded but serving; then 503 with Retry-After; then, without anybody's help, 200 again."""
    outage = {"status": 500, "body": "<html>sorry</html>"}
    with serving(tmp_path, amazon.configuration(tokens={"request_wait": 0.5})) as running:
        running.until_ready()
        amazon.fault(outage, target="lwa")
        press_refresh(running)
        running.until(lambda: running.account()["state"] == "degraded")
        assert answer_of(running)[0] == 200
        account = running.account()
        assert account["serving"]
        assert account["last_failure"]["reason"] == "server_error"
        assert running.metric("credential_state", account="acme", state="degraded") == 1
        assert running.metric("credential_state", account="acme") == 1
        assert running.metric("token_refreshes_total", result="transient_error", reason="server_error") >= 1
        assert running.told("refresh_failed", account="acme", reason="server_error")
        assert running.told("credential_state_changed", new="degraded")

        short_lived(amazon, 12)
        amazon.heal()
        running.until(lambda: running.account()["state"] == "valid")
        amazon.fault(outage, target="lwa")
        running.told("credential_state_changed", 2, new="degraded")
        running.until(lambda: running.account()["state"] == "expired")
        status, problem = answer_of(running)
        assert status == 503
        assert problem["type"].endswith("no-usable-token")
        assert running.metric("credential_state", account="acme", state="expired") == 1
        assert running.admin_get("/readyz")[0] == 200

        short_lived(amazon, 3600)
        amazon.heal()
        running.until(lambda: answer_of(running)[0] == 200)
        assert running.account()["state"] == "valid"


def press_refresh(running: Serving) -> None:
    """A person has the console ask for a token, and waits for the outcome."""
    fetch(f"{running.admin}/console/accounts/acme/refresh", b"", {"X-Ads-Proxy-Console": "1"})


def test_a_503_says_when_to_come_back(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Retry-After is a whole number of seconds, and Proxy-Status names the proxy as the author."""
    amazon.fault({"status": 503}, target="lwa")
    with serving(tmp_path, amazon.configuration(tokens={"request_wait": 0})) as running:
        running.until(lambda: running.events("refresh_failed"))
        lines = raw_head(running, b"GET /v2/profiles HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert lines[0].startswith("HTTP/1.1 503 ")
        retry = next(line for line in lines if line.lower().startswith("retry-after:"))
        assert 1 <= int(retry.partition(":")[2]) <= 60
        assert any(line.startswith("Proxy-Status: ads-proxy; error=") for line in lines)


def raw_head(running: Serving, request: bytes) -> list[str]:
    """The head of an answer, line by line."""
    host, port = running.netloc.split(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(4096)
            assert piece, data
            data += piece
    return data.partition(b"\r\n\r\n")[0].decode().split("\r\n")


def test_a_revoked_account_is_alone_and_recovers_by_its_file(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """An invalid_grant stops one account; the other serves on; a new refresh token in the file revives it within
    seconds."""
    other = amazon.control("users", {"user": "second", "profiles_per_region": 1})
    secret = tmp_path / "refresh"
    secret.write_text(amazon.facts["refresh_token"])
    accounts = {
        "acme": amazon.account(refresh_token={"file": str(secret)}),
        "globex": amazon.account(refresh_token=other["refresh_token"]),
    }
    with serving(tmp_path, amazon.configuration(accounts=accounts)) as running:
        for name in accounts:
            running.until_listed(name)
        body = {"refresh_token": amazon.facts["refresh_token"], "access_tokens": True}
        amazon.control("credentials/revoke", body)
        assert answer_of(running, "/@acme/v2/profiles")[0] == 503
        running.until(lambda: running.account("acme")["state"] == "revoked")
        assert answer_of(running, "/@globex/v2/profiles")[0] == 200
        assert running.account("globex")["state"] == "valid"
        assert "ads-proxy login acme" in running.account("acme")["advice"]
        assert running.metric("credential_state", account="acme", state="revoked") == 1
        assert running.metric("token_refreshes_total", account="acme", reason="invalid_grant") >= 1

        fresh = amazon.control("users", {"user": "default", "profiles_per_region": 0})["refresh_token"]
        secret.write_text(fresh)
        running.until(lambda: running.account("acme")["state"] == "valid")
        assert answer_of(running, "/@acme/v2/profiles")[0] == 200
        assert running.account("globex")["generation"] == 1


def test_a_wrong_client_secret_is_misconfigured_until_it_is_right(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """An invalid_client is reported as such, tried slowly, and gone at once with the changed file."""
    secret = tmp_path / "secret"
    secret.write_text("amzn1.oa2-cs.v1.wrong")
    account = amazon.account(client_secret={"file": str(secret)})
    with serving(tmp_path, amazon.configuration(accounts={"acme": account})) as running:
        running.until(lambda: running.account()["state"] == "misconfigured")
        status, problem = answer_of(running)
        assert status == 503
        assert "Compare client_id and client_secret" in problem["detail"]
        assert running.metric("token_refreshes_total", result="permanent_error", reason="invalid_client") == 1
        assert running.admin_get("/readyz")[0] == 503
        secret.write_text(amazon.facts["client_secret"])
        running.until(lambda: running.account()["state"] == "valid")
        assert answer_of(running)[0] == 200


def test_a_hanging_token_endpoint_holds_nothing_up(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """While the renewal hangs, requests are served with the cached token, none of them late."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        amazon.fault({"delay": 30}, target="lwa")
        began = time.monotonic()
        pressing = threading.Thread(target=press_refresh, args=(running,), daemon=True)
        pressing.start()
        running.until(lambda: amazon.counts()["token_requests"] >= 2)
        with Load(running, workers=2) as load:
            running.until(lambda: load.total > 100)
        assert set(load.statuses) == {200}
        assert amazon.counts()["token_requests"] <= 2 + (time.monotonic() - began) / GIVEN_UP_AFTER
        pressing.join()
