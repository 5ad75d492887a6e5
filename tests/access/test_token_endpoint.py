"""The local OAuth answer, as clients of Login with Amazon expect it."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from proxy.access.clients import ClientIdentity, Clients
from proxy.access.placeholders import ACCESS, LIFETIME
from proxy.access.token_endpoint import FORM, PlaceholderRequest, PlaceholderResponse, answer
from proxy.app.rules import make_routing_table
from proxy.http1.target import parse_target
from proxy.routing.table import EmptyDirectory
from proxy.routing.target import find_destination
from tests.access.test_clients import KEYED, NOBODYS, NOW
from tests.support.deciding import config, fields, request

TABLE = make_routing_table(
    config(
        {"acme": {}, "zeta": {}},
        routes={"brand-eu": {"account": "acme", "region": "eu"}, "brand-zeta": {"account": "zeta"}},
    ),
    EmptyDirectory(),
)
REFRESH = {"grant_type": "refresh_token", "refresh_token": "acme", "client_id": "reporting"}
MINE = {**REFRESH, "client_secret": "key-of-reporting"}
CODE = {
    "grant_type": "authorization_code",
    "code": "ANcode",
    "redirect_uri": "https://x",
    "client_id": "x",
    "client_secret": "y",
}


def ask(
    form: dict[str, str] | bytes,
    clients: Clients = KEYED,
    *,
    method: bytes = b"POST",
    target: bytes = b"/auth/o2/token",
    sender: ClientIdentity | None = None,
    **changed: Any,
) -> PlaceholderResponse:
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    asked = request(method, target, fields(**{"content_type": FORM, **changed}))
    binding = find_destination(parse_target(target)).name
    return answer(PlaceholderRequest(asked, binding, body, sender), clients, TABLE, NOW)


def logged(given: PlaceholderResponse) -> str:
    """What the log says of an answer that is an error."""
    assert given.refusal is not None
    return given.refusal.detail


def bound_to(given: PlaceholderResponse, clients: Clients) -> tuple[str, str]:
    """The client and bound name that the proxy later reads from the access token of an answer."""
    assert given.status == 200, given.body
    token = json.loads(given.body)["access_token"]
    identity = clients.identify(fields(authorization=f"Bearer {token}".encode()), NOW)
    return identity.name, identity.scope.bound


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({**REFRESH, "client_id": "amzn1.made-up", "client_secret": "made-up", "refresh_token": "Atzr|made-up"}, 200),
        ({**MINE, "refresh_token": "Atzr|made-up"}, 200),
        ({**MINE, "client_secret": "key-of-bidder", "refresh_token": "Atzr|made-up"}, 200),
        ({**REFRESH, "client_id": "bidder", "client_secret": "key-of-bidder"}, 403),
    ],
)
def test_a_sender_with_a_key_needs_no_credentials(form: dict[str, str], status: int) -> None:
    """They may be anything but those of another client."""
    given = ask(form, sender=KEYED.impersonate("reporting"))
    assert given.status == status
    if status == 200:
        assert bound_to(given, KEYED) == ("reporting", "")


def test_a_token_tells_the_end_that_it_has() -> None:
    """A sender that shows a placeholder gets none that outlasts it, and is told so."""
    sender = KEYED.impersonate("reporting")
    assert sender is not None
    given = ask(REFRESH, sender=replace(sender, valid_until=NOW + 100))
    content = json.loads(given.body)
    shown = fields(authorization=f"Bearer {content['access_token']}".encode())
    assert content["expires_in"] == 100 == KEYED.identify(shown, NOW).valid_until - NOW


def test_success_looks_like_lwas() -> None:
    """Four members, `bearer`, an hour, and nothing may store it (docs/development/amazon-login.md, Token requests)."""
    given = ask(MINE)
    content = json.loads(given.body)
    assert list(content) == ["access_token", "refresh_token", "token_type", "expires_in"]
    assert content["access_token"].encode().startswith(ACCESS)
    assert (content["refresh_token"], content["token_type"], content["expires_in"]) == ("acme", "bearer", LIFETIME)
    assert (given.status, dict(given.headers)) == (
        200,
        {b"Content-Type": b"application/json;charset=UTF-8", b"Cache-Control": b"no-store", b"Pragma": b"no-cache"},
    )


@pytest.mark.parametrize(
    ("form", "target", "bound"),
    [
        (MINE, b"/auth/o2/token", "acme"),
        ({**MINE, "refresh_token": "brand-eu"}, b"/auth/o2/token", "brand-eu"),
        ({**MINE, "refresh_token": "acme"}, b"/@brand-eu/auth/o2/token", "brand-eu"),
        (MINE, b"/eu/auth/o2/token", "acme"),
        ({**MINE, "grant_type": "authorization_code", "code": "x"}, b"/auth/o2/token", ""),
        ({**MINE, "grant_type": "authorization_code", "code": "x"}, b"/%40acme/auth/o2/token", "acme"),
    ],
)
def test_what_a_placeholder_is_bound_to(form: dict[str, str], target: bytes, bound: str) -> None:
    """The prefix's name, else the refresh token's, else none."""
    assert bound_to(ask(form, target=target), KEYED) == ("reporting", bound)


def test_basic_authentication() -> None:
    """Some clients send id and secret so (docs/development/amazon-login.md, Token requests)."""
    right = b"Basic " + base64.b64encode(b"reporting:key-of-reporting")
    form = {"grant_type": "refresh_token", "refresh_token": "acme"}
    assert bound_to(ask(form, authorization=right), KEYED) == ("reporting", "acme")
    for wrong in (
        b"Basic " + base64.b64encode(b"reporting:x"),
        b"Basic !",
        b"Basic",
        b"Basic " + base64.b64encode(b"\xff"),
    ):
        given = ask(MINE, authorization=wrong)
        assert (given.status, json.loads(given.body)["error"]) == (401, "invalid_client")
        assert dict(given.headers)[b"WWW-Authenticate"].startswith(b"Basic")


def test_another_schemes_authorization_is_no_matter() -> None:
    """The form speaks then."""
    assert ask(MINE, authorization=b"Bearer x").status == 200


@pytest.mark.parametrize(
    ("form", "status", "error", "description"),
    [
        ({**MINE, "client_secret": "wrong"}, 401, "invalid_client", "Client authentication failed"),
        ({**MINE, "client_id": "bidder"}, 401, "invalid_client", "Client authentication failed"),
        (REFRESH, 401, "invalid_client", "Client authentication failed"),
        ({}, 401, "invalid_client", "Client authentication failed"),
        ({**MINE, "refresh_token": "Atzr|x"}, 400, "invalid_grant", "invalid grant parameter : refresh_token"),
        ({**MINE, "refresh_token": "zeta"}, 400, "invalid_grant", "invalid grant parameter : refresh_token"),
        ({**MINE, "refresh_token": ""}, 400, "invalid_request", "missing a required parameter : refresh_token"),
        ({**MINE, "grant_type": ""}, 400, "invalid_request", "missing a required parameter : grant_type"),
        ({**MINE, "grant_type": "authorization_code"}, 400, "invalid_request", "missing a required parameter : code"),
        ({**MINE, "grant_type": "password"}, 400, "unsupported_grant_type", "authorization_code or client_credentials"),
        (b"grant_type=a&grant_type=b", 400, "invalid_request", "more than once"),
        (b"\xff", 400, "invalid_request", "not a form"),
        (b"&".join([b"a=b"] * 100), 400, "invalid_request", "not a form"),
    ],
)
def test_errors_look_like_lwas(form: dict[str, str] | bytes, status: int, error: str, description: str) -> None:
    """Error and description, and nothing may store them either (docs/development/amazon-login.md, Token errors). The
    log has the error, too, and a reason."""
    given = ask(form)
    content = json.loads(given.body)
    assert logged(given).startswith(f"{error}: ")
    assert given.refusal is not None and given.refusal.status == status
    assert (given.status, content["error"]) == (status, error)
    assert description in content["error_description"]
    assert list(content) == ["error", "error_description"]
    assert dict(given.headers)[b"Cache-Control"] == b"no-store"


def test_a_prefix_that_names_nothing_is_an_error() -> None:
    """The prefix is unknown, or the client may not use it."""
    for target in (b"/@nobody/auth/o2/token", b"/@zeta/auth/o2/token"):
        given = ask(MINE, target=target)
        assert (given.status, json.loads(given.body)["error"]) == (400, "invalid_request")


def test_what_is_not_the_clients_is_answered_as_what_is_not_there() -> None:
    """Account, route and nothing at all: one answer by each way of asking, byte for byte."""
    free = KEYED.impersonate("reporting")
    assert free is not None
    for form, target in (
        (MINE, "/@NAME/auth/o2/token"),
        (MINE, "/@NAME/eu/auth/o2/token"),
        ({**MINE, "refresh_token": "NAME"}, "/auth/o2/token"),
        ({**MINE, "refresh_token": "NAME"}, "/@acme/auth/o2/token"),
        ({**MINE, "refresh_token": "BOUND"}, "/auth/o2/token"),
    ):
        answers, told = set(), set()
        for name in ("zeta", "brand-zeta", "nosuchname", "acne"):
            bound = KEYED.issue(free, name, NOW)[1]
            sent = {key: value.replace("NAME", name).replace("BOUND", bound) for key, value in form.items()}
            given = ask(sent, target=target.replace("NAME", name).encode())
            answers.add((given.status, given.headers, given.body))
            told.add(logged(given).replace(name, "NAME"))
        assert len(answers) == 1
        assert answers.pop()[0] == 400
        assert len(told) == 2  # the log tells both apart


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"OPTIONS"])
def test_only_post_is_taken(method: bytes) -> None:
    """All other methods get 405."""
    given = ask(MINE, method=method)
    assert (given.status, dict(given.headers)[b"Allow"]) == (405, b"POST")
    assert given.refusal is not None and given.refusal.slug == "method-not-allowed"


@pytest.mark.parametrize("content_type", [b"application/json5", b"multipart/form-data; boundary=x", b"text/plain"])
def test_only_forms_and_json_are_taken(content_type: bytes) -> None:
    """The description names both media types."""
    given = ask(MINE, content_type=content_type)
    content = json.loads(given.body)
    assert (given.status, content["error"]) == (400, "invalid_request")
    assert FORM.decode() in content["error_description"]
    assert "application/json" in content["error_description"]


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"Application/JSON; charset=utf-8", b"", FORM, FORM + b"; charset=UTF-8"]
)
def test_json_is_taken_whatever_it_is_called(content_type: bytes) -> None:
    """Some clients send JSON and label it as a form."""
    for body in (json.dumps(MINE), f" \r\n{json.dumps({**MINE, 'scope': None}, indent=2)}"):
        given = ask(body.encode(), content_type=content_type)
        assert bound_to(given, KEYED) == ("reporting", "acme")


def test_json_goes_with_basic_authentication() -> None:
    """Name and key come from the header, the grant from the body."""
    authorization = b"Basic " + base64.b64encode(b"reporting:key-of-reporting")
    body = json.dumps({"grant_type": "refresh_token", "refresh_token": "brand-eu"}).encode()
    given = ask(body, content_type=b"application/json", authorization=authorization)
    assert bound_to(given, KEYED) == ("reporting", "brand-eu")


@pytest.mark.parametrize("content_type", [b"application/json", FORM])
@pytest.mark.parametrize(
    ("body", "description"),
    [
        (json.dumps(MINE)[:-1] + ', "client_id": "bidder"}', "more than once"),
        (json.dumps(MINE)[:-1] + ', "client\\u005fid": "bidder"}', "more than once"),
        (json.dumps(MINE)[:-1] + ', "scope": {"a": 1, "a": 2}}', "more than once"),
        (json.dumps({**MINE, "client_secret": 5}), "not a JSON string"),
        (json.dumps({**MINE, "client_secret": ["key-of-reporting"]}), "not a JSON string"),
        (json.dumps({**MINE, "client_secret": "\ud800"}), "not a JSON string"),
        (json.dumps({**MINE, "refresh_token": None}), "missing a required parameter : refresh_token"),
        (json.dumps({**MINE, "grant_type": ""}), "missing a required parameter : grant_type"),
        (json.dumps({f"name-{number}": "" for number in range(65)}), "not a JSON object of parameters"),
        ("{", "not JSON"),
        ('{"grant_type": NaN}', "read in two ways"),
        ('{"grant_type": "\xff"}', "read in two ways"),
        ('{"a":' * 5000, "not JSON"),
    ],
)
def test_json_is_read_as_strictly_as_a_form(content_type: bytes, body: str, description: str) -> None:
    """What two readers could understand differently is an OAuth error."""
    given = ask(body.encode("latin-1"), content_type=content_type)
    content = json.loads(given.body)
    assert (given.status, content["error"]) == (400, "invalid_request")
    assert description in content["error_description"]


@pytest.mark.parametrize("body", [b"[]", b'"grant_type"', b"", b"grant_type=refresh_token", b"\xef\xbb\xbf{}"])
def test_what_is_called_json_must_be_an_object(body: bytes) -> None:
    """An array, a form or an empty body is refused."""
    given = ask(body, content_type=b"application/json")
    assert (given.status, json.loads(given.body)["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("content_type", [b"", b"application/x-www-form-urlencoded; charset=UTF-8", FORM.upper()])
def test_a_form_may_be_called_so_in_several_ways(content_type: bytes) -> None:
    """Case and parameters do not matter; some clients say nothing."""
    assert ask(MINE, content_type=content_type).status == 200


@pytest.mark.parametrize(
    ("form", "bound"),
    [
        (
            {"grant_type": "refresh_token", "refresh_token": "Atzr|something", "client_id": "x", "client_secret": "y"},
            "",
        ),
        ({"grant_type": "refresh_token", "refresh_token": "acme"}, "acme"),
        ({"grant_type": "refresh_token", "refresh_token": "brand-eu"}, "brand-eu"),
        (CODE, ""),
        ({**CODE, "code": ""}, ""),
    ],
)
def test_without_clients_any_values_are_accepted(form: dict[str, str], bound: str) -> None:
    """An account's or route's name still binds the placeholder."""
    assert bound_to(ask(form, NOBODYS), NOBODYS) == ("anonymous", bound)


def test_nothing_that_was_sent_comes_back_but_a_name() -> None:
    """A refresh token of Amazon's, sent by mistake, is in no answer."""
    given = ask({"grant_type": "refresh_token", "refresh_token": "Atzr|of-amazon"}, NOBODYS)
    assert b"of-amazon" not in given.body
    assert json.loads(given.body)["refresh_token"].startswith("Atzr|ap1.")


