"""Login with Amazon over real sockets: what is sent, and what every odd answer means."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web

from proxy import errors
from proxy.secret import Secret
from proxy.tokens.lwa import AppCredentials, AuthorizationRequest, LoginWithAmazon, code_challenge, sign_in_url
from proxy.tokens.token_response import Grant, TokenRequest, TokenResponse, parse_retry_after, parse_token_response

REFRESH = Secret("Atzr|CANARY-refresh")
CREDENTIALS = AppCredentials("amzn1.application-oa2-client.x", Secret("CANARY-secret"))
VERIFIER = Secret("a-code-verifier-of-forty-three-letters-or-more")
GOOD = {"access_token": "Atza|access", "refresh_token": "Atzr|next", "token_type": "bearer", "expires_in": 3600}
HTML = {"Content-Type": "text/html"}


@dataclass
class Endpoint:
    """A real server on a loopback port that answers what it is told, and remembers what it was sent."""

    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    requests: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append((request.method, dict(request.headers), await request.text()))
        return await self.answer(request)


@asynccontextmanager
async def serving(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[Endpoint]:
    """Runs an endpoint for the time of a test."""
    endpoint = Endpoint(answer)
    runner = web.ServerRunner(web.Server(endpoint.handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context)
    await site.start()
    endpoint.url = f"http{'s' if ssl_context else ''}://127.0.0.1:{runner.addresses[0][1]}/auth/o2/token"
    try:
        yield endpoint
    finally:
        await runner.cleanup()


@asynccontextmanager
async def asking(timeout: float = 5.0, **more: object) -> AsyncIterator[LoginWithAmazon]:
    """A `LoginWithAmazon` on a session of its own."""
    async with aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield LoginWithAmazon(session, timeout=timeout, **more)  # type: ignore[arg-type]  # each of its own type


def saying(
    body: object, status: int = 200, headers: dict[str, str] | None = None
) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """An answer: JSON for anything but bytes."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=content, status=status, headers=headers)

    return answer


async def refresh_from(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Grant:
    async with serving(saying(body, status, headers)) as endpoint, asking() as lwa:
        return await lwa.refresh(endpoint.url, CREDENTIALS, REFRESH)


async def test_a_refresh_sends_the_form_that_amazon_wants() -> None:
    """A form POST with four fields (docs/development/amazon-login.md, Token requests), and nothing that identifies the
    person."""
    async with serving(saying(GOOD)) as endpoint, asking() as lwa:
        grant = await lwa.refresh(endpoint.url, CREDENTIALS, REFRESH)
    method, headers, body = endpoint.requests[0]
    assert (method, headers["Content-Type"].split(";")[0]) == ("POST", "application/x-www-form-urlencoded")
    assert "Authorization" not in headers
    assert "%7C" in body
    assert parse_qs(body) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["Atzr|CANARY-refresh"],
        "client_id": ["amzn1.application-oa2-client.x"],
        "client_secret": ["CANARY-secret"],
    }
    assert grant.access_token.reveal() == "Atza|access"
    assert grant.refresh_token == Secret("Atzr|next")
    assert grant.expires_in == 3600.0
    assert 0 < grant.took < 5
    assert grant.client_id == "amzn1.application-oa2-client.x"


REFUSED_APP = {"error": "invalid_client", "error_description": "Client authentication failed"}
BOTH = AppCredentials("c", Secret("newer"), Secret("older"))


async def test_the_older_secret_is_tried_once_where_the_newer_is_refused() -> None:
    """The response names the secret that worked; the newer one is tried first each time."""

    async def knowing(request: web.BaseRequest) -> web.StreamResponse:
        """Takes the older secret alone."""
        if parse_qs(await request.text())["client_secret"] == ["older"]:
            return web.json_response(GOOD)
        return web.json_response(REFUSED_APP, status=401)

    for secret, expected in (
        (BOTH, ["newer", "older"]),
        (AppCredentials("c", Secret("older"), Secret("x")), ["older"]),
    ):
        async with serving(knowing) as endpoint, asking() as lwa:
            grant = await lwa.refresh(endpoint.url, secret, Secret("Atzr|refresh"))
        assert grant.older_secret is (len(expected) == 2)
        assert [parse_qs(sent[2])["client_secret"][0] for sent in endpoint.requests] == expected


