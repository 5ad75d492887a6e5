"""The named reports of a configuration as commands see them: in the folder, not through the running proxy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from proxy.app.rules import named_reports
from proxy.config import environment, load
from proxy.config.model.key_names import did_you_mean
from proxy.errors import ConfigurationError, StateError

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.config import Config
    from proxy.reports.overview import NamedReports


def configured_reports(config: Path | None, env_file: Path | None) -> tuple[Config, NamedReports]:
    """The configuration and its named reports. Raises `ConfigurationError` without any, and `StateError` where this
    user cannot read their folder."""
    loaded = load(config, environment(env_file))
    if loaded.reports is None or not loaded.reports.named:
        raise ConfigurationError(("reports.named: no report is configured; add one, or give --config FILE",))
    reports = named_reports(loaded.reports)
    directory = reports.folder.directory
    try:
        is_readable = os.access(directory, os.R_OK | os.X_OK) or not directory.exists()
    except PermissionError:  # of a folder above it
        is_readable = False
    if not is_readable:
        raise StateError(
            f"{directory} cannot be read by this user; run the command as the user of the proxy, in Compose with "
            "`docker compose exec ads-proxy`."
        )
    return loaded, reports


def check_name(reports: NamedReports, name: str) -> None:
    """Raise `ConfigurationError` for an unknown report."""
    if name not in reports.accounts:
        choices = f"; the reports are: {', '.join(sorted(reports.accounts))}"
        raise ConfigurationError((f"NAME: unknown report{did_you_mean(name, reports.accounts) or choices}",))