@pytest.mark.parametrize(("clients", "secret"), [(KEYED, "key-of-reporting"), (NOBODYS, "whatever")])
def test_the_refresh_token_of_an_answer_can_be_used(clients: Clients, secret: str) -> None:
    """A client of the code grant refreshes with what it got, and stays bound."""
    form = {**CODE, "client_id": "reporting", "client_secret": secret}
    first = json.loads(ask(form, clients, target=b"/@acme/auth/o2/token").body)
    again = {**REFRESH, "client_secret": secret, "refresh_token": first["refresh_token"]}
    assert bound_to(ask(again, clients), clients)[1] == "acme"


def test_a_refresh_placeholder_bound_to_what_is_gone_is_an_invalid_grant() -> None:
    """The account left the configuration, or the client may no longer use it."""
    identity = KEYED.impersonate("reporting")
    assert identity is not None
    for bound in ("gone", "zeta"):
        _, refresh = KEYED.issue(identity, bound, NOW)
        given = ask({**MINE, "refresh_token": refresh})
        assert (given.status, json.loads(given.body)["error"]) == (400, "invalid_grant")


# --- client_credentials (RFC 6749, 4.4)

CREDENTIALS = {"grant_type": "client_credentials"}
HELD = {"client_id": "reporting", "client_secret": "key-of-reporting"}
BASIC = b"Basic " + base64.b64encode(b"reporting:key-of-reporting")


