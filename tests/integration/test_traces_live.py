"""`telemetry.otlp` of the running program: a receiver gets its spans, and a dead one delays no request."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from tests.support.otlp import CLIENT, SERVER, receiving, values_of
from tests.support.processes import fetch, free_port, started, until
from tests.support.programs import require_program
from tests.support.running import Serving, serving, simulated_amazon

pytestmark = pytest.mark.integration
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


def test_a_receiver_gets_the_requests_their_tries_and_the_refreshes(tmp_path: Path) -> None:
    """What waits when the program stops is sent; no secret is in it, and no query."""
    with receiving() as receiver, simulated_amazon() as amazon:
        settings = amazon.configuration(telemetry={"otlp": receiver.url, "trust_traceparent": True})
        with serving(tmp_path, settings) as running:
            running.until_ready()
            assert running.get("/v2/profiles?accessLevel=view", TRACED)[0] == 200
            amazon.control("tokens/expire", {})
            assert running.get("/v2/profiles", TRACED)[0] == 200
            assert running.get("/@nobody/v2/profiles", TRACED)[0] >= 400
            running.stop()
    servers = receiver.spans(SERVER)
    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in servers} == {(TRACE, PARENT)}
    assert [values_of(span.attributes)["http.response.status_code"] for span in servers[:2]] == [200, 200]
    tries = [[span for span in receiver.spans(CLIENT) if span.parent_span_id == server.span_id] for server in servers]
    assert [len(each) for each in tries] == [1, 2, 0]
    first, second = (values_of(span.attributes) for span in tries[1])
    assert (first["http.response.status_code"], second["http.request.resend_count"]) == (401, 1)
    causes = [values_of(span.attributes).get("ads_proxy.refresh_cause") for span in receiver.spans(CLIENT)]
    assert {"start", "unauthorized"} <= set(causes)
    sent = b"".join(receiver.bodies)
    for secret in ("accessLevel", amazon.facts["refresh_token"], amazon.facts["client_secret"], "Atza|"):
        assert secret.encode() not in sent


def test_a_dead_receiver_costs_no_request(tmp_path: Path) -> None:
    """The loss is reported once, and the program stops as ever."""
    with simulated_amazon() as amazon:
        settings = amazon.configuration(telemetry={"otlp": f"http://127.0.0.1:{free_port()}/v1/traces"})
        with serving(tmp_path, settings) as running:
            running.until_ready()
            assert {running.get("/v2/profiles")[0] for _ in range(20)} == {200}
            running.told("trace_delivery_changed", failing=True)
            assert {running.get("/v2/profiles")[0] for _ in range(20)} == {200}
            running.until(lambda: running.metric("requests_total", code="200") >= 40)
            running.stop()
            assert len(running.events("trace_delivery_changed")) == 1


def test_the_receivers_key_is_the_receivers_alone(tmp_path: Path) -> None:
    """No redirect leads the key elsewhere, and neither Amazon nor the log, the metrics or the console learns of it."""
    key = "Bearer canary-of-the-receiver"
    with receiving() as elsewhere, receiving(*[307] * 100) as receiver, simulated_amazon() as amazon:
        receiver.location = elsewhere.url
        settings = amazon.configuration(telemetry={"otlp": receiver.url, "trust_traceparent": True})
        with serving(tmp_path, settings, OTEL_EXPORTER_OTLP_HEADERS=f"authorization={key}") as running:
            running.until_ready()
            assert running.get("/v2/profiles", TRACED)[0] == 200
            running.told("trace_delivery_changed", failing=True)
            shown = [running.admin_get(path)[1].decode() for path in ("/metrics", "/status", "/console/state")]
            reached = json.dumps(amazon.look("requests", last=1000))
            running.stop()
            assert "canary" not in "\n".join((*shown, reached, running.process.text))
    assert set(receiver.keys) == {key}
    assert elsewhere.keys == []


HISTOGRAMS = ("request_duration", "upstream_duration", "overhead")


def exemplars_in_prometheus(running: Serving, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """By histogram: the exemplars of its first series that a Prometheus which scrapes the program has of them."""
    target = {"targets": [running.admin.removeprefix("http://")]}
    job = {"job_name": "ads-proxy", "scrape_interval": "1s", "static_configs": [target]}
    settings = folder / "prometheus.yml"
    settings.write_text(yaml.safe_dump({"scrape_configs": [job]}))
    url = f"127.0.0.1:{free_port()}"
    command = (
        *(require_program("prometheus"), f"--config.file={settings}", "--enable-feature=exemplar-storage"),
        *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={url}"),
    )
    span = {"start": time.time() - 3600, "end": time.time() + 3600}

    def stored(histogram: str) -> list[dict[str, Any]]:
        query = urlencode({"query": f"ads_proxy_{histogram}_seconds_bucket", **span})
        try:
            answer = fetch(f"http://{url}/api/v1/query_exemplars?{query}")
        except OSError:
            return []
        found: list[dict[str, Any]] = json.loads(answer[1]).get("data") if answer[0] == 200 else []
        return found[0]["exemplars"] if found else []

    with started(*command):
        until(lambda: all(stored(histogram) for histogram in HISTOGRAMS))
        return {histogram: stored(histogram) for histogram in HISTOGRAMS}


@pytest.mark.prometheus
def test_prometheus_leads_from_a_histogram_to_the_trace(tmp_path: Path) -> None:
    """With exemplar storage it knows which trace and span a bucket's last request was, and the receiver has it."""
    with receiving() as receiver, simulated_amazon() as amazon:
        settings = amazon.configuration(telemetry={"otlp": receiver.url, "trust_traceparent": True})
        with serving(tmp_path, settings) as running:
            running.until_ready()
            assert running.get("/v2/profiles", TRACED)[0] == 200
            found = exemplars_in_prometheus(running, tmp_path)
            running.stop()
    [served] = receiver.spans(SERVER)
    named = {histogram: [each["labels"] for each in exemplars] for histogram, exemplars in found.items()}
    assert named == {histogram: [{"trace_id": TRACE, "span_id": served.span_id.hex()}] for histogram in HISTOGRAMS}