async def test_two_refused_secrets_are_a_wrong_application() -> None:
    """Each was tried once; other failures try no other secret."""
    async with serving(saying(REFUSED_APP, 401)) as endpoint, asking() as lwa:
        with pytest.raises(errors.AppMisconfigured):
            await lwa.refresh(endpoint.url, BOTH, Secret("Atzr|refresh"))
    assert len(endpoint.requests) == 2
    async with serving(saying({"error": "invalid_grant"}, 400)) as endpoint, asking() as lwa:
        with pytest.raises(errors.RefreshTokenRevoked):
            await lwa.refresh(endpoint.url, BOTH, Secret("Atzr|refresh"))
    assert len(endpoint.requests) == 1


async def test_a_code_is_exchanged_with_its_redirect_uri() -> None:
    """The code is the other grant (docs/development/amazon-login.md, Token requests)."""
    async with serving(saying(GOOD)) as endpoint, asking() as lwa:
        grant = await lwa.exchange(
            endpoint.url, CREDENTIALS, Secret("code&+ x"), "http://localhost:8081/login/callback", VERIFIER
        )
    sent = parse_qs(endpoint.requests[0][2])
    assert sent["grant_type"] == ["authorization_code"]
    assert sent["code"] == ["code&+ x"]
    assert sent["redirect_uri"] == ["http://localhost:8081/login/callback"]
    assert sent["code_verifier"] == [VERIFIER.reveal()]
    assert grant.refresh_token is not None


async def test_a_code_that_brings_no_refresh_token_is_a_failure() -> None:
    """A sign-in without a refresh token would end after an hour."""
    async with serving(saying({"access_token": "a", "expires_in": 3600})) as endpoint, asking() as lwa:
        with pytest.raises(errors.TokenAnswerMalformed, match="without a refresh token"):
            await lwa.exchange(endpoint.url, CREDENTIALS, Secret("code"), "https://amazon.com", VERIFIER)


async def test_a_refused_refresh_token_names_every_cause() -> None:
    """Amazon answers the same to a revoked token and to one of another client id, which a new setup meets first."""
    async with serving(saying({"error": "invalid_grant"}, 400)) as endpoint, asking() as lwa:
        with pytest.raises(errors.RefreshTokenRevoked, match="issued to another client id") as refused:
            await lwa.refresh(endpoint.url, CREDENTIALS, Secret("Atzr|x"))
    assert "check that the token was issued to this client id" in refused.value.advice


