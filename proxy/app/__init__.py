"""The composition root: the only place that knows every part of the program, and the order they start and stop in."""

from __future__ import annotations

from proxy.app.companion import Companion
from proxy.app.run import serve, serve_beside

__all__ = ["Companion", "serve", "serve_beside"]
