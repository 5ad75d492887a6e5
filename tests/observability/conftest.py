"""Logs for the tests of what is written, closed behind each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TextIO

import pytest

from proxy.observability.logs import Format, Logs, configure


@pytest.fixture
def start() -> Iterator[Callable[..., Logs]]:
    """Configures logs and closes them after the test."""
    made: list[Logs] = []

    def go(stream: TextIO | None, form: Format = "json", level: str = "info", access: bool = True) -> Logs:
        made.append(configure(form=form, level=level, access=access, stream=stream))
        return made[-1]

    yield go
    for logs in made:
        logs.close()