async def test_an_old_code_says_what_codes_are() -> None:
    """`invalid_grant` for a code is about the code."""
    async with serving(saying({"error": "invalid_grant"}, 400)) as endpoint, asking() as lwa:
        with pytest.raises(errors.RefreshTokenRevoked, match="five minutes"):
            await lwa.exchange(endpoint.url, CREDENTIALS, Secret("code"), "https://amazon.com", VERIFIER)


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (400, {"error": "invalid_grant", "error_description": "revoked"}, errors.RefreshTokenRevoked),
        (401, {"error": "invalid_grant"}, errors.RefreshTokenRevoked),
        (401, {"error": "invalid_client", "error_description": "no"}, errors.AppMisconfigured),
        (400, {"error": "invalid_client"}, errors.AppMisconfigured),
        (400, {"error": "unauthorized_client"}, errors.TokenRequestRejected),
        (400, {"error": "invalid_request", "error_index": "x"}, errors.TokenRequestRejected),
        (400, {"error": "unsupported_grant_type"}, errors.TokenRequestRejected),
        (400, {"error": "invalid_scope"}, errors.TokenRequestRejected),
        (400, {"error": "something_new"}, errors.TokenAnswerMalformed),
        (400, {"error": ["invalid_grant"]}, errors.TokenAnswerMalformed),
        (400, {}, errors.TokenAnswerMalformed),
        (400, [{"error": "invalid_grant"}], errors.TokenAnswerMalformed),
        (400, b"<html>Bad Request</html>", errors.TokenAnswerMalformed),
        (403, b"<html>Forbidden</html>", errors.TokenAnswerMalformed),
        (404, b"", errors.TokenAnswerMalformed),
        (401, b"", errors.TokenAnswerMalformed),
        (408, b"", errors.TokenServerError),
        (429, {"error": "invalid_grant"}, errors.TokenThrottled),
        (429, b"<html>slow down</html>", errors.TokenThrottled),
        (500, {"error": "server_error"}, errors.TokenServerError),
        (500, {"error": "invalid_grant"}, errors.TokenServerError),
        (502, b"<html>Bad Gateway</html>", errors.TokenServerError),
        (503, {"error": "invalid_client"}, errors.TokenServerError),
        (504, b"", errors.TokenServerError),
        (200, b"", errors.TokenAnswerMalformed),
        (200, b"   ", errors.TokenAnswerMalformed),
        (200, b"<html>Sign in to the hotel's network</html>", errors.TokenAnswerMalformed),
        (200, b"null", errors.TokenAnswerMalformed),
        (200, b"\xff\xfe", errors.TokenAnswerMalformed),
        (200, b"[" * 200_000, errors.TokenAnswerMalformed),
        (200, {}, errors.TokenAnswerMalformed),
        (200, {"error": "invalid_grant"}, errors.TokenAnswerMalformed),
        (200, {"access_token": ""}, errors.TokenAnswerMalformed),
        (200, {"access_token": None}, errors.TokenAnswerMalformed),
        (200, {"access_token": 12345}, errors.TokenAnswerMalformed),
        (200, {"access_token": "a\r\nX-Injected: 1"}, errors.TokenAnswerMalformed),
        (200, {"access_token": "a b"}, errors.TokenAnswerMalformed),
        (200, {"access_token": "a" * 20_000}, errors.TokenAnswerMalformed),
        (200, {"access_token": "é"}, errors.TokenAnswerMalformed),
        (201, GOOD, errors.TokenAnswerMalformed),
        (206, GOOD, errors.TokenAnswerMalformed),
        (204, b"", errors.TokenAnswerMalformed),
    ],
)
async def test_every_answer_has_its_meaning(status: int, body: object, failure: type[errors.TokenFailure]) -> None:
    """What is final, and that anything else passes (docs/development/amazon-login.md, Token errors)."""
    with pytest.raises(errors.TokenFailure) as raised:
        await refresh_from(body, status)
    assert type(raised.value) is failure
    final = (errors.RefreshTokenRevoked, errors.AppMisconfigured, errors.TokenRequestRejected)
    assert raised.value.permanent is (failure in final)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (" 7 ", 7.0), ("0.5", 0.5), (None, None), ("", None), ("soon", None), ("-3", None), ("1e9", None)],
)
async def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    """Seconds count; a date, a sign or nonsense is as if nothing was said."""
    with pytest.raises(errors.TokenThrottled) as raised:
        await refresh_from(b"", 429, {"Retry-After": header} if header is not None else None)
    assert raised.value.retry_after == seconds
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") is None


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"expires_in": 3600}, 3600),
        ({"expires_in": 0.5e3}, 500),
        ({"expires_in": "1800"}, 1800),
        ({"expires_in": " 1800 "}, 1800),
        ({}, 3600),
        ({"expires_in": None}, 3600),
        ({"expires_in": True}, 3600),
        ({"expires_in": "an hour"}, 3600),
        ({"expires_in": [60]}, 3600),
        ({"expires_in": 10**400}, 86400),
        ({"expires_in": "9" * 400}, 3600),
        ({"expires_in": 1e12}, 86400),
        ({"expires_in": 2}, 2),
    ],
)
async def test_strange_lives_are_read_or_assumed(said: dict[str, object], seconds: float) -> None:
    """A missing or unreadable life counts as Amazon's documented hour; an endless one is bounded."""
    grant = await refresh_from({"access_token": "a", **said})
    assert grant.expires_in == seconds


