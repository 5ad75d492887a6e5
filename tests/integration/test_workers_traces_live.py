"""`telemetry.otlp` of a program with workers: one receiver gets the spans of all of them, and no request waits for
it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_traces_live import PARENT, TRACE, TRACED
from tests.integration.test_workers_live import WORKERS, ask, ask_each, pids, statuses
from tests.support.otlp import CLIENT, SERVER, receiving, values_of
from tests.support.processes import fetch, free_port
from tests.support.running import Load, Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration


def settings(amazon: SimulatedAmazon, url: str, **changes: Any) -> dict[str, Any]:
    return amazon.configuration(workers=WORKERS, telemetry={"otlp": url, "trust_traceparent": True}, **changes)


def opened(running: Serving) -> None:
    running.until_ready()
    running.until_listed()


def spans(running: Serving, result: str) -> float:
    return running.metric("trace_spans_total", result=result)


def openmetrics(running: Serving) -> str:
    return fetch(f"{running.admin}/metrics", headers={"Accept": "application/openmetrics-text"})[1].decode()


def test_a_receiver_gets_what_every_worker_did(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The receiver gets each request once, with its tries below it and the client's span above it, when the program
    stops at the latest; token requests once, exemplars in the metrics, no secret, and no query."""
    with receiving() as receiver, serving(tmp_path, settings(amazon, receiver.url)) as running:
        opened(running)
        asked = ask_each(running, "/v2/profiles?accessLevel=view", TRACED)
        amazon.control("tokens/expire", {})
        again = ask(running, "/v2/profiles", TRACED)[0]
        running.until(lambda: f'trace_id="{TRACE}"' in openmetrics(running))
        running.until(lambda: spans(running, "sent") == spans(running, "made") > 2 * sum(map(len, asked.values())))
        running.stop()
    assert (statuses(asked), again) == ({200}, 200)
    servers = receiver.spans(SERVER)
    assert len(servers) == sum(map(len, asked.values())) + 1
    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in servers} == {(TRACE, PARENT)}
    workers = {values_of(span.attributes)["ads_proxy.request_id"].partition("-")[0] for span in servers}
    assert workers == set(asked)
    tries = [[span for span in receiver.spans(CLIENT) if span.parent_span_id == server.span_id] for server in servers]
    assert [len(each) for each in tries] == [1] * (len(servers) - 1) + [2]
    causes = [values_of(span.attributes).get("ads_proxy.refresh_cause") for span in receiver.spans(CLIENT)]
    assert (causes.count("start"), causes.count("unauthorized")) == (1, 1)
    sent = b"".join(receiver.bodies)
    for secret in ("accessLevel", amazon.facts["refresh_token"], amazon.facts["client_secret"], "Atza|"):
        assert secret.encode() not in sent


def test_a_dead_receiver_costs_no_request_of_any_worker(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The loss is reported once for all, through the death of a worker under load."""
    with serving(tmp_path, settings(amazon, f"http://127.0.0.1:{free_port()}/v1/traces")) as running:
        opened(running)
        running.told("trace_delivery_changed", failing=True)
        with Load(running, paths=("/v2/profiles",), workers=4) as load:
            running.until(lambda: load.total > 500)
        assert load.failures == []
        os.kill(min(pids(running).values()), signal.SIGKILL)
        running.told("worker_started", WORKERS + 1)
        assert statuses(ask_each(running)) == {200}
        running.until(lambda: spans(running, "refused") > 0)
        assert spans(running, "sent") == 0
        running.stop()
        assert len(running.events("trace_delivery_changed")) == 1
        for line in running.process.output.lines:
            json.loads(line)


def test_a_killed_worker_takes_none_of_the_others_spans_along(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """What was over a moment before is there, and so is all that the others and its successor serve."""
    with receiving() as receiver, serving(tmp_path, settings(amazon, receiver.url)) as running:
        opened(running)
        before = ask_each(running)
        running.until(lambda: len(receiver.spans(SERVER)) == sum(map(len, before.values())))
        os.kill(min(pids(running).values()), signal.SIGKILL)
        running.told("worker_started", WORKERS + 1)
        after = ask_each(running)
        running.until(lambda: len(receiver.spans(SERVER)) == sum(map(len, (*before.values(), *after.values()))))
        running.stop()
    assert len(receiver.spans(SERVER)) == sum(map(len, (*before.values(), *after.values())))
