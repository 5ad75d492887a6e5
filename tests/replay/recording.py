"""The recording as a file: JSON lines, compressed. The corpus is made again from its seed, and is not in it."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from proxy.routing.operations import PUBLISHED
from tests.replay.corpus import Corpus

SEED = 20261128
REQUESTS = 20_000
RECORDED = Path(__file__).with_name("session.jsonl.xz")


def corpus() -> Corpus:
    """The one that was recorded."""
    return Corpus(SEED, tuple((row.method, row.template) for row in PUBLISHED))


def write(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    with lzma.open(path, "wt", encoding="ascii", preset=9) as file:
        for entry in entries:
            file.write(json.dumps(entry, separators=(",", ":")) + "\n")


def read(path: Path) -> Iterator[dict[str, Any]]:
    with lzma.open(path, "rt", encoding="ascii") as file:
        for line in file:
            yield json.loads(line)


def differences(recorded: Iterable[dict[str, Any]], played: Iterable[dict[str, Any]]) -> Iterator[str]:
    """One text for each entry that was played and is not as it was recorded."""
    known = {_key(entry): entry for entry in recorded}
    for entry in played:
        old = known.get(_key(entry))
        if old is None:
            yield f"{_key(entry)}: not recorded"
        elif old != entry:
            parts = [name for name in entry if entry[name] != old.get(name)]
            yield "\n".join(
                f"{_key(entry)}, {name}:\n  was {_short(old.get(name))}\n  is  {_short(entry[name])}" for name in parts
            )


def _key(entry: dict[str, Any]) -> tuple[str, object]:
    """What an entry is about: a case of the corpus, a block of metrics, or a case of the conformance suite."""
    kind = next(name for name in ("case", "block", "conformance") if name in entry)
    return kind, entry[kind]


def _short(value: object) -> str:
    return f"{json.dumps(value):.1500}"
