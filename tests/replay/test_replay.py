"""The program does what it did when the session was recorded: bytes, log lines, audit records and metrics.

An intended difference is recorded again, with `python -m tests.replay record`, and explained where it is committed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.replay.__main__ import played
from tests.replay.player import session
from tests.replay.recording import RECORDED, REQUESTS, corpus, differences, read

SAMPLE = 200


async def test_a_sample_is_as_it_was_recorded(tmp_path: Path) -> None:
    """The first requests of the session, which are the same however many follow."""
    async with session(tmp_path) as player:
        recording = await player.play(corpus(), SAMPLE)
    entries = [entry for entry in recording.entries() if "case" in entry]
    assert len(entries) >= SAMPLE
    assert "\n".join(differences(read(RECORDED), entries)) == ""


@pytest.mark.fuzz
async def test_all_of_it_is_as_it_was_recorded() -> None:
    """Every request, every block of metrics, and every case of the conformance suite."""
    entries = await played(REQUESTS)
    assert len(entries) > REQUESTS
    assert "\n".join(differences(read(RECORDED), entries)) == ""


def test_a_difference_is_named() -> None:
    """The comparison says which request differs, in what, and how it was."""
    recorded = [{"case": 1, "got": "a", "sent": []}, {"case": 2, "got": "b", "sent": []}]
    changed = [{"case": 1, "got": "a", "sent": []}, {"case": 2, "got": "c", "sent": []}, {"case": 3, "got": "d"}]
    assert list(differences(recorded, changed)) == [
        '(\'case\', 2), got:\n  was "b"\n  is  "c"',
        "('case', 3): not recorded",
    ]
