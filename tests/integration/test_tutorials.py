"""The tutorials work to the letter: their blocks are typed into terminals, one page after the other.

Text in `<...>` is replaced from the first page's own table, and ports are free ones; nothing else is changed.
Amazon is the simulator, which a section of the first page leads to.
"""

from __future__ import annotations

import html
import http.cookiejar
import json
import os
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.terminals import Said, Terminal
from tests.support.patience import PATIENCE
from tests.support.processes import fetch, free_port, until
from tests.support.programs import ROOT
from tests.support.tool_results import refusal_text

pytestmark = pytest.mark.integration
TUTORIALS = ROOT / "docs" / "tutorials"
PAGES = {
    name: (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    for name in ("getting-started", "key-for-a-script", "agent-by-mcp")
}
FIRST, STAND_IN = "getting-started 1", "getting-started Without Amazon"


@dataclass(frozen=True)
class Block:
    """A block of commands, and what the page's source remarks on it."""

    remark: str
    text: str


def read_sections() -> dict[str, list[Block]]:
    """The blocks under each heading of each page; numbered headings by their number."""
    sections: dict[str, list[Block]] = {}
    for page, text in PAGES.items():
        for heading, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL):
            found = re.findall(r"(?:^<!-- (.*?) -->\n)?^```sh\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
            name = heading.partition(".")[0] if heading[0].isdigit() else heading
            sections[f"{page} {name}"] = [Block(remark, typed) for remark, typed in found]
    return sections


def ports_in_a_row(count: int) -> int:
    """The first of so many free ports."""
    while True:
        first = free_port()
        sockets: list[socket.socket] = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.create_server(("127.0.0.1", port)))
        except (OSError, OverflowError):
            continue
        finally:
            for taken in sockets:
                taken.close()
        return first


def press_allow(url: str) -> None:
    """What a person does in the browser: open the page, press Allow."""
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
    with browser.open(url, timeout=PATIENCE) as answer:
        page, address = answer.read().decode(), answer.url
    fields = {name: html.unescape(value) for name, value in re.findall(r"name='(\w+)' value='([^']*)'", page)}
    button = re.search(r"<button[^>]*name='(\w+)'[^>]*value='(allow)'", page)
    assert button, page
    form = urllib.parse.urlencode({**fields, button[1]: button[2]}).encode()
    browser.open(address.partition("?")[0], form, timeout=PATIENCE).close()


