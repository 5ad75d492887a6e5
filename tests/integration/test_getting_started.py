"""docs/tutorials/getting-started.md works to the letter: its blocks are typed into terminals, in its order.

What stands in `<...>` is filled in from the page's own table, and ports are free ones; nothing else is changed. Amazon
is the simulator, which the page's last section leads to. Blocks that need other programs are marked `elsewhere`.
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
from tests.support.processes import fetch, free_port, until
from tests.support.programs import ROOT

pytestmark = pytest.mark.integration
PAGE = (ROOT / "docs" / "tutorials" / "getting-started.md").read_text(encoding="utf-8")
LAST = "Without Amazon"


@dataclass(frozen=True)
class Block:
    """A block of commands, and what the page's source remarks on it."""

    remark: str
    text: str


def read_sections(page: str) -> dict[str, list[Block]]:
    """The blocks under each heading; numbered headings by their number."""
    sections: dict[str, list[Block]] = {}
    for heading, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL):
        found = re.findall(r"(?:^<!-- (.*?) -->\n)?^```sh\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
        name = heading.partition(".")[0] if heading[0].isdigit() else heading
        sections[name] = [Block(remark, text) for remark, text in found]
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


def press_allow(url: str) -> str:
    """What a person does in the browser: open the page, press Allow. Gives the address where it lands."""
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies, StaysAtAmazon())
    with browser.open(url, timeout=20) as answer:
        page, address = answer.read().decode(), answer.url
    fields = {name: html.unescape(value) for name, value in re.findall(r"name='(\w+)' value='([^']*)'", page)}
    button = re.search(r"<button[^>]*name='(\w+)'[^>]*value='(allow)'", page)
    assert button, page
    form = urllib.parse.urlencode({**fields, button[1]: button[2]}).encode()
    with browser.open(address.partition("?")[0], form, timeout=20) as answer:
        landed: str = answer.url
    return landed


