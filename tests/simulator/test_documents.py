"""The pages on the simulator name all that it can be told: calls, settings, options, faults, and kinds of
refusals."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from proxy.simulator.__main__ import read_arguments
from proxy.simulator.control import ACTIONS
from proxy.simulator.faults import Fault
from proxy.simulator.named_faults import NAMED
from proxy.simulator.settings import CHANGEABLE
from tests.support.programs import ROOT

PAGES = (ROOT / "docs" / "reference" / "simulator.md", ROOT / "docs" / "development" / "simulator.md")
PAGE = "".join(page.read_text(encoding="utf-8") for page in PAGES)
SOURCES = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "proxy" / "simulator").glob("*.py"))


def test_every_call_has_its_row() -> None:
    """The table of calls is the control API, no more and no less."""
    rows = re.findall(r"^\| `(GET|POST|DELETE) (/(?:control|_sim)/[a-z/-]+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(ACTIONS)


@pytest.mark.parametrize("name", CHANGEABLE)
def test_every_setting_is_explained(name: str) -> None:
    """What can be changed at run time is in the page."""
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", [field.name for field in fields(Fault)])
def test_every_member_of_a_fault_is_explained(name: str) -> None:
    """What a fault can have is in the page."""
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_named_fault_is_there(name: str) -> None:
    """What has a name is in the page."""
    assert f"`{name}`" in PAGE


def test_every_kind_of_refusal_is_explained() -> None:
    """Each kind that the source can give is in the page."""
    kinds = set(re.findall(r'Refusal\(\s*\d+,\s*"([a-z0-9-]+)"', SOURCES))
    assert len(kinds) > 25
    assert {kind for kind in kinds if f"`{kind}`" not in PAGE} == set()


def test_every_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The options of `python -m proxy.simulator` that change what it pretends are in the page."""
    with pytest.raises(SystemExit):
        read_arguments(["--help"])
    options = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert {"--hidden-profiles", "--mcp-tools"} <= options
    assert {option for option in options if f"`{option}`" not in PAGE and f"`{option} " not in PAGE} == set()
