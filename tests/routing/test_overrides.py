"""Names of headers and parameters that may stand for another method, path or operation."""

from __future__ import annotations

import pytest

from proxy.routing.overrides import OVERRIDES, may_override


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
    """Each server and framework on the way decodes once; four times is nobody's reading."""
    assert not may_override(b"%25252525255Fmethod")