@pytest.mark.parametrize(
    ("form", "header", "target", "bound"),
    [
        ({**CREDENTIALS, **HELD}, {}, b"/auth/o2/token", ""),
        (CREDENTIALS, {"authorization": BASIC}, b"/auth/o2/token", ""),
        ({**CREDENTIALS, **HELD, "scope": "advertising::campaign_management"}, {}, b"/auth/o2/token", ""),
        ({**CREDENTIALS, **HELD, "refresh_token": "acme"}, {}, b"/auth/o2/token", ""),
        ({**CREDENTIALS, **HELD}, {}, b"/@acme/auth/o2/token", "acme"),
        (CREDENTIALS, {"authorization": BASIC}, b"/@brand-eu/auth/o2/token", "brand-eu"),
    ],
)
def test_a_client_gets_a_placeholder_by_its_key_alone(
    form: dict[str, str], header: dict[str, Any], target: bytes, bound: str
) -> None:
    """Id and key in the form or as Basic. The address may choose the account, and else each request; a scope does not.
    There is no refresh token, as the client has its key (RFC 6749, 4.4.3)."""
    given = ask(form, target=target, **header)
    assert bound_to(given, KEYED) == ("reporting", bound)
    assert list(json.loads(given.body)) == ["access_token", "token_type", "expires_in"]
    assert given.client == "reporting"


