"""A JWT as `client_assertion` at the local token endpoint (RFC 7523, 2.2): whose it is, and what is refused."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from proxy.access.clients import Clients
from proxy.access.token_endpoint import ASSERTION_TYPE, FORM, PlaceholderRequest, PlaceholderResponse, answer
from proxy.access.token_verification import ProviderKeys
from tests.access.test_clients import KEYED, NOBODYS
from tests.access.test_token_endpoint import TABLE
from tests.access.test_token_verification import NOW, RS, Desk
from tests.support.deciding import fields, request
from tests.support.issuers import hmac_token, service_account

ASSERTED = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE}


def token(**claims: Any) -> str:
    return RS.token({**service_account(NOW), **claims})


def ask(form: dict[str, str], clients: Clients, now: float = NOW, **changed: Any) -> PlaceholderResponse:
    asked = request(b"POST", b"/auth/o2/token", fields(**{"content_type": FORM, **changed}))
    return answer(PlaceholderRequest(asked, "", urlencode(form).encode()), clients, TABLE, now)


@pytest.mark.parametrize(
    "grant",
    [
        {"grant_type": "client_credentials"},
        {"grant_type": "refresh_token", "refresh_token": "acme"},
        {"grant_type": "client_credentials", "client_id": "nightly"},
    ],
)
def test_an_assertion_identifies_its_client(grant: dict[str, str]) -> None:
    """The placeholder is that client's, lives no longer than the assertion, and is bound as the grant says."""
    clients = Desk().clients
    given = ask({**ASSERTED, "client_assertion": token(), **grant}, clients)
    assert (given.status, given.client, given.subject) == (200, "nightly", service_account(NOW)["sub"])
    content = json.loads(given.body)
    found = clients.identify(fields(authorization=f"Bearer {content['access_token']}".encode()), NOW)
    assert (found.name, found.scope.bound) == ("nightly", grant.get("refresh_token", ""))
    assert found.subject == service_account(NOW)["sub"]
    assert content["expires_in"] <= service_account(NOW)["exp"] + 60 - NOW


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"client_assertion": ""}, 400, "invalid_request"),
        ({"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}, 400, "invalid_request"),
        ({"client_assertion_type": ""}, 400, "invalid_request"),
        ({"client_secret": "key"}, 400, "invalid_request"),
        ({"client_id": "deploy"}, 401, "invalid_client"),
        ({"client_assertion": "a-key"}, 401, "invalid_client"),
        ({"client_assertion": token(exp=NOW - 61)}, 401, "invalid_client"),
        ({"client_assertion": token(aud="another")}, 401, "invalid_client"),
        ({"client_assertion": token(sub="system:serviceaccount:ads:another")}, 401, "invalid_client"),
        ({"client_assertion": hmac_token(RS.pem, service_account(NOW), "first")}, 401, "invalid_client"),
        ({"client_assertion": token()[:-40] + "A" * 40}, 401, "invalid_client"),
        ({"client_assertion": token() + "é"}, 401, "invalid_client"),
    ],
)
def test_any_other_assertion_is_refused(changed: dict[str, str], status: int, error: str) -> None:
    """The answer is in OAuth's form, and holds nothing of the assertion."""
    form = {**ASSERTED, "client_assertion": token(), **changed}
    given = ask(form, Desk().clients)
    assert (given.status, json.loads(given.body)["error"], given.client) == (status, error, "")
    assert form["client_assertion"][-20:].encode() not in given.body or not form["client_assertion"]


def test_an_assertion_that_cannot_be_checked_now_may_be_sent_again() -> None:
    """The keys of its provider are not known yet."""
    given = ask({**ASSERTED, "client_assertion": token()}, Desk(cluster=ProviderKeys()).clients)
    assert (given.status, json.loads(given.body)["error"]) == (503, "temporarily_unavailable")


def test_a_client_authenticates_in_one_way() -> None:
    """A Basic Authorization next to an assertion is refused (RFC 6749, 2.3)."""
    given = ask({**ASSERTED, "client_assertion": token()}, Desk().clients, authorization=b"Basic bmlnaHRseTp4")
    assert (given.status, json.loads(given.body)["error"]) == (400, "invalid_request")


def test_without_identity_providers_no_assertion_is_believed() -> None:
    """Where clients have keys alone, none is authenticated by it; where none is configured, anyone is."""
    form = {**ASSERTED, "client_assertion": token(), "client_id": "reporting"}
    assert json.loads(ask(form, KEYED).body)["error"] == "invalid_client"
    assert ask(form, NOBODYS).status == 200
