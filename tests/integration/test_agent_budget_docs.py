"""The page about an agent's budget works to the letter: its blocks are typed into terminals, in their order.

Ports are free ones, and nothing else is changed. What the simulator counts decides whether a write was done.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.terminals import Said, Terminal
from tests.integration.test_tutorials import ports_in_a_row
from tests.support.processes import fetch, free_port, until
from tests.support.programs import ROOT
from tests.support.tool_results import refusal_text

pytestmark = pytest.mark.integration
PAGE = (ROOT / "docs" / "how-to" / "agent-budget.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^<!-- (.*?) -->\n)?^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@dataclass
class Reader:
    """A person who follows the page: what each block said, except of those that keep running."""

    home: Path
    client_port: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    simulator: int = field(default_factory=lambda: ports_in_a_row(5))
    windows: list[Terminal] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    created: list[int] = field(default_factory=list)
    """How many objects there were at Amazon after each of the blocks."""

    def follow(self) -> None:
        """Type all blocks."""
        typing = self.open()
        for remark, block in BLOCKS:
            text = re.sub(r"\b8080\b", str(self.client_port), block)
            if remark == "keeps running":
                self.keep_running(text)
                continue
            if remark == "after the reload":
                self.windows[-1].wait_for(r'"config_reloaded","success":true')
            if "ads-proxy spend" in text:
                self.said.append(until(partial(judged_by, typing, text)))
            else:
                self.said.append(typing.run(text))
            self.created.append(self.spent()["created_today"] if len(self.windows) > 1 else 0)

    def open(self) -> Terminal:
        """A new terminal, in the clone."""
        ours = ("ADS_PROXY_", "AMAZON_ADS_", "XDG_", "MAKE", "MFLAGS")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environ["HOME"] = str(self.home)
        environ["ADS_PROXY_LISTEN"] = f"127.0.0.1:{self.client_port}"
        environ["ADS_PROXY_ADMIN_LISTEN"] = f"127.0.0.1:{self.admin}"
        self.windows.append(Terminal(ROOT, environ))
        return self.windows[-1]

    def keep_running(self, block: str) -> None:
        """Start the simulator or the proxy in a terminal of its own, and wait until it is ready."""
        window = self.open()
        window.type(block.replace("simulate |", f"simulate --base-port {self.simulator} |"))
        if "simulate" in block:
            window.wait_for(r"\n  fe:\n(    .+\n)+")
        else:
            until(self.knows_profiles, lambda: window.text[-3000:])

    def knows_profiles(self) -> bool:
        """Whether the proxy knows in which currency the profiles pay: a person is slower than that."""
        try:
            status, body = fetch(f"http://127.0.0.1:{self.admin}/status")
        except OSError:
            return False
        accounts = json.loads(body)["accounts"] if status == 200 else []
        return bool(accounts) and all(len(account["profiles"]) == 3 for account in accounts)

    def spent(self) -> dict[str, Any]:
        """What the simulator says of the day."""
        found: dict[str, Any] = json.loads(fetch(f"http://127.0.0.1:{self.simulator + 4}/_sim/spend")[1])
        return found


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The page is followed once, from beginning to end."""
    person = Reader(tmp_path_factory.mktemp("home"))
    try:
        person.follow()
        yield person
    finally:
        for window in reversed(person.windows):
            window.interrupt()


def judged_by(terminal: Terminal, block: str) -> Said | None:
    """What `spend` prints, None while it shows an overview of before the write: a person is slower."""
    said = terminal.run(block)
    return said if "writes judged" in said.text or said.code else None


def said_by(reader: Reader, words: str) -> tuple[Said, int]:
    """What the one block with these words printed, and how many objects it created."""
    finite = [block for remark, block in BLOCKS if remark != "keeps running"]
    (found,) = (index for index, block in enumerate(finite) if words in block)
    return reader.said[found], reader.created[found] - reader.created[found - 1]


def documents(text: str) -> list[Any]:
    """The JSON objects that curl printed, one a line."""
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if re.match(r"(data: )?\{", line)]


def test_observing_refuses_nothing_and_shows_what_would_be(reader: Reader) -> None:
    """The campaign is created although it is over, and `spend` names the rule, the value and the limit."""
    sent, created = said_by(reader, "> ~/ads-budget/campaign.json")
    assert (len(documents(sent.text)[-1]["campaigns"]["success"]), created) == (1, 1)
    shown, _ = said_by(reader, "ads-proxy spend agent")
    assert (shown.code, "mode observe" in shown.text) == (0, True)
    assert re.search(r"budget +USD +500 +1 +200", shown.text)


def test_enforcing_refuses_what_is_over(reader: Reader) -> None:
    """The same write is refused with its violation, and a smaller one is done."""
    finite = [block for remark, block in BLOCKS if remark != "keeps running"]
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
    assert said_by(reader, "s/500/150/")[1] == 1


def test_a_tool_call_is_refused_in_words(reader: Reader) -> None:
    """The text says that nothing was changed, and what is over which limit."""
    said, created = said_by(reader, "mcp()")
    line = said.text.strip().splitlines()[-1]
    text = refusal_text(line.removeprefix("data: ").encode(), 2)
    assert "Nothing was changed." in text and "900 USD, and 200 USD is the limit" in text
    assert created == 0


def test_a_body_is_judged_without_a_proxy(reader: Reader) -> None:
    """`check` names the limit that the file violates, and exits with 1."""
    said, created = said_by(reader, "--body ~/ads-budget")
    assert (said.code, created) == (1, 0)
    assert "campaigns[0].budget.budget" in said.text and "200" in said.text


def test_a_freeze_stops_writes_until_its_end(reader: Reader) -> None:
    """What is sent meanwhile is refused, although it is within the limits."""
    said, created = said_by(reader, "ads-proxy freeze")
    (document,) = documents(said.text)
    assert (document["status"], document["type"], created) == (403, "urn:ads-proxy:error:frozen", 0)
    assert "All writes of agent are unfrozen." in said.text


def test_the_answers_on_the_page_are_the_true_ones(reader: Reader) -> None:
    """The sentences that the page quotes are those that the proxy says."""
    said = "".join(each.text for each in reader.said)
    quoted = re.findall(r'"detail": "(.*?)"', PAGE) + re.findall(r"(is 900 USD.*?\(`budget`\)\.)", PAGE)
    assert len(quoted) == 2
    assert [text for text in quoted if text not in said] == []
    assert [row for row in re.findall(r"^      (budget +USD.*)$", PAGE, re.MULTILINE) if row not in said] == []