@pytest.mark.parametrize("expires_in", [0, -5, "0", 0.0, 1e-9])
async def test_an_access_token_dead_on_arrival_still_brings_its_refresh_token(expires_in: object) -> None:
    """The response is malformed for the proxy, but the refresh token in it is the only good one by now."""
    grant = await refresh_from({**GOOD, "expires_in": expires_in})
    assert grant.refresh_token == Secret("Atzr|next")
    with pytest.raises(errors.TokenAnswerMalformed, match="already expired"):
        grant.check_life()


async def test_a_token_that_lives_passes_its_check() -> None:
    """However short its life."""
    (await refresh_from({**GOOD, "expires_in": 2})).check_life()


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
async def test_numbers_that_are_none_are_no_life(word: bytes) -> None:
    """What Python's JSON reads beyond the standard does no harm."""
    assert (await refresh_from(b'{"access_token": "a", "expires_in": ' + word + b"}")).expires_in == 3600


@pytest.mark.parametrize("refresh_token", [None, "", 5, "a\nb", {}])
async def test_an_unusable_refresh_token_is_none(refresh_token: object) -> None:
    """Only what could be sent again counts as a returned refresh token (docs/development/amazon-login.md, Token
    requests)."""
    assert (await refresh_from({**GOOD, "refresh_token": refresh_token})).refresh_token is None


async def test_long_tokens_pass() -> None:
    """2,048 bytes and more, with `|`, both ways (docs/development/amazon-login.md, Tokens)."""
    long = "Atzr|" + "x" * 2043
    async with serving(saying({**GOOD, "access_token": long, "refresh_token": long})) as endpoint, asking() as lwa:
        grant = await lwa.refresh(endpoint.url, CREDENTIALS, Secret(long))
    assert parse_qs(endpoint.requests[0][2])["refresh_token"] == [long]
    assert (grant.access_token.reveal(), grant.refresh_token) == (long, Secret(long))


@pytest.mark.parametrize("status", [200, 302, 400, 401, 429, 500])
async def test_no_failure_repeats_a_secret(status: int) -> None:
    """An answer that echoes what it was sent does not bring it into a log."""
    echo = {"error": "weird", "error_description": "got CANARY-secret\r\nand Atzr|CANARY-refresh", "request_id": "r\n1"}
    with pytest.raises(errors.TokenFailure) as raised:
        await refresh_from(echo, status, {"Location": "http://CANARY-secret/"})
    shown = f"{raised.value!r} {raised.value} {raised.value.detail}"
    assert "CANARY" not in shown
    assert raised.value.detail.isprintable()
    assert len(raised.value.detail) < 800


@pytest.mark.parametrize(("status", "error"), [(400, {}), (401, {"error": "invalid_client"}), (429, {}), (500, {})])
async def test_a_request_id_cannot_steer_a_terminal_or_a_log(status: int, error: dict[str, str]) -> None:
    """A request id that is all the response says is shown without unprintable characters, short, and without
    secrets."""
    body = {**error, "request_id": "r\n\x1b[2J\u202eCANARY-secret" + "x" * 5000}
    with pytest.raises(errors.TokenFailure) as raised:
        await refresh_from(body, status)
    assert "request id r" in raised.value.detail
    assert raised.value.detail.isprintable()
    assert "CANARY" not in raised.value.detail
    assert len(raised.value.detail) < 500


