"""The page about approvals works to the letter: its blocks are typed into terminals, in their order.

What the simulator counts decides whether a write was done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.integration.page_reader import Reader, documents, following

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The page is followed once, from beginning to end."""
    with following("approve-writes.md", tmp_path_factory.mktemp("home")) as person:
        yield person


def test_a_large_write_asks_and_changes_nothing(reader: Reader) -> None:
    """The agent gets the id, and a smaller write passes meanwhile."""
    said, created = reader.said_by("cat > ~/ads-approvals/campaign.json")
    (document,) = documents(said.text)
    assert (document["status"], document["type"], created) == (403, "urn:ads-proxy:error:approval-required", 0)
    assert document["status_url"] == f"/-/approvals/{document['approval_id']}"
    assert reader.said_by("s/500/150/")[1] == 1


def test_an_approver_sees_and_approves_it(reader: Reader) -> None:
    """The queue has what the page shows of it; the approval creates nothing by itself."""
    listed, _ = reader.said_by("ads-proxy approvals --config")
    assert (listed.code, "over: budget 500 USD, limit 200 " in listed.text) == (0, True)
    said, created = reader.said_by("ads-proxy approve ")
    assert (said.code, created) == (0, 0)
    assert "Approved by anna: agent may send exactly this write once" in said.text


def test_the_write_passes_once(reader: Reader) -> None:
    """The agent hears of the approval, sends the write again, and has to ask for the next."""
    said, created = reader.said_by("/-/approvals/$ID")
    state, answer = documents(said.text)
    assert (state["state"], len(answer["campaigns"]["success"]), created) == ("approved", 1, 1)
    (index,) = (number for number, each in enumerate(reader.said) if each is said)
    (again,) = documents(reader.said[index + 1].text)
    assert again["type"] == "urn:ads-proxy:error:approval-required"
    assert again["approval_id"] != state["id"]
    assert reader.created[index + 1] == reader.created[index]


def test_a_denial_reaches_the_agent(reader: Reader) -> None:
    """With the reason."""
    said, created = reader.said_by("ads-proxy deny")
    assert "Denied by anna" in said.text
    (document,) = documents(said.text)
    assert (document["type"], document["because"], created) == (
        "urn:ads-proxy:error:approval-denied",
        "One is enough",
        0,
    )


def test_the_answers_on_the_page_are_the_true_ones(reader: Reader) -> None:
    """The sentences and lines that the page quotes are those that the proxy says."""
    said = "".join(each.text for each in reader.said)
    quoted = [text.removesuffix(" …") for text in re.findall(r'"detail": "(.*?)"', reader.page)]
    quoted += re.findall(r"^ {6}(POST .*|over: .*|new object .*)$", reader.page, re.MULTILINE)
    assert len(quoted) == 5
    assert [text for text in quoted if text not in said] == []
