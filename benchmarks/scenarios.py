"""What is measured: each scenario is a load, the way to the upstream, and how our program is set up for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.checkout import Setting
from benchmarks.load import Load, Requests


@dataclass(frozen=True, slots=True)
class Scenario:
    """`name` is for the table and the command line. Peers know of `setting` only whether the upstream speaks TLS."""

    name: str
    load: Load = field(default_factory=Load)
    setting: Setting = field(default_factory=Setting)


ONE_TARGET = Scenario("one target")
TLS = Scenario("TLS upstream", setting=Setting(tls=True))
NEW_TARGETS = Scenario("new targets", Load(Requests.NEW_TARGETS))
NEW_BODIES = Scenario("POST 512", Load(Requests.NEW_BODIES))
CHUNKED = Scenario("chunked", Load(Requests.CHUNKED, "/chunked"))
KEYED = Scenario("key and policy", setting=Setting(keyed=True))
KEYED_NEW_TARGETS = Scenario("key, new targets", Load(Requests.NEW_TARGETS), Setting(keyed=True))
MIX = Scenario("1 in 20 is 404", Load(Requests.MIX))
LARGE = Scenario("64 KiB", Load(path="/size/64k"))
HUGE = Scenario("20 MB", Load(path="/size/20m", connections=4))
ONE_CONNECTION = Scenario("1 connection", Load(connections=1))
MANY_CONNECTIONS = Scenario("512 connections", Load(connections=512))

SCENARIOS = (
    ONE_TARGET,
    TLS,
    NEW_TARGETS,
    NEW_BODIES,
    CHUNKED,
    KEYED,
    KEYED_NEW_TARGETS,
    MIX,
    LARGE,
    HUGE,
    ONE_CONNECTION,
    MANY_CONNECTIONS,
)
COMPARED = (ONE_TARGET, TLS, NEW_TARGETS, NEW_BODIES, KEYED, CHUNKED, MIX, LARGE, MANY_CONNECTIONS)
"""What two versions of the program are compared by, where nothing else is asked for."""


def named(names: list[str]) -> tuple[Scenario, ...]:
    """Scenarios by their names; an unknown name is an error that lists them all."""
    known = {scenario.name: scenario for scenario in SCENARIOS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"there is no scenario {unknown[0]!r}; there are: {'; '.join(known)}")
    return tuple(known[name] for name in names)
