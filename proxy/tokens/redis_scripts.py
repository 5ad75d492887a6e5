"""The Lua scripts that a Redis or Valkey server runs in one step: each is a file of `scripts/`.

A script's first line may name others that it needs, whose functions come before it. Each begins with what its KEYS and
ARGV are, and what it gives.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

_NEEDS: Final = "-- needs: "


def _read(name: str) -> str:
    """The text of a script, with those that it needs in front."""
    text = resources.files("proxy.tokens").joinpath("scripts", f"{name}.lua").read_text("ascii")
    first = text.partition("\n")[0]
    needed = first.removeprefix(_NEEDS).split(", ") if first.startswith(_NEEDS) else []
    return "".join(map(_read, needed)) + text


WRITE_ENTRY: Final = _read("write_entry")
WRITE_DOCUMENT: Final = _read("write_document")
CHANGE_DOCUMENT: Final = _read("change_document")
RESEAL: Final = _read("reseal")
PERMITTED: Final = _read("permitted")
BEAT: Final = _read("beat")
SHARE: Final = _read("share")
SETTLE: Final = _read("settle")
NEWEST: Final = _read("newest")
ACQUIRE: Final = _read("acquire")
RENEW: Final = _read("renew")
PUBLISH: Final = _read("publish")
FAIL: Final = _read("fail")
RELEASE: Final = _read("release")
FORGET: Final = _read("forget")
SEIZE: Final = _read("seize")
CALL_ROLL: Final = _read("call_roll")
ANSWER_ROLL: Final = _read("answer_roll")
COUNT: Final = _read("count")
