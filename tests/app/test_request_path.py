"""The path of requests is wired once, for the program and the tests' benches."""

from __future__ import annotations

import io
import json
import re

from proxy.admin.history import RequestHistory
from proxy.app.request_path import EventOutputs, make_accounting
from proxy.app.spend_observations import SpendObserver
from proxy.events import SpendJudgement, SpendMode, SpendVerdict
from proxy.observability.logs import Logs
from proxy.observability.metrics import Metrics
from proxy.spend.observations import ObservedWrite
from tests.observability.test_journal import KIND, Listener, Record, note
from tests.observability.test_metrics import finished
from tests.support.programs import ROOT
from tests.support.scraping import scraped

WIRING = re.compile(r"(?<!class )\b(?:Dependencies|Forwarder)\((?!\))")


def test_a_request_without_an_event_reaches_every_output() -> None:
    """The line, the metrics, the console's list and whoever records writes; deprecated operations are counted."""
    lines, metrics, auditor, other = io.StringIO(), Metrics("1"), Listener(), Listener()
    logs, history = Logs(lines, form="json", level="info", access=True), RequestHistory(metrics)
    accounting = make_accounting(EventOutputs(metrics, logs, history, (auditor,), others=(other,)))
    old = "requestSnapshot"
    kind = KIND._replace(operation=old, operation_class="write", ends="2024-12-15")
    note(accounting.journal, Record(), kind=kind)
    logs.close()
    assert json.loads(lines.getvalue())["operation"] == old
    assert metrics.counted("deprecated_requests_total") == {(kind.client, old): 1}
    assert f'ads_proxy_requests_total{{account="{kind.account}"' in scraped(metrics, "").decode()
    assert [request.kind for request in history.requests()] == [kind]
    assert (len(auditor.heard), other.heard) == (1, [])


def test_a_judged_write_is_told_once_with_an_event_and_without() -> None:
    """A judged write counts and is observed the same, whichever way its end is noted."""
    taken: list[ObservedWrite] = []
    counted: list[tuple[str, SpendJudgement, float]] = []
    lines, metrics = io.StringIO(), Metrics("1")
    logs, history = Logs(lines, form="json", level="info", access=True), RequestHistory(metrics)
    judged = SpendObserver(taken.append, lambda *given: counted.append(given), lambda: 0.0)
    accounting = make_accounting(EventOutputs(metrics, logs, history, judged=judged))
    within = SpendJudgement(SpendMode.ENFORCE, SpendVerdict.WITHIN)
    kind = KIND._replace(operation_class="write")
    note(accounting.journal, Record(spend=within), kind=kind)
    accounting.observer.observe(finished(**kind._asdict(), spend=within))
    logs.close()
    first, second = map(json.loads, lines.getvalue().splitlines())
    assert first["spend"] == second["spend"] == {"mode": "enforce", "verdict": "within", "violations": []}
    assert metrics.counted("spend_judged_total") == {(kind.client, "enforce", "within"): 2}
    assert taken == [ObservedWrite(0.0, kind.client, kind.operation, True, within)]
    assert counted == [(kind.client, within, 0.0)]


def test_nothing_else_wires_the_path_of_requests() -> None:
    """One module hands a forwarder what it needs; the proxy's own requests have a forwarder of their own."""
    found = {
        str(path.relative_to(ROOT))
        for folder in ("proxy", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if WIRING.search(path.read_text())
    }
    assert found == {"proxy/app/request_path.py", "proxy/app/internal_client.py"}
