"""What goes wrong in a soak: each trouble with how it begins and ends, and what requests may come to meanwhile.

What is not named there must not happen: a request that could have been served was lost then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.soak.tools import EARLY_PATH, THROTTLED_PATH
from tests.support.running import SimulatedAmazon

Outcomes = frozenset[int | str]


@dataclass(frozen=True)
class Trouble:
    """`begin` brings it about; it ends when no fault is planned any more, after `end`."""

    name: str
    begin: Callable[[SimulatedAmazon], object]
    allowed: Outcomes = frozenset()
    end: Callable[[SimulatedAmazon], object] = lambda _amazon: None


def _fault(target: str = "api", path: str = "/*", **fault: object) -> Callable[[SimulatedAmazon], None]:
    return lambda amazon: amazon.fault(fault, target=target, path=path)


def _throttled(**fault: object) -> Callable[[SimulatedAmazon], None]:
    """One family of operations, which is remembered as throttled for longer than the trouble lasts."""
    return lambda amazon: amazon.fault(fault, 20, target="api", path=THROTTLED_PATH)


def _some(times: int, **fault: object) -> Callable[[SimulatedAmazon], None]:
    return lambda amazon: amazon.fault(fault, times, target="api", path="/*")


def _listen(listening: bool) -> Callable[[SimulatedAmazon], object]:
    return lambda amazon: amazon.control("listeners", {"listening": listening})


HTML = "<html><body>no</body></html>"
NOTHING: Outcomes = frozenset()
FAILED: Outcomes = frozenset((502, 504))

TROUBLES = (
    Trouble("LWA answers 503 with HTML", _fault("lwa", status=503, body=HTML)),
    Trouble("LWA hangs", _fault("lwa", hang="before_head")),
    Trouble("LWA resets", _fault("lwa", abort="before_head", reset=True)),
    Trouble("LWA answers with nothing", _fault("lwa", status=200, body="")),
    Trouble("the API cuts before an answer", _some(20, abort="before_head"), FAILED),
    Trouble(
        "the API resets within an answer", _some(20, abort="mid_body", abort_after=5, reset=True), FAILED | {"cut"}
    ),
    Trouble("the API sends garbage", _some(20, raw="garbage\r\n\r\n"), FAILED),
    Trouble("the API answers 503 with HTML", _some(20, status=503, body=HTML), frozenset((503,))),
    Trouble("the API answers 429", _throttled(named="throttled")),
    Trouble("the API answers 429 without Retry-After", _throttled(named="throttled-silently")),
    Trouble("the API is slow", _some(20, delay=0.5)),
    Trouble("the API closes its connections", lambda amazon: amazon.control("connections/close"), FAILED | {"cut"}),
    Trouble(
        "the API resets its connections",
        lambda amazon: amazon.control("connections/close", {"reset": True}),
        FAILED | {"cut"},
    ),
    Trouble(
        "connections fall silent",
        lambda amazon: amazon.control("connections/freeze"),
        FAILED | {"cut"},
        lambda amazon: amazon.control("connections/thaw"),
    ),
    Trouble("the API does not listen", _listen(False), FAILED | {"cut"}, _listen(True)),
    Trouble("every token dies", lambda amazon: amazon.control("tokens/expire"), frozenset((401,))),
)


def plan_early_answers(amazon: SimulatedAmazon) -> None:
    """For the tools of that kind, at all times."""
    amazon.fault({"status": 413, "early": True, "rest": "close", "before_checks": True}, target="api", path=EARLY_PATH)
