"""Reason phrases of problem documents, and the form of a refusal."""

from __future__ import annotations

import json

import pytest

from proxy.errors import AccountRequired
from proxy.problem import BodyForm, answer, json_answer, own_lines, reason_phrase


@pytest.mark.parametrize(("status", "phrase"), [(200, "OK"), (503, "Service Unavailable"), (599, ""), (0, "")])
def test_a_status_has_its_phrase_or_none(status: int, phrase: str) -> None:
    """RFC 9112, 4 lets the phrase be absent: no status is refused for having none."""
    assert reason_phrase(status) == phrase


def test_each_answer_of_the_proxys_own_has_the_date_first() -> None:
    """The date has the form of RFC 9110, 5.6.7, and whole seconds."""
    assert own_lines(784_111_777.9, b"X: y\r\n") == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nX: y\r\n"


@pytest.mark.parametrize(
    ("form", "kind"),
    [(BodyForm.PROBLEM, b"problem+json"), (BodyForm.NONE, b"problem+json"), (BodyForm.MESSAGE, b"json")],
)
def test_a_refusal_has_the_form_that_its_client_reads(form: BodyForm, kind: bytes) -> None:
    """A problem document for HTTP clients, nothing for HEAD, and a JSON-RPC error for MCP, all with the same head."""
    head, _, body = answer(AccountRequired("Name one."), "r1", form, close=False, extra=b"").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/" + kind + b"\r\n")
    assert b"\r\nProxy-Status: ads-proxy; error=" in head
    assert (body == b"") is (form is BodyForm.NONE)


def test_a_message_is_both_a_problem_document_and_a_json_rpc_error() -> None:
    """What reads the members of a problem document finds them where they always were."""
    sent = answer(AccountRequired("Name one."), "r1", BodyForm.MESSAGE, close=False, extra=b"")
    said = json.loads(sent.partition(b"\r\n\r\n")[2])
    data = {"type": "urn:ads-proxy:error:account-required", "status": 400, "retryable": False, "request_id": "r1"}
    assert (said["jsonrpc"], said["id"]) == ("2.0", None)
    assert said["error"] == {"code": -32012, "message": "Name one.", "data": data}
    assert data.items() <= said.items() and said["detail"] == "Name one."


def test_a_refusal_quotes_no_key() -> None:
    """A client that wrote its key in the wrong place may show the answer to others."""
    error = AccountRequired("Unknown account 'adsproxy_SECRETSECRET'; correct it.")
    for form in (BodyForm.PROBLEM, BodyForm.MESSAGE):
        sent = answer(error, "r1", form, close=False, extra=b"")
        assert b"SECRET" not in sent
        assert b"Unknown account 'adsproxy_***'; correct it." in sent


@pytest.mark.parametrize("close", [False, True])
def test_an_answer_that_is_no_problem_document_is_json_as_it_was_given(close: bool) -> None:
    """With its length, and not to be kept by any cache."""
    head, _, body = json_answer(b"{}", 200, "r1", close=close, extra=b"X: y\r\n").partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert (first, body) == (b"HTTP/1.1 200 OK", b"{}")
    assert {b"Content-Type: application/json", b"Content-Length: 2", b"Cache-Control: no-store", b"X: y"} <= {*lines}
    assert (b"Connection: close" in lines) is close
