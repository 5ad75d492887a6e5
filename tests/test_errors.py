"""Every failure has a name, a slug of its own, and a place in the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from proxy import errors, problem

REFUSALS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.Refused) and kind is not errors.Refused
]
FAILURES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.TokenFailure) and kind is not errors.TokenFailure
]
DATED = problem.own_lines(0.0, b"")
DOCUMENTED = Path(__file__).resolve().parents[1] / "docs" / "reference" / "errors.md"


def test_slugs_are_unique() -> None:
    """A slug names one failure."""
    slugs = [kind.slug for kind in REFUSALS]
    assert len(slugs) == len(set(slugs))


def test_every_slug_is_documented_with_its_status() -> None:
    """The tables of docs/reference/errors.md hold every refusal, and no other."""
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", DOCUMENTED.read_text(), re.MULTILINE))
    assert rows == {kind.slug: str(kind.status) for kind in REFUSALS}


def test_the_advice_on_a_refusal_is_found_by_its_slug() -> None:
    """Whole sentences of its own or its parent's; none for most errors of a client, nor for an unknown slug."""
    assert list(errors.REFUSALS.values()) == REFUSALS
    assert "allowed_hosts" in errors.advice_on("misdirected-host")
    assert errors.advice_on("tool-not-permitted") == errors.advice_on("not-permitted")
    assert errors.advice_on("malformed-request") == errors.advice_on("no-such-slug") == ""
    assert all(kind.advice.endswith(".") for kind in REFUSALS if kind.advice)


@pytest.mark.parametrize("kind", REFUSALS, ids=lambda kind: kind.slug)
def test_a_refusal_becomes_a_problem_document(kind: type[errors.Refused]) -> None:
    """The document has RFC 9457's members, Amazon's two next to them, and the header of RFC 9209."""
    answer = problem.answer(
        kind("Do this.", retry_after=1.2), "id-1", problem.BodyForm.PROBLEM, close=True, extra=DATED
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    said = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % kind.status)
    assert said["type"].endswith(":" + kind.slug)
    assert (said["detail"], said["details"], said["status"]) == ("Do this.", "Do this.", kind.status)
    assert said["code"] == kind.code and said["title"] == kind.title
    assert b"Proxy-Status: ads-proxy; error=" + kind.proxy_error.encode() in head
    assert b"Retry-After: 2\r\n" in head
    assert b"Connection: close" in head
    assert b"Content-Length: %d\r\n" % len(body) in head


def test_a_head_request_is_refused_without_a_body() -> None:
    """The length is named, the body left out (RFC 9110, 9.3.2)."""
    answer = problem.answer(errors.UnknownRoute("x"), "id", problem.BodyForm.NONE, close=False, extra=DATED)
    assert answer.endswith(b"\r\n\r\n")
    assert b"Connection" not in answer


def test_some_statuses_bring_their_own_headers() -> None:
    """401 names the scheme (RFC 9110, 11.6.1), 405 the methods (15.5.6)."""
    made = {
        kind.status: problem.answer(
            kind("x"), "id", problem.BodyForm.PROBLEM, close=False, extra=DATED + b"X-Demo: 1\r\n"
        )
        for kind in (errors.ClientUnknown, errors.MethodNotAllowed)
    }
    assert b'WWW-Authenticate: Bearer realm="ads-proxy"' in made[401]
    assert b"Allow: GET" in made[405]
    assert b"\r\nX-Demo: 1\r\n\r\n" in made[401]


def test_an_instance_may_know_better_whether_asking_again_helps() -> None:
    """`retryable` is that of its kind unless the one who raises it says otherwise."""
    assert problem.document(errors.NoUsableToken("Wait."), "id")["retryable"] is True
    assert problem.document(errors.NoUsableToken("Sign in.", retryable=False), "id")["retryable"] is False
    assert problem.document(errors.UnknownRoute("x"), "id")["retryable"] is False


@pytest.mark.parametrize("kind", FAILURES, ids=lambda kind: kind.__name__)
def test_every_token_failure_advises(kind: type[errors.TokenFailure]) -> None:
    """The reason is one of the metric's labels, and the advice is a sentence."""
    failure = kind("what happened", retry_after=3)
    reasons = {
        "invalid_grant",
        "invalid_client",
        "rejected",
        "throttled",
        "server_error",
        "network",
        "timeout",
        "malformed",
    }
    assert failure.reason in reasons
    assert failure.advice.endswith(".")
    assert (failure.detail, failure.retry_after) == ("what happened", 3)


def test_a_configuration_error_holds_all_problems() -> None:
    """One line each, and the exit code of a configuration error."""
    error = errors.ConfigurationError(("a: b", "c: d"))
    assert str(error) == "a: b\nc: d"
    assert error.exit_code == 2
    assert errors.ListenError("x").exit_code == 1