def test_without_clients_anybody_gets_one() -> None:
    """As by every other grant."""
    assert bound_to(ask({**CREDENTIALS, "client_id": "x", "client_secret": "y"}, NOBODYS), NOBODYS)[0] == "anonymous"


@pytest.mark.parametrize(
    ("changed", "target", "error"),
    [
        ({"client_secret": "wrong"}, b"/auth/o2/token", "invalid_client"),
        ({"client_secret": "key-of-bidder"}, b"/auth/o2/token", "invalid_client"),
        ({}, b"/@zeta/auth/o2/token", "invalid_request"),
        ({}, b"/@nobody/auth/o2/token", "invalid_request"),
        ({"grant_type": "Client_Credentials"}, b"/auth/o2/token", "unsupported_grant_type"),
    ],
)
def test_a_key_is_worth_no_more_by_this_grant(changed: dict[str, str], target: bytes, error: str) -> None:
    """Wrong keys, and accounts of other clients, are refused as by any other grant."""
    assert json.loads(ask({**CREDENTIALS, **HELD, **changed}, target=target).body)["error"] == error


# --- what the log says, and the client does not read

KEY = "adsproxy_" + "k" * 43
AMAZONS = "amzn1.application-oa2-client.0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"client_secret": "wrong"}, "client_secret is neither a key nor a JWT of client reporting"),
        (
            {"client_secret": "key-of-bidder"},
            "nor a JWT of client reporting, and client_secret is a key of client bidder",
        ),
        (
            {"client_id": "reportin"},
            "client_id 'reportin' is no client's name, and client_secret is a key of client re",
        ),
        ({"client_id": "x", "client_secret": "y"}, "'x' is no client's name, and client_secret is no key of a client"),
        ({"client_id": "key-of-reporting", "client_secret": "reporting"}, "client_id is a key of client reporting"),
        ({"client_id": ""}, "the request has no client_id, and client_secret is a key of client reporting"),
        ({"client_secret": ""}, "the request has no client_secret"),
        ({"client_id": "", "client_secret": ""}, "the request has neither client_id nor client_secret"),
        ({"client_id": KEY}, "client_id (not shown, 52 characters) is no client's name"),
        ({"client_id": "f" * 64}, "client_id (not shown, 64 characters) is no client's name"),
        ({"client_id": "a\nb"}, "client_id (not shown, 3 characters) is no client's name"),
        ({"client_id": "\u202e"}, "client_id (not shown, 1 characters) is no client's name"),
        ({"client_id": AMAZONS}, f"client_id '{AMAZONS}' is no client's name"),
    ],
)
def test_the_log_tells_whether_id_or_secret_was_wrong(changed: dict[str, str], detail: str) -> None:
    """And which id it was, unless that may be a secret in the wrong place. Everybody reads the same answer."""
    given = ask({**MINE, **changed})
    assert detail in logged(given)
    assert (given.client, given.refusal.slug if given.refusal else "") == ("", "client-unknown")
    wrong = ask({**MINE, "client_id": "nobody", "client_secret": "x"})
    assert (given.status, given.headers, given.body) == (wrong.status, wrong.headers, wrong.body)


