"""Secrets at wrong keys, through the whole program: what `serve`, `check`, a reload, `/status` and the console say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.planting import Batch, all_seen, batches
from tests.support.ready_program import run, run_ready
from tests.support.running import serving, simulated_amazon

pytestmark = pytest.mark.integration
BATCHES = batches()
RELOADED = [batch for number, batch in enumerate(BATCHES) if number % 4 in (0, 3) and batch.text is not None]
"""The batches that a running program reads: of each shape one of the two. The others meet a program that starts.

tests/config/test_planted.py tries every place one by one.
"""
STARTED = [batch for batch in BATCHES if batch not in RELOADED]


def said_at_start(folder: Path, command: str, batch: Batch) -> subprocess.CompletedProcess[str]:
    """What a command says of a batch before it ends."""
    arguments = [command]
    if batch.text is not None:
        (folder / "proxy.yaml").write_text(batch.text, encoding="utf-8")
        arguments += ["--config", "proxy.yaml"]
        return run_ready(folder, arguments, batch.environ)
    # Variables are there when the interpreter starts, so it has to be one that does.
    return run(folder, [sys.executable, "-m", "proxy", *arguments], batch.environ)


@pytest.mark.parametrize("batch", STARTED, ids=lambda batch: batch.where)
def test_a_start_says_nothing_of_them(tmp_path: Path, batch: Batch) -> None:
    """Exit code 2, sentences without a traceback, and none of what was planted."""
    command = "check" if batch.where.startswith("broken") else "serve"
    ended = said_at_start(tmp_path, command, batch)
    said = ended.stdout + ended.stderr
    assert (ended.returncode, "Traceback" in said) == (2, False)
    assert all(line.startswith("ads-proxy: ") for line in said.splitlines())
    assert all_seen(batch.canaries, said) == []


def test_a_running_program_says_nothing_of_them(tmp_path: Path) -> None:
    """Every other batch as a changed file fails in the log, in `/status` and in the console, without a word of it."""
    with simulated_amazon() as amazon, serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        shown = []
        for number, batch in enumerate(RELOADED):
            running.write(batch.text or "")
            running.told("config_reloaded", number + 1, success=False)
            shown += [(path, running.admin_get(path)[1].decode()) for path in ("/status", "/console/state", "/metrics")]
        shown.append(("log", running.process.text))
    assert len(shown) > 45
    secrets = {secret for batch in BATCHES for secret in batch.canaries}
    assert len(secrets) > 700
    assert [(path, secret) for path, text in shown for secret in all_seen(secrets, text)] == []
