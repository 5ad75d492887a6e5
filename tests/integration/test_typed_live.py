"""The commands and jq filters that the pages give on-call engineers, typed in front of the running program.

The console has an admin key, as `ads-proxy init` makes one. tests/test_docs_typed.py holds that the rest exists.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import fetch, free_port
from tests.support.programs import ROOT, require_program
from tests.support.ready_program import ready
from tests.support.running import REGIONS, serving, simulated_amazon
from tests.test_docs_typed import blocks

pytestmark = pytest.mark.integration

KEY, NAME = "adsproxy_of-the-tool", "acme"
"""The client has the name of the account, so that one NAME of the pages fits both."""
MEDIA = "application/vnd.spCampaign.v3+json"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))}


def typed(page: str) -> list[str]:
    """Each command with jq, whole: a quoted text may have several lines."""
    command = re.compile(r"^(?:ads-proxy status [^|\n]*\| )?jq (?:[^'\n]|'[^']*')*$", re.MULTILINE)
    return [found for text in blocks(page) for found in command.findall(text)]


COMMANDS = [
    pytest.param(line, id=f"{name}-{place}") for name, page in PAGES.items() for place, line in enumerate(typed(page))
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where proxy.yaml, proxy.log, audit.jsonl and `ads-proxy` lie, after a change, refusals by both and a failure."""
    place = tmp_path_factory.mktemp("night")
    (place / "bin").mkdir()
    program = place / "bin" / "ads-proxy"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(ready())} "$@"\n')
    program.chmod(0o700)
    client = {"name": NAME, "keys": [{"sha256": hashlib.sha256(KEY.encode()).hexdigest()}], "paths": ["/v2/*", "/sp/*"]}
    with simulated_amazon() as amazon:
        settings = amazon.configuration(
            admin_listen=f"127.0.0.1:{free_port()}",
            admin={"key": "an-admin-key-of-some-length"},
            clients=[client],
            audit={"file": str(place / "audit.jsonl")},
        )
        with serving(place, settings) as running:
            running.told("ads_accounts_listed", count=len(REGIONS))
            scope = {"X-Ads-Proxy-Key": KEY, "Amazon-Advertising-API-Scope": "1110000000000001"}
            change = {**scope, "Content-Type": MEDIA, "Accept": MEDIA}
            assert fetch(f"{running.proxy_url}/sp/campaigns", b'{"campaigns": []}', change)[0] == 207
            assert running.get("/sb/campaigns", scope)[0] == 403
            for status in (403, 500):
                amazon.fault({"status": status}, times=1, path="/v2/stores")
                assert running.get("/v2/stores", scope)[0] == status
            running.told("request", count=4)
            running.until(lambda: "amazon-write" in (place / "audit.jsonl").read_text())
            (place / "proxy.log").write_text("".join(line for line in running.process.output.lines if line[0] == "{"))
            yield place


def run(place: Path, line: str) -> subprocess.CompletedProcess[str]:
    """A line of a page in a shell, with what its reader fills in."""
    written = next(line for line in (place / "audit.jsonl").read_text().splitlines() if "amazon-write" in line)
    day = json.loads(written)["@timestamp"][:10]
    filled = (
        line.replace("FILE", "proxy.yaml")
        .replace("NAME", NAME)
        .replace("2026-11-24", day)
        .replace("3511", "1110000000000001")
    )
    environ = {"PATH": f"{place / 'bin'}:{os.environ['PATH']}", "HOME": str(place)}
    command = ["bash", "-o", "pipefail", "-c", filled]
    return subprocess.run(
        command, cwd=place, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


@pytest.mark.parametrize("line", COMMANDS)
def test_a_filter_that_a_page_has_typed_fits_what_the_program_says(place: Path, line: str) -> None:
    """jq accepts the filter, and finds what it names in `/status`."""
    require_program("jq")
    ended = run(place, line)
    assert (ended.returncode, ended.stderr) == (0, "")
    if "ads-proxy status" in line:
        assert ended.stdout.strip() not in {"", "null"}
        assert "null" not in re.findall(r"(?<=: )\w+", ended.stdout)


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("who-changed-what", f"\t{NAME}\t{NAME}\t1110000000000001\tCreateSponsoredProductsCampaigns\t207"),
        ("client-refused", '"refusal":"not-permitted"'),
        ("account-refused", '"status":403'),
        ("error-rate", '"status":500'),
        ("client-key-ending", '"last_used":"20'),
        ("reload-failed", '"problems": []'),
    ],
)
def test_a_filter_shows_what_happened(place: Path, page: str, shown: str) -> None:
    """Who changed what, what was refused, and what failed."""
    require_program("jq")
    assert shown in "".join(run(place, line).stdout for line in typed(PAGES[page]))


def test_filters_are_found() -> None:
    """The tests above would pass where nothing is found."""
    assert len(COMMANDS) > 20
