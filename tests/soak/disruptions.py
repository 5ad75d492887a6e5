"""What goes wrong in a soak: each disruption with how it begins and ends, and what requests may come to meanwhile.

What is not named there must not happen: a request that could have been served was lost then.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.soak.clients import EARLY_PATH, THROTTLED_PATH
from tests.support.running import SimulatedAmazon

Outcomes = frozenset[int | str]


READERS = ("kept alive", "one connection each", "throttled")
"""Kinds whose requests read, and are short: one that met the end of its connection can be read again."""


@dataclass(frozen=True)
class Disruption:
    """`begin` brings it about; it ends when no fault is planned any more, after `end`. `allowed` is what requests may
    come to meanwhile, `readers` what those of the kinds that read may, where that is less."""

    name: str
    begin: Callable[[SimulatedAmazon], object]
    allowed: Outcomes = frozenset()
    end: Callable[[SimulatedAmazon], object] = lambda _amazon: None
    readers: Outcomes | None = None

    def allows(self, kind: str) -> Outcomes:
        """What the requests of this kind of tool may come to."""
        return self.readers if self.readers is not None and kind in READERS else self.allowed


def _fault(target: str = "api", path: str = "/*", **fault: object) -> Callable[[SimulatedAmazon], None]:
    return lambda amazon: amazon.fault(fault, target=target, path=path)


def _throttled(**fault: object) -> Callable[[SimulatedAmazon], None]:
    """One family of operations, which is remembered as throttled for longer than the disruption lasts."""
    return lambda amazon: amazon.fault(fault, 20, target="api", path=THROTTLED_PATH)


def _some(times: int, **fault: object) -> Callable[[SimulatedAmazon], None]:
    return lambda amazon: amazon.fault(fault, times, target="api", path="/*")


def _listen(listening: bool) -> Callable[[SimulatedAmazon], object]:
    return lambda amazon: amazon.control("listeners", {"listening": listening})


HTML = "<html><body>no</body></html>"
NOTHING: Outcomes = frozenset()
FAILED: Outcomes = frozenset((502, 504))

DISRUPTIONS = (
    Disruption("LWA answers 503 with HTML", _fault("lwa", status=503, body=HTML)),
    Disruption("LWA hangs", _fault("lwa", hang="before_head")),
    Disruption("LWA resets", _fault("lwa", abort="before_head", reset=True)),
    Disruption("LWA answers with nothing", _fault("lwa", status=200, body="")),
    Disruption("LWA sends garbage", _fault("lwa", raw="garbage\r\n\r\n")),
    Disruption("LWA ends within its answer", _fault("lwa", abort="mid_body", abort_after=5)),
    Disruption("LWA answers 429", _fault("lwa", status=429, headers={"Retry-After": "1"}, body="{}")),
    Disruption("LWA is slow", _fault("lwa", delay=0.5)),
    Disruption("the API cuts before an answer", _some(20, abort="before_head"), FAILED),
    Disruption(
        "the API resets within an answer", _some(20, abort="mid_body", abort_after=5, reset=True), FAILED | {"cut"}
    ),
    Disruption("the API cuts within a head", _some(20, abort="mid_head"), FAILED),
    Disruption("the API says nothing", _some(5, hang="before_head"), FAILED),
    Disruption("the API answers 500", _some(20, status=500, body="{}"), frozenset((500,))),
    Disruption("the API sends garbage", _some(20, raw="garbage\r\n\r\n"), FAILED),
    Disruption("the API answers 503 with HTML", _some(20, status=503, body=HTML), frozenset((503,))),
    Disruption("the API answers 429", _throttled(named="throttled")),
    Disruption("the API answers 429 without Retry-After", _throttled(named="throttled-silently")),
    Disruption("the API is slow", _some(20, delay=0.5)),
    Disruption("the API's bodies are slow", _some(20, piece_bytes=50, piece_interval=0.02)),
    Disruption(
        "the API closes its connections",
        lambda amazon: amazon.control("connections/close"),
        FAILED | {"cut"},
        readers=NOTHING,
    ),
    Disruption(
        "the API resets its connections",
        lambda amazon: amazon.control("connections/close", {"reset": True}),
        FAILED | {"cut"},
        readers=frozenset(("cut",)),
    ),
    Disruption(
        "connections fall silent",
        lambda amazon: amazon.control("connections/freeze"),
        FAILED | {"cut"},
        lambda amazon: amazon.control("connections/thaw"),
    ),
    Disruption("the API does not listen", _listen(False), FAILED | {"cut"}, _listen(True)),
    Disruption("every token dies", lambda amazon: amazon.control("tokens/expire")),
)


def damage_state(folder: Path) -> None:
    """An account's file holds nothing it should."""
    for path in folder.glob("account-*"):
        path.write_bytes(b"damaged")


def take_state_away(folder: Path) -> None:
    """The whole directory."""
    shutil.rmtree(folder, ignore_errors=True)


AT_THE_STATE = (("a token file is damaged", damage_state), ("the state directory is taken away", take_state_away))
"""What happens to the state directory of the program; no request notices."""


def plan_early_answers(amazon: SimulatedAmazon) -> None:
    """Plan early answers for the clients of that kind, at all times."""
    amazon.fault({"status": 413, "early": True, "rest": "close", "before_checks": True}, target="api", path=EARLY_PATH)
