"""The table of docs/explanation/reliability.md on sending again, row by row with the test that holds it."""

from __future__ import annotations

import re

import pytest

from tests.support.programs import ROOT

_RETRY, _EXCHANGE = "tests/forwarding/test_retry.py::", "tests/forwarding/test_exchange.py::"
_RENEWALS = "tests/forwarding/test_exchange_renewals.py::"
PAGE = ROOT / "docs" / "explanation" / "reliability.md"

HELD_BY = [
    (
        "any | no connection |",
        "tests/net/test_dialing.py::test_no_request_is_lost_while_a_listener_is_away_for_300_ms",
    ),
    (
        "any, body kept | the connection closed before anything was written |",
        _RETRY + "test_what_never_left_is_sent_again",
    ),
    (
        "reads | head or more was written | the connection closed before the whole head of an answer",
        _RETRY + "test_a_read_that_was_cut_is_sent_once_more",
    ),
    (
        "reads, kept whole | all was written, on a connection unused for a second or more | "
        "nothing, for longer than usual",
        "tests/forwarding/test_hedging.py::test_connections_that_died_without_a_word_cost_no_reader_anything",
    ),
    (
        "reads | head or more was written | nothing in `upstream.response_timeout`",
        _RETRY + "test_other_failures_are_given_up",
    ),
    (
        "writes | head or more was written | the connection closed, or nothing came",
        _RETRY + "test_a_write_that_may_have_left_is_not_sent_again",
    ),
    (
        "any | | invalid HTTP, such as a head with bare LF",
        _RETRY + "test_other_failures_are_given_up",
    ),
    (
        "any | | 401 that blames the Scope",
        _RENEWALS + "test_a_401_about_the_scope_costs_no_renewal_and_no_replay",
    ),
    (
        "any, body kept | whole or not | the first other 401, or MCP's equivalent",
        _RENEWALS + "test_a_401_is_answered_by_one_renewal_and_one_replay",
    ),
    ("any | | 401 again, or one that does not convince", _RENEWALS + "test_the_second_401_is_delivered_as_it_is"),
    (
        "any | | 401 that does, and no newer token comes",
        _RENEWALS + "test_a_401_that_convinces_is_a_503_while_login_is_away",
    ),
    (
        "reads, body kept | | 429 or 503, its Retry-After within what is left of `upstream.retry_wait`",
        _RETRY + "test_a_pause_is_waited_out_within_the_configured_bound",
    ),
    ("writes | | 429 or 503", _EXCHANGE + "test_no_pause_is_waited_out_for_a_write"),
    ("any | | any other status", _RETRY + "test_answers_are_delivered"),
]


def rows() -> list[str]:
    """The first three cells of each row, without links."""
    text = PAGE.read_text(encoding="utf-8").partition("| request | how far it got |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    plain = [re.sub(r" ?\(\[[^]]*\]\([^)]*\)\)|\[([^]]*)\]\([^)]*\)", r"\1", " | ".join(row[:3])) for row in cells]
    return [re.sub(r" +", " ", row).strip() for row in plain]


def test_the_page_has_the_rows_that_tests_hold() -> None:
    """In the same order, with none beside them."""
    assert rows() == [row for row, _ in HELD_BY]


@pytest.mark.parametrize("place", sorted({place for _, place in HELD_BY}))
def test_what_holds_a_row_is_there(place: str) -> None:
    """A test of this name, in this file."""
    path, _, name = place.partition("::")
    assert re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
