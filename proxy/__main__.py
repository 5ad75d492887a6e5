"""`python -m proxy` is `ads-proxy`."""

from __future__ import annotations

from proxy.cli import main

main()
