"""How long a test waits for an event that must come. This ends a hang; no test judges by it."""

from __future__ import annotations

PATIENCE = 120.0
"""Seconds. A busy machine starts a program in 30 of them."""
