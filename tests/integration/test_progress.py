"""A command that takes a while says how far it is on a real terminal, and nothing of it in a pipe."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
import yaml

from tests.support.patience import PATIENCE
from tests.support.ready_program import ready, run_ready
from tests.support.running import SimulatedAmazon

pytestmark = pytest.mark.integration


def everything(screen: IO[bytes]) -> str:
    """What a person sees until the program ends, which Linux reports as an error."""
    shown = b""
    with suppress(OSError):
        while piece := screen.read(65536):
            shown += piece
    return shown.decode()


def configured(folder: Path, amazon: SimulatedAmazon) -> str:
    """A file with three accounts."""
    accounts = {name: amazon.account() for name in ("one", "two", "three")}
    (folder / "proxy.yaml").write_text(yaml.safe_dump(amazon.configuration(accounts=accounts)))
    return str(folder / "proxy.yaml")


def test_check_says_how_many_accounts_it_has_tried(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """In a line that is gone at the end; the table is the answer, and has none of it."""
    command = ready("check", "--config", configured(tmp_path, amazon))
    screen, program = os.openpty()
    with os.fdopen(screen, "rb", 0) as seen:
        with os.fdopen(program, "wb", 0) as stderr:
            environ = {**os.environ, "TERM": "xterm"}
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environ, text=True)
        shown = everything(seen)
        answer, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0
    assert [f"CHECKING, {done} of 3 accounts" in shown for done in range(4)] == [True] * 4
    assert shown.endswith("\x1b[2K")
    assert "Everything works." in answer
    assert "CHECKING" not in answer


@pytest.mark.parametrize("forced", ["", "FORCE_COLOR", "TTY_COMPATIBLE"])
def test_check_says_nothing_of_it_in_a_pipe(amazon: SimulatedAmazon, tmp_path: Path, forced: str) -> None:
    """What a script keeps are problems and notes, also where its environment asks for colours."""
    environ = {forced: "1"} if forced else {}
    ended = run_ready(tmp_path, ["check", "--config", configured(tmp_path, amazon)], environ)
    assert ended.returncode == 0
    assert "CHECKING" not in ended.stdout + ended.stderr
    assert "\x1b" not in ended.stderr
