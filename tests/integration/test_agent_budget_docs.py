"""The page about an agent's budget works to the letter: its blocks are typed into terminals, in their order.

What the simulator counts decides whether a write was done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.integration.page_reader import Reader, documents, following
from tests.support.tool_results import refusal_text

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The page is followed once, from beginning to end."""
    with following("agent-budget.md", tmp_path_factory.mktemp("home")) as person:
        yield person


def test_observing_refuses_nothing_and_shows_what_would_be(reader: Reader) -> None:
    """The campaign is created although it is over, and `spend` names the rule, the value and the limit."""
    sent, created = reader.said_by("> ~/ads-budget/campaign.json")
    assert (len(documents(sent.text)[-1]["campaigns"]["success"]), created) == (1, 1)
    shown, _ = reader.said_by("ads-proxy spend agent")
    assert (shown.code, "mode observe" in shown.text) == (0, True)
    assert re.search(r"budget +USD +500 +1 +200", shown.text)


def test_enforcing_refuses_what_is_over(reader: Reader) -> None:
    """The same write is refused with its violation, and a smaller one is done."""
    finite = [block for remark, block in reader.blocks if remark != "keeps running"]
    refused = finite.index("send campaign.json\n")
    (document,) = documents(reader.said[refused].text)
    violation = {
        "rule": "budget",
        "path": "campaigns[0].budget.budget",
        "value": "500",
        "currency": "USD",
        "limit": "200",
    }
    assert (document["status"], document["violations"]) == (403, [violation])
    assert reader.created[refused] == reader.created[refused - 1]
    assert reader.said_by("s/500/150/")[1] == 1


def test_a_tool_call_is_refused_in_words(reader: Reader) -> None:
    """The text says that nothing was changed, and what is over which limit."""
    said, created = reader.said_by("mcp()")
    line = said.text.strip().splitlines()[-1]
    text = refusal_text(line.removeprefix("data: ").encode(), 2)
    assert "Nothing was changed." in text and "900 USD, and 200 USD is the limit" in text
    assert created == 0


def test_a_body_is_judged_without_a_proxy(reader: Reader) -> None:
    """`check` names the limit that the file violates, and exits with 1."""
    said, created = reader.said_by("--body ~/ads-budget")
    assert (said.code, created) == (1, 0)
    assert "campaigns[0].budget.budget" in said.text and "200" in said.text


def test_a_freeze_stops_writes_until_its_end(reader: Reader) -> None:
    """What is sent meanwhile is refused, although it is within the limits."""
    said, created = reader.said_by("ads-proxy freeze")
    (document,) = documents(said.text)
    assert (document["status"], document["type"], created) == (403, "urn:ads-proxy:error:frozen", 0)
    assert "All writes of agent are unfrozen." in said.text


def test_the_answers_on_the_page_are_the_true_ones(reader: Reader) -> None:
    """The sentences that the page quotes are those that the proxy says."""
    said = "".join(each.text for each in reader.said)
    quoted = re.findall(r'"detail": "(.*?)"', reader.page) + re.findall(r"(is 900 USD.*?\(`budget`\)\.)", reader.page)
    assert len(quoted) == 2
    assert [text for text in quoted if text not in said] == []
    assert [row for row in re.findall(r"^      (budget +USD.*)$", reader.page, re.MULTILINE) if row not in said] == []
