"""A signal that comes while the program starts: those who are served already get their answers, and nobody else is
waited for."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.app import listeners as listeners_module
from proxy.app import program as program_module
from proxy.app.audit import RunOutputs
from proxy.app.process import StopSignals
from proxy.app.program import Program
from proxy.app.run import LoadedConfig, _serve
from proxy.app.stored_parts import StoredParts
from proxy.config import Config, ReadingMemory, load
from proxy.downstream.ports import Availability
from proxy.simulator import Fault, Match, Simulator, SimulatorSettings
from tests.support.patience import PATIENCE, settled

SLOW = "/sim/slow"
SESSION, SCRAPES = "proxy.net.names_resolver", "prometheus_client.openmetrics.exposition"
"""What is imported last for the program's own requests, and for the admin listener."""
_import = listeners_module.import_in_thread


class InterruptedStart:
    """A program that starts in this process, the signals that it would get, and an import that is held."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, held: str = SCRAPES, **changes: Any) -> None:
        self.signals: list[StopSignals] = []
        monkeypatch.setattr(StopSignals, "install", lambda signals, _: self.signals.append(signals))
        for module in (program_module, listeners_module):
            monkeypatch.setattr(module, "import_in_thread", self._import)
        self._held, self.reached, self.imported = held, asyncio.Event(), asyncio.Event()
        self._output = io.StringIO()
        path = folder / "proxy.yaml"
        own = {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "state": {"url": "memory:"}}
        path.write_text(json.dumps({**own, **changes}))
        config = load(path, {"HOME": str(folder)})
        self.program = Program(config, run_outputs=RunOutputs(self._output))
        loaded = LoadedConfig(config, {}, ReadingMemory())
        self.serving = asyncio.create_task(_serve(self.program, _load, loaded))

    async def _import(self, module: str) -> None:
        if module == self._held:
            self.reached.set()
            await self.imported.wait()
        await _import(module)

    def stop(self) -> None:
        """SIGTERM."""
        self.signals[0].note()

    async def ended(self) -> int:
        """The exit code."""
        async with asyncio.timeout(PATIENCE):
            return await self.serving

    def told(self) -> list[tuple[str, int]]:
        """What the log says of the end, with how many requests were in flight or were cut."""
        lines = map(json.loads, self._output.getvalue().splitlines())
        return [
            (line["event"], line.get("in_flight", line.get("cut")))
            for line in lines
            if line.get("event") in ("drain_started", "server_stopped")
        ]


def _load(running: Config | None, memory: ReadingMemory) -> Config:
    raise AssertionError("there is no reload")


@contextmanager
def asked(simulator: Simulator, running: InterruptedStart, client: aiohttp.ClientSession) -> Iterator[Any]:
    """A client's request, which Amazon holds until its faults are cleared."""
    simulator.state.add_fault(Fault(delay=2 * PATIENCE), Match(path=SLOW))

    async def ask() -> int:
        async with client.get(f"http://{running.program.listening}{SLOW}") as answer:
            await answer.read()
            return answer.status

    asking = asyncio.create_task(ask())
    try:
        yield asking
    finally:
        simulator.state.faults.clear()
        asking.cancel()


def configuration(simulator: Simulator, **changes: Any) -> dict[str, Any]:
    """A configuration that leads to the simulator."""
    account = {
        "client_id": simulator.app.client_id,
        "client_secret": simulator.app.client_secret,
        "refresh_token": simulator.refresh_token,
        "region": "na",
    }
    na = {"api_url": simulator.api_urls["na"], "token_url": simulator.token_urls["na"]}
    return {"regions": {"na": na}, "accounts": {"acme": account}, "drain": {"timeout": 2 * PATIENCE}, **changes}


@pytest.mark.parametrize("held", [SESSION, SCRAPES])
async def test_a_request_in_flight_is_answered(held: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that waits for the first token, for which the program cannot ask yet."""
    async with Simulator(SimulatorSettings()) as simulator, aiohttp.ClientSession() as client:
        running = InterruptedStart(tmp_path, monkeypatch, held, **configuration(simulator))
        await running.reached.wait()
        with asked(simulator, running, client) as asking:
            await settled(lambda: running.program.in_flight == 1)
            running.stop()
            await settled(lambda: running.program.forwarder.availability is not Availability.SERVING)
            if held == SESSION:
                running.imported.set()
            await settled(lambda: any(each.target == SLOW for each in simulator.state.requests))
            simulator.state.faults.clear()
            assert await asking == 200
        assert await running.ended() == 0
        assert running.told() == [("drain_started", 1), ("server_stopped", 0)]


async def test_a_second_signal_cuts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is told as later, and the exit code is 1."""
    async with Simulator(SimulatorSettings()) as simulator, aiohttp.ClientSession() as client:
        running = InterruptedStart(tmp_path, monkeypatch, **configuration(simulator))
        await running.reached.wait()
        with asked(simulator, running, client) as asking:
            await settled(lambda: any(each.target == SLOW for each in simulator.state.requests))
            running.stop()
            await settled(lambda: running.program.forwarder.availability is not Availability.SERVING)
            running.stop()
            assert await asking == 503
        assert await running.ended() == 1
        assert running.told() == [("drain_started", 1), ("server_stopped", 1)]


ACCOUNT: dict[str, Any] = {
    "accounts": {"acme": {"client_id": "amzn1.application-oa2-client.x", "client_secret": "canary"}}
}


async def test_before_anybody_is_served_there_is_no_drain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store takes long: the program ends at once, although the drain would be delayed."""
    begun = asyncio.Event()

    async def begin_for_ever(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(StoredParts, "start_reports", begin_for_ever)
    running = InterruptedStart(tmp_path, monkeypatch, drain={"delay": 2 * PATIENCE}, **ACCOUNT)
    await begun.wait()
    running.stop()
    assert await running.ended() == 0
    assert running.told() == []
