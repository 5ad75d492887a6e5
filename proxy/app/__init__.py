"""The composition root: the only place that knows every part of the program, and the order they start and stop in."""

from __future__ import annotations

from proxy.app.run import serve

__all__ = ["serve"]
