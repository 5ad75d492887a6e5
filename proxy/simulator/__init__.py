"""A strict pretend Login with Amazon and Amazon Ads API, with scripted faults; it shares no code with the proxy.

    async with Simulator(SimulatorSettings()) as simulator:
        simulator.api_urls["na"], simulator.token_urls["na"], simulator.control_url, simulator.state

`run(settings)` is the command. Nothing here is imported by the request path.
"""

from __future__ import annotations

from proxy.simulator.faults import Fault, Match
from proxy.simulator.limits import Limit
from proxy.simulator.server import Simulator, run
from proxy.simulator.settings import DEFAULT_PORTS, PortPlan, SimulatorSettings
from proxy.simulator.state import SimulatorState
