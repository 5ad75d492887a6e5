"""What happened to the program itself, and to those who sign in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from proxy.events.root import Event


@dataclass(frozen=True, slots=True)
class ServerStarted(Event):
    version: str
    listen: str
    admin_listen: str
    accounts: tuple[str, ...]
    notes: tuple[str, ...]
    """Sentences worth saying at start: state is kept in memory only, TLS is off beyond loopback, ..."""


@dataclass(frozen=True, slots=True)
class StateStoreChanged(Event):
    """The store that a fleet shares is in trouble (`degraded`; `detail` says why), or in order again, or more or fewer
    replicas share it than before."""

    degraded: bool
    detail: str
    replicas: int


@dataclass(frozen=True, slots=True)
class TraceDeliveryChanged(Event):
    """The receiver of traces takes none (`failing`; `detail` says why), so that spans are lost, or takes them again."""

    failing: bool
    detail: str


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """A worker serves from now on, as this process of the system."""

    number: int
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerLost(Event):
    """A worker is there no more: `reason` is `crashed`, `hung` or `not-ready`, `detail` how its process ended. Another
    takes its place after `retry_in` seconds. It had `in_flight` requests, as of its last 0.25 seconds."""

    number: int
    pid: int
    reason: str
    detail: str
    retry_in: float
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class NumbersOverflowed(Event):
    """The memory that this worker counts in has no room for another series; told once. What it counts of new ones is
    missing in the metrics."""

    number: int


@dataclass(frozen=True, slots=True)
class DrainStarted(Event):
    in_flight: int
    delay: float
    timeout: float


@dataclass(frozen=True, slots=True)
class ServerStopped(Event):
    """`cut` requests were still running when the drain's time was over."""

    cut: int


@dataclass(frozen=True, slots=True)
class CertificateLoaded(Event):
    """The tools' listener shows this certificate from now on; `ends_at` is wall-clock time."""

    ends_at: float


@dataclass(frozen=True, slots=True)
class ConfigReloaded(Event):
    """`problems` is empty on success. `needs_restart` names keys that changed and wait for a restart."""

    success: bool
    problems: tuple[str, ...]
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


class SignInOutcome(StrEnum):
    """How a sign-in ended, or why it has not yet."""

    CONNECTED = "connected"
    DENIED = "denied"
    STATE_UNKNOWN = "state-unknown"
    CODE_REJECTED = "code-rejected"
    FAILED = "failed"
    CONFIRMATION_NEEDED = "confirmation-needed"
    """It would take the place of a login that works, and some profiles would be lost."""
    REFUSED = "refused"
    """As above, and all of them would."""


@dataclass(frozen=True, slots=True)
class SignInFinished(Event):
    account: str
    outcome: SignInOutcome
    detail: str


@dataclass(frozen=True, slots=True)
class DefectMet(Event):
    """An exception that nobody expected: `where` names the place, `traceback` is redacted text."""

    where: str
    traceback: str
