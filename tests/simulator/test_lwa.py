"""The token endpoint: both grants, and every error that Login with Amazon gives."""

from __future__ import annotations

import base64
import dataclasses
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from proxy.simulator import Simulator, SimulatorSettings
from tests.simulator.conftest import Reply, SimulatorClient

S256, VERIFIER = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
REDIRECT = "http://localhost:8081/login/callback"
CONSENT = {
    "scope": "advertising::campaign_management",
    "response_type": "code",
    "state": "s 1",
    "redirect_uri": REDIRECT,
}


async def sign_in_page(client: SimulatorClient, decision: str = "allow", **changed: str) -> Reply:
    """Presses a button of the sign-in page."""
    fields = {"client_id": client.simulator.app.client_id, **CONSENT, "decision": decision, **changed}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await client.send("POST", client.simulator.auth_grant_urls["na"], headers, urlencode(fields).encode())


def landed(reply: Reply) -> dict[str, str]:
    """The parameters with which the browser comes back."""
    query = urlsplit(reply.header("Location") or "").query
    return {name: values[0] for name, values in parse_qs(query).items()}


def exchange(client: SimulatorClient, code: str, **changed: str) -> dict[str, str]:
    """The fields of a code exchange."""
    app = client.simulator.app
    right = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    return {**right, "client_id": app.client_id, "client_secret": app.client_secret, **changed}


async def test_refresh_grant_gives_a_bearer_token(client: SimulatorClient) -> None:
    """The answer has the four members of Amazon's, must not be stored, and its token contains a bar."""
    reply = await client.refresh()
    value = reply.json()
    assert (reply.status, reply.header("Cache-Control")) == (200, "no-store")
    assert value["token_type"] == "bearer"
    assert value["expires_in"] == 3600
    assert value["refresh_token"] == client.simulator.refresh_token
    assert value["access_token"].startswith("Atza|")


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"refresh_token": None}, 400, "invalid_request"),
        ({"refresh_token": "Atzr|unknown"}, 400, "invalid_grant"),
        ({"client_id": None}, 400, "invalid_request"),
        ({"client_id": "amzn1.application-oa2-client.other"}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
    ],
)
async def test_wrong_fields_get_the_error_of_login_with_amazon(
    client: SimulatorClient, changed: dict[str, str | None], status: int, error: str
) -> None:
    """Each wrong or missing field has its error code and status, and is counted by result."""
    reply = await client.refresh(**changed)
    value = reply.json()
    assert (reply.status, value["error"], reply.header("Cache-Control")) == (status, error, "no-store")
    assert {"error_description", "error_index", "request_id"} <= set(value)
    assert client.simulator.state.counts()["token_by_result"] == {error: 1}


async def test_basic_authorization_is_taken(client: SimulatorClient) -> None:
    """Id and secret may come as HTTP Basic instead of form fields."""
    app = client.simulator.app
    basic = base64.b64encode(f"{app.client_id}:{app.client_secret}".encode()).decode()
    fields = {"grant_type": "refresh_token", "refresh_token": client.simulator.refresh_token}
    good = await client.form(fields, {"Authorization": f"Basic {basic}"})
    bad = await client.form(fields, {"Authorization": "Basic ???"})
    assert (good.status, bad.status, bad.json()["error"]) == (200, 401, "invalid_client")


async def test_only_a_form_post_is_taken(client: SimulatorClient) -> None:
    """JSON, a GET and a repeated field are invalid requests."""
    url = client.simulator.token_urls["na"]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    replies = [
        await client.send("POST", url, {"Content-Type": "application/json"}, b"{}"),
        await client.send("GET", url, {}),
        await client.send("POST", url, form, b"grant_type=a&grant_type=b"),
    ]
    assert [(r.status, r.json()["error"]) for r in replies] == [(400, "invalid_request")] * 3


async def test_unauthorized_app_is_told_so(client: SimulatorClient) -> None:
    """An app that may not use the grant gets unauthorized_client."""
    client.simulator.app.authorized = False
    reply = await client.refresh()
    assert (reply.status, reply.json()["error"]) == (400, "unauthorized_client")


async def test_revoked_token_is_an_invalid_grant_until_restored(client: SimulatorClient) -> None:
    """Revoking breaks the refresh token, restoring repairs it."""
    client.simulator.state.revoke()
    broken = await client.refresh()
    client.simulator.state.restore()
    mended = await client.refresh()
    assert (broken.status, broken.json()["error"], mended.status) == (400, "invalid_grant", 200)


async def test_refresh_token_of_another_app_is_an_invalid_grant(client: SimulatorClient) -> None:
    """A refresh token serves the app that it was given to and no other."""
    app = client.simulator.state.credentials.add_app("second")
    reply = await client.refresh(client_id=app.client_id, client_secret=app.client_secret)
    assert reply.json()["error"] == "invalid_grant"


