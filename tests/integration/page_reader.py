"""A person who follows a page about an agent's writes: its blocks are typed into terminals, in their order.

Ports are free ones, and nothing else is changed. Nothing is asserted here but waiting.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.integration.terminals import Said, Terminal
from tests.integration.test_tutorials import ports_in_a_row
from tests.support.processes import fetch, free_port, until
from tests.support.programs import ROOT


@dataclass
class Reader:
    """What each block of the page said, except of those that keep running."""

    page: str
    home: Path
    client_port: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    simulator: int = field(default_factory=lambda: ports_in_a_row(5))
    windows: list[Terminal] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    created: list[int] = field(default_factory=list)
    """How many objects there were at Amazon after each of the blocks."""

    @property
    def blocks(self) -> list[tuple[str, str]]:
        """The remark above each block, if there is one, and the block."""
        return re.findall(r"(?:^<!-- (.*?) -->\n)?^```sh\n(.*?)^```$", self.page, re.MULTILINE | re.DOTALL)

    def follow(self) -> None:
        """Type all blocks."""
        typing = self.open()
        for remark, block in self.blocks:
            text = re.sub(r"\b8080\b", str(self.client_port), block)
            if remark == "keeps running":
                self.keep_running(text)
                continue
            if remark == "after the reload":
                self.windows[-1].wait_for(r'"config_reloaded","success":true')
            if "ads-proxy spend" in text:
                self.said.append(until(partial(judged_by, typing, text)))
            elif "ads-proxy check" in text:
                self.said.append(until(partial(checked_by, typing, text)))
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

    def said_by(self, words: str) -> tuple[Said, int]:
        """What the one block with these words printed, and how many objects it created."""
        finite = [block for remark, block in self.blocks if remark != "keeps running"]
        (found,) = (index for index, block in enumerate(finite) if words in block)
        return self.said[found], self.created[found] - self.created[found - 1]


@contextlib.contextmanager
def following(page: str, home: Path) -> Iterator[Reader]:
    """A page of docs/how-to, followed once from beginning to end."""
    person = Reader((ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8"), home)
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


def checked_by(terminal: Terminal, block: str) -> Said | None:
    """What `check` prints, None while the proxy has not written its lists of profiles yet: a person is slower."""
    said = terminal.run(block)
    return None if "is not in the lists of the state directory" in said.text else said


def documents(text: str) -> list[Any]:
    """The JSON objects that curl printed, one a line."""
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if re.match(r"(data: )?\{", line)]
