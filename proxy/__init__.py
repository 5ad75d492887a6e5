"""ads-proxy: a reverse proxy that makes the Amazon Ads API look as if it needed no login."""

from __future__ import annotations

__version__ = "0.2.0"
"""The only place that says it; docs/development/releasing.md says what follows from a change."""