@dataclass
class Reader:
    """A person who follows the pages from their beginning, section by section."""

    home: Path
    client_port: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    simulator: int = field(default_factory=lambda: ports_in_a_row(5))
    fillings: dict[str, str] = field(default_factory=dict)
    said: dict[str, list[Said]] = field(default_factory=dict)
    terminals: list[Terminal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sections = read_sections()
        simulate, self.stand_in = self.sections.pop(STAND_IN)
        self.window = self.open()
        self.window.type(self.fill_in(simulate.text).replace("simulate", f"simulate --base-port {self.simulator}"))
        self.window.wait_for(r"refresh token +\S+\n")
        rows = re.findall(r"^\| `(<.+?>)` \| `(.+?)` \|$", PAGES["getting-started"], re.MULTILINE)
        self.fillings = {name: value.replace("\\|", "|") for name, value in rows}

    def open(self) -> Terminal:
        """A new terminal, in the clone."""
        ours = ("ADS_PROXY_", "AMAZON_ADS_", "XDG_", "MAKE", "MFLAGS")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environ["HOME"] = str(self.home)
        environ["ADS_PROXY_LISTEN"] = f"127.0.0.1:{self.client_port}"
        environ["ADS_PROXY_ADMIN_LISTEN"] = f"127.0.0.1:{self.admin}"
        return Terminal(ROOT, environ)

    def fill_in(self, text: str) -> str:
        for name, value in self.fillings.items():
            text = text.replace(name, value)
        ports = {8080: self.client_port, 8081: self.admin, **{9001 + step: self.simulator + step for step in range(5)}}
        return re.sub(r"(?<=:)(80[0-9]{2}|900[1-5])\b", lambda found: str(ports[int(found[1])]), text)

    def open_before_the_simulator(self) -> Terminal:
        """A new terminal in which the regions lead to the simulator."""
        terminal = self.open()
        terminal.run(self.fill_in(self.stand_in.text))
        return terminal

    def section(self, name: str) -> list[Said]:
        """What the blocks of a section said, those before it done first."""
        while name not in self.said:
            following = list(self.sections)[len(self.said)]
            self.said[following] = self.follow(following)
        return self.said[name]

    def follow(self, name: str) -> list[Said]:
        """Type the blocks of a section. What runs is stopped before another program is started, and after a page."""
        blocks = self.sections[name]
        begins = name.partition(" ")[2] == "1"
        if begins or any(block.remark == "keeps running" for block in blocks):
            self.stop()
            self.terminals = [self.open() if name == FIRST else self.open_before_the_simulator()]
        said = []
        for block in blocks:
            if block.remark == "keeps running":
                self.terminals[-1].type(self.fill_in(block.text))
                self.wait_until_it_serves(self.terminals[-1])
                self.terminals.append(self.open())
            else:
                if block.remark:
                    press_allow(self.fill_in(block.remark.removeprefix("sign in: ")))
                said.append(self.terminals[-1].run(self.fill_in(block.text)))
        return said

    def stop(self) -> None:
        for terminal in reversed(self.terminals):
            terminal.interrupt()
        self.terminals = []

    def wait_until_it_serves(self, terminal: Terminal) -> None:
        """Wait until each account with a token knows its profiles: a person is slower than that."""

        def known() -> bool:
            try:
                status, body = fetch(f"http://127.0.0.1:{self.admin}/status")
            except OSError:
                return False
            accounts = json.loads(body)["accounts"] if status == 200 else []
            tokens = [account for account in accounts if account["has_refresh_token"]]
            return bool(accounts) and all(len(account["profiles"]) == 3 for account in tokens)

        until(known, lambda: terminal.text[-3000:])


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The simulator runs until the end."""
    person = Reader(tmp_path_factory.mktemp("home"))
    yield person
    person.stop()
    person.window.interrupt()


def profile_ids(text: str) -> list[str]:
    """The profiles of each list in what curl printed."""
    return re.findall(r'"profileId": ?(\d+)', text)


NA = ["1110000000000001", "1110000000000002", "9111111111111111111"]
EU = ["2220000000000001", "2220000000000002", "9122222222222222222"]


def test_the_demo(reader: Reader) -> None:
    """`make run`, then profiles of two regions without any credentials."""
    (curls,) = reader.section(FIRST)
    assert (curls.code, profile_ids(curls.text)) == (0, NA + EU)


def test_a_refresh_token_from_the_environment(reader: Reader) -> None:
    """`check` finds all well, and `serve` serves."""
    check, curl = reader.section("getting-started 2")
    assert (check.code, "Everything works." in check.text) == (0, True)
    assert profile_ids(curl.text) == NA


def test_signing_in_with_a_browser(reader: Reader) -> None:
    """From client id and secret to profiles."""
    write, curl = reader.section("getting-started 3")
    assert (write.code, write.text.strip()) == (0, "")
    assert profile_ids(curl.text) == NA
    assert (reader.home / ".local/state/ads-proxy").is_dir()


def test_a_client_with_a_key(reader: Reader) -> None:
    """With the key profiles, without it a 401 that says what to send; it may order reports, and change nothing."""
    (written,) = reader.section("key-for-a-script 1")
    assert (written.code, "Everything works." in written.text) == (0, True)
    check, change = reader.section("key-for-a-script 2")
    assert (check.code, "Yes" in check.text) == (0, True)
    assert (change.code, "No" in change.text) == (1, True)
    (curls,) = reader.section("key-for-a-script 3")
    assert profile_ids(curls.text) == NA
    assert "A key is needed here" in curls.text


def test_a_report_with_that_key(reader: Reader) -> None:
    """The table has the report's rows, with the columns that were asked for."""
    (report,) = reader.section("key-for-a-script 4")
    rows = json.loads(report.text[report.text.index("[") :])
    assert rows
    assert {tuple(sorted(row)) for row in rows} == {("campaignId", "clicks", "cost")}


def test_an_agent_that_reads(reader: Reader) -> None:
    """The agent sees tools that read, and a tool that writes is refused with the reason; the console shows both."""
    *_, checked = reader.section("agent-by-mcp 1")
    assert checked.code == 0
    _, calls = reader.section("agent-by-mcp 2")
    listed, campaigns, refused = re.findall(r"^(?:data: )?(\{.*)$", calls.text, re.MULTILINE)
    names = [tool["name"] for tool in json.loads(listed)["result"]["tools"]]
    assert "campaign_management-query_campaign" in names
    assert "campaign_management-create_campaign" not in names
    found = json.loads(json.loads(campaigns)["result"]["content"][0]["text"])["campaigns"]
    assert found and all(campaign["budgets"] for campaign in found)
    assert "access: read" in refusal_text(refused.encode(), 3)
    (shown,) = reader.section("agent-by-mcp 3")
    assert '"agent"' in shown.text


def test_every_section_is_tried(reader: Reader) -> None:
    """No section is left out, and no block is of another kind."""
    remarks = {block.remark.partition(":")[0] for blocks in reader.sections.values() for block in blocks}
    assert remarks == {"", "keeps running", "sign in"}
    assert [name for name, blocks in reader.sections.items() if blocks and name not in reader.said] == []
