"""docs/how-to/back-up.md works: its commands are run, with other places in the place of the machine's."""

from __future__ import annotations

import getpass
import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.test_state_live import configuration, sign_in
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT
from tests.support.running import SimulatedAmazon, serving

pytestmark = pytest.mark.integration
PAGE = (ROOT / "docs" / "how-to" / "back-up.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Back up and restore the state")[2].partition("\n## ")[0]
BACK_UP, RESTORE = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def typed(block: str, state: Path) -> int:
    """Run a block of the page; its exit code. Starting and stopping is the test's."""
    block = block.replace("/var/lib/ads-proxy", str(state)).replace(
        "chown -R ads-proxy:", f"chown -R {getpass.getuser()}:"
    )
    lines = [line for line in block.splitlines() if not line.startswith("systemctl")]
    command = ["sh", "-euc", "\n".join(lines)]
    return subprocess.run(command, cwd=state.parent, check=False, timeout=PATIENCE).returncode


def test_a_copy_of_the_state_serves_on_another_machine(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The copy is made while the program runs, and unpacked elsewhere over something else: the login is there without a
    question."""
    old, new = tmp_path / "old" / "state", tmp_path / "new" / "state"
    old.parent.mkdir()
    new.mkdir(parents=True)
    (new / "left-over").write_text("of another program")
    with serving(tmp_path, configuration(amazon, old)) as running:
        sign_in(running.path)
        running.until(lambda: running.get("/v2/profiles")[0] == 200)
        running.until(lambda: typed(BACK_UP, old) == 0)  # again where a file changed, as the page says
    (old.parent / "ads-proxy-state.tar").rename(new.parent / "ads-proxy-state.tar")
    assert typed(RESTORE, new) == 0
    assert not (new / "left-over").exists()
    with serving(tmp_path, configuration(amazon, new)) as moved:
        moved.until_ready()
        assert moved.get("/v2/profiles")[0] == 200
        assert moved.account()["refresh_token_source"] == "sign-in"
    assert amazon.counts()["token_by_grant"]["authorization_code"] == 1