def test_a_wrong_id_takes_as_many_comparisons_as_a_wrong_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time does not tell which clients there are."""
    compared: list[str] = []
    compare = hmac.compare_digest

    def counting(one: str, other: str) -> bool:
        compared.append(one)
        return compare(one, other)

    monkeypatch.setattr("proxy.access.clients.hmac.compare_digest", counting)
    counts = set()
    for name, secret in (("reporting", "wrong"), ("nobody", "wrong"), ("nobody", "key-of-reporting"), ("bidder", "")):
        compared.clear()
        assert ask({**MINE, "client_id": name, "client_secret": secret}).status == 401
        counts.add(len(compared))
    assert len(counts) == 1


@pytest.mark.parametrize(
    ("changed", "target", "slug", "detail"),
    [
        ({"refresh_token": "zeta"}, "", "invalid-grant", "is for zeta, which client reporting may not use"),
        ({"refresh_token": "zeto"}, "", "invalid-grant", "is for 'zeto', which is neither an account nor a route"),
        (
            {"refresh_token": "Atzr|of-amazon"},
            "",
            "invalid-grant",
            "is for (not shown, 14 characters), which is neither",
        ),
        ({"refresh_token": "Atzr|ap1.x.y"}, "", "invalid-grant", "was issued to another client, or for a key that has"),
        ({}, "/@zeta", "invalid-grant", "invalid_request: /@NAME is for zeta, which client reporting may not use"),
        ({}, "/@zeto", "invalid-grant", "invalid_request: /@NAME is for 'zeto', which is neither"),
        ({"grant_type": "password"}, "", "invalid-token-request", "unsupported_grant_type: The authorization grant"),
        ({"refresh_token": ""}, "", "invalid-token-request", "invalid_request: The request is missing"),
    ],
)
def test_the_log_has_the_reason_and_the_client(changed: dict[str, str], target: str, slug: str, detail: str) -> None:
    """Where a client is known, all that is wrong is told to the operator."""
    given = ask({**MINE, **changed}, target=f"{target}/auth/o2/token".encode())
    assert (given.status, given.client, given.refusal.slug if given.refusal else "") == (400, "reporting", slug)
    assert detail in logged(given)


def test_a_sender_is_known_whatever_its_form_is() -> None:
    """The key of a tunnel tells who sends what cannot be read."""
    assert ask(b"\xff", sender=KEYED.impersonate("reporting")).client == "reporting"
