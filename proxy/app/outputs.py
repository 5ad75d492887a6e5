"""Who is told what happens in the program: log, metrics, the last requests, audit stream, notices, traces, and what
people see of judged writes. Opened once; a reload changes what the log says.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from proxy import __version__
from proxy.admin.history import RequestHistory
from proxy.app.audit import begin_audit, close_audit, open_audit
from proxy.app.request_path import EventOutputs, make_accounting
from proxy.app.spend_observations import KeptObservations, SpendObserver
from proxy.app.telemetry import open_traces, tracing_of
from proxy.app.thread_messages import ThreadMessages
from proxy.audit.records import AuditTrail
from proxy.config import environment, wants_colours
from proxy.observability.logs import configure
from proxy.observability.metrics import Metrics
from proxy.observability.notifier import Notifier
from proxy.observability.recent_requests import RecentRequests

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from proxy.app.audit import RunOutputs
    from proxy.audit.file import AuditFile
    from proxy.config import Config
    from proxy.events import Event, Observer


class Outputs:
    """Made with the first configuration; `current` gives the one in force. What is opened is closed by `opened`.

    `accounting` keeps account of requests, and its `observer` takes all other events. Raises `StartupError`.
    """

    def __init__(self, current: Callable[[], Config], run_outputs: RunOutputs | None, opened: AsyncExitStack) -> None:
        config = current()
        self._opened = opened
        self.logs = configure(
            form=config.log.format,
            colours=wants_colours(environment()),
            level=config.log.level,
            stream=sys.stdout if run_outputs is None else run_outputs.log,
        )
        self.adjust_logs(config)
        self.logs.redact(config.secrets())
        self.metrics = Metrics(__version__)
        clean = self.logs.redaction.clean
        self.history = RequestHistory(self.metrics, RecentRequests(), clean)
        opened.callback(self.logs.close)
        self.messages = ThreadMessages(self._tell)
        trails = self._open_audit(config, None if run_outputs is None else run_outputs.audit)
        self.notifier = Notifier(self._tell, clean)
        traces = open_traces(current, self.messages.tell, clean, opened)
        for each in traces:
            self.metrics.watch_spans(each.counts)
        self.observations = KeptObservations()
        others: tuple[Observer, ...] = (self.notifier, *traces)
        judged = SpendObserver(self.observations.note, self.observations.note_within)
        outputs = EventOutputs(self.metrics, self.logs, self.history, trails, others=others, judged=judged)
        self.accounting = make_accounting(outputs, tracing_of(config, traces))

    def __repr__(self) -> str:
        return f"<Outputs: {self.metrics!r}>"

    def begin(self, config: Config) -> None:
        """The event loop runs."""
        self.metrics.accounts(config.accounts)
        self.messages.begin()
        if self.audit is not None:
            told = self.accounting.write_gate, self.accounting.observer, self.logs.redaction.clean
            self._opened.callback(begin_audit(self.audit, *told).cancel)

    def adjust_logs(self, config: Config) -> None:
        """Log what a configuration wants logged."""
        log = config.log
        self.logs.adjust(level=log.level, access=log.access, access_fields=log.access_fields)

    def _open_audit(self, config: Config, opened: AuditFile | None) -> tuple[AuditTrail, ...]:
        """Who tells the audit stream, where there is one."""
        self.audit = open_audit(config.audit, self.logs.sink, self.messages.tell, opened)
        if self.audit is None:
            return ()
        self.metrics.watch_audit(self.audit.counts)
        self._opened.callback(close_audit, self.audit, self.logs)
        return (AuditTrail(self.audit.put, self.logs.redaction.clean, time.time),)

    def _tell(self, event: Event) -> None:
        """Pass on an event of an observer, or of another thread."""
        self.accounting.observer.observe(event)
