"""The control API's actions on connections and ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.simulator.given import ControlRefused, Given
from proxy.simulator.settings import REGIONS

if TYPE_CHECKING:
    from proxy.simulator.state import SimulatorState


def close(state: SimulatorState, given: Given) -> Any:
    """Closes what is open; with `reset` true by RST."""
    return {"closed": state.close_connections(reset=bool(given.get("reset")))}


def freeze(state: SimulatorState, given: Given) -> Any:
    """What is open now is silent from now on; new connections are served."""
    return {"frozen": state.freeze_connections()}


def thaw(state: SimulatorState, given: Given) -> Any:
    """What was frozen goes on."""
    return {"thawed": state.thaw_connections()}


async def listen(state: SimulatorState, given: Given) -> Any:
    """With `listening` false, connections to a `region` (or to all) are refused, until it is true again."""
    region, listening = given.get("region"), given.get("listening")
    if region not in (None, *REGIONS) or not isinstance(listening, bool):
        raise ControlRefused(f"region is one of {', '.join(REGIONS)}, listening true or false")
    if state.doors is None:
        raise ControlRefused("nothing listens")
    for name in [region] if region else REGIONS:
        await state.doors.listen(name, listening)
    return {"listening": listening}