class StaysAtAmazon(urllib.request.HTTPRedirectHandler):
    """https://amazon.com is not asked for anything: a person only reads the address."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]  # as urllib has it
        if newurl.startswith("https://amazon.com"):
            newurl = "data:," + newurl
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass
class Reader:
    """A person who follows the page from its beginning, section by section."""

    home: Path
    client_port: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    simulator: int = field(default_factory=lambda: ports_in_a_row(5))
    fillings: dict[str, str] = field(default_factory=dict)
    said: dict[str, list[Said]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sections = read_sections(PAGE)
        simulate, *self.stand_in = self.sections.pop(LAST)
        self.window = self.open()
        self.window.type(self.fill_in(simulate.text).replace("simulate", f"simulate --base-port {self.simulator}"))
        self.window.wait_for(r"refresh token +\S+\n")
        rows = re.findall(r"^\| `(<.+?>)` \| `(.+?)` \|$", PAGE, re.MULTILINE)
        self.fillings = {name: value.replace("\\|", "|") for name, value in rows}
        terminal = self.open()
        second = terminal.run(self.fill_in(self.stand_in[1].text)).text
        terminal.interrupt()
        self.fillings["<other refresh token>"] = json.loads(second[second.index("{") :])["refresh_token"]

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
        terminal.run(self.fill_in(self.stand_in[0].text))
        return terminal

    def section(self, name: str) -> list[Said]:
        """What the blocks of a section said, those before it done first."""
        while name not in self.said:
            following = list(self.sections)[len(self.said)]
            self.said[following] = self.follow(following)
        return self.said[name]

    def follow(self, name: str) -> list[Said]:
        said = []
        terminals = [self.open() if name == "1" else self.open_before_the_simulator()]
        try:
            for block in self.sections[name]:
                if block.remark == "keeps running":
                    terminals[-1].type(self.fill_in(block.text))
                    self.wait_until_it_serves(terminals[-1])
                    terminals.append(self.open())
                elif block.remark != "elsewhere":
                    said.append(self.do(block, terminals[-1]))
        finally:
            for terminal in reversed(terminals):
                terminal.interrupt()
        return said

    def do(self, block: Block, terminal: Terminal) -> Said:
        if block.remark.startswith("sign in: "):
            press_allow(self.fill_in(block.remark.removeprefix("sign in: ")))
        if block.remark != "paste":
            return terminal.run(self.fill_in(block.text))
        terminal.type(self.fill_in(block.text))
        url = terminal.wait_for(r"(http://\S+/ap/oa\?\S+)\s")[1]
        terminal.wait_for("press Enter")
        terminal.type(press_allow(url).removeprefix("data:,"))
        terminal.wait_for("is connected")
        terminal.wait_for("fe: .*\n")
        return terminal.end()

    def wait_until_it_serves(self, terminal: Terminal) -> None:
        """Until each account that has a token knows its profiles: a person is slower than that."""

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
    person.window.interrupt()


def profile_ids(text: str) -> list[str]:
    """The profiles of each list in what curl printed."""
    return re.findall(r'"profileId": ?(\d+)', text)


NA = ["1110000000000001", "1110000000000002", "9111111111111111111"]
EU = ["2220000000000001", "2220000000000002", "9122222222222222222"]
OTHER = ["1110000000000004", "1110000000000005"]


def test_the_demo(reader: Reader) -> None:
    """`make run`, then profiles of two regions without any credentials."""
    (curls,) = reader.section("1")
    assert (curls.code, profile_ids(curls.text)) == (0, NA + EU)


def test_a_refresh_token_from_the_environment(reader: Reader) -> None:
    """`check` finds all well, and `serve` serves."""
    check, curl = reader.section("2")
    assert (check.code, "Everything works." in check.text) == (0, True)
    assert profile_ids(curl.text) == NA


def test_signing_in_with_a_browser(reader: Reader) -> None:
    """From client id and secret to profiles."""
    write, curl = reader.section("3")
    assert (write.code, write.text.strip()) == (0, "")
    assert profile_ids(curl.text) == NA
    assert (reader.home / ".local/state/ads-proxy").is_dir()


def test_signing_in_by_pasting(reader: Reader) -> None:
    """The landing address at https://amazon.com is enough."""
    _, login, curl = reader.section("4")
    assert login.code == 0
    assert profile_ids(curl.text) == NA


def test_several_accounts_and_a_route(reader: Reader) -> None:
    """Each way of choosing leads where the page says."""
    check, curls = reader.section("5")
    assert (check.code, "Everything works." in check.text) == (0, True)
    assert profile_ids(curls.text) == OTHER + EU + OTHER
    assert re.findall(r'"region": "(\w+)", "scope": "(\w+)"', curls.text) == [("eu", EU[0])] * 2


def test_a_client_with_a_key(reader: Reader) -> None:
    """With the key profiles, without it a 401 that says what to send; it may order reports, and change nothing."""
    check, change, curls, _ = reader.section("6")
    assert (check.code, "Yes" in check.text) == (0, True)
    assert (change.code, "No" in change.text) == (1, True)
    assert profile_ids(curls.text) == NA
    assert "A key is needed here" in curls.text


def test_a_report_with_that_key(reader: Reader) -> None:
    """Its rows, with the columns that were asked for."""
    *_, report = reader.section("6")
    rows = json.loads(report.text[report.text.index("[") :])
    assert rows
    assert {tuple(sorted(row)) for row in rows} == {("campaignId", "clicks", "cost")}


def test_what_cannot_be_tried_here_is_only_marked_so(reader: Reader) -> None:
    """Sections 7 and 8 need Kubernetes, Docker and Prometheus; no other block is left out."""
    left_out = {name for name, blocks in reader.sections.items() for block in blocks if block.remark == "elsewhere"}
    assert left_out == {"7", "8"}
    assert (reader.section("7"), reader.section("8")) == ([], [])
