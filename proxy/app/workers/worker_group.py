"""The additional parts of a program with several workers, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.app.workers import shared_counts
from proxy.app.workers.shared_counts import SharedCounts
from proxy.app.workers.supervision import WorkerEnd
from proxy.app.workers.supervisor import Supervisor
from proxy.app.workers.supervisor_hub import HubDependencies, SupervisorHub
from proxy.errors import StartupError
from proxy.observability.number_memory import NumberMemories
from proxy.observability.request_metrics import MOMENTS
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.access.client_keys import KeyUses
    from proxy.admin.history import RequestHistory
    from proxy.app.shared_news import SharedNews
    from proxy.app.workers.shared_counts import SharedBudgets
    from proxy.app.workers.supervisor_hub import RecordStream
    from proxy.config import Config
    from proxy.events import Observer
    from proxy.observability.metrics import Metrics


def require_shared_memory() -> None:
    """Raise `StartupError` where the system has no memory that workers can share."""
    if not shared_counts.are_possible():
        raise StartupError("workers: this system can run one process only; set workers: 1.")


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """Made before the program's other parts, which need some of it. `worker_settings` is what each worker is told at
    first."""

    counts: SharedCounts
    worker_settings: Mapping[str, Any]

    @classmethod
    def make(cls, config: Config, worker_settings: Mapping[str, Any]) -> WorkerGroup:
        """Raises `StartupError` where the system has no such memory."""
        require_shared_memory()
        return cls(SharedCounts.make(config.workers), worker_settings)

    @property
    def budgets(self) -> SharedBudgets:
        return self.counts.budgets

    def hub(
        self,
        news: SharedNews,
        uses: KeyUses,
        history: RequestHistory,
        audit: RecordStream | None,
    ) -> SupervisorHub:
        """What gives the workers their copies."""
        return SupervisorHub(HubDependencies(news, self.budgets, uses, history, audit, self.worker_settings))

    def supervisor(
        self,
        hub: SupervisorHub,
        metrics: Metrics,
        config: Callable[[], Config],
        telling: tuple[Observer, Callable[[bytes], None]],
    ) -> Supervisor:
        """What keeps the workers; `metrics` show what they count."""
        memories = NumberMemories(MOMENTS)
        supervisor = Supervisor(hub, memories, self.counts, config, telling)
        metrics.requests.add_elsewhere(memories.changes, lambda: supervisor.in_flight)
        metrics.watch_workers(supervisor.phases, WorkerEnd)
        return supervisor
