"""What a directory of very many profiles takes: memory, time to look up, to take lists in, to keep and to load them.

`python -m benchmarks profiles --count 1000000`. In this process, without a network: Amazon's answers are made here,
each with as many profiles as Amazon lists at most, and go through the program's own reading of them.
"""

from __future__ import annotations

import gc
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from proxy.profiles.index import DOCUMENTS, ProfileIndex, ProfileListing, document_of, pin, read_document
from proxy.profiles.listing import parse_profiles_response
from proxy.tokens.sealing import encode_document

LISTED = 5000
"""Profiles of one account in one region."""
LOOKUPS = 200_000
_CIPHER = Fernet(Fernet.generate_key())
_COUNTRIES = (("US", "USD", "America/Los_Angeles"), ("CA", "CAD", "America/Toronto"), ("MX", "MXN", "America/Tijuana"))


@dataclass(frozen=True, slots=True)
class Findings:
    """Bytes, and seconds of CPU. `hit` and `miss` are of one look-up, `listing` and `change` of one list, the longest
    of them; `saving` is the longest that keeping stops everything else, and `saved` the bytes that a change of one list
    writes."""

    profiles: int
    memory: float
    hit: float
    miss: float
    listing: float
    change: float
    saving: float
    saved: int
    loading: float


def measure(count: int, seed: int = 1) -> Findings:
    """With so many profiles, rounded up to whole lists."""
    lists = -(-count // LISTED)
    gc.collect()
    before, index, longest = _resident(), ProfileIndex(), 0.0
    for number in range(lists):
        longest = max(longest, _seconds(_take, index, number, _answer(number)))
    gc.collect()
    memory = _resident() - before
    rng = random.Random(seed)
    known = [_id(rng.randrange(lists), rng.randrange(LISTED)) for _ in range(LOOKUPS)]
    unknown = [f"9{identifier}" for identifier in known]
    hit, miss = _seconds(_look_up, index, known) / LOOKUPS, _seconds(_look_up, index, unknown) / LOOKUPS
    change = max(_seconds(_take, index, number, _answer(number, 1)) for number in range(min(lists, 5)))
    saved: dict[str, bytes] = {}
    saving = max(_seconds(_keep, saved, index, name) for name in DOCUMENTS)
    fresh = ProfileIndex()
    loading = sum(_seconds(_load, fresh, content) for content in saved.values())
    changed = len(saved[document_of(_account(0))])
    return Findings(lists * LISTED, memory, hit, miss, longest, change, saving, changed, loading)


def report(found: Findings) -> str:
    """The costs as lines for people."""
    return "\n".join(
        (
            f"{found.profiles} profiles: {found.memory / 2**20:.0f} MB, {found.memory / found.profiles:.0f} bytes each",
            f"a look-up: {found.hit * 1e6:.2f} us where it is known, {found.miss * 1e6:.2f} us where it is not",
            f"a list of {LISTED} taken in: {found.listing * 1e3:.0f} ms; changed by one: {found.change * 1e3:.0f} ms",
            f"kept after a change: {found.saved / 2**20:.2f} MB, everything else stops for {found.saving * 1e3:.0f} ms",
            f"loaded at the start: {found.loading:.2f} s",
        )
    )


def _id(number: int, place: int) -> str:
    return str(1_000_000_000_000_000 + number * 1_000_003 + place * 7)


def _answer(number: int, changed: int = 0) -> bytes:
    """The list of an account's profiles as Amazon sends it; the first `changed` of them are others."""
    profiles = []
    for place in range(LISTED):
        country, currency, timezone = _COUNTRIES[place % len(_COUNTRIES)]
        info = {
            "marketplaceStringId": f"ATVPDKIKX0DE{place % len(_COUNTRIES)}",
            "id": f"A{number:06d}{place:06d}",
            "type": "seller" if place % 5 else "vendor",
            "name": f"Advertiser {number}-{place}",
            "validPaymentMethod": True,
        }
        profiles.append(
            {
                "profileId": int(_id(number, place if place >= changed else place + LISTED)),
                "countryCode": country,
                "currencyCode": currency,
                "timezone": timezone,
                "accountInfo": info,
            }
        )
    return json.dumps(profiles).encode()


def _take(index: ProfileIndex, number: int, answer: bytes) -> None:
    profiles = parse_profiles_response(200, answer)
    region = ("na", "eu", "fe")[number % 3]
    index.put(_account(number), region, ProfileListing("https://api.test\nclient", profiles, pin(profiles, ""), 0.0))


def _account(number: int) -> str:
    return f"account-{number // 3}"


def _keep(saved: dict[str, bytes], index: ProfileIndex, name: str) -> None:
    saved[name] = _CIPHER.encrypt(encode_document(name, index.to_document(name)))


def _load(index: ProfileIndex, content: bytes) -> None:
    for account, region, listing in read_document(json.loads(_CIPHER.decrypt(content))["data"]):
        index.put(account, region, listing)


def _look_up(index: ProfileIndex, identifiers: list[str]) -> None:
    for identifier in identifiers:
        index.owners(identifier)


def _seconds(do: Callable[..., object], *arguments: object) -> float:
    began = time.process_time()
    do(*arguments)
    return time.process_time() - began


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