async def test_amazons_own_words_are_passed_on() -> None:
    """Error, description and request id help the person who asks Amazon's support."""
    body = {"error": "invalid_client", "error_description": "Client authentication failed", "request_id": "req-1"}
    with pytest.raises(
        errors.AppMisconfigured, match=r"invalid_client: Client authentication failed; request id req-1"
    ):
        await refresh_from(body, 401)


def test_the_sign_in_address_has_everything() -> None:
    """The address matches docs/development/amazon-login.md, Sign-in, several scopes and awkward characters included."""
    url = sign_in_url(
        "https://www.amazon.com/ap/oa",
        AuthorizationRequest(
            "client&1",
            ("advertising::campaign_management", "advertising::audiences"),
            "http://localhost:8081/login/callback?x=1&y=2",
            "state+/=",
            VERIFIER,
        ),
    )
    parts = urlsplit(url)
    assert url.startswith("https://www.amazon.com/ap/oa?")
    assert "+" not in parts.query
    assert parse_qs(parts.query) == {
        "client_id": ["client&1"],
        "scope": ["advertising::campaign_management advertising::audiences"],
        "response_type": ["code"],
        "redirect_uri": ["http://localhost:8081/login/callback?x=1&y=2"],
        "state": ["state+/="],
        "code_challenge": [code_challenge(VERIFIER.reveal())],
        "code_challenge_method": ["S256"],
    }


def test_a_sign_in_page_with_a_query_keeps_it() -> None:
    """A test's sign-in page may have one."""
    request = AuthorizationRequest("c", ("s",), "http://x/", "t", VERIFIER)
    assert "/oa?lang=en&client_id=c&" in sign_in_url("http://127.0.0.1:1/oa?lang=en", request)


async def test_what_asks_and_what_came_can_be_logged() -> None:
    """Neither the request nor the response shows a password, a secret, or the body with the tokens."""
    async with asking(timeout=2.5) as lwa:
        assert repr(lwa) == "<LoginWithAmazon: 2.5 s at most>"
    async with asking(proxy=Secret("http://user:CANARY@proxy.test:3128")) as lwa:
        assert repr(lwa) == "<LoginWithAmazon: 5 s at most through the outbound proxy proxy.test:3128>"
    request = TokenRequest("refresh_token", "amzn1.x", ("CANARY",))
    response = TokenResponse(200, json.dumps({**GOOD, "access_token": "CANARY"}).encode())
    assert "CANARY" not in repr((request, response, CREDENTIALS, parse_token_response(request, response, 0.1)))


def test_the_challenge_is_that_of_the_specification() -> None:
    """The example of RFC 7636, appendix B."""
    assert (
        code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


async def test_a_user_is_asked_for_next_to_the_token_endpoint() -> None:
    """The user is read with the access token, by GET; missing values are empty."""
    async with serving(saying({"user_id": "amzn1.account.X", "name": "n"})) as endpoint, asking() as lwa:
        assert await lwa.user_id(endpoint.url, Secret("Atza|CANARY")) == "amzn1.account.X"
    ((method, headers, body),) = endpoint.requests
    assert (method, headers["Authorization"], body) == ("GET", "Bearer Atza|CANARY", "")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": "insufficient_scope"}, 401),
        ({"user_id": "x"}, 500),
        ({"user_id": 7}, 200),
        ([], 200),
        (b"<html>", 200),
    ],
)
async def test_a_user_that_is_not_told_is_nobody(body: object, status: int) -> None:
    """Whatever the reason is."""
    async with serving(saying(body, status)) as endpoint, asking() as lwa:
        assert await lwa.user_id(endpoint.url, Secret("Atza|x")) == ""
    async with asking() as lwa:
        assert await lwa.user_id("http://127.0.0.1:1/auth/o2/token", Secret("Atza|x")) == ""