async def test_several_access_tokens_live_at_once(client: SimulatorClient) -> None:
    """A new access token does not end the one before."""
    first = await client.sign_in()
    second = await client.sign_in()
    client.token = first
    assert (await client.ask("GET", "/v2/profiles")).status == 200
    client.token = second
    assert (await client.ask("GET", "/v2/profiles")).status == 200
    assert first != second


async def test_rotation_kills_the_old_refresh_token(client: SimulatorClient) -> None:
    """With rotation at once, a refresh token is good for one use, and its successor for the next."""
    client.simulator.state.change(rotation="at_once")
    first = (await client.refresh()).json()["refresh_token"]
    again = await client.refresh()
    onward = await client.refresh(refresh_token=first)
    assert (again.json()["error"], onward.status) == ("invalid_grant", 200)


async def test_rotation_with_grace_lets_the_old_token_live_on(client: SimulatorClient) -> None:
    """With a grace period, the old refresh token is good until it ends."""
    client.simulator.state.change(rotation="grace", rotation_grace=30)
    await client.refresh()
    within = await client.refresh()
    client.simulator.state.advance(31)
    after = await client.refresh()
    assert (within.status, after.status) == (200, 400)


async def test_tokens_can_be_2048_bytes_long(client: SimulatorClient) -> None:
    """A long access token is given and taken."""
    client.simulator.state.change(token_length=2048)
    token = await client.sign_in()
    assert len(token) == 2048
    assert (await client.ask("GET", "/v2/profiles")).status == 200


async def test_refresh_token_may_be_left_out_of_the_answer(client: SimulatorClient) -> None:
    """An answer without refresh_token can be had."""
    client.simulator.state.change(answer_refresh_token=False)
    assert "refresh_token" not in (await client.refresh()).json()


async def test_code_is_exchanged_once(client: SimulatorClient) -> None:
    """Allow leads back with code and state; the code gives tokens once and is an invalid grant after."""
    back = landed(await sign_in_page(client))
    first = await client.form(exchange(client, back["code"]))
    second = await client.form(exchange(client, back["code"]))
    assert back["state"] == "s 1"
    assert (first.status, second.status, second.json()["error"]) == (200, 400, "invalid_grant")
    assert (await client.refresh(refresh_token=first.json()["refresh_token"])).status == 200


async def test_code_dies_after_five_minutes(client: SimulatorClient) -> None:
    """A code is good at 299 seconds and dead at 300."""
    codes = [landed(await sign_in_page(client))["code"] for _ in range(2)]
    client.simulator.state.advance(299)
    young = await client.form(exchange(client, codes[0]))
    client.simulator.state.advance(1)
    old = await client.form(exchange(client, codes[1]))
    assert (young.status, old.json()["error"]) == (200, "invalid_grant")


async def test_code_is_bound_to_redirect_uri_and_app(client: SimulatorClient) -> None:
    """A code with another redirect_uri, or of another app, is an invalid grant."""
    code = landed(await sign_in_page(client))["code"]
    other = client.simulator.state.credentials.add_app("second")
    elsewhere = await client.form(exchange(client, code, redirect_uri="https://amazon.com"))
    foreign = await client.form(exchange(client, code, client_id=other.client_id, client_secret=other.client_secret))
    missing = exchange(client, code)
    del missing["redirect_uri"]
    assert elsewhere.json()["error"] == foreign.json()["error"] == "invalid_grant"
    assert (await client.form(missing)).json()["error"] == "invalid_request"


async def test_code_with_a_challenge_needs_its_verifier(client: SimulatorClient) -> None:
    """With PKCE, the exchange needs the verifier whose S256 digest the sign-in had (RFC 7636, appendix B)."""
    code = landed(await sign_in_page(client, code_challenge=S256, code_challenge_method="S256"))["code"]
    without = await client.form(exchange(client, code))
    with_it = await client.form(exchange(client, code, code_verifier=VERIFIER))
    assert (without.status, with_it.status) == (400, 200)


@pytest.mark.parametrize(
    ("challenge", "method", "verifier", "error"),
    [
        (S256, "S256", VERIFIER, None),
        (S256, "S256", None, "invalid_request"),
        (S256, "S256", VERIFIER[:-1] + "x", "invalid_grant"),
        (VERIFIER, "plain", VERIFIER, None),
        (VERIFIER, None, VERIFIER, None),
        (VERIFIER, "plain", S256, "invalid_grant"),
        (None, None, VERIFIER, "invalid_grant"),
        (None, None, None, None),
    ],
)
async def test_verifier_must_fit_the_challenge(
    client: SimulatorClient, challenge: str | None, method: str | None, verifier: str | None, error: str | None
) -> None:
    """By S256 or as it is; where there was a challenge it must come, and where there was none it must not."""
    asked = {"code_challenge": challenge, "code_challenge_method": method}
    code = landed(await sign_in_page(client, **{name: value for name, value in asked.items() if value}))["code"]
    sent = {"code_verifier": verifier} if verifier else {}
    reply = await client.form(exchange(client, code, **sent))
    assert (reply.status, reply.json().get("error")) == ((400, error) if error else (200, None))


