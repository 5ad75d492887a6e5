"""Headers and parameters that may stand for another method, path or operation."""

from __future__ import annotations

import pytest

from proxy.routing.overrides import MAX_PARAMETERS, OVERRIDES, find_override, has_too_many, may_override
from tests.support.deciding import OVERRIDING, fields, request, summary


@pytest.mark.parametrize("name", sorted(OVERRIDES))
def test_a_known_name_is_known_in_any_spelling(name: bytes) -> None:
    """In any case, with other punctuation, encoded once or twice."""
    spellings = (name, name.upper(), name.replace(b"-", b"_"), name.replace(b"-", b""), name.replace(b"-", b"%2d"))
    assert all(map(may_override, (*spellings, name.replace(b"-", b"%252D"), name + b"[]")))


@pytest.mark.parametrize(
    "name",
    [
        *(
            b"X-Method",
            b"X-Override-Method",
            b"X-Goog-Method-Override",
            b"X-HTTP-Method-Override-2",
            b"Override-Method",
        ),
        *(b"X-Google-Method", b"X-Original-Request-Path", b"X-Rewritten-Url", b"X-HTTP-Verb", b"X-Requested-Method"),
        *(b"_method", b"_METHOD", b"_method[]", b"_method[0]", b"%255fmethod", b"%5F%6Dethod", b".method", b" _method"),
    ],
)
def test_a_similar_name_is_treated_as_a_known_one(name: bytes) -> None:
    """Other vendors' headers, and what frameworks for forms take for `_method`."""
    assert may_override(name)


@pytest.mark.parametrize(
    "name",
    [
        *(b"method", b"a_method", b"paymentMethod", b"Mcp-Method", b"Access-Control-Request-Method", b"methodology"),
        *(b"Content-Location", b"Referer", b"url", b"landing_page_url", b"imagePath", b"", b"_", b"%", b"x"),
    ],
)
def test_another_name_is_left_alone(name: bytes) -> None:
    """A parameter that holds the word, and headers of browsers and of MCP."""
    assert not may_override(name)


def test_a_name_that_is_encoded_more_often_than_anybody_decodes_is_left_alone() -> None:
    """Each server and framework on the way decodes once; no chain decodes four times."""
    assert not may_override(b"%25252525255Fmethod")


@pytest.mark.parametrize(
    "query",
    [
        *(b"?_method=PUT", b"?a=1&_method", b"a=1;_METHOD=x", b"?X-HTTP-Method-Override=PUT", b"?%5f%6dethod=x"),
        *(b"?%255fmethod=x", b"?+method=x", b"?me=1&_method[]=x"),
    ],
)
def test_a_parameter_is_found_among_others(query: bytes) -> None:
    """In every spelling that some server reads."""
    assert find_override(query)


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"?",
        b"?a=_method",
        b"?a=%26_method%3DPUT",
        b"?targetIdFilter=1",
        b"?path=/x&url=y",
        b"?%61=1",
        b"?me&thod=1",
    ],
)
def test_other_parameters_override_nothing(query: bytes) -> None:
    """Values do not count, nor do names that only look like it."""
    assert not find_override(query)


def test_a_header_is_found_among_others() -> None:
    """In addition to the ordinary ones."""
    assert fields(OVERRIDING).overrides
    assert not fields(b"X-Other: _method").overrides


@pytest.mark.parametrize(("name", "overrides"), [(b"a", False), (b"targetId", True), (b"%61", True)])
def test_of_very_many_parameters_those_that_look_like_it_count(name: bytes, overrides: bool) -> None:
    """To look at each of them would cost more than a refusal may."""
    queries = [b"?" + b"&".join([name + b"=1"] * number) for number in (MAX_PARAMETERS, MAX_PARAMETERS + 1)]
    assert [find_override(query) for query in queries] == [False, overrides]
    assert [has_too_many(query) for query in queries] == [False, True]


@pytest.mark.parametrize(
    ("target", "lines", "effect"),
    [
        (b"/v2/profiles", (), "read"),
        (b"/v2/profiles?a=1", (), "read"),
        (b"/v2/profiles", (OVERRIDING,), "unknown"),
        (b"/v2/profiles?_method=PUT", (), "unknown"),
        (b"/nobody/knows", (), "read"),
    ],
)
def test_the_effect_of_an_operation_holds_without_overrides(
    target: bytes, lines: tuple[bytes, ...], effect: str
) -> None:
    """A header or a query parameter that may stand for another request line makes the effect unknown."""
    assert summary(request(b"GET", target, fields(*lines))).effect == effect
