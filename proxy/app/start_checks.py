"""What would keep the program from starting with a configuration, found without starting it.

Each part of the program has its own `check_before_start` next to what opens it, so that both refuse the same. Nothing
is made, changed, locked or asked for: the program may be running with this configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.app.report_orders import refuse_misfits
from proxy.app.rules import spend_notes
from proxy.app.server_tls import ServerTls
from proxy.app.sources import shared_settings
from proxy.app.telemetry import require_extra
from proxy.audit import file as audit_file
from proxy.config import environment
from proxy.downstream import listener
from proxy.errors import StartupError
from proxy.intercept import authority
from proxy.reports.store import ReportFolder, ReportFolderError
from proxy.tokens import opening
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.config import Address, Config


@dataclass(frozen=True, slots=True)
class StartFindings:
    """What the program would refuse, and what it would refuse unless it is what is running; sentences."""

    refusals: tuple[str, ...]
    notes: tuple[str, ...]


def check_start(config: Config) -> StartFindings:
    """Look at all that a start opens. Raises `ConfigurationError` for what is wrong in the configuration itself."""
    refuse_misfits(config)
    require_extra(config)
    shared = shared_settings(config, environment())
    checks: list[Callable[[], None]] = [
        lambda: ServerTls().begin(config),
        lambda: opening.check_before_start(config.state.url, config.state.key, shared),
    ]
    if config.intercept.enabled and config.authority_folder is not None:
        folder = config.authority_folder
        checks.append(lambda: authority.check_before_start(folder))
    if config.audit.file is not None:
        file = config.audit.file
        checks.append(lambda: audit_file.check_before_start(file))
    refusals, notes = [*_failing(checks)], [*spend_notes(config)]
    for name, address, reuse_port in _addresses(config):
        try:
            notes.append(listener.check_before_start(name, address, reuse_port=reuse_port))
        except StartupError as error:
            refusals.append(str(error))
    if config.reports is not None and config.reports.named:
        try:
            ReportFolder(config.reports.keep.dir).check_before_start(config.reports.named)
        except ReportFolderError as error:
            refusals.append(f"reports.keep.dir: {error}")
    return StartFindings(tuple(refusals), tuple(filter(None, notes)))


def _failing(checks: list[Callable[[], None]]) -> Iterator[str]:
    for check in checks:
        try:
            check()
        except StartupError as error:
            if error.exit_code == 2:
                raise
            yield str(error)


def _addresses(config: Config) -> Iterator[tuple[str, Address, bool]]:
    """Each listener, and whether other replicas may have it, too."""
    yield "listen", config.listen, config.reuse_port
    yield "admin_listen", config.admin_listen, False
    if config.invites.listen is not None:
        yield "invites.listen", config.invites.listen, False
    if config.intercept.listen is not None:
        yield "intercept.listen", config.intercept.listen, config.reuse_port