@pytest.mark.parametrize(
    "asked",
    [
        {"code_challenge": "short"},
        {"code_challenge": S256, "code_challenge_method": "S512"},
        {"code_challenge_method": "S256"},
    ],
)
async def test_sign_in_page_refuses_a_challenge_that_is_none(client: SimulatorClient, asked: dict[str, str]) -> None:
    """A challenge has 43 to 128 characters and one of two methods, and a method comes with a challenge."""
    assert (await sign_in_page(client, **asked)).status == 400


async def test_challenge_can_be_required(client: SimulatorClient) -> None:
    """With `require_pkce` a sign-in without a challenge is refused."""
    client.simulator.state.change(require_pkce=True)
    with_it = await sign_in_page(client, code_challenge=S256, code_challenge_method="S256")
    assert ((await sign_in_page(client)).status, with_it.status) == (400, 302)


async def test_two_secrets_are_good_at_once(client: SimulatorClient) -> None:
    """An old secret that is kept stays good until it is retired; a change without `keep_old` ends all others."""
    old = client.simulator.app.client_secret
    await client.control("POST", "/app/secret", {"client_secret": "second", "keep_old": True})
    assert [(await client.refresh(client_secret=secret)).status for secret in (old, "second")] == [200, 200]
    assert (await client.control("POST", "/app/secret/retire")).json() == {"retired": 1}
    assert [(await client.refresh(client_secret=secret)).status for secret in (old, "second")] == [401, 200]
    await client.control("POST", "/app/secret", {"client_secret": "third"})
    assert [(await client.refresh(client_secret=secret)).status for secret in ("second", "third")] == [401, 200]
    unknown = await client.control("POST", "/app/secret", {"client_secret": "x", "client_id": "nobody"})
    assert unknown.status == 400


async def test_denied_consent_leads_back_with_an_error(client: SimulatorClient) -> None:
    """Deny leads back with access_denied and the state, and no code."""
    back = landed(await sign_in_page(client, decision="deny"))
    assert (back["error"], back["state"], "code" in back) == ("access_denied", "s 1", False)


async def test_sign_in_page_has_both_buttons_and_escapes_its_input(client: SimulatorClient) -> None:
    """The page offers Allow and Deny, and what the URL brings is no markup."""
    query = urlencode({"client_id": client.simulator.app.client_id, **CONSENT, "state": "'><script>"})
    reply = await client.send("GET", f"{client.simulator.auth_grant_urls['na']}?{query}", {})
    assert reply.status == 200
    assert b"id='allow'" in reply.body
    assert b"id='deny'" in reply.body
    assert b"<script>" not in reply.body


@pytest.mark.parametrize(
    "changed", [{"client_id": "x"}, {"response_type": "token"}, {"scope": ""}, {"redirect_uri": "javascript:1"}]
)
async def test_sign_in_page_refuses_what_makes_no_sense(client: SimulatorClient, changed: dict[str, str]) -> None:
    """An unknown client, another response type, no scope and an odd redirect_uri get a page with the reason."""
    reply = await sign_in_page(client, **changed)
    assert (reply.status, reply.header("Location")) == (400, None)


async def test_registered_redirect_uris_are_the_only_ones(client: SimulatorClient) -> None:
    """An app with registered addresses takes no other."""
    client.simulator.app.redirect_uris = ("https://amazon.com",)
    refused, taken = await sign_in_page(client), await sign_in_page(client, redirect_uri="https://amazon.com")
    assert (refused.status, taken.status) == (400, 302)


async def test_access_token_lifetime_is_a_setting(settings: SimulatorSettings) -> None:
    """A short lifetime shows in expires_in."""
    async with Simulator(dataclasses.replace(settings, access_token_lifetime=5)) as simulator:
        token = simulator.state.credentials.mint(simulator.state.credentials.grants[simulator.refresh_token])
        assert token.expires_at == 1005.0


async def test_who_a_user_is_takes_the_scope_profile(client: SimulatorClient) -> None:
    """The access token must be valid; each user has an id of their own."""
    seen = []
    url = client.simulator.token_urls["na"].replace("/auth/o2/token", "/user/profile")
    client.simulator.state.add_user("second")
    for user, scope in (
        ("default", "profile advertising::campaign_management"),
        ("second", "profile"),
        ("second", "x"),
    ):
        code = landed(await sign_in_page(client, user=user, scope=scope))["code"]
        token = (await client.refresh(refresh_token=None, **exchange(client, code))).json()["access_token"]
        reply = await client.send("GET", url, {"Authorization": f"Bearer {token}"})
        seen.append((reply.status, reply.json().get("user_id") or reply.json()["error"]))
    (first, one), (other, two), refused = seen
    assert (first, other, refused) == (200, 200, (401, "insufficient_scope"))
    assert one.startswith("amzn1.account.") and two.startswith("amzn1.account.") and one != two
    reply = await client.send("GET", url, {"Authorization": "Bearer Atza|unknown"})
    assert (reply.status, reply.json()["error"]) == (400, "invalid_token")
